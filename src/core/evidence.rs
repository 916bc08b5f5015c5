//! What was seen: outcomes of the origin eye, sightings of the visitor's, standby's and edge's eye, reflections of the mirror.

use super::time::Duration;

/// Result of one try against the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The origin answered as expected, with home's marker.
    Ok,
    /// The try failed.
    Failed(Failing),
}

impl Outcome {
    /// Every value of [`Outcome::label`], for metrics that are present at zero.
    pub const LABELS: [&'static str; 12] = [
        "ok",
        "dns",
        "refused",
        "unreachable",
        "reset",
        "timeout",
        "tls",
        "certificate",
        "status",
        "body",
        "blocked",
        "protocol",
    ];

    /// The metric label and the word in logs.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed(failing) => failing.why.label(),
        }
    }

    /// Whether the try succeeded.
    pub const fn is_ok(&self) -> bool {
        matches!(self, Self::Ok)
    }
}

/// A failed try: why, and which faculties of our own it had used by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Failing {
    /// Why it failed.
    pub why: Why,
    /// What of our own side the try depended on; the mirror has to prove these.
    pub used: Faculties,
}

/// Why a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The name did not resolve.
    Dns,
    /// The connection was refused: a box is up, no server listens.
    Refused,
    /// No route, network or host unreachable.
    Unreachable,
    /// The connection was cut.
    Reset,
    /// The deadline passed in the named part of the try: silence.
    Timeout(Part),
    /// The TLS handshake failed for another reason than the certificate.
    Tls,
    /// The certificate is expired, for another name, or from an unknown issuer.
    Certificate,
    /// An unexpected HTTP status.
    Status(u16),
    /// The expected text or header is missing.
    Body,
    /// A bot challenge: the probe is blocked, the site may be well.
    Blocked,
    /// The answer was not HTTP, or ended in the middle.
    Protocol,
}

impl Why {
    /// The metric label and the word in logs.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Timeout(_) => "timeout",
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::Status(_) => "status",
            Self::Body => "body",
            Self::Blocked => "blocked",
            Self::Protocol => "protocol",
        }
    }
}

/// A part of one try, in order. Durations are told by part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Name resolution.
    Dns,
    /// TCP connect.
    Connect,
    /// TLS handshake.
    Tls,
    /// From the request's first byte out to the answer's headers in.
    FirstByte,
    /// The rest of the answer that is read.
    Body,
}

impl Part {
    /// All parts, in order.
    pub const ALL: [Self; 5] = [Self::Dns, Self::Connect, Self::Tls, Self::FirstByte, Self::Body];

    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::FirstByte => "first_byte",
            Self::Body => "body",
        }
    }
}

/// Which faculties of our own side something used or proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a set of four independent faculties, never passed as arguments"
)]
pub struct Faculties {
    /// The name resolver.
    pub resolver: bool,
    /// A route over IPv4.
    pub ipv4: bool,
    /// A route over IPv6.
    pub ipv6: bool,
    /// TLS with our roots and our clock.
    pub tls: bool,
}

impl Faculties {
    /// Everything works.
    pub const ALL: Self = Self {
        resolver: true,
        ipv4: true,
        ipv6: true,
        tls: true,
    };

    /// Whether `self`, as proven by the mirror, covers what a failed try `used`.
    ///
    /// Of two address families one proven is enough: that family's failure was then a real one.
    pub const fn prove(self, used: Self) -> bool {
        let family = !(used.ipv4 || used.ipv6) || (used.ipv4 && self.ipv4) || (used.ipv6 && self.ipv6);
        family && (self.resolver || !used.resolver) && (self.tls || !used.tls)
    }

    /// Both together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self {
            resolver: self.resolver || other.resolver,
            ipv4: self.ipv4 || other.ipv4,
            ipv6: self.ipv6 || other.ipv6,
            tls: self.tls || other.tls,
        }
    }
}

/// What the references said of our own uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reflection {
    /// How many references answered.
    pub answered: u32,
    /// What their answers proved.
    pub proven: Faculties,
    /// What their `Date` headers say of our wall clock.
    pub clock: ClockCheck,
}

/// What the references' `Date` headers say of our wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockCheck {
    /// At least one agrees with ours within a minute.
    Agrees,
    /// Two or more contradict ours by over a minute.
    Contradicts,
    /// Nobody told a date, or only one did and it contradicts.
    Unknown,
}

/// Where a look is taken from, besides the origin eye's scheduled probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Eye {
    /// The public URL, as a browser fetches it, redirects followed by hand.
    Visitor,
    /// The standby itself, as a visitor.
    Standby,
    /// A page that the redirect excludes, through the edge: does the edge reach home again?
    Edge,
    /// The references.
    Mirror,
}

impl Eye {
    /// The metric label and the word in logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Visitor => "visitor",
            Self::Standby => "standby",
            Self::Edge => "edge",
            Self::Mirror => "mirror",
        }
    }
}

/// What one fetch of a page showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// Home's marker, not from a cache.
    Home,
    /// The standby's marker.
    Standby,
    /// The edge says that it cannot reach home (520 to 526, 530), or hangs on the page while its own trace answers.
    EdgeLostHome(u16),
    /// Home's own 5xx, or a good status without home's marker.
    HomeBroken(u16),
    /// The edge itself does not work: its own 5xx, TLS or no answer, and its trace fails too.
    EdgeBroken,
    /// The standby's gate is shut (401 or 403 without a marker).
    Shut,
    /// The standby answers wrongly (5xx, refused, silence, certificate, no marker).
    StandbyBroken(Breakage),
    /// 429: the standby is overloaded, not broken.
    Overloaded,
    /// The chain of redirects comes back to itself.
    Loop,
    /// A cached answer: no evidence.
    Cached,
    /// A bot challenge: no evidence.
    Blocked,
    /// Our own attempt failed in a way that tells nothing.
    Nothing,
}

