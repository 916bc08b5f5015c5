//! Outcomes of the origin eye, the visitor eye and the mirror, made into a verdict: two eyes and a mirror.

use super::evidence::{Cause, ClockCheck, Failing, Outcome, Reflection, Sighting, Verdict, View, Why};
use super::machine::Round;
use super::time::{Duration, Instant};

/// At most this many failed probes wait for the mirror; more would say nothing new.
const MOST_WAITING: usize = 16;

/// Whether our own uplink works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// It does, in every faculty that was used.
    Ok,
    /// It does not, or nothing proves it.
    Dark,
}

/// What the visitor eye contributes while the redirect is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Home's marker, fresh.
    Home,
    /// The edge cannot reach home.
    EdgeLostHome,
    /// Home's own error, or a page without home's marker.
    AppBroken,
    /// The edge's own trouble.
    EdgeBroken,
    /// Pending, cached, challenged, or the redirect is (or may be) on.
    Nothing,
}

/// Rule 3's table, row by row.
pub const fn verdict(mirror: Mirror, evidence: Evidence, origin: Outcome) -> (Verdict, Cause) {
    match (mirror, evidence, origin) {
        (Mirror::Dark, _, _) => (Verdict::Unknown, Cause::OwnUplink),
        (Mirror::Ok, Evidence::Home | Evidence::Nothing, Outcome::Ok) => (Verdict::Up, Cause::HomeServes),
        (Mirror::Ok, Evidence::Home, Outcome::Failed(_)) => (Verdict::Up, Cause::OwnPath),
        (Mirror::Ok, Evidence::EdgeLostHome, Outcome::Ok) => (Verdict::Down, Cause::EdgeLostHome),
        (Mirror::Ok, Evidence::AppBroken, Outcome::Ok) => (Verdict::Down, Cause::AppBroken),
        (Mirror::Ok, Evidence::EdgeBroken, Outcome::Ok) => (Verdict::Unknown, Cause::EdgeBroken),
        // A challenged probe says nothing of home: with no other evidence nothing is known.
        (Mirror::Ok, Evidence::EdgeBroken | Evidence::Nothing, Outcome::Failed(Failing { why: Why::Blocked, .. })) => {
            (Verdict::Unknown, Cause::Origin(Why::Blocked))
        }
        (
            Mirror::Ok,
            Evidence::EdgeLostHome | Evidence::AppBroken | Evidence::EdgeBroken | Evidence::Nothing,
            Outcome::Failed(failing),
        ) => (Verdict::Down, Cause::Origin(failing.why)),
    }
}

/// The durations that the judge goes by at the moment.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A reflection counts for this long after it came.
    pub mirror_fresh: Duration,
    /// A sight of home counts against a failing origin eye for this long after it was taken.
    pub home_fresh: Duration,
}

/// A round with what people are told about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// What the machine counts.
    pub round: Round,
    /// Why.
    pub cause: Cause,
}

/// One probe that was counted or waits for the mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Try {
    sent_at: Instant,
    scheduled: bool,
    outcome: Outcome,
}

/// A sighting and when its look was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sight {
    sent_at: Instant,
    sighting: Sighting,
}

/// Remembers the latest evidence of each eye.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Judge {
    mirror: Option<(Instant, Reflection)>,
    visitor: Option<Sight>,
    edge: Option<Sight>,
    /// The newest probe that was counted.
    last: Option<Try>,
    /// When the first probe of the present run of failures was sent.
    failing_since: Option<Instant>,
    waiting: Vec<Try>,
    /// Whether only the edge eye can tell that home is back for visitors.
    edge_decides: bool,
    /// What was sent before this saw another world: the clocks jumped since.
    counts_from: Instant,
}

impl Judge {
    /// A probe ended. `None`: it is older than the newest one counted, or waits for the mirror ([`Judge::wants_mirror`]).
    pub fn probed(
        &mut self,
        sent_at: Instant,
        scheduled: bool,
        outcome: Outcome,
        limits: Limits,
        now: Instant,
    ) -> Option<Ruling> {
        if sent_at < self.counts_from || self.last.is_some_and(|last| sent_at < last.sent_at) {
            return None;
        }
        let probe = Try {
            sent_at,
            scheduled,
            outcome,
        };
        if outcome.is_ok() {
            self.waiting.retain(|waits| waits.sent_at > sent_at);
            return Some(self.count(probe, limits, now));
        }
        if self.mirror_is_stale(limits, now) {
            if self.waiting.len() < MOST_WAITING {
                self.waiting.push(probe);
            }
            return None;
        }
        Some(self.count(probe, limits, now))
    }

    /// Whether a failed probe waits for the references' answer.
    pub const fn wants_mirror(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The references answered, or did not: what waited is judged now, in order.
    pub fn mirrored(&mut self, said: Reflection, limits: Limits, now: Instant) -> Vec<Ruling> {
        self.mirror = Some((now, said));
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|probe| probe.sent_at);
        waiting
            .into_iter()
            .filter_map(|probe| {
                let newest = self.last.is_none_or(|last| last.sent_at <= probe.sent_at);
                newest.then(|| self.count(probe, limits, now))
            })
            .collect()
    }

