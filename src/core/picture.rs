//! The controller seen from outside: what is saved, and what may be shown.

use std::mem::discriminant;

use super::commands::ClockTrust;
use super::controller::Controller;
use super::evidence::View;
use super::machine::{Failback, Mode, Phase};
use super::reconciler::Proof;
use super::ring::Effect;
use super::snapshot::{Snapshot, ToggleRecord};
use super::status::{EpisodeStatus, Status, Switched, ToggleStatus};
use super::switch::Switch;
use super::time::{Alarms, Duration, Instant, Now, Stopwatch};
use super::toggles::{Position, Role, Route};

/// While an episode lasts its accumulated durations are saved this often.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// What was last given out to be saved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Saved {
    intent: Option<Snapshot>,
    at: Instant,
    works: bool,
}

impl Default for Saved {
    fn default() -> Self {
        Self {
            intent: None,
            at: Instant::ZERO,
            works: true,
        }
    }
}

impl Saved {
    /// Whether the last save reached the disk in time.
    pub const fn works(&self) -> bool {
        self.works
    }

    /// A save ended. One that failed is tried again with the next change or minute.
    pub fn note(&mut self, in_time: bool) {
        self.works = in_time;
    }
}

impl Controller {
    /// Everything that has to survive a restart.
    pub fn snapshot(&self, now: Now) -> Snapshot {
        Snapshot {
            taken: now.wall,
            phase: self.phase.at_rest(now.at),
            mode: self.mode.clone(),
            route: self.route,
            up_for: self.up_for,
            since_home: self.since_home.map(|since| since.read(now.at)),
            episode: self.episode.clone(),
            next_episode: self.next_episode,
            toggles: self
                .reconciler
                .switches()
                .iter()
                .filter_map(|switch| switch.record(now.at))
                .collect(),
        }
    }

    /// Saves when intent changed, and once a minute while durations matter or the last save failed.
    pub(super) fn save_if_changed(&mut self, alarms: &mut Alarms, now: Now) -> Vec<Effect> {
        let counting = self.since_home.is_some() || self.up_for > self.policy.up_for;
        let lasting = self.episode.is_some() || counting || !self.saved.works;
        let due = lasting && alarms.passed(self.saved.at + SAVE_EVERY);
        let intent = self.saved.intent.as_ref();
        if !due && intent.is_some_and(|intent| self.still_means(intent, now.at)) {
            return Vec::new();
        }
        let snapshot = self.snapshot(now);
        self.saved.intent = Some(intent_of(&snapshot));
        self.saved.at = now.at;
        if lasting {
            alarms.passed(now.at + SAVE_EVERY);
        }
        vec![Effect::Save(Box::new(snapshot))]
    }

    /// Whether [`intent_of`] a snapshot taken now would be the same.
    fn still_means(&self, intent: &Snapshot, now: Instant) -> bool {
        let Snapshot {
            taken: _,
            phase,
            mode,
            route,
            up_for,
            since_home,
            episode,
            next_episode,
            toggles,
        } = intent;
        let meant = (
            discriminant(phase),
            mode,
            *route,
            *up_for,
            since_home.is_some(),
            episode,
            *next_episode,
        );
        let means = (
            discriminant(&self.phase),
            &self.mode,
            self.route,
            self.up_for,
            self.since_home.is_some(),
            &self.episode,
            self.next_episode,
        );
        let switches = self.reconciler.switches().iter();
        let records = switches.filter_map(|switch| switch.record(now)).map(timeless);
        means == meant && records.eq(toggles.iter().copied())
    }

    /// One picture of the site for everyone outside.
    pub fn status(&self, now: Now) -> Status {
        Status {
            phase: self.phase,
            phase_since: self.phase_since,
            mode: self.mode.clone(),
            route: self.route,
            switched: self.switched(),
            verdict: self.verdict,
            visitor: self.visitor,
            standby: self.reconciler.standby().last(),
            up_for: self.up_for,
            home_in: self.home_in(now.at),
            failover_in: self.failover_in(now.at),
            toggles: self
                .reconciler
                .switches()
                .iter()
                .map(|switch| self.toggle_status(switch))
                .collect(),
            episode: self.episode.as_ref().map(|episode| EpisodeStatus {
                id: episode.id,
                began: episode.began,
                cause: episode.cause,
            }),
            blind_since: self.blind_since(),
            saving: self.saved.works,
            observed_enough: self.observed_enough,
            clock_doubtful: self.clock_trust != ClockTrust::Full,
            totals: self.totals,
        }
    }

