//! The settings of a site's toggles.

use url::Url;

/// Public access to a standby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// A Cloud Run service.
    CloudRun {
        /// How it is opened.
        mode: GateMode,
        /// The name of the Google credential.
        google: String,
        /// The project's id or number.
        project: String,
        /// The region.
        region: String,
        /// The service.
        service: String,
    },
    /// A program of the operator's.
    Exec {
        /// The program and its arguments.
        command: Vec<String>,
    },
}

/// How a Cloud Run service is opened to the public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateMode {
    /// `allUsers` gets the invoker role.
    Iam,
    /// The service's invoker check is switched off.
    InvokerCheck,
    /// It is open always; nobody switches it.
    Open,
}

/// What sends visitors to a standby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// A rule in the zone's Single Redirects.
    SingleRedirect {
        /// The name of the Cloudflare credential.
        cloudflare: String,
        /// The zone.
        zone_id: String,
        /// The rule's `ref`.
        rule_ref: String,
        /// The status it must answer with: 302 or 307.
        status_code: u16,
        /// What it redirects.
        coverage: Coverage,
    },
    /// A Page Rule.
    PageRule {
        /// The name of the Cloudflare credential.
        cloudflare: String,
        /// The zone.
        zone_id: String,
        /// The rule.
        rule_id: String,
        /// What it redirects; it excludes no path.
        coverage: Coverage,
    },
    /// A route by which a Worker serves the public URL from the closed standby.
    WorkerRoute {
        /// The name of the Cloudflare credential.
        cloudflare: String,
        /// The zone.
        zone_id: String,
        /// The route's pattern.
        pattern: String,
        /// The Worker's name.
        script: String,
        /// What it takes.
        coverage: Coverage,
    },
    /// A program of the operator's.
    Exec {
        /// The program and its arguments.
        command: Vec<String>,
        /// What it redirects.
        coverage: Coverage,
    },
}

impl Redirect {
    /// The name of the Cloudflare credential, if it needs one.
    pub fn cloudflare(&self) -> Option<&str> {
        match self {
            Self::SingleRedirect { cloudflare, .. }
            | Self::PageRule { cloudflare, .. }
            | Self::WorkerRoute { cloudflare, .. } => Some(cloudflare),
            Self::Exec { .. } => None,
        }
    }

    /// What it redirects.
    pub fn coverage(&self) -> &Coverage {
        match self {
            Self::SingleRedirect { coverage, .. }
            | Self::PageRule { coverage, .. }
            | Self::WorkerRoute { coverage, .. }
            | Self::Exec { coverage, .. } => coverage,
        }
    }
}

/// Which URLs a redirect takes, as declared; compared with the real rule at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The hosts it redirects, in lower case; `*.` in front means all below.
    pub hosts: Vec<String>,
    /// Path prefixes that it leaves alone.
    pub excluded_paths: Vec<String>,
}

impl Coverage {
    /// Whether it redirects this host at all.
    pub fn covers(&self, host: &str) -> bool {
        self.hosts.iter().any(|one| match one.strip_prefix("*.") {
            Some(parent) => host.strip_suffix(parent).is_some_and(|front| front.ends_with('.')),
            None => one == host,
        })
    }

    /// Whether a request for this URL through the edge is redirected while the rule is on.
    pub fn catches(&self, url: &Url) -> bool {
        let excluded = |path: &String| url.path().starts_with(path.as_str());
        url.host_str().is_some_and(|host| self.covers(host)) && !self.excluded_paths.iter().any(excluded)
    }
}

/// What mutes the provider's monitoring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// A snooze of one alert policy.
    Snooze {
        /// The name of the Google credential.
        google: String,
        /// The project's id or number.
        project: String,
        /// The alert policy's id.
        alert_policy: String,
    },
    /// An uptime check that is disabled meanwhile.
    UptimeCheck {
        /// The name of the Google credential.
        google: String,
        /// The project's id or number.
        project: String,
        /// The uptime check's id.
        check_id: String,
    },
    /// A program of the operator's.
    Exec {
        /// The program and its arguments.
        command: Vec<String>,
    },
}

impl Silence {
    /// The name of the Google credential, if it needs one.
    pub fn google(&self) -> Option<&str> {
        match self {
            Self::Snooze { google, .. } | Self::UptimeCheck { google, .. } => Some(google),
            Self::Exec { .. } => None,
        }
    }
}
