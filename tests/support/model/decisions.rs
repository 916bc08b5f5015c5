//! The audit of decisions: what the process decided, against what was so in the world.

use std::time::Duration;

use pilotlight::core::{BrokenStandby, Effect, Position, Role, Route, ToggleKey, What};

use super::{CLEAR, Glimpse, Home, Invariant, Standby, World, secs};

/// The site has to be healthy and well for this long before what was wrong counts as over: a slow look may still be out.
const OVER: Duration = secs(60);

impl World {
    /// The process shows something new.
    pub(super) fn audit_decision(&mut self, before: &Glimpse, effects: &[Effect]) {
        if self.glimpse.totals.failovers > before.totals.failovers {
            self.audit_failover();
        }
        if self.glimpse.totals.failbacks > before.totals.failbacks {
            self.audit_failback(before);
        }
        if self.glimpse.route != before.route {
            let told = effects.iter().any(|effect| match effect {
                Effect::Notify(notice) => match self.glimpse.route {
                    Route::Standby => matches!(notice.what, What::FailoverStarted { .. } | What::Adopted),
                    Route::Origin => matches!(notice.what, What::FailbackStarted | What::FoundOff),
                },
                _ => false,
            });
            if !told {
                let text = format!("the route is {} and nobody was told", self.glimpse.route.label());
                self.violate(Invariant::EdgeTold, &text);
            }
        }
        let redirects: Vec<ToggleKey> = self.of(Role::Redirect).collect();
        for key in redirects {
            let newly = self.glimpse.wants(key) == Some(Position::On) && before.wants(key) != Some(Position::On);
            if newly {
                self.audit_newly_redirected(key);
            }
        }
    }

    fn audit_failover(&mut self) {
        self.audit_any_decision();
        let held = self.audit.trouble.map(|since| self.now.since(since));
        if held.is_none_or(|held| held < self.policy.down_for) {
            self.violate(
                Invariant::HoldBeforeFailover,
                &format!("decided after {held:?} of trouble"),
            );
        }
    }

    fn audit_failback(&mut self, before: &Glimpse) {
        self.audit_any_decision();
        let sent = self.of(Role::Redirect).all(|key| self.position(key) == Position::On) && self.redirects();
        let served = self.audit.served && sent && self.gate_open() && self.standby == Standby::Serving;
        let good = self.audit.good;
        let quiet = self
            .audit
            .good_since
            .map_or(Duration::ZERO, |since| self.now.since(since))
            + secs(1);
        if served && before.auto && (good < self.policy.healthy_threshold || quiet < before.up_for) {
            let text = format!(
                "decided after {good} good probes and {quiet:?}, {:?} asked for",
                before.up_for
            );
            self.violate(Invariant::QuietBeforeHome, &text);
        }
    }

    fn audit_any_decision(&mut self) {
        let age = self.now.since(self.audit.started);
        if age < self.window() {
            self.violate(
                Invariant::WindowBeforeDecision,
                &format!("decided {age:?} after the start"),
            );
        }
        let fresh = self.policy.references_again * 6;
        let bound = fresh.max(self.policy.down_for) + self.policy.interval * 2 + secs(10);
        let blind = self.audit.cut_since.map(|since| self.now.since(since));
        if let Some(blind) = blind.filter(|blind| *blind > bound) {
            self.violate(
                Invariant::BlindDecidesNothing,
                &format!("decided after {blind:?} without a line"),
            );
        }
    }

    /// A redirect is wished on that was not: not to a standby that is visibly broken.
    fn audit_newly_redirected(&mut self, key: ToggleKey) {
        let adopted = self.position(key) == Position::On;
        let bound = self.policy.interval * 4 + secs(5);
        let broken = self.audit.broken_since.map(|since| self.now.since(since));
        let calm = self.now.since(self.calm_since) > bound;
        if self.policy.broken_standby == BrokenStandby::Hold
            && !adopted
            && calm
            && let Some(broken) = broken.filter(|broken| *broken > bound)
        {
            self.violate(
                Invariant::BrokenStandbyHeldBack,
                &format!("{key} wished on, the standby broken for {broken:?}"),
            );
        }
    }

    /// Follows what is so in the world, after every step.
    pub(super) fn follow(&mut self) {
        let now = self.now;
        let cut = self.cut_off || self.mirror.answered == 0;
        if cut {
            self.audit.cut_since.get_or_insert(now);
        } else if self.audit.cut_since.take().is_some() {
            self.audit.line_back_at = now;
        }
        let ill = cut || self.home != Home::Serving || !self.edge_works || self.loops || self.mirror != CLEAR;
        if ill {
            self.audit.ill_at = now;
            self.audit.trouble.get_or_insert(now);
        } else if self.glimpse.phase == "healthy" && now.since(self.audit.ill_at) > OVER {
            self.audit.trouble = None;
        }
        let broken = matches!(self.standby, Standby::Broken(_)) && !cut && self.alive && self.gate_open();
        if broken {
            self.audit.broken_since.get_or_insert(now);
        } else {
            self.audit.broken_since = None;
        }
        if self.gate_open() && self.of(Role::Gate).all(|key| self.position(key) == Position::On) {
            for (_, track) in self.audit.tracks.iter_mut() {
                track.not_open_since = false;
            }
        }
        let sent = |key| self.position(key) == Position::On && self.seen(key) == Position::On;
        let sent = self.of(Role::Redirect).any(sent);
        if sent && !self.gate_open() && self.patience_lasts() && !self.is_excused() {
            let text = "visitors meet a shut gate although patience lasts";
            self.violate(Invariant::NoVisitorsToShutGate, text);
        }
    }

    /// Visitors meet a shut gate for a reason that pilotlight cannot know of in time.
    pub(super) fn is_excused(&self) -> bool {
        let shut = self.audit.tracks.values().any(|track| track.not_open_since);
        shut || self.is_moved_by_others() || self.gate_is_flapping()
    }

    /// Whoever moved the gate or the redirect last was somebody else.
    pub(super) fn is_moved_by_others(&self) -> bool {
        let mut tracks = self.audit.tracks.iter();
        tracks.any(|(key, track)| key.role != Role::Silence && track.foreign)
    }
}
