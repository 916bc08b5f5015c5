//! What people are told, once per edge, and the slow watches behind it: blind, blocked, stuck, leaking, unverified.

use super::controller::Controller;
use super::evidence::{Cause, Outcome, Verdict, View, Why};
use super::machine::BrokenStandby;
use super::notice::{Notice, What};
use super::reconciler::Proof;
use super::switch::SETTLING;
use super::time::{Alarms, Duration, Instant, Now};
use super::toggles::{Position, Role, Route, ToggleKey};

/// Blind for this long: say so.
const BLIND_NOTICE: Duration = Duration::from_secs(600);
/// Our own path to home is broken for this long: say so.
const OWN_PATH_NOTICE: Duration = Duration::from_secs(60);
/// The visitor eye is challenged for this long: say so.
const BLOCKED_NOTICE: Duration = Duration::from_secs(3600);
/// Home is back for visitors but not for us for this long: say so ...
const VISITORS_ONLY_NOTICE: Duration = Duration::from_secs(600);
/// ... and again every day.
const DAY: Duration = Duration::from_secs(86_400);

/// A condition that is told once after it has held for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Watch {
    since: Option<Instant>,
    told_at: Option<Instant>,
}

impl Watch {
    /// The condition holds.
    pub fn begin(&mut self, now: Instant) {
        self.since = self.since.or(Some(now));
    }

    /// The condition ended. Whether it had been told.
    pub fn end(&mut self) -> bool {
        let told = self.told_at.is_some();
        *self = Self::default();
        told
    }

    /// Since when it holds.
    pub const fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Whether it is to be told now: it has held for `after`, and was not told (within `again`, if that is given).
    fn is_due(&mut self, after: Duration, again: Option<Duration>, alarms: &mut Alarms) -> bool {
        let Some(since) = self.since else {
            return false;
        };
        let due = match (self.told_at, again) {
            (None, _) => alarms.passed(since + after),
            (Some(_), None) => false,
            (Some(told_at), Some(again)) => alarms.passed(told_at + again),
        };
        if due {
            self.told_at = Some(alarms.now());
        }
        due
    }

    fn follow(&mut self, holds: bool, now: Instant) {
        if holds {
            self.begin(now);
        } else {
            self.end();
        }
    }
}

/// All slow watches of a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Watches {
    /// Every verdict is `Unknown`.
    pub blind: Watch,
    blocked: Watch,
    own_path: Watch,
    leak: Watch,
    visitors_only: Watch,
}

impl Controller {
    /// Tells people.
    pub(super) fn tell(&mut self, what: What, now: Now) {
        let episode = self.episode.as_ref().map(|episode| episode.id);
        self.notices.push(Notice {
            what,
            episode,
            wall: now.wall,
        });
    }

    /// Tells people once in this episode; without an episode, once until [`Controller::untell`].
    pub(super) fn tell_once(&mut self, key: &str, what: What, now: Now) {
        if self.was_told(key) {
            return;
        }
        match &mut self.episode {
            Some(episode) => {
                episode.tell_once(key);
            }
            None => self.told_between.push(key.to_owned()),
        }
        self.tell(what, now);
    }

    /// Tells people once on this leg of the episode; without an episode, once until visitors are at home again.
    pub(super) fn tell_leg(&mut self, key: &str, what: What, now: Now) {
        let key = self
            .episode
            .as_ref()
            .map_or_else(|| format!("0:{key}"), |episode| episode.on_leg(key));
        self.tell_once(&key, what, now);
    }

    fn was_told(&self, key: &str) -> bool {
        let in_episode = self.episode.as_ref().is_some_and(|episode| episode.was_told(key));
        in_episode || self.told_between.iter().any(|told| told == key)
    }

    /// The opposite of what was told holds now. Whether it had been told.
    pub(super) fn untell(&mut self, key: &str) -> bool {
        let told = self.was_told(key);
        if let Some(episode) = &mut self.episode {
            episode.untell(key);
        }
        self.told_between.retain(|told| told != key);
        told
    }

    /// An operation on a toggle worked.
    pub(super) fn worked(&mut self, toggle: ToggleKey, now: Now) {
        if self.untell(&stuck_key(toggle)) {
            self.tell(What::Unstuck { toggle }, now);
        }
    }

    /// Toggles that were found on at start and that nothing explains are put off.
    pub(super) fn tell_unexplained(&mut self, keys: Vec<ToggleKey>, now: Now) {
        for toggle in keys {
            match toggle.role {
                Role::Gate => self.tell(What::Orphan, now),
                Role::Redirect | Role::Silence => {
                    self.tell(
                        What::Drifted {
                            toggle,
                            found: Position::On,
                            repaired: true,
                        },
                        now,
                    );
                }
            }
        }
    }

