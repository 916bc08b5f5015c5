//! The audit of what is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pilotlight::core::{EpisodeId, Instant, Notice, ToggleKey, What};

use super::{Invariant, World, secs};

/// What may be told once on each leg of an episode.
const ONCE_ON_A_LEG: [&str; 10] = [
    "failover_started",
    "failed_over",
    "recovering",
    "relapsed",
    "failback_started",
    "back_home",
    "rolled_back",
    "partly_switched",
    "unverified",
    "redirect_loop",
];
/// Repairs in an hour that one process may tell of: three of a drift, and one of what was found at the start.
const MOST_REPAIRS: usize = 4;

/// What was said.
#[derive(Debug, Default)]
pub struct Said {
    leg: u64,
    on_leg: BTreeSet<(Option<EpisodeId>, &'static str)>,
    /// What may be taken back.
    open: BTreeSet<String>,
    repairs: BTreeMap<Option<ToggleKey>, VecDeque<Instant>>,
}

impl Said {
    /// A process began that may not know what was said.
    pub fn forget(&mut self) {
        self.on_leg.clear();
    }

    /// A process began: repairs count anew.
    pub fn restarted(&mut self) {
        self.repairs.clear();
    }

    fn once(&mut self, notice: &Notice) -> bool {
        let name = notice.what.name();
        if matches!(name, "failover_started" | "failback_started") {
            self.leg += 1;
            self.on_leg.clear();
        }
        !ONCE_ON_A_LEG.contains(&name) || self.on_leg.insert((notice.episode, name))
    }

    /// Whether people know on this leg that visitors may be refused.
    pub fn refusal(&self) -> bool {
        let names = ["partly_switched", "unverified"];
        self.on_leg.iter().any(|(_, name)| names.contains(name)) || self.open.contains("broken")
    }

    /// Whether it takes back something that was never said.
    fn takes_back(&mut self, what: &What) -> bool {
        let said = |what: &'static str| what.to_owned();
        match what {
            What::Stuck { toggle, .. } => self.open.insert(format!("stuck {toggle}")),
            What::Blind { .. } => self.open.insert(said("blind")),
            What::StandbyBroken { .. } => self.open.insert(said("broken")),
            What::SaveFailed => self.open.insert(said("save")),
            What::Overridden { .. } => self.open.insert(said("override")),
            What::FailbackStarted => self.open.insert(said("failback")),
            What::Unstuck { toggle } => return !self.open.remove(&format!("stuck {toggle}")),
            What::SeesAgain => return !self.open.remove("blind"),
            What::StandbyMended => return !self.open.remove("broken"),
            What::SaveWorks => return !self.open.remove("save"),
            What::OverrideEnded { .. } => return !self.open.remove("override"),
            What::BackHome { .. } | What::RolledBack { .. } => return !self.open.contains("failback"),
            _ => false,
        };
        false
    }

    /// Whether a toggle was repaired too often.
    fn repairs(&mut self, what: &What, now: Instant) -> bool {
        let toggle = match what {
            What::Drifted {
                toggle, repaired: true, ..
            } => Some(*toggle),
            What::Orphan => None,
            _ => return false,
        };
        let repairs = self.repairs.entry(toggle).or_default();
        repairs.push_back(now);
        while repairs.front().is_some_and(|at| now.since(*at) >= secs(3600)) {
            repairs.pop_front();
        }
        repairs.len() > MOST_REPAIRS
    }
}

impl World {
    /// Something is told.
    pub(super) fn audit_notice(&mut self, notice: &Notice) {
        let name = notice.what.name();
        if !self.audit.said.once(notice) {
            self.violate(Invariant::EdgeToldOnce, &format!("{name} told twice on one leg"));
        }
        if self.audit.said.takes_back(&notice.what) {
            self.violate(
                Invariant::NothingUnsaidTakenBack,
                &format!("{name} without what it takes back"),
            );
        }
        if self.audit.said.repairs(&notice.what, self.now) {
            self.violate(
                Invariant::RepairsLimited,
                &format!("{name} for the fifth time in an hour"),
            );
        }
    }
}