    fn switched(&self) -> Switched {
        let reconciler = &self.reconciler;
        let stuck = reconciler.switches().iter().any(Switch::is_told_stuck);
        let at_standby = self.route == Route::Standby;
        let refused = at_standby
            && reconciler.configured(Role::Redirect) == Some(Position::On)
            && !reconciler.standby_serves()
            && reconciler
                .standby()
                .last()
                .is_some_and(|seen| seen.view != View::Standby);
        let held = at_standby && (reconciler.standby().is_broken() || reconciler.is_looped());
        if stuck || refused || held {
            return Switched::Partly;
        }
        if reconciler.is_at_rest(self.route) {
            return Switched::Verified;
        }
        match (self.route, reconciler.proof()) {
            (Route::Standby, Proof::OutProven) | (Route::Origin, Proof::HomeProven | Proof::Unneeded) => {
                Switched::Settling
            }
            (Route::Standby | Route::Origin, _) => Switched::Switching,
        }
    }

    /// Time until home is decided if it stays quiet.
    fn home_in(&self, now: Instant) -> Option<Duration> {
        let Phase::Recovering { successes, quiet } = self.phase else {
            return None;
        };
        let auto = self.mode == Mode::Auto && self.policy.failback == Failback::Auto;
        let hold = if self.reconciler.standby_serves() {
            self.up_for
        } else {
            Duration::ZERO
        };
        let rounds = self
            .policy
            .interval
            .saturating_mul(self.policy.healthy_threshold.saturating_sub(successes));
        auto.then(|| hold.saturating_sub(quiet.read(now)).max(rounds))
    }

    /// Time until the failover is decided if it stays dark.
    fn failover_in(&self, now: Instant) -> Option<Duration> {
        self.phase
            .dark_for(now)
            .map(|dark| self.policy.down_for.saturating_sub(dark))
    }

    fn toggle_status(&self, switch: &Switch) -> ToggleStatus {
        let observed = switch.trusted();
        let proven = match (switch.key().role, self.reconciler.proof()) {
            (Role::Redirect, Proof::OutProven) => Some(Position::On),
            (Role::Redirect, Proof::HomeProven) => Some(Position::Off),
            (Role::Redirect, Proof::Out { .. } | Proof::Home { .. }) => None,
            (Role::Redirect, Proof::Unneeded) | (Role::Silence, _) => observed.configured,
            (Role::Gate, _) => self.gate_verified(),
        };
        ToggleStatus {
            key: switch.key(),
            desired: switch.desired(),
            observed,
            verified: proven,
            busy: switch.is_busy(),
            failing: switch.failing().map(|(kind, _)| kind),
            failing_since: switch.failing().map(|(_, since)| since),
        }
    }

    /// What the standby itself showed last: twice in a row a good answer, or a refusal.
    fn gate_verified(&self) -> Option<Position> {
        let standby = self.reconciler.standby();
        match standby.last()?.view {
            View::Standby if standby.is_seen() => Some(Position::On),
            View::Shut => Some(Position::Off),
            _ => None,
        }
    }
}

/// The snapshot without what changes by time alone: two of these differ when intent differs.
fn intent_of(snapshot: &Snapshot) -> Snapshot {
    let mut intent = snapshot.clone();
    intent.taken = super::time::Wall(0);
    intent.since_home = snapshot.since_home.map(|_| Duration::ZERO);
    intent.phase = match snapshot.phase {
        Phase::Healthy { .. } => Phase::Healthy {
            well: Stopwatch::default(),
        },
        Phase::Suspect { .. } => Phase::Suspect {
            failures: 0,
            successes: 0,
            dark: Stopwatch::default(),
            quiet: Stopwatch::default(),
        },
        Phase::FailedOver { .. } => Phase::FailedOver {
            out: Stopwatch::default(),
        },
        Phase::Recovering { .. } => Phase::Recovering {
            successes: 0,
            quiet: Stopwatch::default(),
        },
    };
    for toggle in &mut intent.toggles {
        *toggle = timeless(*toggle);
    }
    intent
}

fn timeless(record: ToggleRecord) -> ToggleRecord {
    ToggleRecord {
        on_for: record.on_for.map(|_| Duration::ZERO),
        off_for: record.off_for.map(|_| Duration::ZERO),
        ..record
    }
}
