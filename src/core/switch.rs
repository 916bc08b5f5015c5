//! One toggle under control: what it should be, what it is, what is in flight, when to try again.

use super::drift::{DriftReply, Ended};
use super::flight::{Flight, Trouble};
use super::jitter::Jitter;
use super::machine::DriftPolicy;
use super::ring::{Action, OpId};
use super::snapshot::ToggleRecord;
use super::time::{Alarms, Duration, Instant, Stopwatch};
use super::toggles::{Failure, FailureKind, Observed, Position, Role, Route, ToggleKey};

/// Repairs of a drifted toggle in [`REPAIR_WINDOW`]; then it is left alone.
const MOST_REPAIRS: usize = 3;
/// The window of [`MOST_REPAIRS`].
const REPAIR_WINDOW: Duration = Duration::from_secs(3600);
/// A write without an answer may still be applied late: read again this long after it, besides at once.
const ECHOES: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(120)];
/// After this long a write without an answer is not coming true any more; the last of [`ECHOES`] has been read by then.
const ECHO_UNTIL: Duration = Duration::from_secs(180);
/// People are told of a toggle that cannot be moved for this long.
const STUCK_AFTER: Duration = Duration::from_secs(120);

/// What visitors see may lag behind the record for this long.
pub const SETTLING: Duration = Duration::from_secs(600);
/// A hint from outside makes a toggle be read again at most this often.
const DOUBT_EVERY: Duration = Duration::from_secs(60);

/// One toggle under control.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Switch {
    key: ToggleKey,
    desired: Option<Position>,
    /// Read back at `desired` since that was last wished.
    settled: bool,
    observed: Observed,
    read_at: Option<Instant>,
    doubted_at: Option<Instant>,
    flight: Option<Flight>,
    /// What the shared resource was last told that this site wants.
    declared: Option<Position>,
    /// The last write that was sent, perhaps without an answer, told it to go off.
    told_off: bool,
    trouble: Option<Trouble>,
    not_before: Instant,
    /// The provider (or our own budget) wants no call before this.
    asked_to_wait: Instant,
    /// Our own budget allows no routine read before this.
    reads_from: Instant,
    echoes: Vec<Instant>,
    /// The position of a write without an answer, and until when it may come true unasked.
    unanswered: Option<(Position, Instant)>,
    /// Time since it was told to go on, while it may be on.
    on_for: Option<Stopwatch>,
    /// When it was last told to go on without being known to be: from then at the earliest it is on, if it is.
    opening: Option<Instant>,
    /// Time since the telling that put it on.
    opened_for: Option<Stopwatch>,
    /// Time since it was read off after it may have been on.
    off_for: Option<Stopwatch>,
    repairs: Vec<Instant>,
    /// People were told that somebody else moved it, and it is not put back.
    left_alone: Option<DriftReply>,
    /// Somebody else put it on, and it is to go off again.
    found_on: bool,
    /// When it was last told to go off, or first read off.
    off_at: Option<Instant>,
    /// Lapsing positions are set again from here on.
    renew_at: Option<Instant>,
}

impl Switch {
    /// A switch that nothing is known of.
    pub const fn new(key: ToggleKey) -> Self {
        Self {
            key,
            desired: None,
            settled: false,
            observed: Observed::UNKNOWN,
            read_at: None,
            doubted_at: None,
            flight: None,
            declared: None,
            told_off: false,
            trouble: None,
            not_before: Instant::ZERO,
            asked_to_wait: Instant::ZERO,
            reads_from: Instant::ZERO,
            echoes: Vec::new(),
            unanswered: None,
            on_for: None,
            opening: None,
            opened_for: None,
            off_for: None,
            repairs: Vec::new(),
            left_alone: None,
            found_on: false,
            off_at: None,
            renew_at: None,
        }
    }

