//! What ended operations and looks mean.

use super::controller::Controller;
use super::drift::{DriftReply, Ended};
use super::evidence::{Cause, Eye, Sighting, Verdict, View};
use super::machine::{DriftPolicy, Mode, Phase};
use super::notice::What;
use super::reconciler::{Proof, Turn};
use super::ring::OpId;
use super::status::Seen;
use super::time::{Instant, Now, Stopwatch};
use super::toggles::{Failure, Observed, Position, Role, Route, ToggleKey};

/// How the redirect is known since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Known {
    /// Not at all.
    Not,
    /// By a visitor's sight.
    Seen,
    /// By the provider's record.
    Read,
}

impl Controller {
    /// An operation ended. While paused a drift is only reported: the next read after the pause decides anew.
    pub(super) fn settled(&mut self, id: OpId, result: Result<Observed, Failure>, now: Now) {
        let drift = match self.mode {
            Mode::Paused { .. } => DriftPolicy::Report,
            Mode::Auto | Mode::Pinned { .. } => self.policy.drift,
        };
        let turns = self.reconciler.ended(id, result, drift, &mut self.jitter, now.at);
        self.take_turns(turns, now);
        if self.reconciler.configured(Role::Redirect).is_some() {
            self.redirect_known = Known::Read;
        }
    }

    pub(super) fn looked(&mut self, id: OpId, sighting: Sighting, now: Now) {
        let Some((eye, sent_at)) = self.looks.end(id) else {
            return;
        };
        match eye {
            Eye::Visitor => self.saw_visitor(sighting, sent_at, now),
            Eye::Standby => self.reconciler.saw_standby(sighting.view, sent_at, now.at),
            Eye::Edge => self.judge.saw_edge(sent_at, sighting),
            Eye::Mirror => {}
        }
    }

    pub(super) fn saw_visitor(&mut self, sighting: Sighting, sent_at: Instant, now: Now) {
        if self.visitor.is_none_or(|seen| seen.at <= sent_at) {
            self.visitor = Some(Seen {
                view: sighting.view,
                at: sent_at,
            });
        }
        let home_is_up = self.verdict.is_some_and(|judged| judged.verdict == Verdict::Up);
        let before = self.reconciler.redirect();
        if let Some(turn) = self.reconciler.saw_visitor(sighting, sent_at, home_is_up, now.at) {
            self.take_turns(vec![turn], now);
        }
        if before != self.reconciler.redirect() {
            self.redirect_moved(now);
        }
        if sighting.redirect == Some(Position::On) && sighting.view == View::Shut {
            self.doubt(Role::Gate, now.at);
        }
        let configured = self.reconciler.configured(Role::Redirect);
        if sighting.redirect.is_some() && configured.is_some() && sighting.redirect != configured {
            self.doubt_redirect_later(now.at);
        }
        if self.reconciler.visitor_judges_home() && sighting.redirect != Some(Position::On) {
            let limits = self.limits();
            if let Some(ruling) = self.judge.saw_visitor(sent_at, sighting, limits, now.at) {
                self.rule(ruling, now);
            }
        }
    }

    pub(super) fn doubt(&mut self, role: Role, now: Instant) {
        for switch in self.reconciler.switches_mut() {
            if switch.key().role == role {
                switch.doubt(now);
            }
        }
    }

    /// The visitor's sight contradicts the record at rest: read the redirect anew, unless it is only settling.
    pub(super) fn doubt_redirect_later(&mut self, now: Instant) {
        if matches!(
            self.reconciler.proof(),
            Proof::Unneeded | Proof::OutProven | Proof::HomeProven
        ) {
            self.doubt(Role::Redirect, now);
        }
    }

    pub(super) fn take_turns(&mut self, turns: Vec<Turn>, now: Now) {
        for turn in turns {
            match turn {
                Turn::RedirectMoved => self.redirect_moved(now),
                Turn::StandbyProven => self.standby_proven(now),
                Turn::HomeProven => self.home_proven(now),
                Turn::Loop => self.tell_leg("redirect_loop", What::RedirectLoop, now),
                Turn::Drift(key, ended) => self.drifted(key, ended, now),
                Turn::Edited(toggle) => self.tell(What::Edited { toggle }, now),
                Turn::Worked(toggle) => self.worked(toggle, now),
            }
        }
    }

    /// What the visitor eye saw before says nothing any more. Without any memory a redirect that is on is adopted.
    pub(super) fn redirect_moved(&mut self, now: Now) {
        self.judge.forget_visitor();
        let Some(position) = self.reconciler.redirect() else {
            return;
        };
        let first = self.redirect_known == Known::Not;
        if first {
            self.redirect_known = Known::Seen;
        }
        let remembered = self
            .reconciler
            .switches()
            .iter()
            .any(|switch| switch.key().role == Role::Redirect && switch.desired().is_some());
        if first && position == Position::On && !remembered && self.phase.route() == Route::Origin {
            self.begin_episode(Cause::FoundSwitched, now.at, now);
            self.phase = Phase::FailedOver {
                out: Stopwatch::running(now.at),
            };
            self.phase_since = now.at;
            self.route = Route::Standby;
            self.reconciler.begin_leg(now.at);
            self.tell_once("adopted", What::Adopted, now);
        }
    }

    pub(super) fn standby_proven(&mut self, now: Now) {
        let Some(episode) = &mut self.episode else {
            return;
        };
        let after = episode.lasted(now.wall);
        episode.failed_over = true;
        episode.home_proven = false;
        let leg = episode.leg;
        if self.route == Route::Standby && episode.tell_once(&format!("{leg}:failed_over")) {
            self.tell(What::FailedOver { after }, now);
            self.phase = self.phase.recount();
        }
    }

    pub(super) fn home_proven(&mut self, now: Now) {
        self.told_between.retain(|key| !key.contains(':'));
        let Some(episode) = &mut self.episode else {
            return;
        };
        episode.home_proven = true;
        let after = episode.lasted(now.wall);
        // Without a leg nobody was told of a switch: somebody else's redirect was put off, and that was told.
        if self.route == Route::Origin && episode.leg > 0 {
            self.tell_leg("back_home", What::BackHome { after }, now);
            self.since_home = Some(Stopwatch::running(now.at));
        }
    }

    /// Somebody else moved a toggle. A redirect found off at start although it had been on is decided afresh.
    pub(super) fn drifted(&mut self, toggle: ToggleKey, ended: Ended, now: Now) {
        let Ended::Drifted { found, reply } = ended else {
            return;
        };
        self.totals.drifts += 1;
        let redirect = toggle.role == Role::Redirect;
        if redirect && found == Position::Off && self.redirect_known != Known::Read && self.mode == Mode::Auto {
            self.phase = Phase::Healthy {
                well: Stopwatch::default(),
            };
            self.phase_since = now.at;
            self.route = Route::Origin;
            if let Some(episode) = &mut self.episode {
                episode.failed_over = false;
            }
            self.tell(What::FoundOff, now);
            return;
        }
        let what = match reply {
            DriftReply::Limit => What::DriftLimit { toggle },
            DriftReply::Repair if toggle.role == Role::Gate && found == Position::On && self.route == Route::Origin => {
                What::Orphan
            }
            DriftReply::Repair | DriftReply::Report => What::Drifted {
                toggle,
                found,
                repaired: reply == DriftReply::Repair,
            },
        };
        self.tell(what, now);
    }
}
