//! The audit of what has to happen in time, and the tally of what visitors got.

use std::time::Duration;

use pilotlight::core::status::Switched;
use pilotlight::core::{DriftPolicy, Failback, Instant, Position, Role, Route, ToggleKey, View};

use super::{DiskFares, Fate, Home, Invariant, Standby, World, secs};

/// What has to happen in time is looked at this often.
const EVERY: Duration = secs(20);
/// The longest spread of a grant.
const SPREAD: Duration = secs(420);

/// What visitors got.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    /// Neither home nor the standby.
    pub dark: Duration,
    /// Sent to the standby.
    pub standby: Duration,
    pub lived: Duration,
    counted_at: Instant,
    served: (bool, bool),
}

impl Tally {
    pub const fn new(now: Instant) -> Self {
        Self {
            dark: Duration::ZERO,
            standby: Duration::ZERO,
            lived: Duration::ZERO,
            counted_at: now,
            served: (true, false),
        }
    }

    fn count(&mut self, now: Instant, served: bool, redirected: bool) {
        let span = now.since(self.counted_at);
        self.lived += span;
        if !self.served.0 {
            self.dark += span;
        }
        if self.served.1 {
            self.standby += span;
        }
        self.counted_at = now;
        self.served = (served, redirected);
    }
}

impl World {
    /// Checked on the world after every step.
    pub(super) fn check(&mut self) {
        self.follow();
        let redirected = self.redirects();
        let view = self.visit_if(redirected).view;
        let served = matches!(view, View::Home | View::Standby | View::Cached);
        self.tally.count(self.now, served, redirected);
        if self.now.since(self.audit.checked_at) >= EVERY {
            let span = self.now.since(self.audit.checked_at).min(EVERY * 2);
            self.audit.checked_at = self.now;
            self.check_home_is_proven(span);
            if self.announced && self.alive {
                self.check_dead_home();
                self.check_calm();
                self.check_tries();
                self.check_refusal_is_told();
            }
        }
    }

    /// Nothing is wrong but, perhaps, with home.
    fn all_else_is_well(&self) -> bool {
        let remotes_well = self.remotes.values().all(|remote| {
            remote.trouble == 0 && remote.fate == Fate::Done && remote.fates.is_empty() && remote.takes <= secs(1)
        });
        let untouched = self.audit.tracks.values().all(|track| !track.foreign);
        self.glimpse.auto
            && self.all_eyes_are_clear()
            && self.standby == Standby::Serving
            && self.disk_fares == DiskFares::Well
            && remotes_well
            && (untouched || self.policy.drift == DriftPolicy::Repair)
    }

    fn check_home_is_proven(&mut self, span: Duration) {
        let Some(unproven) = self.audit.unproven else {
            return;
        };
        let counts =
            self.alive && self.audit.served && self.all_else_is_well() && !self.redirects() && self.gate_open();
        if !counts || self.now.since(self.audit.started) < self.window() {
            return;
        }
        let unproven = unproven + span;
        self.audit.unproven = Some(unproven);
        let off = self
            .of(Role::Redirect)
            .all(|key| self.glimpse.wants(key) == Some(Position::Off));
        if off && self.glimpse.route == Route::Origin && unproven > self.policy.home_proof + secs(120) {
            self.audit.unproven = None;
            self.violate(
                Invariant::HomeProvenOrBack,
                &format!("no visitor saw home for {unproven:?} after the redirect went off"),
            );
        }
    }

    fn check_dead_home(&mut self) {
        let policy = &self.policy;
        let failures = policy.interval * policy.unhealthy_threshold;
        let seen = policy.down_for.max(failures) + policy.interval * 3 + policy.visitor_interval + secs(30);
        let opened = SPREAD.min(policy.gate_patience.max(secs(15))) + policy.interval * 3 + secs(30);
        let bound = seen + opened + policy.verify_every + secs(60);
        let dead = matches!(
            self.home,
            Home::Silent | Home::Refusing | Home::EdgeLost | Home::AppBroken
        );
        // A trial of a home in doubt takes the visitors there for as long as a proof may take.
        let switches = self.of(Role::Redirect).next().is_some() && self.audit.unproven.is_none();
        let dead_for = self.now.since(self.calm_since);
        let redirected = self.of(Role::Redirect).any(|key| self.position(key) == Position::On);
        if dead && switches && dead_for > bound && self.all_else_is_well() && !self.is_resting() && !redirected {
            self.disturb_audit();
            self.violate(
                Invariant::DeadHomeMeansStandby,
                &format!("home dead for {dead_for:?}, visitors still sent there"),
            );
        }
    }

