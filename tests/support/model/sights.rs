//! What each eye sees of the world.

use std::time::Duration;

use pilotlight::core::{Faculties, Failing, Outcome, Part, Position, Sighting, View, Why};
use pilotlight::probe::schedule::Dispatch;

use super::{CLEAR, Home, Pending, Standby, World, secs};

/// A probe of a healthy home takes this long.
pub const WELL_TAKES: Duration = Duration::from_millis(50);

impl World {
    /// What a visitor gets now, and after how long.
    pub fn visit(&self) -> Sighting {
        self.visit_if(self.redirects())
    }

    /// The same, by somebody who knows whether the edge redirects.
    pub(super) fn visit_if(&self, redirected: bool) -> Sighting {
        let quick = Duration::from_millis(100);
        let seen = |view, redirect, took| Sighting { view, redirect, took };
        if !self.edge_works {
            return seen(View::EdgeBroken, None, secs(2));
        }
        if self.loops && redirected {
            return seen(View::Loop, Some(Position::On), quick);
        }
        if redirected {
            return seen(self.standby_view(), Some(Position::On), quick);
        }
        if self.edge_blocks {
            return seen(View::Blocked, Some(Position::Off), quick);
        }
        if self.edge_caches {
            return seen(View::Cached, Some(Position::Off), quick);
        }
        match self.home {
            Home::Serving | Home::OwnPathBroken | Home::BadCertificate => seen(View::Home, Some(Position::Off), quick),
            Home::Silent => seen(View::EdgeLostHome(522), Some(Position::Off), self.slow_edge),
            Home::Refusing | Home::EdgeLost => seen(View::EdgeLostHome(521), Some(Position::Off), quick),
            Home::AppBroken => seen(View::HomeBroken(500), Some(Position::Off), quick),
        }
    }

    /// What the standby shows now.
    pub fn standby_view(&self) -> View {
        match (self.gate_open(), self.standby) {
            (false, _) => View::Shut,
            (true, Standby::Serving) => View::Standby,
            (true, Standby::Overloaded) => View::Overloaded,
            (true, Standby::Broken(breakage)) => View::StandbyBroken(breakage),
        }
    }

    /// Nothing keeps an eye or the references from saying how home is.
    pub(super) fn all_eyes_are_clear(&self) -> bool {
        !self.cut_off
            && self.mirror == CLEAR
            && self.edge_works
            && !self.edge_blocks
            && !self.edge_caches
            && !self.loops
    }

    pub(super) fn send_probe(&mut self, dispatch: Dispatch) {
        let used = Faculties {
            resolver: true,
            ipv4: true,
            ..Faculties::default()
        };
        let failed = |why| Outcome::Failed(Failing { why, used });
        let timeout = Duration::from_secs(4).min(self.policy.interval * 4 / 5);
        let (outcome, took) = match self.home {
            _ if self.cut_off || self.mirror.answered == 0 => (failed(Why::Dns), Duration::from_millis(10)),
            Home::Serving | Home::EdgeLost | Home::AppBroken => (Outcome::Ok, WELL_TAKES),
            Home::Silent | Home::OwnPathBroken => (failed(Why::Timeout(Part::Connect)), timeout),
            Home::Refusing => (failed(Why::Refused), Duration::from_millis(5)),
            Home::BadCertificate => (failed(Why::Certificate), Duration::from_millis(50)),
        };
        let sent_at = self.now;
        self.later(
            took,
            Pending::Probe {
                number: dispatch.number,
                sent_at,
                scheduled: dispatch.scheduled,
                outcome,
            },
        );
    }
}
