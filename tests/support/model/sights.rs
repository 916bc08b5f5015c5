//! What each eye sees of the world.

use std::time::Duration;

use pilotlight::core::{
    Faculties, Failing, Instant, Observed, Outcome, Position, Role, Sighting, ToggleKey, View, Why,
};

use super::{GATE, Home, Pending, REDIRECT, Standby, World, secs};

impl World {
    /// Whether visitors get into the standby now.
    pub fn gate_open(&self) -> bool {
        self.lagged(GATE, self.propagation) == Position::On
    }

    /// Whether the edge redirects visitors now.
    pub fn redirects(&self) -> bool {
        self.lagged(REDIRECT, self.edge_lag) == Position::On
    }

    pub(super) fn lagged(&self, key: ToggleKey, lag: Duration) -> Position {
        let Some(remote) = self.remotes.get(&key) else {
            return if key == GATE { Position::On } else { Position::Off };
        };
        let settled = self.now.since(remote.moved_at) >= lag || remote.moved_at == Instant::ZERO;
        match (remote.position, settled) {
            (position, true) => position,
            (Position::On, false) => Position::Off,
            (Position::Off, false) => Position::On,
        }
    }

    /// What a visitor gets now, and after how long.
    pub fn visit(&self) -> (Sighting, Duration) {
        let quick = Duration::from_millis(100);
        let seen = |view, redirect, took| (Sighting { view, redirect, took }, took);
        if !self.edge_works {
            return seen(View::EdgeBroken, None, secs(2));
        }
        if self.loops && self.redirects() {
            return seen(View::Loop, Some(Position::On), quick);
        }
        if self.redirects() {
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

    pub(super) fn send_probe(&mut self, scheduled: bool) {
        let used = Faculties {
            resolver: true,
            ipv4: true,
            ..Faculties::default()
        };
        let failed = |why| Outcome::Failed(Failing { why, used });
        let timeout = Duration::from_secs(4).min(self.policy.interval * 4 / 5);
        let (outcome, took) = match self.home {
            _ if self.mirror.answered == 0 => (failed(Why::Dns), Duration::from_millis(10)),
            Home::Serving | Home::EdgeLost | Home::AppBroken => (Outcome::Ok, Duration::from_millis(50)),
            Home::Silent | Home::OwnPathBroken => (failed(Why::Timeout(pilotlight::core::Part::Connect)), timeout),
            Home::Refusing => (failed(Why::Refused), Duration::from_millis(5)),
            Home::BadCertificate => (failed(Why::Certificate), Duration::from_millis(50)),
        };
        let sent_at = self.now;
        self.later(
            took,
            Pending::Probe {
                sent_at,
                scheduled,
                outcome,
            },
        );
    }

    pub(super) fn observe(&self, key: ToggleKey, fully: bool) -> Observed {
        let remote = &self.remotes[&key];
        let effective = (fully && key.role == Role::Gate && self.standby == Standby::Serving)
            .then_some(if self.gate_open() { Position::On } else { Position::Off });
        let lapses_in = (key.role == Role::Silence).then_some(
            self.snooze_until
                .filter(|_| remote.position == Position::On)
                .map(|until| until.since(self.now)),
        );
        Observed {
            configured: Some(remote.position),
            effective,
            lapses_in: lapses_in.flatten(),
            held_by_other: remote.held,
            edited: remote.edited,
        }
    }
}
