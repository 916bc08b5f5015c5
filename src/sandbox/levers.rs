//! What can be done to the sandbox's hosts: the states of home, standby, edge, references and the webhook receiver.

use std::sync::PoisonError;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::door::Stance;
use super::world::World;

/// What home does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Home {
    /// Serves the page and `/healthz`, with its marker.
    #[default]
    Serving,
    /// Power cut: packets are accepted and never answered, also on connections that exist.
    Silent,
    /// The box is up and nothing listens.
    Refusing,
    /// Every path answers this status.
    Erroring(u16),
    /// Every path answers 200 without the marker.
    WrongPage,
    /// `/healthz` is well, the page answers 200 without the marker.
    WrongPageHealthy,
    /// `/healthz` is well, the page answers 500.
    HealthOnly,
    /// The certificate ended in 2021.
    ExpiredCertificate,
    /// The certificate is for another name.
    WrongCertificate,
    /// Serves, so many milliseconds late.
    Slow(u32),
}

impl Home {
    const fn stance(self) -> Stance {
        match self {
            Self::Silent => Stance::Silent,
            Self::Refusing => Stance::Closed,
            _ => Stance::Open,
        }
    }
}

/// What the standby does behind its gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandbyState {
    /// Serves the page with its marker.
    #[default]
    Serving,
    /// The container answers this status.
    Broken(u16),
    /// Nothing listens.
    Refusing,
    /// Never answers.
    Silent,
    /// The certificate ended in 2021.
    ExpiredCertificate,
    /// The certificate is for another name.
    WrongCertificate,
    /// 200 without the marker.
    NoMarker,
    /// 429.
    Overloaded,
}

impl StandbyState {
    const fn stance(self) -> Stance {
        match self {
            Self::Silent => Stance::Silent,
            Self::Refusing => Stance::Closed,
            _ => Stance::Open,
        }
    }
}

/// What the edge does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeState {
    /// Applies its rules and passes the rest on to home.
    #[default]
    Working,
    /// It has lost home, though home may be well: this status (520 to 526, 530) for whatever is for home.
    LostHome(u16),
    /// Its own trouble: this status for everything, its trace included.
    Broken(u16),
    /// Answers from its cache: `cf-cache-status: HIT` and an `age`.
    Caching,
    /// A bot challenge: 403 with `cf-mitigated: challenge`; the trace is well.
    Challenging,
    /// Never answers.
    Silent,
    /// Nothing listens.
    Refusing,
    /// Its certificate ended in 2021.
    ExpiredCertificate,
    /// Everything is sent to itself.
    Looping,
}

impl EdgeState {
    const fn stance(self) -> Stance {
        match self {
            Self::Silent => Stance::Silent,
            Self::Refusing => Stance::Closed,
            _ => Stance::Open,
        }
    }
}

/// What the Worker at the edge does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// It has a token and serves.
    #[default]
    Serving,
    /// It can get no token.
    Tokenless,
    /// The day's requests are used up, and the route fails open: as if it were not there.
    UsedUp,
}

/// What the references do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum References {
    /// They answer, with the right date.
    #[default]
    Up,
    /// They never answer: the watcher's own uplink is gone.
    Dark,
    /// They answer with a date five hours away.
    WrongClock,
}

/// A notice that the webhook receiver got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// When, since the sandbox's start.
    pub at: Duration,
    /// The body, as text.
    pub body: String,
    /// The `webhook-id` header, if any.
    pub id: Option<String>,
}

impl World {
    /// Sets what home does, for every site.
    pub fn set_home(&self, home: Home) {
        for site in self.sites() {
            self.set_home_of(site, home);
        }
    }

    /// Sets what one site's built-in home does; an unknown site is ignored.
    pub fn set_home_of(&self, site: &str, home: Home) {
        if let Some(state) = self.lock().sites.get_mut(site) {
            state.home = home;
        }
        self.turn(|latches| latches.homes.get(site), home.stance());
    }

    /// What the home of a site does.
    pub fn home_of(&self, site: &str) -> Option<Home> {
        self.lock().sites.get(site).map(|state| state.home)
    }

    /// Sets what the standby does, for every site.
    pub fn set_standby(&self, standby: StandbyState) {
        for site in self.sites() {
            self.set_standby_of(site, standby);
        }
    }

    /// Sets what one site's standby does; an unknown site is ignored.
    pub fn set_standby_of(&self, site: &str, standby: StandbyState) {
        if let Some(state) = self.lock().sites.get_mut(site) {
            state.standby = standby;
        }
        self.turn(|latches| latches.standbys.get(site), standby.stance());
    }

    /// Sets what the edge does.
    pub fn set_edge(&self, edge: EdgeState) {
        self.lock().edge = edge;
        self.turn(|latches| latches.edge.as_ref(), edge.stance());
    }

    /// Sets what the Worker does, on whichever route it is.
    pub fn set_worker(&self, worker: WorkerState) {
        self.lock().worker = worker;
    }

    /// Sets what the references do.
    pub fn set_references(&self, references: References) {
        self.lock().references = references;
        let stance = match references {
            References::Dark => Stance::Silent,
            References::Up | References::WrongClock => Stance::Open,
        };
        self.turn(|latches| latches.references.first(), stance);
        self.turn(|latches| latches.references.get(1), stance);
    }

    /// The notices that the webhook receiver got, oldest first.
    pub fn notices(&self) -> Vec<Notice> {
        self.lock().notices.clone()
    }

    fn turn<F>(&self, pick: F, stance: Stance)
    where
        F: FnOnce(&super::world::Latches) -> Option<&super::door::Latch>,
    {
        let latches = self.latches.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(latch) = pick(&latches) {
            latch.turn(stance);
        }
    }
}
