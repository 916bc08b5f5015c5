//! The settings as the program uses them: checked, merged per site, without a secret in them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

pub use url::Url;

use super::switches::{Gate, Redirect, Silence};
use crate::core::Policy;

/// Everything the daemon was told. It exists only when there was nothing to complain about.
///
/// Secrets are not in it, only the paths of their files: read them with [`super::secret`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The process itself.
    pub daemon: Daemon,
    /// The admin server.
    pub admin: Admin,
    /// Google credentials by name.
    pub google: BTreeMap<String, GoogleCredential>,
    /// Cloudflare credentials by name.
    pub cloudflare: BTreeMap<String, CloudflareCredential>,
    /// Webhooks by name.
    pub webhooks: BTreeMap<String, Webhook>,
    /// Sites by name; at least one.
    pub sites: BTreeMap<String, Site>,
}

/// The process itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Where state is kept over a restart.
    pub state_dir: PathBuf,
    /// What is logged: a level, or `target=level` pairs, comma separated.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// How long open connections and calls may take to end at a stop.
    pub shutdown_timeout: Duration,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, journald under systemd, JSON otherwise.
    #[default]
    Auto,
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
    /// Fields to journald.
    Journald,
}

impl LogFormat {
    /// All formats, as written in the config and on the command line.
    pub const ALL: [(&'static str, Self); 4] = [
        ("auto", Self::Auto),
        ("text", Self::Text),
        ("json", Self::Json),
        ("journald", Self::Journald),
    ];
}

/// The admin server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub listen: Listen,
    /// The file with the token that changing calls need. Always given when `listen` is public.
    pub token_file: Option<PathBuf>,
}

/// Where the admin server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How to be known at Google.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoogleCredential {
    /// Its name in the config.
    pub name: String,
    /// Where tokens come from.
    pub kind: GoogleKind,
    /// Base URL of Cloud Run's admin API.
    pub run_url: Url,
    /// Base URL of Cloud Monitoring's API.
    pub monitoring_url: Url,
    /// URL of the token endpoint.
    pub token_url: Url,
    /// Base URL of the metadata server.
    pub metadata_url: Url,
    /// Trust only the authorities in this PEM file for these URLs.
    pub ca_file: Option<PathBuf>,
}

/// Where Google tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoogleKind {
    /// A service account's key file.
    ServiceAccountKey {
        /// Its path.
        key_file: PathBuf,
    },
    /// The metadata server of a machine at Google.
    MetadataServer,
}

/// How to be known at Cloudflare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudflareCredential {
    /// Its name in the config.
    pub name: String,
    /// The file with the API token.
    pub token_file: PathBuf,
    /// Base URL of the API, with its version: `https://api.cloudflare.com/client/v4`.
    pub api_url: Url,
    /// Trust only the authorities in this PEM file for it.
    pub ca_file: Option<PathBuf>,
}

/// A webhook that is told notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its name in the config.
    pub name: String,
    /// The file with its URL, which is a secret.
    pub url_file: PathBuf,
    /// Trust only the authorities in this PEM file for it.
    pub ca_file: Option<PathBuf>,
    /// The sites whose notices it is told; empty means all.
    pub sites: Vec<String>,
}

impl Webhook {
    /// Whether it is told the notices of `site`.
    pub fn hears_of(&self, site: &str) -> bool {
        self.sites.is_empty() || self.sites.iter().any(|one| one == site)
    }
}

/// One site, the defaults for all sites merged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its name in the config: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Its public URL.
    pub url: Url,
    /// What tells that home answered.
    pub home: Marker,
    /// The cloud standby.
    pub standby: Standby,
    /// The origin eye.
    pub probe: Probe,
    /// The visitor eye.
    pub visitor: Visitor,
    /// The mirror.
    pub references: References,
    /// All thresholds and durations that core decides by.
    pub policy: Policy,
    /// The total deadline of one operation on a toggle.
    pub toggle_timeout: Duration,
    /// Public access to the standby.
    pub gate: Option<Gate>,
    /// What sends visitors there.
    pub redirect: Option<Redirect>,
    /// What mutes the provider's monitoring.
    pub silences: Vec<Silence>,
}

/// What tells who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marker {
    /// A response header with exactly this value.
    Header {
        /// Its name, in lower case.
        name: String,
        /// Its value.
        value: String,
    },
    /// A text in the body.
    Body(String),
}

/// A `host:port` to dial instead of what a URL says; the URL's name stays in SNI and `Host`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A host name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The cloud standby of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standby {
    /// Its public URL.
    pub url: Url,
    /// What tells that it answered.
    pub marker: Marker,
    /// Dial this instead.
    pub connect_to: Option<HostPort>,
    /// Trust only the authorities in this PEM file for it.
    pub ca_file: Option<PathBuf>,
    /// The name of the Google credential whose ID token it is asked with; it may then stay closed.
    pub google: Option<String>,
}

/// The origin eye of a site. How often it looks stands in [`Site::policy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What it fetches.
    pub url: Url,
    /// Which way it goes.
    pub path: ProbePath,
    /// Dial this instead.
    pub connect_to: Option<HostPort>,
    /// Trust only the authorities in this PEM file for it.
    pub ca_file: Option<PathBuf>,
    /// The statuses that count as well.
    pub status: RangeInclusive<u16>,
    /// The total deadline of one try.
    pub timeout: Duration,
    /// A probe this late gets a confirming one beside it.
    pub hedge_after: Duration,
}

/// Which way the origin eye goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbePath {
    /// Straight to home, past the edge.
    #[default]
    Direct,
    /// Through the edge, on a host or path that the redirect excludes.
    Edge,
}

/// The visitor eye of a site. How often it looks stands in [`Site::policy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// The total deadline of one look.
    pub timeout: Duration,
    /// Dial this instead, for the site's public host.
    pub connect_to: Option<HostPort>,
    /// Trust only the authorities in this PEM file for it.
    pub ca_file: Option<PathBuf>,
    /// A page that the redirect excludes, for the edge eye.
    pub edge_url: Option<Url>,
}

/// The mirror of a site. How long its answer counts stands in [`Site::policy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct References {
    /// Two or more, of different companies.
    pub targets: Vec<Reference>,
    /// Trust only the authorities in this PEM file for them.
    pub ca_file: Option<PathBuf>,
}

/// One reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A page to fetch, over http or https.
    Page(Url),
    /// A port to connect to.
    Tcp(HostPort),
}
