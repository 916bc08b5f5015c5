//! The laws that hold of the loop's own picture, looked at whenever the loop turns.

use std::time::Duration;

use pilotlight::core::{Instant, Mode, Phase, Position, Route, Status};
use tokio::time::Instant as Tick;

use super::eyes::key;
use super::laws::Law;
use super::objects::Object;
use super::planted::Plant;
use super::world::{SITES, World};

/// The loop turns once a second; the runtime's timers have a grain.
const TURN: Duration = Duration::from_millis(1_100);
/// A round of probing: the interval, a probe's deadline, the references' deadline and their pause, and the interval again.
const ROUND: Duration = Duration::from_secs(25);
/// The references are asked again after a minute at the latest; a decision may rest on their last word.
const REFERENCES_LAST: Duration = Duration::from_secs(75);
/// Home's answer to the origin eye proves our line as well: the page is broken then, or the edge has lost home.
const ANSWERS_LAST: Duration = Duration::from_secs(10);
/// A visitor's look at home is taken once a minute, and not at the very moment of the decision.
const VISITS_LAST: Duration = Duration::from_secs(75);
/// At start the switches are read and found states adopted; that is no decision.
const FINDING: Duration = Duration::from_secs(60);

impl World {
    /// The loop of `site` turns, with this picture.
    pub fn turned(&mut self, site: usize, status: &Status, now: Instant) {
        let since = self.sites[site].turned_at.elapsed();
        self.sites[site].turned_at = Tick::now();
        if since > TURN {
            self.broken(
                Law::LoopNeverStalls,
                &format!("{} stood still for {since:?}", SITES[site]),
            );
        }
        let judged = status.verdict.map_or(Instant::ZERO, |verdict| verdict.at);
        if now.since(judged) > ROUND {
            self.broken(
                Law::LoopNeverStalls,
                &format!("{}: verdict of {judged:?} at {now:?}", SITES[site]),
            );
        }
        if status.route != self.sites[site].route {
            self.check_decision(site, status);
        }
        let mode = self.shown_mode(status);
        let toggle = |object| status.toggles.iter().find(|toggle| toggle.key == key(object));
        if toggle(Object::Redirect(site)).is_some_and(|redirect| redirect.observed.configured == Some(Position::On)) {
            self.knows_on(site);
        }
        let watched = &mut self.sites[site];
        watched.route = status.route;
        if watched.mode != mode {
            let pauses = |mode: &Mode| matches!(mode, Mode::Paused { .. });
            watched.paused_since = match (pauses(&mode), pauses(&watched.mode)) {
                (true, false) => Some(Tick::now()),
                (true, true) => watched.paused_since,
                (false, _) => None,
            };
            watched.mode = mode;
        }
        let wished = toggle(Object::Gate).is_some_and(|gate| gate.desired == Some(Position::On));
        if wished && watched.gate_wished_since.is_none() {
            watched.gate_wished_before = watched.gate_wished_at;
        }
        if !wished && watched.gate_wished_since.is_some() {
            watched.gate_wish_ended_at = Some(Tick::now());
        }
        watched.gate_wished_since = wished.then(|| watched.gate_wished_since.unwrap_or_else(Tick::now));
        watched.gate_wished_at = watched.gate_wished_since.or(watched.gate_wished_at);
    }

    fn shown_mode(&self, status: &Status) -> Mode {
        match &status.mode {
            Mode::Pinned { pin, .. } if self.kind.plant == Some(Plant::WritesWhilePaused) => {
                Mode::Paused { pin: pin.clone() }
            }
            mode => mode.clone(),
        }
    }

    fn check_decision(&mut self, site: usize, status: &Status) {
        let watched = &self.sites[site];
        let ordered = watched.ordered_at.is_some_and(|at| at.elapsed() < FINDING);
        let finding = self.process_began.elapsed() < FINDING;
        let sees = match status.route {
            Route::Standby => {
                self.shone_at.elapsed() <= REFERENCES_LAST || watched.answered_at.elapsed() <= ANSWERS_LAST
            }
            // With only our own way to home broken, its visitors are the ones who know.
            Route::Origin => watched.answered_at.elapsed() <= ROUND || watched.visited_at.elapsed() <= VISITS_LAST,
        };
        if !sees && !ordered && !finding && status.mode == Mode::Auto {
            let detail = format!("{} goes to {}", SITES[site], status.route.label());
            self.broken(Law::NoSwitchWhileBlind, &detail);
        }
    }

    /// A chapter of calm has ended: everything is at rest, at home.
    pub fn check_rest(&mut self, site: usize, status: &Status) {
        let off = [Object::Gate, Object::Redirect(site), Object::Silence(site)]
            .into_iter()
            .all(|object| self.objects.moved(object).position == Position::Off);
        let verified = status.toggles.iter().all(|toggle| {
            toggle.desired == Some(Position::Off)
                && toggle.observed.configured == Some(Position::Off)
                && toggle.verified == Some(Position::Off)
        });
        let at_rest = matches!(status.phase, Phase::Healthy { .. })
            && status.mode == Mode::Auto
            && status.episode.is_none()
            && status.switched.label() == "verified"
            && status.saving
            && status.blind_since.is_none();
        self.tally.rests += 1;
        if !(off && verified && at_rest) {
            let objects =
                [Object::Gate, Object::Redirect(site), Object::Silence(site)].map(|object| *self.objects.moved(object));
            self.broken(Law::Converges, &format!("{}: {status:#?} {objects:?}", SITES[site]));
        }
    }
}
