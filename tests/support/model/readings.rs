//! What a test asks of the world.

use pilotlight::core::{Eye, Instant, Position, Route, ToggleKey, What};

use super::World;

impl World {
    pub fn position(&self, key: ToggleKey) -> Position {
        self.remotes.get(key).map_or(Position::Off, |remote| remote.position)
    }

    /// Names of the notices so far, in order.
    pub fn told(&self) -> Vec<&'static str> {
        self.notices.iter().map(|(_, notice)| notice.what.name()).collect()
    }

    pub fn was_told(&self, name: &str) -> bool {
        self.told().contains(&name)
    }

    pub fn told_times(&self, name: &str) -> usize {
        self.told().into_iter().filter(|told| *told == name).count()
    }

    /// When a toggle was last written to `position`.
    pub fn written_at(&self, key: ToggleKey, position: Position) -> Option<Instant> {
        self.writes
            .iter()
            .rev()
            .find(|write| write.key == key && write.position == position)
            .map(|write| write.at)
    }

    /// When core looked through an eye since `from`.
    pub fn looks(&self, eye: Eye, from: Instant) -> Vec<Instant> {
        let of_eye = self
            .looked
            .iter()
            .filter(|(at, through)| *through == eye && *at >= from);
        of_eye.map(|(at, _)| *at).collect()
    }

    pub fn phase(&self) -> &'static str {
        self.controller.status(self.clock()).phase.label()
    }
}

/// A notice's inner value, by name.
pub fn find<'a>(world: &'a World, name: &str) -> Option<&'a What> {
    world
        .notices
        .iter()
        .map(|(_, notice)| &notice.what)
        .find(|what| what.name() == name)
}

/// Whether the route is what it should be, proven, with nothing left to do.
pub fn rests(world: &World, route: Route) -> bool {
    let status = world.controller.status(world.clock());
    status.route == route && status.switched == pilotlight::core::status::Switched::Verified
}