    /// Takes up what was saved: intent, not position. Unless it had come to rest, a write may still be on its way.
    /// An off of the redirect on a way home that was taken back is no intent any more: where it is found decides.
    pub fn restore(&mut self, record: &ToggleRecord, route: Route, now: Instant) {
        let taken_back = self.key.role == Role::Redirect && route == Route::Standby && record.desired == Position::Off;
        self.desired = (!taken_back).then_some(record.desired);
        self.settled = record.settled && !taken_back;
        self.told_off = record.desired == Position::Off;
        self.on_for = record.on_for.map(|shown| Stopwatch::stopped(shown).mark(now));
        self.off_for = record.off_for.map(|shown| Stopwatch::stopped(shown).mark(now));
        if !record.settled {
            self.expect_echo(record.desired.other(), now);
        }
    }

    /// What is to be saved; nothing before the first wish.
    pub fn record(&self, now: Instant) -> Option<ToggleRecord> {
        Some(ToggleRecord {
            key: self.key,
            desired: self.desired?,
            settled: self.settled,
            // Told to go off since: if it has to go on again after a restart, patience begins anew.
            on_for: self
                .on_for()
                .map(|watch| if self.told_off { Duration::ZERO } else { watch.read(now) }),
            off_for: self.off_for.map(|watch| watch.read(now)),
        })
    }

    /// Which toggle this is.
    pub const fn key(&self) -> ToggleKey {
        self.key
    }

    /// Where it should be.
    pub const fn desired(&self) -> Option<Position> {
        self.desired
    }

    /// Whether it was read back at the desired position.
    pub const fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether an operation is in flight.
    pub const fn is_busy(&self) -> bool {
        self.flight.is_some()
    }

    /// What is known; nothing while a write is in flight.
    pub const fn trusted(&self) -> Observed {
        if self.is_writing() {
            Observed::UNKNOWN
        } else {
            self.observed
        }
    }

    /// The provider's record, if it can be trusted.
    pub const fn configured(&self) -> Option<Position> {
        self.trusted().configured
    }

    /// Whether a write is in flight.
    pub const fn is_writing(&self) -> bool {
        matches!(
            self.flight,
            Some(Flight {
                action: Action::Set(..),
                ..
            })
        )
    }

    /// Time since it was told to go on, unless it was told to go off since.
    pub fn open_for(&self) -> Option<Stopwatch> {
        self.on_for.filter(|_| !self.told_off)
    }

    /// Time since it went on, as far as that is known, or else since it was last told to; while it may be on.
    pub fn on_for(&self) -> Option<Stopwatch> {
        let perhaps = self.opening.map(Stopwatch::running);
        self.opened_for.or(perhaps).or(self.on_for)
    }

    /// Time since it was read off after it may have been on.
    pub const fn off_for(&self) -> Option<Stopwatch> {
        self.off_for
    }

    /// Whether it may be on: told to, or read on, and not read off since.
    pub const fn may_be_on(&self) -> bool {
        self.on_for.is_some()
    }

    /// Whether this site's own wish keeps it on, whoever else's does.
    pub fn is_claimed(&self) -> bool {
        self.declared == Some(Position::On)
    }

    /// Whether it was moved by others too often, or drift is only reported.
    pub const fn is_left_alone(&self) -> bool {
        self.left_alone.is_some()
    }

    /// The last failure and since when operations fail.
    pub fn failing(&self) -> Option<(FailureKind, Instant)> {
        self.trouble.map(|trouble| (trouble.kind, trouble.since))
    }

    /// Whether what visitors see may still be the effect of an off that is spreading.
    pub fn may_be_settling_off(&self, now: Instant) -> bool {
        self.off_at.is_some_and(|at| now.since(at) < SETTLING)
    }

    /// Whether somebody else put it on, and it is to go off again.
    pub const fn is_found_on(&self) -> bool {
        self.found_on
    }

    /// Wishes it to be at `position`.
    pub fn want(&mut self, position: Position) {
        if self.desired != Some(position) {
            self.desired = Some(position);
            self.left_alone = None;
            self.found_on = false;
            self.settled = self.configured() == Some(position);
        }
    }

    /// Turns to it at once, whatever delay a retry stands at: something outside hints that it is not where it should be.
    /// A hint that goes on counts once a minute; what the provider asked to wait is waited.
    pub fn doubt(&mut self, now: Instant) {
        let rested = self.doubted_at.is_none_or(|at| now.since(at) >= DOUBT_EVERY);
        if rested && self.flight.is_none() {
            self.doubted_at = Some(now);
            self.read_at = None;
            self.not_before = self.asked_to_wait.max(now);
        }
    }

