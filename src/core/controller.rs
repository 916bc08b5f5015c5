//! The only door to core: events in, effects out.

use super::episode::Episode;
use super::evidence::{Cause, ClockCheck, Eye, Sighting, Verdict, View};
use super::jitter::Jitter;
use super::judge::{Judge, Limits, Ruling};
use super::looks::{Cadence, Looks, MOST_IN_FLIGHT};
use super::machine::{Bearings, Failback, Mode, Phase, Policy};
use super::notice::{EpisodeId, Notice, What};
use super::picture::Saved;
use super::reconciler::{Proof, Reconciler, Turn, Wish, proof_fresh};
use super::ring::{Action, Command, Effect, Event, OpId, Order};
use super::snapshot::Snapshot;
use super::status::{Judgement, Seen, Totals};
use super::switch::{DriftReply, Ended};
use super::telling::Watches;
use super::time::{Alarms, Duration, Instant, Now, Stopwatch};
use super::toggles::{Position, Role, Route, ToggleKey};

/// What a site has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Its toggles.
    pub toggles: Vec<ToggleKey>,
    /// Whether there is a page that the redirect excludes, to be seen through the edge.
    pub edge_eye: bool,
}

/// Decides for one site. It is told what happens and says what to do.
#[derive(Clone, Debug)]
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
    jitter: Jitter,
    pub(super) up_for: Duration,
    pub(super) since_home: Option<Stopwatch>,
    pub(super) episode: Option<Episode>,
    pub(super) next_episode: u64,
    pub(super) verdict: Option<Judgement>,
    pub(super) visitor: Option<Seen>,
    /// Own observation since the start, without what was blind.
    watching: Stopwatch,
    pub(super) observed_enough: bool,
    /// Intent was restored, or home was judged at least once: only then may anything be written.
    may_write: bool,
    /// The redirect was not read yet since the start.
    redirect_unread: bool,
    pub(super) clock_doubtful: bool,
    ask_mirror: bool,
    pub(super) watches: Watches,
    pub(super) totals: Totals,
    pub(super) notices: Vec<Notice>,
    /// A suspicion began: what a failover needs is made ready.
    warm: bool,
    pub(super) saved: Saved,
    next_id: u64,
    deadline: Option<Instant>,
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
            redirect_unread: true,
            clock_doubtful: false,
            ask_mirror: false,
            watches: Watches::default(),
            totals: Totals::default(),
            notices: Vec::new(),
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
        self.episode = snapshot.episode.as_ref().map(Episode::restore);
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
                switch.restore(record, now.at);
            }
        }
        let proven_once = self
            .episode
            .as_ref()
            .is_some_and(|episode| episode.failed_over && !episode.home_proven);
        self.reconciler.restore_proof(proven_once, now.at);
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
                self.check_clock(reflection.clock);
                let limits = self.limits();
                for ruling in self.judge.mirrored(reflection, limits, now.at) {
                    self.rule(ruling, now);
                }
            }
            Event::Settled { id, result } => {
                let turns = self
                    .reconciler
                    .ended(id, result, self.policy.drift, &mut self.jitter, now.at);
                self.take_turns(turns, now);
            }
            Event::Commanded(command) => self.command(command, now),
            Event::Gap => self.gap(),
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
            home_in_doubt: self.episode.as_ref().is_some_and(|episode| episode.home_in_doubt),
            up_for: self.up_for,
        }
    }

    fn limits(&self) -> Limits {
        let mirror_fresh = match self.route {
            Route::Origin => self.policy.references_again.min(self.policy.down_for / 3),
            Route::Standby => self.policy.references_again.saturating_mul(6),
        };
        Limits {
            mirror_fresh,
            home_fresh: self.policy.interval.saturating_mul(2),
        }
    }

    /// A round was judged: count it.
    fn rule(&mut self, ruling: Ruling, now: Now) {
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

    fn note_observed(&mut self, now: Instant) {
        let window = self.policy.down_for.max(self.policy.interval.saturating_mul(2));
        self.observed_enough = self.observed_enough || self.watching.read(now) >= window;
    }

    /// Takes up the next phase and tells what that means.
    fn enter(&mut self, next: Phase, cause: Cause, sent_at: Instant, now: Now) {
        let before = std::mem::replace(&mut self.phase, next);
        if before.label() == next.label() {
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
            Phase::Healthy { .. } if before.route() == Route::Standby => self.totals.failbacks += 1,
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
        let began = super::time::Wall(now.wall.0.saturating_sub(ago));
        self.episode = Some(Episode::new(EpisodeId(self.next_episode), began, cause));
        self.next_episode += 1;
        self.totals.episodes += 1;
    }

    fn double_up_for(&mut self) {
        self.up_for = self
            .up_for
            .saturating_mul(2)
            .min(self.policy.up_for_max.max(self.policy.up_for));
    }

    fn looked(&mut self, id: OpId, sighting: Sighting, now: Now) {
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

    fn saw_visitor(&mut self, sighting: Sighting, sent_at: Instant, now: Now) {
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
            self.doubt(Role::Gate);
        }
        let configured = self.reconciler.configured(Role::Redirect);
        if sighting.redirect.is_some() && configured.is_some() && sighting.redirect != configured {
            self.doubt_redirect_later();
        }
        if self.reconciler.visitor_judges_home() && sighting.redirect != Some(Position::On) {
            let limits = self.limits();
            if let Some(ruling) = self.judge.saw_visitor(sent_at, sighting, limits, now.at) {
                self.rule(ruling, now);
            }
        }
    }

    fn doubt(&mut self, role: Role) {
        for switch in self.reconciler.switches_mut() {
            if switch.key().role == role {
                switch.doubt();
            }
        }
    }

    /// The visitor's sight contradicts the record at rest: read the redirect anew, unless it is only settling.
    fn doubt_redirect_later(&mut self) {
        if matches!(
            self.reconciler.proof(),
            Proof::Unneeded | Proof::OutProven | Proof::HomeProven
        ) {
            self.doubt(Role::Redirect);
        }
    }

    fn check_clock(&mut self, clock: ClockCheck) {
        self.ask_mirror = false;
        self.clock_doubtful = clock == ClockCheck::Contradicts;
    }

    fn take_turns(&mut self, turns: Vec<Turn>, now: Now) {
        for turn in turns {
            match turn {
                Turn::RedirectMoved => self.redirect_moved(now),
                Turn::StandbyProven => self.standby_proven(now),
                Turn::HomeProven => self.home_proven(now),
                Turn::Loop => self.tell_leg("redirect_loop", What::RedirectLoop, now),
                Turn::Drift(key, ended) => self.drifted(key, ended, now),
                Turn::Edited(toggle) => self.tell(What::Edited { toggle }, now),
                Turn::Unstuck(toggle) => self.tell(What::Unstuck { toggle }, now),
            }
        }
    }

    /// What the visitor eye saw before says nothing any more. Without any memory a redirect that is on is adopted.
    fn redirect_moved(&mut self, now: Now) {
        self.judge.forget_visitor();
        let Some(position) = self.reconciler.redirect() else {
            return;
        };
        let first = std::mem::take(&mut self.redirect_unread);
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
            self.tell_once("adopted", What::Adopted, now);
        }
    }

    fn standby_proven(&mut self, now: Now) {
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

    fn home_proven(&mut self, now: Now) {
        let Some(episode) = &mut self.episode else {
            return;
        };
        episode.home_proven = true;
        let after = episode.lasted(now.wall);
        if self.route == Route::Origin {
            self.tell_leg("back_home", What::BackHome { after }, now);
            self.since_home = Some(Stopwatch::running(now.at));
        }
    }

    /// Somebody else moved a toggle. A redirect found off at start although it had been on is decided afresh.
    fn drifted(&mut self, toggle: ToggleKey, ended: Ended, now: Now) {
        let Ended::Drifted { found, reply } = ended else {
            return;
        };
        self.totals.drifts += 1;
        let redirect = toggle.role == Role::Redirect;
        if redirect && found == Position::Off && self.redirect_unread && matches!(self.mode, Mode::Auto) {
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
            _ if toggle.role == Role::Gate && found == Position::On && self.route == Route::Origin => What::Orphan,
            DriftReply::Repair | DriftReply::Report => What::Drifted {
                toggle,
                found,
                repaired: reply == DriftReply::Repair,
            },
        };
        self.tell(what, now);
    }

    fn command(&mut self, command: Command, now: Now) {
        let Command { order, pin } = command;
        let (route, mode) = match order {
            Order::Force(route) => (
                Some(route),
                Mode::Pinned {
                    route,
                    pin: pin.clone(),
                },
            ),
            Order::Pause => (None, Mode::Paused { pin: pin.clone() }),
            Order::Resume => {
                self.end_override(false, now);
                return;
            }
        };
        self.mode = mode;
        self.may_write = true;
        if route == Some(Route::Standby) {
            self.begin_episode(Cause::Operator, now.at, now);
        }
        let super::machine::Pin { until, author, reason } = pin;
        self.tell(
            What::Overridden {
                route,
                until,
                author,
                reason,
            },
            now,
        );
    }

    fn end_override(&mut self, expired: bool, now: Now) {
        if self.mode != Mode::Auto {
            self.mode = Mode::Auto;
            self.tell(What::OverrideEnded { expired }, now);
        }
    }

    /// Nothing that ran unseen counts, and the wall clock is doubtful until the references confirm it.
    fn gap(&mut self) {
        self.phase = self.phase.freeze();
        self.watching = self.watching.freeze();
        self.reconciler.freeze_proof();
        self.clock_doubtful = true;
        self.ask_mirror = true;
    }

    /// Everything that follows from where things stand now. Idempotent: level-triggered.
    fn plan(&mut self, now: Now) -> Vec<Effect> {
        let mut alarms = Alarms::new(now.at);
        self.expire_pin(&mut alarms, now);
        self.tick_machine(&mut alarms, now);
        self.check_home_proof(&mut alarms, now);
        self.follow_route(now);
        let wish = self.wish();
        let unexplained = self.reconciler.desire(&wish, &self.policy, &mut alarms);
        self.tell_unexplained(unexplained, now);
        if let Some(turn) = self.reconciler.prove_without_redirect(self.route, &self.policy, now.at) {
            self.take_turns(vec![turn], now);
        }
        self.watch(&mut alarms, now);
        self.end_episode(now);
        let edge_decides = self.layout.edge_eye
            && self.episode.as_ref().is_some_and(|episode| episode.home_in_doubt)
            && !self.reconciler.visitor_judges_home();
        self.judge.let_edge_decide(edge_decides);
        let acts = self.start(&mut alarms, now);
        let mut effects = self.save_if_changed(&mut alarms, now);
        effects.extend(self.notices.drain(..).map(Effect::Notify));
        effects.extend(std::mem::take(&mut self.warm).then_some(Effect::Warm));
        effects.extend(acts);
        self.deadline = alarms.next();
        effects
    }

    fn expire_pin(&mut self, alarms: &mut Alarms, now: Now) {
        let Some(until) = self.mode.pin().map(|pin| pin.until) else {
            return;
        };
        let left = Duration::from_millis(until.0.saturating_sub(now.wall.0));
        if !self.clock_doubtful && alarms.passed(now.at + left) {
            self.end_override(true, now);
        }
    }

    /// What time alone decides: phase, decay of `up_for`, the end of the relapse window.
    fn tick_machine(&mut self, alarms: &mut Alarms, now: Now) {
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

    fn may_roll_back(&self) -> bool {
        let served = self.episode.as_ref().is_some_and(|episode| episode.failed_over);
        served && self.mode == Mode::Auto && !self.reconciler.standby().is_broken() && !self.reconciler.is_looped()
    }

    /// Not proven at home in time: back to the standby, and say so.
    fn check_home_proof(&mut self, alarms: &mut Alarms, now: Now) {
        let Proof::Home { waited } = self.reconciler.proof() else {
            return;
        };
        if self.route == Route::Standby || !alarms.shows(&waited, self.policy.home_proof) {
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
    fn follow_route(&mut self, now: Now) {
        let route = match &self.mode {
            Mode::Auto => self.phase.route(),
            Mode::Pinned { route, .. } => *route,
            Mode::Paused { .. } => self.route,
        };
        if route == self.route {
            return;
        }
        self.route = route;
        let cause = match (&self.mode, self.verdict) {
            (Mode::Auto, Some(judged)) => judged.cause,
            (Mode::Auto | Mode::Pinned { .. } | Mode::Paused { .. }, _) => Cause::Operator,
        };
        self.begin_episode(cause, now.at, now);
        let Some(episode) = &mut self.episode else {
            return;
        };
        episode.leg += 1;
        let after = episode.lasted(now.wall);
        match route {
            Route::Standby => {
                self.reconciler.forgive_loop();
                self.tell_leg("failover_started", What::FailoverStarted { cause, after }, now);
            }
            Route::Origin => self.tell_leg("failback_started", What::FailbackStarted, now),
        }
    }

    fn wish(&self) -> Wish {
        let auto = self.mode == Mode::Auto;
        let in_doubt = self.episode.as_ref().is_some_and(|episode| episode.home_in_doubt);
        Wish {
            route: self.route,
            prewarm: self.policy.prewarm && auto && matches!(self.phase, Phase::Suspect { .. }),
            hold_redirect: auto && !in_doubt && matches!(self.phase, Phase::Recovering { .. }),
            observed_enough: self.observed_enough,
            may_roll_back: self.may_roll_back(),
        }
    }

    /// The episode ends when home serves and every toggle rests.
    fn end_episode(&mut self, now: Now) {
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

    /// Starts what is due: operations on toggles, then looks.
    fn start(&mut self, alarms: &mut Alarms, now: Now) -> Vec<Effect> {
        let may_write = self.may_write && !matches!(self.mode, Mode::Paused { .. });
        let mut actions = self.reconciler.actions(may_write, &self.policy, alarms);
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

    /// How often to look through an eye now; `None`: not at all.
    fn cadence(&self, eye: Eye, alarms: &mut Alarms) -> Option<Cadence> {
        let interval = self.policy.interval;
        let steady = |every| Cadence {
            every,
            overlap: 1,
            anew_since: Instant::ZERO,
        };
        match eye {
            Eye::Mirror => {
                let asked = self.judge.wants_mirror() || self.ask_mirror;
                asked.then_some(steady(Duration::ZERO))
            }
            Eye::Visitor => Some(self.visitor_cadence(alarms)),
            Eye::Standby => self.standby_cadence(alarms),
            Eye::Edge => {
                let useful = self.layout.edge_eye && !self.reconciler.visitor_judges_home();
                useful.then_some(steady(interval))
            }
        }
    }

    fn visitor_cadence(&self, alarms: &mut Alarms) -> Cadence {
        let interval = self.policy.interval;
        if let Proof::Out { waited } | Proof::Home { waited } = self.reconciler.proof() {
            // A look that was sent before the edge followed may hang for many seconds: the next ones go out beside it, ever more slowly.
            let every = (waited.read(alarms.now()) / 4)
                .min(interval)
                .max(self.policy.confirm_interval);
            return Cadence {
                every,
                overlap: MOST_IN_FLIGHT,
                anew_since: self.reconciler.moved_at(),
            };
        }
        let failing = self.judge.last_outcome().is_some_and(|outcome| !outcome.is_ok());
        let in_doubt = matches!(self.phase, Phase::Suspect { .. }) || (failing && self.route == Route::Origin);
        let waiting = self.route == Route::Standby && self.reconciler.proof() != Proof::OutProven;
        if in_doubt || waiting {
            return Cadence {
                every: interval,
                overlap: 3,
                anew_since: self.phase_since,
            };
        }
        Cadence {
            every: self.policy.visitor_interval,
            overlap: 1,
            anew_since: Instant::ZERO,
        }
    }

    fn standby_cadence(&self, alarms: &mut Alarms) -> Option<Cadence> {
        let wanted = self.route == Route::Standby || self.wish().prewarm;
        if !wanted || self.reconciler.proof() == Proof::OutProven {
            return None;
        }
        let standby = self.reconciler.standby();
        let opened = self.reconciler.configured(Role::Gate) == Some(Position::On) || !self.reconciler.has(Role::Gate);
        let slow = !opened
            || standby.is_suspect()
            || standby.is_proven(proof_fresh(&self.policy), alarms.now())
            || self.reconciler.patience_is_spent(&self.policy, alarms);
        let every = if standby.is_half_seen() {
            Duration::ZERO
        } else if slow {
            self.policy.interval
        } else {
            self.policy.confirm_interval
        };
        Some(Cadence {
            every,
            overlap: 1,
            anew_since: self.reconciler.opened_at(),
        })
    }
}
