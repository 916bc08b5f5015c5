//! What the process shows of itself, as far as the audit compares it with the world.

use pilotlight::core::machine::Mode;
use pilotlight::core::status::{Switched, Totals};
use pilotlight::core::{Instant, Position, Route, Status, ToggleKey};

/// What the process shows of itself.
#[derive(Clone, Debug)]
pub struct Glimpse {
    pub phase: &'static str,
    pub mode: &'static str,
    pub auto: bool,
    pub paused: bool,
    pub route: Route,
    pub switched: Switched,
    pub totals: Totals,
    pub in_episode: bool,
    pub up_for: std::time::Duration,
    pub desired: Vec<(ToggleKey, Option<Position>)>,
    pub pin_until: Option<u64>,
    pub phase_since: Instant,
}

impl Default for Glimpse {
    fn default() -> Self {
        Self {
            phase: "healthy",
            mode: "auto",
            auto: true,
            paused: false,
            route: Route::Origin,
            switched: Switched::Settling,
            totals: Totals::default(),
            in_episode: false,
            up_for: std::time::Duration::ZERO,
            desired: Vec::new(),
            pin_until: None,
            phase_since: Instant::ZERO,
        }
    }
}

impl Glimpse {
    pub fn of(status: &Status) -> Self {
        Self {
            phase: status.phase.label(),
            mode: status.mode.label(),
            auto: status.mode == Mode::Auto,
            paused: matches!(status.mode, Mode::Paused { .. }),
            route: status.route,
            switched: status.switched,
            totals: status.totals,
            in_episode: status.episode.is_some(),
            up_for: status.up_for,
            desired: status
                .toggles
                .iter()
                .map(|toggle| (toggle.key, toggle.desired))
                .collect(),
            pin_until: status.mode.pin().map(|pin| pin.until.0),
            phase_since: status.phase_since,
        }
    }

    /// Where a toggle should be, as the process shows it.
    pub fn wants(&self, key: ToggleKey) -> Option<Position> {
        self.desired
            .iter()
            .find(|(other, _)| *other == key)
            .and_then(|(_, desired)| *desired)
    }
}