    /// What to start now, if anything. Writes only if `may_write`.
    pub fn next_action(&mut self, may_write: bool, verify_every: Duration, alarms: &mut Alarms) -> Option<Action> {
        if self.flight.is_some() || !alarms.passed(self.not_before) {
            return None;
        }
        if let Some(wanted) = self.desired
            && may_write
            && self.left_alone.is_none()
            && self.must_set(wanted, alarms)
        {
            return Some(Action::Set(self.key, wanted));
        }
        self.must_read(verify_every, alarms)
            .then_some(Action::Observe(self.key))
    }

    /// A set reads first, so an unknown position needs no read of its own. What is believed settled is read, not set.
    /// A new wish is declared once even if the position is already right: the resource may be shared.
    fn must_set(&self, wanted: Position, alarms: &mut Alarms) -> bool {
        match self.observed.configured {
            None => !self.settled,
            _ if self.declared != Some(wanted) => true,
            Some(is) if is != wanted => !(wanted == Position::Off && self.observed.held_by_other),
            Some(_) => wanted == Position::On && self.renew_at.is_some_and(|at| alarms.passed(at)),
        }
    }

    fn must_read(&mut self, verify_every: Duration, alarms: &mut Alarms) -> bool {
        if !alarms.passed(self.reads_from) {
            return false;
        }
        let echo = self.echoes.first().is_some_and(|at| alarms.passed(*at));
        let stale = self.read_at.is_none_or(|at| alarms.passed(at + verify_every));
        echo || stale || self.observed.configured.is_none()
    }

    /// Notes that `action` is in flight now.
    pub fn begin(&mut self, id: OpId, action: Action, now: Instant) {
        self.echoes.retain(|at| *at > now);
        if let Action::Set(_, position) = action {
            let opens_anew = position == Position::On && (self.told_off || self.on_for.is_none());
            let may_be_on = self.on_for.is_none() && self.observed.configured.is_none();
            if opens_anew || may_be_on {
                self.on_for = Some(Stopwatch::running(now));
                self.opened_for = None;
                self.off_for = None;
            }
            let known_on = self.observed.configured == Some(Position::On);
            self.opening = (position == Position::On && !known_on).then_some(now);
            self.declared = Some(position);
            self.told_off = position == Position::Off;
            self.off_at = self.told_off.then_some(now).or(self.off_at);
        }
        self.flight = Some(Flight { id, action });
    }

    /// Takes the end of an operation.
    pub fn end(
        &mut self,
        id: OpId,
        result: Result<Observed, Failure>,
        drift: DriftPolicy,
        jitter: &mut Jitter,
        now: Instant,
    ) -> Ended {
        let Some(flight) = self.flight.take_if(|flight| flight.id == id) else {
            return Ended::NotMine;
        };
        match result.and_then(|observed| flight.checked(observed)) {
            Ok(observed) => self.know(observed, drift, now),
            Err(failure) => {
                self.fail(flight.action, failure, jitter, now);
                Ended::Failed
            }
        }
    }

    fn know(&mut self, observed: Observed, drift: DriftPolicy, now: Instant) -> Ended {
        let went_off = observed.configured == Some(Position::Off) && self.observed.configured != Some(Position::Off);
        self.off_at = went_off.then_some(now).or(self.off_at);
        let first = self.read_at.is_none() && self.observed.configured.is_none();
        let lapsing = self.renew_at.is_some() || first;
        self.trouble = None;
        self.not_before = now;
        self.read_at = Some(now);
        self.observed = observed;
        self.renew_at = observed.lapses_in.map(|left| now + left / 2);
        match observed.configured {
            Some(Position::On) => {
                self.off_for = None;
                self.on_for = self.on_for.or(Some(Stopwatch::running(now)));
                self.opened_for = self.opening.take().map(Stopwatch::running).or(self.opened_for);
            }
            Some(Position::Off) => {
                (self.opening, self.opened_for) = (None, None);
                if self.on_for.take().is_some() {
                    self.off_for = Some(Stopwatch::running(now));
                }
            }
            None => {}
        }
        let released = observed.held_by_other && self.desired == Some(Position::Off);
        if observed.configured == self.desired || released {
            self.settled = self.desired.is_some();
            self.left_alone = None;
            self.found_on = false;
            return Ended::Known;
        }
        match observed.configured {
            Some(found) if self.settled && self.moved_by_itself(found, lapsing, now) => {
                self.settled = false;
                Ended::Known
            }
            Some(found) if self.settled => self.answer_drift(found, drift, now),
            _ => Ended::Known,
        }
    }

