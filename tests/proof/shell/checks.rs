//! The laws that a write is held against when it leaves.

use pilotlight::core::{Mode, Position};
use tokio::time::Instant;

use super::laws::Law;
use super::objects::{By, Call, Moved, Object};
use super::wire::{LATEST, TOGGLE_TIMEOUT};
use super::world::{Watched, World};

impl World {
    /// A write leaves.
    pub fn check_write(&mut self, call: &Call, object: Object, position: Position) {
        let moved = *self.objects.moved(object);
        let renews = matches!(call, Call::MoveSnooze(..));
        if moved.position == position && !renews && self.read.get(&object) == Some(&moved.version) {
            self.broken(
                Law::NoWriteWhenNothingDiffers,
                &format!("{object:?} {}", position.label()),
            );
        }
        match (object, position) {
            (Object::Redirect(site), Position::On) => self.check_redirect(site),
            (Object::Gate, Position::Off) => self.check_gate(),
            _ => {}
        }
        self.check_intent(object, position);
        self.check_pause(object);
    }

    /// The sites that may move the object.
    fn owners(&self, object: Object) -> std::ops::Range<usize> {
        match object {
            Object::Gate => 0..self.sites.len(),
            Object::Redirect(site) | Object::Silence(site) => site..site + 1,
        }
    }

    fn check_intent(&mut self, object: Object, position: Position) {
        let key = super::eyes::key(object);
        let meant = self.owners(object).any(|site| self.sites[site].intends(key, position));
        if !meant && self.disk {
            self.broken(Law::IntentFirst, &format!("{object:?} {}", position.label()));
        }
    }

    fn check_pause(&mut self, object: Object) {
        let paused = self.owners(object).all(|site| {
            let site = &self.sites[site];
            matches!(site.mode, Mode::Paused { .. })
                && site.paused_since.is_some_and(|since| since.elapsed() > TOGGLE_TIMEOUT)
        });
        if paused {
            self.broken(Law::PausedMeansNoWrites, &format!("{object:?}"));
        }
    }

    fn check_redirect(&mut self, site: usize) {
        let patience = super::process::policy(self.kind).gate_patience;
        let spent = self.sites[site]
            .gate_wished_since
            .is_some_and(|since| since.elapsed() >= patience);
        let seen = self.gate_seen_open_at.is_some_and(|at| at >= self.objects.gate.at);
        if !spent && !seen {
            self.broken(Law::RedirectOnlyToAnOpenGate, &format!("site {site}"));
        }
    }

    /// An open gate is told to shut.
    fn check_gate(&mut self) {
        let gate = *self.objects.moved(Object::Gate);
        if gate.position == Position::On {
            for site in 0..self.sites.len() {
                self.check_drain(site);
            }
            self.check_age(gate);
        }
    }

    fn check_drain(&mut self, site: usize) {
        let drain = super::process::policy(self.kind).drain;
        let redirect = *self.objects.moved(Object::Redirect(site));
        let watched = &self.sites[site];
        let (on_at, on_by) = redirect.went_on();
        // An operation that had begun before is not called back.
        let known = watched
            .redirect_known_on
            .is_some_and(|at| at >= on_at && at.elapsed() > TOGGLE_TIMEOUT);
        let no_say = self.sites.len() > 1 && on_by == By::Other && watched.gate_wished_at.is_none_or(|at| at < on_at);
        let age = redirect.at.elapsed();
        let law = match redirect.position {
            _ if no_say && watched.gate_wished_since.is_none() => return,
            Position::On if on_by == By::Us || known || age >= drain * 3 / 2 => Law::GateNotShutUnderRedirect,
            Position::Off if age < drain && known => Law::DrainBeforeShut,
            Position::On | Position::Off => return,
        };
        let detail = format!(
            "redirect {site} {} by {:?} for {age:?}",
            redirect.position.label(),
            redirect.by
        );
        self.broken(law, &detail);
    }

    /// The provider was down from before this wish to after its end.
    fn could_not_be_told(&self, site: &Watched, wished_at: Instant) -> bool {
        self.google_down.is_some_and(|(since, until)| {
            let ended = site.gate_wish_ended_at.filter(|ended| *ended >= wished_at);
            since <= wished_at && ended.is_some_and(|ended| until.is_none_or(|until| ended <= until))
        })
    }

    fn check_age(&mut self, gate: Moved) {
        let drain = super::process::policy(self.kind).drain;
        let told_earlier = match gate.by {
            By::Us => Some(TOGGLE_TIMEOUT),
            By::UsLate => Some(TOGGLE_TIMEOUT + LATEST),
            By::Other => None,
        };
        let age = gate.at.elapsed();
        let mut forgets = self.sites.iter().map(|site| site.gate_forgotten_at);
        let forgotten = forgets.all(|at| at.is_some_and(|at| at >= gate.at));
        if !forgotten && told_earlier.is_some_and(|earlier| age + earlier < drain) {
            self.broken(Law::OpenedGateStaysOpen, &format!("open by {:?} for {age:?}", gate.by));
        }
        let told = |site: &Watched| {
            site.wished_before_shutting()
                .filter(|at| !self.could_not_be_told(site, *at))
        };
        let wished = self.sites.iter().filter_map(told).max();
        if wished.is_some_and(|at| at.elapsed() < drain) {
            self.broken(Law::OpenedGateStaysOpen, "it was wished open not so long ago");
        }
    }
}
