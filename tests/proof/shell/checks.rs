//! The laws that a write is held against when it leaves.

use pilotlight::core::{Mode, Position};

use super::laws::Law;
use super::objects::{By, Call, Object};
use super::wire::TOGGLE_TIMEOUT;
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
        self.check_intent(object, position);
        self.check_pause(object);
        match (object, position) {
            (Object::Redirect(site), Position::On) => self.check_redirect(site),
            (Object::Gate, Position::Off) => self.check_gate(),
            _ => {}
        }
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

    fn check_gate(&mut self) {
        let drain = super::process::policy(self.kind).drain;
        let gate = *self.objects.moved(Object::Gate);
        if gate.position == Position::Off {
            return;
        }
        let wished = self.sites.iter().filter_map(Watched::wished_before_shutting).max();
        if wished.is_some_and(|at| at.elapsed() < drain) {
            self.broken(Law::GateOpenUntilDrained, "it was wished open not so long ago");
        }
        for site in 0..self.sites.len() {
            let redirect = *self.objects.moved(Object::Redirect(site));
            let unseen = redirect.by != By::Us && redirect.at.elapsed() < drain * 3 / 2;
            let early = redirect.position == Position::On || (redirect.by == By::Us && redirect.at.elapsed() < drain);
            if early && !unseen {
                self.broken(Law::GateOpenUntilDrained, &format!("redirect {site}: {redirect:?}"));
            }
        }
    }
}