impl View {
    /// Every value of [`View::label`].
    pub const LABELS: [&'static str; 12] = [
        "home",
        "standby",
        "edge_lost_home",
        "home_broken",
        "edge_broken",
        "shut",
        "standby_broken",
        "overloaded",
        "loop",
        "cached",
        "blocked",
        "nothing",
    ];

    /// The metric label and the word in logs.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Standby => "standby",
            Self::EdgeLostHome(_) => "edge_lost_home",
            Self::HomeBroken(_) => "home_broken",
            Self::EdgeBroken => "edge_broken",
            Self::Shut => "shut",
            Self::StandbyBroken(_) => "standby_broken",
            Self::Overloaded => "overloaded",
            Self::Loop => "loop",
            Self::Cached => "cached",
            Self::Blocked => "blocked",
            Self::Nothing => "nothing",
        }
    }
}

/// How the standby is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Breakage {
    /// Its certificate is wrong or expired: broken at once, no patience helps.
    Certificate,
    /// A status of 500 or above, or another one that no visitor wants.
    Status(u16),
    /// The connection is refused or cut.
    Refused,
    /// No answer within the deadline.
    Silent,
    /// A good status without the standby's marker.
    Marker,
    /// Its name does not resolve.
    Dns,
}

/// One look through an eye other than the mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sighting {
    /// What was seen at the end of the chain.
    pub view: View,
    /// Whether the public URL redirected to the standby; `None` when that could not be seen (or for another eye).
    pub redirect: Option<super::Position>,
    /// How long the look took.
    pub took: Duration,
}

/// What one round of probing says of home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Home serves.
    Up,
    /// Home does not serve, and the standby would help.
    Down,
    /// It cannot be told, or switching would not help: time freezes.
    Unknown,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Self; 3] = [Self::Up, Self::Down, Self::Unknown];

    /// The metric label and the word in logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// Why the verdict is what it is; told to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Home answers.
    HomeServes,
    /// Our own path to home is broken; visitors are served.
    OwnPath,
    /// Our own uplink, resolver, TLS or clock is suspect.
    OwnUplink,
    /// The edge is broken; switching would not help.
    EdgeBroken,
    /// The edge cannot reach home.
    EdgeLostHome,
    /// The app is broken behind a healthy health path.
    AppBroken,
    /// The origin failed, and how.
    Origin(Why),
    /// An operator ordered it.
    Operator,
    /// The redirect was found on at start, and nothing was remembered.
    FoundSwitched,
}

impl Cause {
    /// Whether the origin eye saw home although visitors could not reach it: its word alone does not bring visitors back.
    pub const fn leaves_home_in_doubt(&self) -> bool {
        matches!(self, Self::EdgeLostHome | Self::AppBroken)
    }

    /// The metric label and the word in logs.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::HomeServes => "home_serves",
            Self::OwnPath => "own_path",
            Self::OwnUplink => "own_uplink",
            Self::EdgeBroken => "edge_broken",
            Self::EdgeLostHome => "edge_lost_home",
            Self::AppBroken => "app_broken",
            Self::Origin(why) => why.label(),
            Self::Operator => "operator",
            Self::FoundSwitched => "found_switched",
        }
    }

    /// What happened, in words for people.
    pub const fn in_words(&self) -> &'static str {
        match self {
            Self::HomeServes => "home answers",
            Self::OwnPath => "the watcher's own path to home is broken; visitors are served",
            Self::OwnUplink => "it is me: the watcher's own uplink, resolver or clock is in doubt",
            Self::EdgeBroken => "the edge itself is in trouble; switching would not help",
            Self::EdgeLostHome => "the edge cannot reach home",
            Self::AppBroken => "home's page is broken although its health path is well",
            Self::Operator => "an operator ordered it",
            Self::FoundSwitched => "the redirect was found on at start",
            Self::Origin(why) => match why {
                Why::Dns => "home's name does not resolve",
                Why::Refused => "the box at home is up, but nothing listens",
                Why::Unreachable => "home cannot be reached: no route",
                Why::Reset => "home cuts connections",
                Why::Timeout(_) => "home's line is silent",
                Why::Tls => "home fails the TLS handshake",
                Why::Certificate => "home's certificate is not valid",
                Why::Status(_) => "home answers with an error",
                Why::Body => "home's page lacks its marker",
                Why::Blocked => "home's edge blocks the probe",
                Why::Protocol => "home's answer is not HTTP",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r03_the_mirror_has_to_prove_every_faculty_that_the_failing_probe_used() {
        let named_v4 = Faculties {
            resolver: true,
            ipv4: true,
            ..Faculties::default()
        };
        let tls_v4 = Faculties { tls: true, ..named_v4 };
        assert!(Faculties::ALL.prove(tls_v4));
        assert!(!named_v4.prove(tls_v4), "TLS was used and is not proven");
        assert!(
            !Faculties {
                resolver: false,
                ..Faculties::ALL
            }
            .prove(named_v4)
        );
        let v6_only = Faculties {
            ipv6: true,
            ..Faculties::default()
        };
        assert!(!named_v4.prove(v6_only), "the probe's address family is not proven");
        assert!(named_v4.prove(named_v4.union(v6_only)), "one of two families is enough");
        assert!(!Faculties::default().prove(named_v4), "no reference answered");
    }
}
