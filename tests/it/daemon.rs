//! The real binary before the sandbox: blindness, secrets, orders, a second instance, bad configs.

use std::fmt::Write;
use std::process::Stdio;
use std::time::Duration;

use pilotlight::sandbox::{CredentialKind, Home, Kinds, RedirectKind, References, SilenceKind};
use serde_json::Value;

use crate::support::daemon::{Lab, eventually, text};

/// What a command of ours printed.
struct Said {
    status: i32,
    out: String,
    err: String,
}

/// Runs one command to its end while the sandbox lives on.
async fn say(lab: &Lab, words: &[&str]) -> Said {
    let mut command = lab.command(words);
    let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap())
        .await
        .unwrap();
    Said {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn r03_when_every_verdict_is_unknown_nothing_is_written_anywhere() {
    let mut lab = Lab::new("blind").await;
    let world = lab.world();
    world.set_references(References::Dark);
    world.set_home(Home::Silent);
    let mut daemon = lab.start();
    let unknown = || lab_log(&lab).matches("\"outcome\":\"timeout\"").count() >= 40;
    eventually("forty blind probes", unknown).await;
    assert_eq!(world.journal().iter().filter(|call| call.wrote).count(), 0);
    assert!(!daemon.has_ended());
    let status: Value = serde_json::from_str(&say(&lab, &["status", "--json"]).await.out).unwrap();
    assert_eq!(status["sites"][0]["verdict"]["verdict"], "unknown", "{status}");
    assert_eq!(status["sites"][0]["phase"], "healthy", "{status}");
    assert!(daemon.terminate().await.success());
    lab.finish().await;
}

fn lab_log(lab: &Lab) -> String {
    text(&lab.log(1))
}

#[tokio::test]
async fn r16_no_secret_appears_in_anything_that_is_printed_kept_or_shown() {
    let mut lab = Lab::new("canary").await;
    let world = lab.world();
    let secrets = secrets(&lab);
    assert!(secrets.len() >= 5);
    let daemon = lab.start();
    daemon.watches().await;
    world.set_home(Home::Refusing);
    eventually("the failover", || lab.saved("/episode/failed_over", "true")).await;
    let mut shown = String::new();
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["pause", "site", "--reason", "canary", "--for", "1m"],
        &["resume", "site", "--reason", "canary"],
        &["resume", "nosuch", "--reason", "canary"],
        &["check"],
        &["check", "--json"],
    ] {
        let said = say(&lab, words).await;
        shown += &said.out;
        shown += &said.err;
    }
    let metrics = lab.get("/metrics").await;
    assert!(metrics.contains("pilotlight_phase"), "{metrics}");
    shown += &metrics;
    shown += &std::fs::read_to_string(format!("/proc/{}/cmdline", daemon.pid())).unwrap();
    shown += &std::fs::read_to_string(format!("/proc/{}/environ", daemon.pid())).unwrap();
    eventually("a notice to arrive", || !world.notices().is_empty()).await;
    for notice in world.notices() {
        shown += &notice.body;
    }
    for call in world.journal() {
        write!(shown, "{call:?}").unwrap();
    }
    assert!(daemon.terminate().await.success());
    shown += &lab.printed();
    for file in files(&lab.dir.join("state")) {
        shown += &String::from_utf8_lossy(&std::fs::read(file).unwrap());
    }
    for (name, secret) in secrets {
        assert!(!shown.contains(&secret), "{name} was shown");
    }
    lab.finish().await;
}

/// Everything that nobody may see, by name: tokens, the key's own text, the path of the webhook, and what is signed with the key.
fn secrets(lab: &Lab) -> Vec<(&'static str, String)> {
    let line = |file: &str| text(&lab.dir.join(file)).trim().to_owned();
    let key: Value = serde_json::from_str(&text(&lab.sandbox.key_file())).unwrap();
    let pem = key["private_key"].as_str().unwrap();
    let webhook = line("webhook-url");
    let path = webhook.splitn(4, '/').nth(3).unwrap().to_owned();
    vec![
        ("the admin token", line("admin-token")),
        ("the cloudflare token", line("cloudflare-token")),
        ("the webhook's path", path),
        ("the private key", pem.lines().nth(3).unwrap().to_owned()),
        ("a signed token", "eyJhbGciOiJSUzI1NiI".to_owned()),
    ]
}

fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_second_instance_on_the_same_state_directory_refuses_to_start() {
    let mut lab = Lab::new("second").await;
    let daemon = lab.start();
    daemon.watches().await;
    let second = say(&lab, &["run"]).await;
    assert_eq!(second.status, 1);
    assert!(second.err.contains("another pilotlight"), "{}", second.err);
    assert!(daemon.terminate().await.success());
    lab.finish().await;
}