    /// Nobody else did it: a snooze ran out (perhaps while we were away), or our own write came true late.
    fn moved_by_itself(&self, found: Position, lapsing: bool, now: Instant) -> bool {
        let lapsed = lapsing && self.key.role == Role::Silence && found == Position::Off;
        let echoed = self
            .unanswered
            .is_some_and(|(position, until)| position == found && now <= until);
        lapsed || echoed
    }

    /// Tells once what is done about it; a limit that time or a new policy has lifted is decided anew.
    fn answer_drift(&mut self, found: Position, drift: DriftPolicy, now: Instant) -> Ended {
        self.repairs.retain(|at| now.since(*at) < REPAIR_WINDOW);
        let reply = match drift {
            DriftPolicy::Report => DriftReply::Report,
            DriftPolicy::Repair if self.repairs.len() >= MOST_REPAIRS => DriftReply::Limit,
            DriftPolicy::Repair => DriftReply::Repair,
        };
        if self.left_alone == Some(reply) {
            return Ended::Known;
        }
        if reply == DriftReply::Repair {
            self.repairs.push(now);
            self.settled = false;
            self.found_on = found == Position::On;
            self.left_alone = None;
        } else {
            self.left_alone = Some(reply);
        }
        Ended::Drifted { found, reply }
    }

    /// A failed write makes the position unknown, unless our own budget kept it here; one without an answer may still come true later.
    fn fail(&mut self, action: Action, failure: Failure, jitter: &mut Jitter, now: Instant) {
        if matches!(action, Action::Observe(_)) && failure.kind == FailureKind::HeldBack {
            // A routine read that waits its turn is no trouble, and a write that is needed does not wait with it.
            self.reads_from = now + jitter.delay(failure, 1);
            return;
        }
        let attempts = self.trouble.map_or(1, |trouble| trouble.attempts.saturating_add(1));
        let since = self.trouble.map_or(now, |trouble| trouble.since);
        let told = self.trouble.is_some_and(|trouble| trouble.told);
        self.trouble = Some(Trouble {
            since,
            attempts,
            kind: failure.kind,
            told,
        });
        self.not_before = now + jitter.delay(failure, attempts);
        self.asked_to_wait = now + failure.retry_after.unwrap_or_default();
        if let Action::Set(_, position) = action
            && failure.kind != FailureKind::HeldBack
        {
            self.observed = Observed {
                held_by_other: self.observed.held_by_other,
                ..Observed::default()
            };
            if failure.kind == FailureKind::NoAnswer {
                self.expect_echo(position, now);
            }
        }
    }

    /// A write that nobody waits for any more may still come true.
    fn expect_echo(&mut self, position: Position, now: Instant) {
        self.echoes = ECHOES.iter().map(|after| now + *after).collect();
        self.unanswered = Some((position, now + ECHO_UNTIL));
    }

    /// Whether people have to be told now that it is stuck: once per run of failures.
    pub fn newly_stuck(&mut self, alarms: &mut Alarms) -> Option<(Position, FailureKind)> {
        let moving = !self.settled || self.observed.configured.is_none();
        let trouble = self
            .trouble
            .as_mut()
            .filter(|trouble| !trouble.told && (moving || trouble.kind.needs_a_person()))?;
        if !trouble.kind.needs_a_person() && !alarms.passed(trouble.since + STUCK_AFTER) {
            return None;
        }
        trouble.told = true;
        Some((self.desired.unwrap_or(Position::Off), trouble.kind))
    }

    /// Whether people were told that it is stuck.
    pub fn is_told_stuck(&self) -> bool {
        self.trouble.is_some_and(|trouble| trouble.told)
    }
}
