//! What verdicts and time do to phase, route and episode, and what is told of it.

use std::mem::discriminant;

use super::controller::Controller;
use super::episode::Episode;
use super::evidence::{Cause, Verdict};
use super::judge::Ruling;
use super::machine::{Mode, Phase};
use super::notice::{EpisodeId, Notice, What};
use super::reconciler::Proof;
use super::status::Judgement;
use super::time::{Alarms, Instant, Now, Stopwatch, Wall};
use super::toggles::Route;

impl Controller {
    /// A round was judged: count it.
    pub(super) fn rule(&mut self, ruling: Ruling, now: Now) {
        let Ruling { round, cause } = ruling;
        self.verdict = Some(Judgement {
            verdict: round.verdict,
            cause,
            at: now.at,
        });
        if round.verdict == Verdict::Unknown {
            self.watches.blind.begin(now.at);
            self.watching = self.watching.freeze();
            self.reconciler.freeze_proof();
        } else {
            self.watching = self.watching.mark(round.sent_at);
            self.reconciler.resume_proof(now.at);
            self.may_write = true;
            self.see_again(now);
        }
        self.note_observed(now.at);
        let next = self.policy.next(self.phase, round, &self.bearings(), now.at);
        self.enter(next, cause, round.sent_at, now);
    }

    pub(super) fn note_observed(&mut self, now: Instant) {
        let window = self.policy.down_for.max(self.policy.interval.saturating_mul(2));
        self.observed_enough = self.observed_enough || self.watching.read(now) >= window;
    }

    /// Takes up the next phase and tells what that means.
    pub(super) fn enter(&mut self, next: Phase, cause: Cause, sent_at: Instant, now: Now) {
        let before = std::mem::replace(&mut self.phase, next);
        if discriminant(&before) == discriminant(&next) {
            return;
        }
        self.phase_since = now.at;
        let dark_for = before.dark_for(now.at);
        match next {
            Phase::Suspect { .. } => {
                self.begin_episode(cause, sent_at, now);
                self.tell_once("suspected", What::Suspected { cause }, now);
                self.warm = true;
            }
            Phase::FailedOver { .. } if before.route() == Route::Standby => {
                self.tell_leg("relapsed", What::Relapsed { cause }, now);
            }
            Phase::FailedOver { .. } => {
                self.begin_episode(cause, sent_at, now);
                self.totals.failovers += 1;
                if self
                    .since_home
                    .is_some_and(|since| since.read(now.at) < self.policy.relapse_window)
                {
                    self.double_up_for();
                }
                if let Some(episode) = &mut self.episode {
                    episode.home_in_doubt = cause.leaves_home_in_doubt();
                }
            }
            Phase::Recovering { .. } => {
                self.tell_leg("recovering", What::Recovering { up_for: self.up_for }, now);
            }
            Phase::Healthy { .. } if before.route() == Route::Standby => {
                self.totals.failbacks += 1;
                if matches!(self.reconciler.proof(), Proof::Out { .. } | Proof::OutProven) {
                    self.since_home = Some(Stopwatch::running(now.at));
                }
            }
            Phase::Healthy { .. } => {
                let lasted = dark_for.unwrap_or_default();
                self.tell_once("suspicion_cleared", What::SuspicionCleared { lasted }, now);
            }
        }
    }

    pub(super) fn begin_episode(&mut self, cause: Cause, sent_at: Instant, now: Now) {
        if self.episode.is_some() {
            return;
        }
        let ago = u64::try_from(now.at.since(sent_at).as_millis()).unwrap_or_default();
        let began = Wall(now.wall.0.saturating_sub(ago));
        self.episode = Some(Episode::new(EpisodeId(self.next_episode), began, cause));
        self.next_episode = self.next_episode.saturating_add(1);
        self.totals.episodes += 1;
    }

    pub(super) fn double_up_for(&mut self) {
        self.up_for = self
            .up_for
            .saturating_mul(2)
            .min(self.policy.up_for_max.max(self.policy.up_for));
    }

