//! A config: good by all its rules or complained of, with a place and a remedy in each complaint, and no secret in any.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use pilotlight::config::{Complaints, Config, Redirect, Site, Surroundings, load_admin, load_in};

use crate::script::parts;

/// Stands in every secret's file.
const CANARY: &str = "canary-5f1c-canary-5f1c";
/// More fragments than this are put into the last.
const MOST_FRAGMENTS: usize = 4;

/// Runs one input: fragments, parted as in [`crate::script`].
pub fn try_one(data: &[u8]) {
    let room = room();
    let mut paths = Vec::new();
    for (number, part) in parts(data).into_iter().take(MOST_FRAGMENTS).enumerate() {
        let file = room.join(format!("{number}.toml"));
        fs::write(&file, part).expect("the scratch directory can be written");
        paths.push(file);
    }
    let surroundings = Surroundings::default();
    let loaded = load_in(&paths, &surroundings);
    assert_eq!(loaded, load_in(&paths, &surroundings), "the same files say two things");
    match &loaded {
        Ok(config) => {
            good(config);
            let admin = load_admin(&paths, &surroundings);
            assert_eq!(
                admin.as_ref(),
                Ok(&config.admin),
                "a command would look elsewhere than the daemon listens"
            );
        }
        Err(complaints) => bad(complaints),
    }
}

/// A directory with the secrets that the configs name.
fn room() -> &'static Path {
    static ROOM: OnceLock<PathBuf> = OnceLock::new();
    ROOM.get_or_init(|| {
        let room = crate::scratch("config");
        let key = format!(
            r#"{{"type":"service_account","client_email":"a@b","private_key":"{CANARY}","private_key_id":"{CANARY}"}}"#
        );
        let hook = format!("https://hooks.example/{CANARY}\n");
        let secrets = [
            ("token", CANARY),
            ("key.json", &key),
            ("hook", &hook),
            ("open", CANARY),
            ("empty", ""),
        ];
        for (name, content) in secrets {
            let file = room.join(name);
            fs::write(&file, content).expect("the scratch directory can be written");
            let mode = if name == "open" { 0o644 } else { 0o600 };
            fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("it is ours");
        }
        room
    })
}

fn bad(complaints: &Complaints) {
    assert!(complaints.iter().len() > 0, "refused without a reason");
    let text = format!("{complaints} {complaints:?}");
    assert!(!text.contains(CANARY), "a secret is told: {text}");
    for complaint in complaints.iter() {
        assert!(
            !complaint.wrong.is_empty() && !complaint.fix.is_empty(),
            "{complaint:?}"
        );
        let Some(line) = complaint.line else { continue };
        let file = complaint.file.as_ref().expect("a line is one of a file");
        let text = fs::read_to_string(file).expect("a file that was read before");
        let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
        assert!((1..=lines).contains(&line), "{complaint:?} of {lines} lines");
    }
}

fn good(config: &Config) {
    assert!(!format!("{config:?}").contains(CANARY), "a secret is in the config");
    assert!(!config.sites.is_empty(), "nothing to watch");
    for (name, site) in &config.sites {
        assert_eq!(name, &site.name);
        durations(site);
        assert_ne!(
            site.home, site.standby.marker,
            "nobody could tell home from the standby"
        );
        if let Some(redirect) = &site.redirect {
            assert!(redirect.cloudflare().is_none_or(|name| config.cloudflare.contains_key(name)));
            let standby = site.standby.url.host_str().unwrap_or_default();
            assert!(
                !redirect.coverage().covers(standby),
                "the standby would redirect to itself"
            );
            if let Redirect::SingleRedirect { status_code, .. } = redirect {
                assert!(matches!(status_code, 302 | 307), "browsers would keep it");
            }
        }
        for silence in &site.silences {
            assert!(silence.google().is_none_or(|name| config.google.contains_key(name)));
        }
        for url in [&site.url, &site.probe.url, &site.standby.url] {
            assert!(
                matches!(url.scheme(), "http" | "https") && url.host_str().is_some(),
                "{name}"
            );
            assert!(
                url.password().is_none() && url.username().is_empty(),
                "a secret in a URL: {name}"
            );
        }
    }
    for webhook in config.webhooks.values() {
        assert!(webhook.sites.iter().all(|site| config.sites.contains_key(site)));
    }
}

fn durations(site: &Site) {
    let policy = &site.policy;
    assert!(site.probe.timeout <= policy.interval && site.probe.hedge_after < site.probe.timeout);
    assert!(policy.confirm_interval <= policy.interval);
    assert!(site.toggle_timeout < policy.gate_patience && site.toggle_timeout < policy.drain);
    assert!(policy.up_for <= policy.up_for_max);
    let thresholds = [
        policy.unhealthy_threshold,
        policy.clear_threshold,
        policy.healthy_threshold,
    ];
    assert!(thresholds.iter().all(|threshold| *threshold > 0));
}