    /// The budget of calls is spent for the hour, or a drift was repaired too often: that takes its time.
    fn is_resting(&self) -> bool {
        let waits = |key: &ToggleKey| {
            let wait = self.audit.tracks.get(*key).and_then(|track| track.wait_until);
            wait.is_some_and(|until| until + secs(60) > self.now)
        };
        self.remotes.keys().any(waits) || self.is_moved_by_others()
    }

    fn check_calm(&mut self) {
        let policy = &self.policy;
        let quiet = self.glimpse.up_for + policy.interval * policy.healthy_threshold;
        let bound = quiet + policy.home_proof + policy.drain * 2 + policy.verify_every * 2 + secs(3 * 3600);
        let calm_for = self.now.since(self.calm_since);
        let held = self.remotes.values().any(|remote| remote.held);
        if self.home != Home::Serving
            || calm_for < bound
            || policy.failback != Failback::Auto
            || policy.drift != DriftPolicy::Repair
            || held
            || !self.all_else_is_well()
        {
            return;
        }
        let status = self.controller.status(self.clock());
        let on = self.remotes.iter().find(|(_, remote)| remote.position == Position::On);
        if status.switched != Switched::Verified
            || status.route != Route::Origin
            || on.is_some()
            || status.episode.is_some()
        {
            let text = format!(
                "after {calm_for:?} of calm: route {}, {}, phase {}, on: {:?}",
                status.route.label(),
                status.switched.label(),
                status.phase.label(),
                on.map(|(key, _)| key.to_string())
            );
            self.disturb_audit();
            self.violate(Invariant::CalmConverges, &text);
        }
    }

    /// What is not where it should be is tried again and again.
    fn check_tries(&mut self) {
        if self.glimpse.paused || self.cut_off || self.now.since(self.calm_since) < secs(600) {
            return;
        }
        let now = self.now;
        let patience = secs(100).max(self.policy.verify_every) + secs(20);
        let given_up = self.remotes.iter().find(|(key, remote)| {
            let Some(track) = self.audit.tracks.get(**key) else {
                return false;
            };
            let differs = self
                .glimpse
                .wants(**key)
                .is_some_and(|wanted| wanted != remote.position);
            let ended = track.ended_at.unwrap_or(self.audit.started);
            let due = (ended + patience).max(track.wait_until.map_or(ended, |until| until + secs(20)));
            differs && !remote.held && !track.foreign && !self.in_flight.contains_key(**key) && now > due
        });
        if let Some((key, _)) = given_up {
            let text = format!("{key} is not where it should be and was not tried for {patience:?}");
            self.disturb_audit();
            self.violate(Invariant::NeverGivesUp, &text);
        }
    }

    /// Visitors that were sent to a gate that still refuses, because patience was spent: people hear of it.
    fn check_refusal_is_told(&mut self) {
        let seen = !self.cut_off && self.edge_works && !self.edge_blocks && !self.edge_caches && !self.loops;
        let refused = self.glimpse.route == Route::Standby
            && self.redirects()
            && !self.gate_open()
            && !self.patience_lasts()
            && !self.is_excused();
        if !seen || !refused {
            self.audit.refused_since = None;
            return;
        }
        let refused_for = self.now.since(*self.audit.refused_since.get_or_insert(self.now));
        if refused_for > self.policy.visitor_interval + secs(60) && !self.audit.said.refusal() {
            self.audit.refused_since = None;
            self.violate(
                Invariant::RefusalTold,
                &format!("visitors met a shut gate for {refused_for:?} and nobody was told"),
            );
        }
    }

    /// One violation of what has to happen in time is enough: the calm counts anew.
    fn disturb_audit(&mut self) {
        self.calm_since = self.now;
    }
}
