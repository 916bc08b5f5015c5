//! The real binary with a program of the operator's in every role.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pilotlight::sandbox::{Api, Home, World};
use serde_json::json;

use crate::support::daemon::{Lab, eventually};

/// On while the file that `$1` names is there.
const SCRIPT: &str =
    "case \"$2\" in on) : > \"$1\";; off) rm -f \"$1\";; status) [ -e \"$1\" ] || exit 3;; *) exit 64;; esac\n";
const HANGS: &str = "sleep 1000\n";

/// A config whose switches are programs; the silence runs `silence`.
fn by_programs(lab: &Lab, silence: &str) -> [PathBuf; 3] {
    for (file, script) in [("switch.sh", SCRIPT), ("silence.sh", silence)] {
        std::fs::write(lab.dir.join(file), script).unwrap();
    }
    let files = ["gate", "redirect", "silence"].map(|name| lab.dir.join(format!("{name}.is-on")));
    let command = |script: &str, file: &Path| {
        let script = lab.dir.join(script);
        format!(
            "kind = \"exec\"\ncommand = [\"/bin/sh\", \"{}\", \"{}\"]\n",
            script.display(),
            file.display()
        )
    };
    let [gate, redirect, muted] = &files;
    lab.rewrite_config(|config| {
        let (kept, _) = config.split_once("[site.site.gate]").unwrap();
        let gate = command("switch.sh", gate);
        let redirect = command("switch.sh", redirect);
        let silence = command("silence.sh", muted);
        format!(
            "{kept}[site.site.gate]\n{gate}[site.site.redirect]\n{redirect}excluded_paths = [\"/healthz\", \"/.well-known/\"]\n\
             [[site.site.silence]]\n{silence}"
        )
    });
    files
}

/// What the operator's own machinery would do: the world follows the files.
async fn follow(world: Arc<World>, gate: PathBuf, redirect: PathBuf) {
    let (mut open, mut away) = (false, false);
    loop {
        if gate.exists() != open {
            open = !open;
            world.set_service_field("site", "/invokerIamDisabled", json!(open));
        }
        if redirect.exists() != away {
            away = !away;
            world.edit_rule("site", |rule| rule["enabled"] = json!(away));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_whole_failover_and_return_by_programs_in_every_role() {
    let mut lab = Lab::new("exec").await;
    let [gate, redirect, silence] = by_programs(&lab, SCRIPT);
    let world = lab.world();
    let following = tokio::spawn(follow(lab.world(), gate.clone(), redirect.clone()));
    let daemon = lab.start();
    daemon.watches().await;
    world.set_home(Home::Silent);
    eventually("everything on", || {
        world.gate().effective && world.redirect().effective && silence.exists()
    })
    .await;
    eventually("the proof", || lab.saved("/episode/failed_over", "true")).await;
    world.set_home(Home::Serving);
    eventually("everything off", || {
        !gate.exists() && !redirect.exists() && !silence.exists()
    })
    .await;
    eventually("the episode's end", || lab.saved("/episode", "null")).await;
    assert!(daemon.terminate().await.success());
    following.abort();
    let providers = [Api::Run, Api::Monitoring, Api::Cloudflare];
    assert!(!world.journal().iter().any(|call| providers.contains(&call.api)));
    lab.finish().await;
}

#[tokio::test]
async fn r06_a_program_that_hangs_in_the_silence_delays_no_failover_and_no_return() {
    let mut lab = Lab::new("exec-hangs").await;
    let [gate, redirect, _] = by_programs(&lab, HANGS);
    let world = lab.world();
    let following = tokio::spawn(follow(lab.world(), gate.clone(), redirect.clone()));
    let daemon = lab.start();
    daemon.watches().await;
    world.set_home(Home::Silent);
    eventually("the proof", || lab.saved("/episode/failed_over", "true")).await;
    world.set_home(Home::Serving);
    eventually("visitors at home", || !redirect.exists()).await;
    eventually("the gate shut", || !gate.exists()).await;
    assert!(daemon.terminate().await.success());
    following.abort();
    lab.finish().await;
}
