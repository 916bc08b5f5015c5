//! The only door to core: events in, effects out.

use super::commands::ClockTrust;
use super::episode::Episode;
use super::evidence::{Eye, Verdict};
use super::jitter::Jitter;
use super::judge::{Judge, Limits};
use super::looks::Looks;
use super::machine::{Bearings, Failback, Mode, Phase, Policy};
use super::notice::{Notice, What};
use super::picture::Saved;
use super::reconciler::{Reconciler, Wish};
use super::ring::{Action, Effect, Event, OpId};
use super::snapshot::Snapshot;
use super::status::{Judgement, Seen, Totals};
use super::telling::Watches;
use super::time::{Alarms, Duration, Instant, Now, Stopwatch};
use super::toggles::{Route, ToggleKey};
use super::turns::Known;

/// The references' answer counts for at least this long, however short the hold.
const LEAST_MIRROR_FRESH: Duration = Duration::from_secs(1);

/// What a site has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Its toggles.
    pub toggles: Vec<ToggleKey>,
    /// Whether there is a page that the redirect excludes, to be seen through the edge.
    pub edge_eye: bool,
}

/// Decides for one site. It is told what happens and says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Controller {
    pub(super) policy: Policy,
    pub(super) layout: Layout,
    pub(super) judge: Judge,
    pub(super) phase: Phase,
    pub(super) phase_since: Instant,
    pub(super) mode: Mode,
    /// Where visitors shall go; stands still while paused.
    pub(super) route: Route,
    pub(super) reconciler: Reconciler,
    pub(super) looks: Looks,
    pub(super) jitter: Jitter,
    pub(super) up_for: Duration,
    pub(super) since_home: Option<Stopwatch>,
    pub(super) episode: Option<Episode>,
    pub(super) next_episode: u64,
    pub(super) verdict: Option<Judgement>,
    pub(super) visitor: Option<Seen>,
    /// Own observation since the start, without what was blind.
    pub(super) watching: Stopwatch,
    pub(super) observed_enough: bool,
    /// Intent was restored, or home was judged at least once: only then may anything be written.
    pub(super) may_write: bool,
    /// How the redirect is known since the start.
    pub(super) redirect_known: Known,
    pub(super) clock_trust: ClockTrust,
    pub(super) watches: Watches,
    pub(super) totals: Totals,
    pub(super) notices: Vec<Notice>,
    /// What was told once outside an episode and still holds.
    pub(super) told_between: Vec<String>,
    /// A suspicion began: what a failover needs is made ready.
    pub(super) warm: bool,
    pub(super) saved: Saved,
    pub(super) next_id: u64,
    pub(super) deadline: Option<Instant>,
}

impl Controller {
    /// Starts from what was saved, or afresh. `seed` spreads the retries.
    pub fn new(policy: Policy, layout: Layout, snapshot: Option<&Snapshot>, seed: u64, now: Now) -> Self {
        let mut controller = Self {
            judge: Judge::default(),
            phase: Phase::Healthy {
                well: Stopwatch::default(),
            },
            phase_since: now.at,
            mode: Mode::Auto,
            route: Route::Origin,
            reconciler: Reconciler::new(&layout.toggles),
            looks: Looks::default(),
            jitter: Jitter::new(seed),
            up_for: policy.up_for,
            since_home: None,
            episode: None,
            next_episode: 1,
            verdict: None,
            visitor: None,
            watching: Stopwatch::default(),
            observed_enough: false,
            may_write: false,
            redirect_known: Known::Not,
            clock_trust: ClockTrust::Full,
            watches: Watches::default(),
            totals: Totals::default(),
            notices: Vec::new(),
            told_between: Vec::new(),
            warm: false,
            saved: Saved::default(),
            next_id: 0,
            deadline: None,
            policy,
            layout,
        };
        if let Some(snapshot) = snapshot {
            controller.restore(snapshot, now);
        }
        controller
    }

    fn restore(&mut self, snapshot: &Snapshot, now: Now) {
        self.phase = snapshot.phase;
        self.mode = snapshot.mode.clone();
        self.up_for = snapshot
            .up_for
            .clamp(self.policy.up_for, self.policy.up_for_max.max(self.policy.up_for));
        self.since_home = snapshot.since_home.map(|shown| Stopwatch::stopped(shown).mark(now.at));
        self.episode.clone_from(&snapshot.episode);
        self.next_episode = snapshot.next_episode.max(1);
        self.may_write = self.episode.is_some();
        self.route = snapshot.route;
        for record in &snapshot.toggles {
            if let Some(switch) = self
                .reconciler
                .switches_mut()
                .iter_mut()
                .find(|switch| switch.key() == record.key)
            {
                switch.restore(record, snapshot.route, now.at);
            }
        }
        if let Some(episode) = &self.episode
            && episode.failed_over
            && !episode.home_proven
        {
            let proven_now = self.route == Route::Standby && episode.was_told_on_leg("failed_over");
            self.reconciler.restore_proof(proven_now, now.at);
        }
        self.reconciler.begin_leg(now.at);
        if self.mode != Mode::Auto {
            self.doubt_clock();
        }
    }

