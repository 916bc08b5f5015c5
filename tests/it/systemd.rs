//! What systemd hears: a child process with a notify socket, and the watchdog under the paused clock.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::Parser;
use pilotlight::cli::args::{self, Cli};
use pilotlight::cli::check::EX_CONFIG;
use pilotlight::core::machine::Pin;
use pilotlight::core::status::Switched;
use pilotlight::core::{Mode, Phase, Route, Status, Stopwatch, Wall};
use pilotlight::systemd::{self, Watchdog, status_text};

use crate::sample::{at, failed_over, healthy};
use crate::scratch::Scratch;

#[test]
#[ignore = "runs as the child of systemd_hears_ready_status_watchdog_and_stopping"]
fn child_speaks() {
    systemd::ready();
    systemd::status("home: home serves visitors");
    systemd::feed();
    systemd::stopping();
}

#[test]
fn systemd_hears_ready_status_watchdog_and_stopping() {
    let scratch = Scratch::new();
    let path = scratch.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "systemd::child_speaks", "--ignored"])
        .env("NOTIFY_SOCKET", &path)
        .output()
        .unwrap();
    assert!(child.status.success());
    let mut heard = Vec::new();
    socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 256];
    while let Ok(length) = socket.recv(&mut buffer) {
        heard.push(String::from_utf8_lossy(&buffer[..length]).trim().to_owned());
    }
    assert_eq!(
        heard,
        [
            "READY=1",
            "STATUS=home: home serves visitors",
            "WATCHDOG=1",
            "STOPPING=1"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn r15_the_watchdog_is_fed_only_when_every_loop_made_progress() {
    let fed = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&fed);
    let (_watchdog, beats) = Watchdog::new(2, move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let fed = || fed.load(Ordering::Relaxed);
    for _ in 0..10 {
        beats[0].progressed();
        tokio::time::advance(Duration::from_secs(5)).await;
    }
    assert_eq!(fed(), 0, "the second loop hangs");
    beats[1].progressed();
    assert_eq!(fed(), 1);
    beats[0].progressed();
    beats[1].progressed();
    assert_eq!(fed(), 1, "not more than once a second");
    tokio::time::advance(Duration::from_secs(5)).await;
    beats[1].progressed();
    assert_eq!(fed(), 2, "what was done meanwhile counts");
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(fed(), 2, "no timer feeds it");
}

fn told(status: &Status) -> String {
    status_text([("blog", status)])
}

#[test]
fn the_status_line_says_who_serves_visitors() {
    assert_eq!(told(&healthy()), "blog: home serves visitors");
    assert_eq!(
        told(&failed_over()),
        "blog: home is down (home's line is silent); the standby serves visitors"
    );
    let recovering = Status {
        phase: Phase::Recovering {
            successes: 3,
            quiet: Stopwatch::default(),
        },
        home_in: Some(Duration::from_secs(480)),
        ..failed_over()
    };
    assert_eq!(
        told(&recovering),
        "blog: home answers again; visitors go back in 8 min if it stays up; the standby serves visitors"
    );
    let suspect = Status {
        phase: Phase::Suspect {
            failures: 1,
            successes: 0,
            dark: Stopwatch::default(),
            quiet: Stopwatch::default(),
        },
        route: Route::Origin,
        failover_in: Some(Duration::from_secs(25)),
        ..failed_over()
    };
    assert_eq!(
        told(&suspect),
        "blog: home may be down (home's line is silent); visitors go to the standby in 25 s if it stays dark"
    );
    let blind = Status {
        blind_since: Some(at(5)),
        saving: false,
        ..healthy()
    };
    assert!(told(&blind).ends_with("nothing is switched; the state cannot be saved"));
    let paused = Status {
        mode: Mode::Paused {
            pin: Pin {
                until: Wall(1_767_225_600_000),
                author: "ann".to_owned(),
                reason: "new router".to_owned(),
            },
        },
        switched: Switched::Partly,
        ..failed_over()
    };
    assert_eq!(
        told(&paused),
        "blog: home is down (home's line is silent); visitors are only partly sent to the standby; ann paused all switching until 2026-01-01T00:00:00Z"
    );
}

#[test]
fn many_sites_are_told_as_a_sum() {
    let (well, down) = (healthy(), failed_over());
    let mut sites = vec![("a", &well), ("b", &well), ("c", &well), ("d", &well), ("e", &well)];
    assert_eq!(status_text(sites.clone()), "5 sites: home serves visitors");
    sites.push(("shop", &down));
    assert_eq!(status_text(sites), "5 sites at home; look at shop");
}

#[test]
fn the_unit_runs_what_the_command_line_knows_with_all_of_the_config() {
    let unit = include_str!("../../systemd/pilotlight.service");
    let value = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{key} is missing"))
    };
    let cli = Cli::try_parse_from(value("ExecStart").split(' ')).unwrap();
    assert!(matches!(cli.command, args::Command::Run));
    assert!(
        cli.global.config.is_empty(),
        "with --config the fragments in conf.d would be left out"
    );
    assert_eq!(value("RestartPreventExitStatus"), EX_CONFIG.to_string());
    assert_eq!(value("Type"), "notify");
    assert_eq!(value("Restart"), "always");
    let watchdog: u64 = value("WatchdogSec").parse().unwrap();
    assert!(watchdog >= 3 * 15, "a loop may be without a probe's end for 15 seconds");
}
