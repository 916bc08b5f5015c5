//! The shapes of the TOML files, and every default: this is the one place.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::period::Period;
use super::settings::{LogFormat, ProbePath};
use super::table::Table;
use crate::core;

/// The sections that stand at the top as defaults for all sites and again in each site.
pub(super) const SHARED_SECTIONS: [&str; 5] = ["probe", "visitor", "references", "policy", "timing"];

/// A whole config, layers merged.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) daemon: Table<Daemon>,
    pub(super) admin: Table<Admin>,
    pub(super) probe: Table<Probe>,
    pub(super) visitor: Table<Visitor>,
    pub(super) references: Table<References>,
    pub(super) policy: Table<Policy>,
    pub(super) timing: Table<Timing>,
    pub(super) google: BTreeMap<String, Table<Google>>,
    pub(super) cloudflare: BTreeMap<String, Table<Cloudflare>>,
    pub(super) webhook: BTreeMap<String, Table<Webhook>>,
    pub(super) site: BTreeMap<String, Table<Site>>,
}

/// `[daemon]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Daemon {
    pub(super) state_dir: PathBuf,
    pub(super) log: String,
    pub(super) log_format: LogFormat,
    pub(super) shutdown_timeout: Period,
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/pilotlight"),
            log: "info".to_owned(),
            log_format: LogFormat::Auto,
            shutdown_timeout: Period::secs(5),
        }
    }
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Admin {
    pub(super) listen: String,
    pub(super) token_file: Option<PathBuf>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9911".to_owned(),
            token_file: None,
        }
    }
}

/// `[google.NAME]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Google {
    pub(super) kind: Option<GoogleKind>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) run_url: String,
    pub(super) monitoring_url: String,
    pub(super) token_url: String,
    pub(super) metadata_url: String,
    pub(super) ca_file: Option<PathBuf>,
}

impl Default for Google {
    fn default() -> Self {
        Self {
            kind: None,
            key_file: None,
            run_url: "https://run.googleapis.com".to_owned(),
            monitoring_url: "https://monitoring.googleapis.com".to_owned(),
            token_url: "https://oauth2.googleapis.com/token".to_owned(),
            metadata_url: "http://metadata.google.internal".to_owned(),
            ca_file: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum GoogleKind {
    ServiceAccountKey,
    MetadataServer,
}

/// `[cloudflare.NAME]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Cloudflare {
    pub(super) token_file: Option<PathBuf>,
    pub(super) api_url: String,
    pub(super) ca_file: Option<PathBuf>,
}

impl Default for Cloudflare {
    fn default() -> Self {
        Self {
            token_file: None,
            api_url: "https://api.cloudflare.com/client/v4".to_owned(),
            ca_file: None,
        }
    }
}

/// `[webhook.NAME]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Webhook {
    pub(super) url_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) sites: Vec<String>,
}

/// `[site.NAME]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Site {
    pub(super) url: Option<String>,
    pub(super) home: Table<Home>,
    pub(super) standby: Table<Standby>,
    pub(super) probe: Table<Probe>,
    pub(super) visitor: Table<Visitor>,
    pub(super) references: Table<References>,
    pub(super) policy: Table<Policy>,
    pub(super) timing: Table<Timing>,
    pub(super) gate: Option<Table<Gate>>,
    pub(super) redirect: Option<Table<Redirect>>,
    pub(super) silence: Vec<Table<Silence>>,
}

/// `[site.NAME.home]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Home {
    pub(super) header: Option<String>,
    pub(super) body: Option<String>,
}

/// `[site.NAME.standby]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Standby {
    pub(super) url: Option<String>,
    pub(super) header: Option<String>,
    pub(super) body: Option<String>,
    pub(super) connect_to: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) google: Option<String>,
}

/// `[probe]` and `[site.NAME.probe]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Probe {
    pub(super) url: Option<String>,
    pub(super) path: ProbePath,
    pub(super) connect_to: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) status: String,
    pub(super) interval: Period,
    pub(super) timeout: Period,
    pub(super) confirm_interval: Period,
    pub(super) hedge_after: Period,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            url: None,
            path: ProbePath::Direct,
            connect_to: None,
            ca_file: None,
            status: "200-299".to_owned(),
            interval: Period::secs(5),
            timeout: Period::secs(4),
            confirm_interval: Period::millis(500),
            hedge_after: Period::secs(1),
        }
    }
}

