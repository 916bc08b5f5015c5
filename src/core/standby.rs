//! What the standby shows to a visitor: proven, refusing or broken.

use super::evidence::{Breakage, View};
use super::status::Seen;
use super::time::{Duration, Instant};

/// Good answers in a row that prove the standby.
const GOOD_IN_A_ROW: u32 = 2;
/// Bad tries before the standby counts as broken ...
const BROKEN_TRIES: u32 = 3;
/// ... and the time over which they have to spread.
const BROKEN_AFTER: Duration = Duration::from_secs(30);
/// Looks further apart than this do not belong to one run.
const SAME_RUN: Duration = Duration::from_secs(120);

/// Remembers what the standby showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StandbyWatch {
    last: Option<Seen>,
    good: u32,
    bad: Option<Bad>,
}

/// A run of bad tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Bad {
    since: Instant,
    tries: u32,
    broken: bool,
}

impl StandbyWatch {
    /// A look at the standby ended, through its own eye or at the end of a redirect.
    pub fn saw(&mut self, view: View, sent_at: Instant, now: Instant) {
        if self.last.is_some_and(|last| sent_at < last.at) {
            return;
        }
        if self.last.is_some_and(|last| sent_at.since(last.at) > SAME_RUN) {
            self.begin_anew();
        }
        self.last = Some(Seen { view, at: sent_at });
        match view {
            View::Standby => {
                self.good = self.good.saturating_add(1);
                self.bad = None;
            }
            View::Shut | View::Overloaded => {
                self.good = 0;
                self.bad = None;
            }
            View::StandbyBroken(breakage) => self.saw_broken(breakage, sent_at, now),
            View::Loop | View::Nothing => self.good = 0,
            View::Home
            | View::EdgeLostHome(_)
            | View::HomeBroken(_)
            | View::EdgeBroken
            | View::Cached
            | View::Blocked => {}
        }
    }

    /// Two good answers in a row, the last one not older than `fresh`.
    pub fn is_proven(&self, fresh: Duration, now: Instant) -> bool {
        self.is_seen() && self.last.is_some_and(|last| now.since(last.at) <= fresh)
    }

    /// Two good answers in a row, however long ago.
    pub const fn is_seen(&self) -> bool {
        self.good >= GOOD_IN_A_ROW
    }

    /// One good answer, and the next one proves it: look again at once.
    pub fn is_half_seen(&self) -> bool {
        self.good > 0 && !self.is_seen() && self.last.is_some_and(|last| last.view == View::Standby)
    }

    /// Answered badly three times over half a minute, or with a wrong certificate even once.
    pub fn is_broken(&self) -> bool {
        self.bad.is_some_and(|bad| bad.broken)
    }

    /// The last try was bad (broken or not yet known to be).
    pub const fn is_suspect(&self) -> bool {
        self.bad.is_some()
    }

    /// What was seen last.
    pub const fn last(&self) -> Option<Seen> {
        self.last
    }

    /// The gate moves: what was seen before says nothing any more.
    pub fn begin_anew(&mut self) {
        self.good = 0;
        self.bad = None;
    }

    fn saw_broken(&mut self, breakage: Breakage, sent_at: Instant, now: Instant) {
        self.good = 0;
        let mut bad = self.bad.unwrap_or(Bad {
            since: sent_at,
            tries: 0,
            broken: false,
        });
        bad.tries = bad.tries.saturating_add(1);
        bad.broken = bad.broken
            || breakage == Breakage::Certificate
            || (bad.tries >= BROKEN_TRIES && now.since(bad.since) >= BROKEN_AFTER);
        self.bad = Some(bad);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Instant {
        Instant::at(Duration::from_secs(secs))
    }

    #[test]
    fn r06_two_good_answers_in_a_row_prove_the_standby_and_a_refusal_between_them_does_not() {
        let mut watch = StandbyWatch::default();
        for (secs, view) in [(1, View::Standby), (2, View::Shut), (3, View::Standby)] {
            watch.saw(view, at(secs), at(secs));
        }
        assert!(!watch.is_proven(Duration::from_secs(10), at(3)));
        watch.saw(View::Standby, at(4), at(4));
        assert!(watch.is_proven(Duration::from_secs(10), at(4)));
        assert!(
            !watch.is_proven(Duration::from_secs(10), at(15)),
            "an old proof proves nothing"
        );
    }

    #[test]
    fn r07_a_standby_is_broken_after_three_tries_over_thirty_seconds_but_a_wrong_certificate_at_once() {
        let mut watch = StandbyWatch::default();
        for secs in [0, 5, 10] {
            watch.saw(View::StandbyBroken(Breakage::Status(503)), at(secs), at(secs));
        }
        assert!(!watch.is_broken(), "three tries, but only ten seconds");
        watch.saw(View::StandbyBroken(Breakage::Silent), at(25), at(30));
        assert!(watch.is_broken());
        watch.saw(View::Overloaded, at(31), at(31));
        assert!(!watch.is_broken(), "429 is overload, not broken");
        watch.saw(View::StandbyBroken(Breakage::Certificate), at(32), at(32));
        assert!(watch.is_broken());
    }
}