    /// Takes an event and says what to do, in this order. Never fails.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        match event {
            Event::Probed {
                sent_at,
                scheduled,
                outcome,
            } => {
                let limits = self.limits();
                if let Some(ruling) = self.judge.probed(sent_at, scheduled, outcome, limits, now.at) {
                    self.rule(ruling, now);
                }
            }
            Event::Looked { id, sighting } => self.looked(id, sighting, now),
            Event::Mirrored { id, reflection } => {
                self.looks.end(id);
                self.check_clock(&reflection);
                let limits = self.limits();
                for ruling in self.judge.mirrored(reflection, limits, now.at) {
                    self.rule(ruling, now);
                }
            }
            Event::Settled { id, result } => {
                self.settled(id, result, now);
            }
            Event::Commanded(command) => self.command(command, now),
            Event::Gap => self.gap(now.at),
            Event::Reloaded(policy) => {
                self.up_for = self.up_for.clamp(policy.up_for, policy.up_for_max.max(policy.up_for));
                self.policy = *policy;
            }
            Event::Saved { in_time } => self.note_saved(in_time, now),
            Event::SetAside => self.tell(What::StateSetAside, now),
            Event::Woke => {}
        }
        self.plan(now)
    }

    /// When to be woken if nothing happens before.
    pub const fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn bearings(&self) -> Bearings {
        Bearings {
            observed_enough: self.observed_enough,
            standby_serves: self.reconciler.standby_serves(),
            may_return: match self.mode {
                Mode::Auto => self.policy.failback == Failback::Auto || !self.reconciler.standby_serves(),
                Mode::Pinned {
                    route: Route::Origin, ..
                } => true,
                Mode::Pinned {
                    route: Route::Standby, ..
                }
                | Mode::Paused { .. } => false,
            },
            home_in_doubt: self.home_in_doubt() && !self.reconciler.standby().is_broken(),
            up_for: self.up_for,
        }
    }

    /// Whether home's answers to the origin eye say nothing of visitors in this episode.
    pub(super) fn home_in_doubt(&self) -> bool {
        self.episode.as_ref().is_some_and(|episode| episode.home_in_doubt)
    }

    pub(super) fn limits(&self) -> Limits {
        let mirror_fresh = match self.route {
            Route::Origin => self
                .policy
                .references_again
                .min((self.policy.down_for / 3).max(LEAST_MIRROR_FRESH)),
            Route::Standby => self.policy.references_again.saturating_mul(6),
        };
        Limits {
            mirror_fresh,
            home_fresh: self.policy.interval.saturating_mul(2),
        }
    }

    /// Everything that follows from where things stand now. Idempotent: level-triggered.
    fn plan(&mut self, now: Now) -> Vec<Effect> {
        let mut alarms = Alarms::new(now.at);
        self.expire_pin(&mut alarms, now);
        self.tick_machine(&mut alarms, now);
        self.check_home_proof(&mut alarms, now);
        self.follow_route(now);
        let wish = self.wish();
        let unexplained = self.reconciler.desire(wish, &self.policy, &mut alarms);
        self.tell_unexplained(unexplained, now);
        if let Some(turn) = self.reconciler.prove_without_redirect(self.route, &self.policy, now.at) {
            self.take_turns(vec![turn], now);
        }
        self.watch(&mut alarms, now);
        self.end_episode(now);
        if self.reconciler.visitor_judges_home() {
            self.judge.forget_edge();
        }
        let edge_decides = self.layout.edge_eye && self.home_in_doubt() && !self.reconciler.visitor_judges_home();
        self.judge.let_edge_decide(edge_decides);
        let acts = self.start(&mut alarms, now);
        let mut effects = self.save_if_changed(&mut alarms, now);
        effects.extend(self.notices.drain(..).map(Effect::Notify));
        effects.extend(std::mem::take(&mut self.warm).then_some(Effect::Warm));
        effects.extend(acts);
        self.deadline = alarms.next();
        effects
    }

    pub(super) fn wish(&self) -> Wish {
        let auto = self.mode == Mode::Auto;
        Wish {
            route: self.route,
            prewarm: self.policy.prewarm && auto && matches!(self.phase, Phase::Suspect { .. }),
            hold_redirect: auto && !self.home_in_doubt() && matches!(self.phase, Phase::Recovering { .. }),
            observed_enough: self.observed_enough,
            may_roll_back: self.may_roll_back(),
            home_takes_over: !auto
                || (self.observed_enough && self.verdict.is_some_and(|judged| judged.verdict == Verdict::Up)),
        }
    }

    /// Starts what is due: operations on toggles, then looks.
    fn start(&mut self, alarms: &mut Alarms, now: Now) -> Vec<Effect> {
        let may_write = self.may_write && !matches!(self.mode, Mode::Paused { .. });
        let mut actions = self.reconciler.actions(may_write, self.wish(), &self.policy, alarms);
        for eye in [Eye::Mirror, Eye::Visitor, Eye::Standby, Eye::Edge] {
            if let Some(cadence) = self.cadence(eye, alarms)
                && self.looks.is_due(eye, cadence, alarms)
            {
                actions.push(Action::Look(eye));
            }
        }
        actions.into_iter().map(|action| self.begin(action, now.at)).collect()
    }

    fn begin(&mut self, action: Action, now: Instant) -> Effect {
        self.next_id += 1;
        let id = OpId(self.next_id);
        match action {
            Action::Look(eye) => self.looks.begin(id, eye, now),
            Action::Observe(_) | Action::Set(..) => self.reconciler.begin(id, action, now),
        }
        Effect::Act { id, action }
    }
}