/// `[visitor]` and `[site.NAME.visitor]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Visitor {
    pub(super) interval: Period,
    pub(super) timeout: Period,
    pub(super) connect_to: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) edge_url: Option<String>,
}

impl Default for Visitor {
    fn default() -> Self {
        Self {
            interval: Period::secs(60),
            timeout: Period::secs(25),
            connect_to: None,
            ca_file: None,
            edge_url: None,
        }
    }
}

/// `[references]` and `[site.NAME.references]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct References {
    pub(super) targets: Vec<String>,
    pub(super) again: Period,
    pub(super) ca_file: Option<PathBuf>,
}

impl Default for References {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            again: Period::secs(10),
            ca_file: None,
        }
    }
}

/// `[policy]` and `[site.NAME.policy]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Policy {
    pub(super) unhealthy_threshold: u32,
    pub(super) down_for: Period,
    pub(super) clear_threshold: u32,
    pub(super) clear_for: Period,
    pub(super) healthy_threshold: u32,
    pub(super) up_for: Period,
    pub(super) up_for_max: Period,
    pub(super) relapse_window: Period,
    pub(super) prewarm: bool,
    pub(super) failback: Failback,
    pub(super) broken_standby: BrokenStandby,
    pub(super) drift: Drift,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            unhealthy_threshold: 3,
            down_for: Period::secs(30),
            clear_threshold: 2,
            clear_for: Period::secs(10),
            healthy_threshold: 12,
            up_for: Period::mins(10),
            up_for_max: Period::mins(6 * 60),
            relapse_window: Period::mins(60),
            prewarm: true,
            failback: Failback::Auto,
            broken_standby: BrokenStandby::Hold,
            drift: Drift::Repair,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Failback {
    Auto,
    Manual,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BrokenStandby {
    Hold,
    Switch,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Drift {
    Repair,
    Report,
}

/// `[timing]` and `[site.NAME.timing]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Timing {
    pub(super) gate_patience: Period,
    pub(super) drain: Period,
    pub(super) verify_every: Period,
    pub(super) home_proof: Period,
    pub(super) toggle_timeout: Period,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            gate_patience: Period::mins(2),
            drain: Period::mins(10),
            verify_every: Period::mins(5),
            home_proof: Period::secs(30),
            toggle_timeout: Period::secs(15),
        }
    }
}

/// `[site.NAME.gate]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Gate {
    pub(super) kind: Option<GateKind>,
    pub(super) mode: Option<GateMode>,
    pub(super) command: Vec<String>,
    pub(super) google: Option<String>,
    pub(super) project: Option<String>,
    pub(super) region: Option<String>,
    pub(super) service: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum GateKind {
    CloudRun,
    Exec,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum GateMode {
    #[default]
    Iam,
    InvokerCheck,
    Open,
}

/// `[site.NAME.redirect]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Redirect {
    pub(super) kind: Option<RedirectKind>,
    pub(super) cloudflare: Option<String>,
    pub(super) zone_id: Option<String>,
    #[serde(rename = "ref")]
    pub(super) rule_ref: Option<String>,
    pub(super) rule_id: Option<String>,
    pub(super) pattern: Option<String>,
    pub(super) script: Option<String>,
    pub(super) command: Vec<String>,
    pub(super) status_code: Option<u16>,
    pub(super) hosts: Vec<String>,
    pub(super) excluded_paths: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RedirectKind {
    SingleRedirect,
    PageRule,
    WorkerRoute,
    Exec,
}

/// `[[site.NAME.silence]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Silence {
    pub(super) kind: Option<SilenceKind>,
    pub(super) google: Option<String>,
    pub(super) project: Option<String>,
    pub(super) alert_policy: Option<String>,
    pub(super) check_id: Option<String>,
    pub(super) command: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SilenceKind {
    Snooze,
    UptimeCheck,
    Exec,
}

impl From<Failback> for core::machine::Failback {
    fn from(raw: Failback) -> Self {
        match raw {
            Failback::Auto => Self::Auto,
            Failback::Manual => Self::Manual,
        }
    }
}

impl From<BrokenStandby> for core::machine::BrokenStandby {
    fn from(raw: BrokenStandby) -> Self {
        match raw {
            BrokenStandby::Hold => Self::Hold,
            BrokenStandby::Switch => Self::Switch,
        }
    }
}

impl From<Drift> for core::machine::DriftPolicy {
    fn from(raw: Drift) -> Self {
        match raw {
            Drift::Repair => Self::Repair,
            Drift::Report => Self::Report,
        }
    }
}