    /// What time alone decides: phase, decay of `up_for`, the end of the relapse window.
    pub(super) fn tick_machine(&mut self, alarms: &mut Alarms, now: Now) {
        let bearings = self.bearings();
        let next = self.policy.decide(self.phase, &bearings, now.at);
        let cause = self.verdict.map_or(Cause::Operator, |judged| judged.cause);
        self.enter(next, cause, now.at, now);
        if let Some(at) = self.policy.decides_at(&self.phase, &bearings, now.at) {
            alarms.passed(at);
        }
        if self
            .since_home
            .is_some_and(|since| since.read(now.at) >= self.policy.relapse_window)
        {
            self.since_home = None;
        }
        if let Phase::Healthy { well } = self.phase
            && self.up_for > self.policy.up_for
            && alarms.shows(&well, self.policy.relapse_window)
        {
            self.up_for = (self.up_for / 2).max(self.policy.up_for);
            let well = if well.is_running() {
                Stopwatch::running(now.at)
            } else {
                Stopwatch::default()
            };
            self.phase = Phase::Healthy { well };
        }
    }

    pub(super) fn may_roll_back(&self) -> bool {
        let served = self.episode.as_ref().is_some_and(|episode| episode.failed_over);
        served && self.mode == Mode::Auto && !self.reconciler.standby().is_broken() && !self.reconciler.is_looped()
    }

    /// Not proven at home in time: back to the standby, and say so.
    pub(super) fn check_home_proof(&mut self, alarms: &mut Alarms, now: Now) {
        let Proof::Home { waited } = self.reconciler.proof() else {
            return;
        };
        let already_out = self.mode == Mode::Auto && self.phase.route() == Route::Standby;
        if self.route == Route::Standby || already_out || !alarms.shows(&waited, self.policy.home_proof) {
            return;
        }
        if !self.may_roll_back() {
            self.tell_leg("unverified", What::Unverified { route: Route::Origin }, now);
            return;
        }
        self.phase = Phase::FailedOver {
            out: Stopwatch::running(now.at),
        };
        self.phase_since = now.at;
        self.totals.rollbacks += 1;
        self.double_up_for();
        if let Some(episode) = &mut self.episode {
            episode.home_in_doubt = true;
        }
        self.tell_leg("rolled_back", What::RolledBack { up_for: self.up_for }, now);
    }

    /// The route follows mode and phase; while paused it stands still.
    pub(super) fn follow_route(&mut self, now: Now) {
        let route = match &self.mode {
            Mode::Auto => self.phase.route(),
            Mode::Pinned { route, .. } => *route,
            Mode::Paused { .. } => self.route,
        };
        if route == self.route {
            return;
        }
        self.route = route;
        self.reconciler.begin_leg(now.at);
        let cause = match (&self.mode, self.verdict) {
            (Mode::Auto, Some(judged)) => judged.cause,
            (Mode::Auto | Mode::Pinned { .. } | Mode::Paused { .. }, _) => Cause::Operator,
        };
        self.begin_episode(cause, now.at, now);
        let Some(episode) = &mut self.episode else {
            return;
        };
        episode.begin_leg();
        let after = episode.lasted(now.wall);
        match route {
            Route::Standby => {
                self.reconciler.forgive_loop();
                self.tell_leg("failover_started", What::FailoverStarted { cause, after }, now);
            }
            Route::Origin => self.tell_leg("failback_started", What::FailbackStarted, now),
        }
    }

    /// The episode ends when home serves and every toggle rests.
    pub(super) fn end_episode(&mut self, now: Now) {
        let calm = self.mode == Mode::Auto
            && matches!(self.phase, Phase::Healthy { .. })
            && self.route == Route::Origin
            && self.reconciler.is_at_rest(Route::Origin);
        if calm && let Some(episode) = self.episode.take() {
            let notice = What::EpisodeOver {
                lasted: episode.lasted(now.wall),
            };
            if episode.leg > 0 {
                self.notices.push(Notice {
                    what: notice,
                    episode: Some(episode.id),
                    wall: now.wall,
                });
            }
        }
    }
}
