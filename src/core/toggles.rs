//! The remote switches as core sees them: roles, positions, what was observed and how an operation failed.

use std::fmt;

use super::time::Duration;

/// Where visitors shall go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// Home.
    Origin,
    /// The cloud.
    Standby,
}

impl Route {
    /// The metric label and the word in logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Standby => "standby",
        }
    }
}

/// What a toggle is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Public access to the standby.
    Gate,
    /// Sends visitors to the standby.
    Redirect,
    /// Mutes the provider's monitoring.
    Silence,
}

impl Role {
    /// All roles, in the order out.
    pub const ALL: [Self; 3] = [Self::Gate, Self::Redirect, Self::Silence];

    /// The metric label and the word in logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Redirect => "redirect",
            Self::Silence => "silence",
        }
    }
}

/// One toggle of a site: its role and its place among those of the same role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToggleKey {
    /// What it is for.
    pub role: Role,
    /// Its place among the site's toggles of that role, from 0.
    pub index: u8,
}

impl fmt::Display for ToggleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.role.label())?;
        if self.index > 0 {
            write!(f, "{}", self.index + 1)?;
        }
        Ok(())
    }
}

/// `On` = standby in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// Standby not in use.
    Off,
    /// Standby in use.
    On,
}

impl Position {
    /// The opposite.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Off => Self::On,
            Self::On => Self::Off,
        }
    }

    /// The metric label and the word in logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
        }
    }
}

/// A toggle as read back from the provider, with no write in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Observed {
    /// The provider's record; decides writes and drift.
    pub configured: Option<Position>,
    /// What a visitor sees; decides order and proof. `None` when not known or when this toggle has no such side.
    pub effective: Option<Position>,
    /// The position ends by itself after this time unless it is set again (a snooze).
    pub lapses_in: Option<Duration>,
    /// Another site on the same resource wants it `On`, or its owner keeps it so: it stays on although this one wants it `Off`.
    pub held_by_other: bool,
    /// Somebody changed the object in another way than on or off since it was last seen.
    pub edited: bool,
}

impl Observed {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        configured: None,
        effective: None,
        lapses_in: None,
        held_by_other: false,
        edited: false,
    };
}

/// Why an operation on a toggle failed, as far as a retry depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No answer in time, or the connection broke: the write may have been applied.
    NoAnswer,
    /// The provider is in trouble (5xx).
    Unavailable,
    /// Too many requests, says the provider.
    Limited,
    /// Not sent: our own budget of calls is spent, or another operation stands before this one.
    HeldBack,
    /// Somebody else wrote at the same time, also on the second try.
    Conflict,
    /// 401 or 403: a credential or permission is missing.
    Denied,
    /// The object does not exist.
    Missing,
    /// The provider refuses this for good (org policy, validation).
    Refused,
    /// The answer makes no sense (HTML, truncated JSON, success:false without a reason).
    Nonsense,
    /// The provider said yes, but the object did not change or is not as it must be.
    NotApplied,
    /// Our own side: credential file gone, request could not be built.
    Local,
}

impl FailureKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::NoAnswer,
        Self::Unavailable,
        Self::Limited,
        Self::HeldBack,
        Self::Conflict,
        Self::Denied,
        Self::Missing,
        Self::Refused,
        Self::Nonsense,
        Self::NotApplied,
        Self::Local,
    ];

    /// The metric label and the word in logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoAnswer => "no_answer",
            Self::Unavailable => "unavailable",
            Self::Limited => "limited",
            Self::HeldBack => "held_back",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Missing => "missing",
            Self::Refused => "refused",
            Self::Nonsense => "nonsense",
            Self::NotApplied => "not_applied",
            Self::Local => "local",
        }
    }

    /// Whether only a person can mend it; such are told at once and retried slowly, never given up.
    pub const fn needs_a_person(self) -> bool {
        matches!(self, Self::Denied | Self::Missing | Self::Refused | Self::Local)
    }
}

/// A failed operation on a toggle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Failure {
    /// Why.
    pub kind: FailureKind,
    /// The provider asked us to wait at least this long.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure without a wait.
    pub const fn new(kind: FailureKind) -> Self {
        Self {
            kind,
            retry_after: None,
        }
    }
}
