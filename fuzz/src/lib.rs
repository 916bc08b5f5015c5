//! What the fuzz targets do with one input, and what must hold then. A target panics when it does not.
//!
//! | target | input | through |
//! |---|---|---|
//! | [`admin`] | raw HTTP | the real admin server on a Unix socket |
//! | [`cloud_run`], [`single_redirect`], [`page_rule`], [`snooze`], [`uptime_check`] | a provider's answers, see [`script`] | the real toggle and the real HTTP client, over loopback |
//! | [`config`] | a config in fragments | the loader with all its rules |
//! | [`iam_policy`] | a policy as JSON, or bytes that one is made from | the pure edit |
//! | [`key_file`] | a key file or a secret's file | their readers |
//! | [`outbox`] | the files of an outbox | the delivery, from disk to the target |
//! | [`probe`] | raw HTTP of home, standby, edge and references | every eye, over loopback |
//! | [`state`] | a state file | the loader, core's start from it, and half an hour of life |
//! | [`text`] | header values and a provider's words | Retry-After, Date, redaction, URL segments |
//! | [`token`] | a token endpoint's or metadata server's answers | the token source |
//!
//! Time is tokio's paused clock everywhere: who waits in vain waits no real time.

#[path = "../../tests/support/foreign/mod.rs"]
pub mod foreign;

pub mod admin;
pub mod cloud_run;
pub mod config;
pub mod iam_policy;
pub mod key_file;
pub mod outbox;
pub mod page_rule;
pub mod probe;
pub mod provider;
pub mod rig;
pub mod script;
pub mod single_redirect;
pub mod snooze;
pub mod state;
pub mod text;
pub mod token;
pub mod uptime_check;

/// A directory of this process's own under the system's temporary one; `tests/proof/fuzz.sh` names it and takes it away again.
pub fn scratch(name: &str) -> std::path::PathBuf {
    let directory = std::env::temp_dir()
        .join(format!("pilotlight-fuzz-{}", std::process::id()))
        .join(name);
    std::fs::create_dir_all(&directory).expect("the temporary directory can be written");
    directory
}
