//! The records at the providers, and how what visitors see follows them.

use std::time::Duration;

use pilotlight::core::{Instant, Observed, Position, Role, ToggleKey};

use super::{Standby, World, mix, secs};

impl World {
    pub(super) fn apply(&mut self, key: ToggleKey, position: Position) {
        let now = self.now;
        let remote = self.remote(key);
        if remote.position != position {
            remote.position = position;
            remote.moved_at = now;
            remote.version += 1;
            if remote.lag.is_some() {
                // The spread of a grant: mostly one to two minutes, now and then seconds or seven minutes.
                let lag = self.chance.lognormal(secs(70), 0.8).clamp(secs(5), secs(420));
                self.remote(key).lag = Some(lag);
            }
            self.record(5, moved(key, position), || {
                format!("{key} is {} at the provider", position.label())
            });
        }
    }

    /// A snooze that nobody renewed ends by itself.
    pub(super) fn let_silences_lapse(&mut self) {
        if self.next_lapse.is_none_or(|next| next > self.now) {
            return;
        }
        let now = self.now;
        let due: Vec<ToggleKey> = self
            .remotes
            .iter_mut()
            .filter_map(|(key, remote)| remote.lapses_at.take_if(|at| *at <= now).map(|_| *key))
            .collect();
        for key in due {
            self.apply(key, Position::Off);
        }
        self.next_lapse = self.remotes.values().filter_map(|remote| remote.lapses_at).min();
    }

    /// Whether visitors get into the standby now.
    pub fn gate_open(&self) -> bool {
        self.of(Role::Gate).all(|key| self.seen(key) == Position::On)
    }

    /// Whether the edge redirects visitors now.
    pub fn redirects(&self) -> bool {
        self.of(Role::Redirect).any(|key| self.seen(key) == Position::On)
    }

    pub(super) fn of(&self, role: Role) -> impl Iterator<Item = ToggleKey> {
        self.remotes.keys().copied().filter(move |key| key.role == role)
    }

    /// What visitors see of a toggle now.
    pub(super) fn seen(&self, key: ToggleKey) -> Position {
        let remote = &self.remotes[&key];
        let lag = remote.lag.unwrap_or(match key.role {
            Role::Gate => self.propagation,
            Role::Redirect | Role::Silence => self.edge_lag,
        });
        let age = self.now.since(remote.moved_at);
        if age >= lag || remote.moved_at == Instant::ZERO {
            return remote.position;
        }
        let follows = remote.flaps && flapped(remote.moved_at, age, lag);
        match (remote.position, follows) {
            (position, true) => position,
            (Position::On, false) => Position::Off,
            (Position::Off, false) => Position::On,
        }
    }

    /// Whether a toggle's effect still follows its record.
    pub(super) fn is_spreading(&self, key: ToggleKey) -> bool {
        let remote = &self.remotes[&key];
        remote.moved_at != Instant::ZERO && self.now.since(remote.moved_at) < remote.lag.unwrap_or(self.propagation)
    }

    pub(super) fn observe(&self, key: ToggleKey, fully: bool) -> Observed {
        let remote = &self.remotes[&key];
        let effective = (fully && key.role == Role::Gate && self.standby == Standby::Serving).then_some(self.seen(key));
        let lapses_in = (key.role == Role::Silence && remote.position == Position::On)
            .then_some(remote.lapses_at)
            .flatten()
            .map(|until| until.since(self.now));
        Observed {
            configured: Some(remote.position),
            effective,
            lapses_in,
            held_by_other: remote.held,
            edited: remote.edited,
        }
    }
}

/// While a change spreads, more and more of the provider's front ends know of it: who is asked in this half second?
fn flapped(moved_at: Instant, age: Duration, lag: Duration) -> bool {
    let bucket = age.as_millis() / 500;
    let salt = moved_at.since_start().as_millis() ^ (bucket << 40);
    let drawn = mix(u64::try_from(salt & u128::from(u64::MAX)).expect("masked")) % 1000;
    u128::from(drawn) * lag.as_millis() < 1000 * age.as_millis()
}

/// A number for a toggle's move.
pub(super) const fn moved(key: ToggleKey, position: Position) -> u64 {
    (key.index as u64) << 8 | (key.role as u64) << 1 | position as u64
}