#[tokio::test]
async fn a_broken_state_file_is_set_aside_and_told() {
    let mut lab = Lab::new("broken-state").await;
    std::fs::create_dir_all(lab.dir.join("state")).unwrap();
    std::fs::write(lab.state_file(), "{\"version\":1,").unwrap();
    let world = lab.world();
    let daemon = lab.start();
    eventually("the notice", || {
        world
            .notices()
            .iter()
            .any(|notice| notice.body.contains("state_set_aside"))
    })
    .await;
    let aside = files(&lab.dir.join("state"))
        .iter()
        .any(|file| file.to_string_lossy().contains("broken"));
    assert!(aside);
    assert!(daemon.terminate().await.success());
    lab.finish().await;
}

#[tokio::test]
async fn a_bad_config_touches_nothing_and_exits_with_78() {
    let lab = Lab::new("bad-config").await;
    let extra = lab.dir.join("bad.toml");
    std::fs::write(&extra, "[probe]\ninterwal = \"5s\"\n").unwrap();
    for words in [&["run"][..], &["check"]] {
        let mut command = lab.command(words);
        command.arg("--config").arg(&extra);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        assert_eq!(output.status.code(), Some(78));
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.contains("bad.toml:2") && err.contains("interval"), "{err}");
    }
    assert!(lab.world().journal().is_empty());
    assert!(!lab.dir.join("state").exists());
    lab.finish().await;
}

#[tokio::test]
async fn r13_an_operator_forces_a_failover_and_gives_command_back() {
    let mut lab = Lab::new("orders").await;
    let world = lab.world();
    let daemon = lab.start();
    daemon.watches().await;
    eventually("the first verdict", || lab.saved("/route", "origin")).await;
    let said = say(
        &lab,
        &[
            "failover",
            "site",
            "--reason",
            "moving the rack",
            "--for",
            "10m",
            "--author",
            "alice",
        ],
    )
    .await;
    assert_eq!(said.status, 0, "{}", said.err);
    eventually("the redirect", || world.redirect().effective && world.gate().effective).await;
    let status = say(&lab, &["status"]).await.out;
    assert!(
        status.contains("standby") && status.contains("alice") && status.contains("moving the rack"),
        "{status}"
    );
    let wrong = lab.dir.join("wrong-token");
    std::fs::write(&wrong, "not-the-token").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&wrong, mode).unwrap();
    let refused = say(
        &lab,
        &[
            "resume",
            "site",
            "--reason",
            "x",
            "--token-file",
            wrong.to_str().unwrap(),
        ],
    )
    .await;
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains("token"), "{}", refused.err);
    assert_eq!(say(&lab, &["resume", "site", "--reason", "rack moved"]).await.status, 0);
    eventually("home again", || {
        !world.redirect().configured && !world.gate().configured
    })
    .await;
    eventually("the episode's end", || lab.saved("/episode", "null")).await;
    assert!(daemon.terminate().await.success());
    lab.finish().await;
}

#[tokio::test]
async fn page_rule_both_silences_and_the_metadata_server_go_out_and_home() {
    let kinds = Kinds {
        redirect: RedirectKind::PageRule,
        silence: SilenceKind::Both,
        credentials: CredentialKind::MetadataServer,
    };
    let mut lab = Lab::with("other-kinds", kinds).await;
    let world = lab.world();
    let daemon = lab.start();
    daemon.watches().await;
    world.set_home(Home::Silent);
    eventually("everything on", || {
        let silence = world.silence();
        world.gate().effective && world.redirect().effective && silence.check_disabled && silence.snoozed_for.is_some()
    })
    .await;
    eventually("the proof", || lab.saved("/episode/failed_over", "true")).await;
    world.set_home(Home::Serving);
    eventually("everything off", || {
        let silence = world.silence();
        !world.gate().configured
            && !world.redirect().configured
            && !silence.check_disabled
            && silence.snoozed_for.is_none()
    })
    .await;
    eventually("the episode's end", || lab.saved("/episode", "null")).await;
    assert!(daemon.terminate().await.success());
    lab.finish().await;
}

#[tokio::test]
async fn notices_of_a_whole_outage_arrive_at_the_webhook_once_each_and_in_order() {
    let mut lab = Lab::new("webhook").await;
    let world = lab.world();
    let daemon = lab.start();
    daemon.watches().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    world.set_home(Home::Refusing);
    eventually("the failover", || lab.saved("/episode/failed_over", "true")).await;
    world.set_home(Home::Serving);
    eventually("the episode's end", || lab.saved("/episode", "null")).await;
    let names = || -> Vec<String> {
        let bodies = world.notices().into_iter().map(|notice| notice.body);
        bodies
            .map(|body| {
                serde_json::from_str::<Value>(&body).unwrap()["type"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    };
    let expected = [
        "pilotlight.suspected",
        "pilotlight.failover_started",
        "pilotlight.failed_over",
        "pilotlight.recovering",
        "pilotlight.failback_started",
        "pilotlight.back_home",
        "pilotlight.episode_over",
    ];
    eventually("all notices", || names().len() >= expected.len()).await;
    assert_eq!(names(), expected);
    assert!(daemon.terminate().await.success());
    lab.finish().await;
}