    /// The visitor eye saw the public URL while the redirect was off: the last probe is judged again with that.
    pub fn saw_visitor(
        &mut self,
        sent_at: Instant,
        sighting: Sighting,
        limits: Limits,
        now: Instant,
    ) -> Option<Ruling> {
        if sent_at < self.counts_from || self.visitor.is_some_and(|sight| sent_at < sight.sent_at) {
            return None;
        }
        self.visitor = Some(Sight { sent_at, sighting });
        let last = self.last?;
        if !last.outcome.is_ok() && self.mirror_is_stale(limits, now) {
            return None;
        }
        let evidence = self.evidence(limits, now);
        if evidence == Evidence::Nothing {
            return None;
        }
        let (verdict, cause) = self.judge(last.outcome, limits, now);
        Some(Ruling {
            round: Round {
                verdict,
                sent_at,
                scheduled: false,
            },
            cause,
        })
    }

    /// The edge eye saw a page that the redirect excludes.
    pub fn saw_edge(&mut self, sent_at: Instant, sighting: Sighting) {
        if sent_at >= self.counts_from && self.edge.is_none_or(|sight| sight.sent_at <= sent_at) {
            self.edge = Some(Sight { sent_at, sighting });
        }
    }

    /// The redirect moved: what the visitor eye saw before says nothing any more.
    pub fn forget_visitor(&mut self) {
        self.visitor = None;
    }

    /// The edge eye rests: by the time that it is asked again, what it saw says nothing any more.
    pub const fn forget_edge(&mut self) {
        self.edge = None;
    }

    /// The clocks jumped: no evidence from before counts, nor an answer to what was sent before.
    pub fn gap(&mut self, now: Instant) {
        *self = Self {
            last: self.last,
            edge_decides: self.edge_decides,
            counts_from: now,
            ..Self::default()
        };
    }

    /// Says whether home counts as up only when the edge eye sees it too.
    pub const fn let_edge_decide(&mut self, edge_decides: bool) {
        self.edge_decides = edge_decides;
    }

    /// The last probe that was counted.
    pub fn last_outcome(&self) -> Option<Outcome> {
        self.last.map(|last| last.outcome)
    }

    /// What the edge eye saw last.
    pub fn edge_view(&self) -> Option<View> {
        self.edge.map(|sight| sight.sighting.view)
    }

    /// What the last reflection said of the wall clock.
    pub fn clock(&self) -> Option<ClockCheck> {
        self.mirror.map(|(_, said)| said.clock)
    }

    fn count(&mut self, probe: Try, limits: Limits, now: Instant) -> Ruling {
        self.failing_since = match probe.outcome {
            Outcome::Ok => None,
            Outcome::Failed(_) => self.failing_since.or(Some(probe.sent_at)),
        };
        self.last = Some(probe);
        let (verdict, cause) = self.judge(probe.outcome, limits, now);
        Ruling {
            round: Round {
                verdict,
                sent_at: probe.sent_at,
                scheduled: probe.scheduled,
            },
            cause,
        }
    }

    fn judge(&self, outcome: Outcome, limits: Limits, now: Instant) -> (Verdict, Cause) {
        let judged = verdict(self.mirror(outcome, limits, now), self.evidence(limits, now), outcome);
        match judged {
            (Verdict::Up, Cause::HomeServes) if self.edge_decides && self.edge_view() != Some(View::Home) => {
                (Verdict::Down, Cause::EdgeLostHome)
            }
            judged => judged,
        }
    }

    fn mirror_is_stale(&self, limits: Limits, now: Instant) -> bool {
        self.mirror.is_none_or(|(came_at, said)| {
            let fresh = if said.answered == 0 {
                limits.home_fresh
            } else {
                limits.mirror_fresh
            };
            now.since(came_at) >= fresh
        })
    }

    /// A success needs nothing proven; a failure needs every faculty that it used.
    fn mirror(&self, outcome: Outcome, limits: Limits, now: Instant) -> Mirror {
        let fresh = self
            .mirror
            .filter(|_| !self.mirror_is_stale(limits, now))
            .map(|(_, said)| said);
        let Some(said) = fresh else {
            return if outcome.is_ok() { Mirror::Ok } else { Mirror::Dark };
        };
        let proven = match outcome {
            Outcome::Ok => true,
            Outcome::Failed(Failing { used, .. }) => said.proven.prove(used),
        };
        if said.answered > 0 && proven && said.clock != ClockCheck::Contradicts {
            Mirror::Ok
        } else {
            Mirror::Dark
        }
    }

    /// A bad sight holds until a newer look has ended; a sight of home has to be taken during the present failure and be fresh.
    fn evidence(&self, limits: Limits, now: Instant) -> Evidence {
        let Some(Sight { sent_at, sighting }) = self.visitor else {
            return Evidence::Nothing;
        };
        match sighting.view {
            View::Home => {
                let in_time = self.failing_since.is_none_or(|since| sent_at >= since);
                if in_time && now.since(sent_at) <= limits.home_fresh {
                    Evidence::Home
                } else {
                    Evidence::Nothing
                }
            }
            View::EdgeLostHome(_) => Evidence::EdgeLostHome,
            View::HomeBroken(_) => Evidence::AppBroken,
            View::EdgeBroken => Evidence::EdgeBroken,
            View::Standby
            | View::Shut
            | View::StandbyBroken(_)
            | View::Overloaded
            | View::Loop
            | View::Cached
            | View::Blocked
            | View::Nothing => Evidence::Nothing,
        }
    }
}