    /// A verdict other than `Unknown`.
    pub(super) fn see_again(&mut self, now: Now) {
        self.watches.blind.end();
        if self.untell("blind") {
            self.tell(What::SeesAgain, now);
        }
    }

    /// A save ended.
    pub(super) fn note_saved(&mut self, in_time: bool, now: Now) {
        if self.saved.works() != in_time {
            self.tell(if in_time { What::SaveWorks } else { What::SaveFailed }, now);
        }
        self.saved.note(in_time);
    }

    /// Checks everything that is told after a while.
    pub(super) fn watch(&mut self, alarms: &mut Alarms, now: Now) {
        self.watch_eyes(alarms, now);
        self.watch_toggles(alarms, now);
        self.watch_standby(alarms, now);
    }

    fn watch_eyes(&mut self, alarms: &mut Alarms, now: Now) {
        let cause = self.verdict.map(|judged| judged.cause);
        if let Some(cause) = cause
            && self.watches.blind.is_due(BLIND_NOTICE, None, alarms)
        {
            self.tell_once("blind", What::Blind { cause }, now);
        }
        self.watches.own_path.follow(cause == Some(Cause::OwnPath), now.at);
        if self.watches.own_path.is_due(OWN_PATH_NOTICE, Some(DAY), alarms) {
            self.tell(What::OwnPathBroken, now);
        }
        self.watches
            .blocked
            .follow(self.visitor.is_some_and(|seen| seen.view == View::Blocked), now.at);
        if self.watches.blocked.is_due(BLOCKED_NOTICE, None, alarms) {
            self.tell(What::VisitorEyeBlocked, now);
        }
        let refused = match self.judge.last_outcome() {
            Some(Outcome::Failed(failing)) if self.route == Route::Standby => {
                let answers = matches!(failing.why, Why::Certificate) || self.judge.edge_view() == Some(View::Home);
                answers.then_some(Cause::Origin(failing.why))
            }
            _ => None,
        };
        self.watches.visitors_only.follow(refused.is_some(), now.at);
        if let Some(cause) = refused
            && self
                .watches
                .visitors_only
                .is_due(VISITORS_ONLY_NOTICE, Some(DAY), alarms)
        {
            self.tell(What::BackForVisitorsOnly { cause }, now);
        }
    }

    fn watch_toggles(&mut self, alarms: &mut Alarms, now: Now) {
        let mut stuck = Vec::new();
        for switch in self.reconciler.switches_mut() {
            if let Some((desired, kind)) = switch.newly_stuck(alarms) {
                let toggle = switch.key();
                stuck.push((toggle, What::Stuck { toggle, desired, kind }));
            }
        }
        for (toggle, what) in stuck {
            self.tell_once(&stuck_key(toggle), what, now);
        }
        let leaks = self.route == Route::Origin
            && self.reconciler.of(Role::Gate).any(|gate| {
                let observed = gate.trusted();
                observed.configured == Some(Position::Off) && observed.effective == Some(Position::On)
            });
        self.watches.leak.follow(leaks, now.at);
        if self.watches.leak.is_due(SETTLING, Some(DAY), alarms) {
            self.tell(What::GateLeaks, now);
        }
    }

    fn watch_standby(&mut self, alarms: &mut Alarms, now: Now) {
        let broken = self.reconciler.standby().is_broken() && self.route == Route::Standby;
        if broken {
            let held = self.policy.broken_standby == BrokenStandby::Hold
                && self.reconciler.configured(Role::Redirect) != Some(Position::On);
            self.tell_once("standby_broken", What::StandbyBroken { held }, now);
        } else if self
            .reconciler
            .standby()
            .last()
            .is_some_and(|seen| seen.view == View::Standby)
            && self.untell("standby_broken")
        {
            self.tell(What::StandbyMended, now);
        }
        let Proof::Out { waited } = self.reconciler.proof() else {
            return;
        };
        if self.route != Route::Standby {
            return;
        }
        if self
            .reconciler
            .standby()
            .last()
            .is_some_and(|seen| seen.view == View::Shut)
        {
            self.tell_leg("partly_switched", What::PartlySwitched, now);
        } else if alarms.shows(&waited, self.policy.home_proof) {
            self.tell_leg("unverified", What::Unverified { route: Route::Standby }, now);
        }
    }

    /// Since when every verdict is `Unknown`.
    pub(super) fn blind_since(&self) -> Option<Instant> {
        let blind = self.verdict.is_some_and(|judged| judged.verdict == Verdict::Unknown);
        self.watches.blind.since().filter(|_| blind)
    }
}

/// The key under which a stuck toggle is told once, until it works again.
fn stuck_key(toggle: ToggleKey) -> String {
    format!("stuck {toggle}")
}
