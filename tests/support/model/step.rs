//! Time goes on: the next thing happens, and what core says to it is carried out.

use std::time::Duration;

use pilotlight::core::{Action, Effect, Event, Failure, FailureKind, Instant, Notice, Role};

use super::{Glimpse, Home, Invariant, Item, Pending, Plant, World, mix, secs};

/// Core may ask to be woken at one instant this often.
const MOST_WAKES: u32 = 3;
/// After so many time would stand still for ever: the world ends.
const NO_END: u32 = 1000;
/// So long after a change from outside no probe is left out: what the references said before still counts until then.
const ATTENTIVE: Duration = secs(180);

/// One line of the story.
#[derive(Clone, Debug)]
pub struct Line {
    pub at: Instant,
    pub text: String,
}

impl World {
    /// Runs until `condition` holds; false if it does not within `limit`.
    pub fn run_until(&mut self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        self.follow();
        while !condition(self) {
            if !self.step(end) {
                return condition(self);
            }
        }
        true
    }

    /// Runs for a while.
    pub fn run(&mut self, span: Duration) {
        self.run_to(self.now + span);
    }

    pub fn run_to(&mut self, end: Instant) {
        // What a test changed just now is so from now on, not from the next step on.
        self.follow();
        while self.step(end) {}
    }

    /// The next thing happens, if it does so before `end`.
    fn step(&mut self, end: Instant) -> bool {
        let never = end + secs(1);
        let pending = self.pending.peek().map_or(never, |item| item.at);
        let kept = self.alive && self.plant != Some(Plant::Deaf);
        let wake = self.controller.next_deadline().filter(|_| kept).unwrap_or(never);
        let other = pending.min(wake);
        let probe = if self.probes_run && self.alive {
            self.next_probe(other, end)
        } else {
            never
        };
        let next = other.min(probe);
        if next > end {
            self.now = self.now.max(end);
            self.let_silences_lapse();
            self.check();
            return false;
        }
        self.now = self.now.max(next);
        self.let_silences_lapse();
        if pending <= next {
            if let Some(item) = self.pending.pop() {
                self.happen(item.what);
            }
        } else if probe <= next {
            while let Some(dispatch) = self.schedule.due(self.now) {
                self.send_probe(dispatch);
            }
        } else {
            self.wake();
        }
        self.check();
        true
    }

    /// When the next probe is sent. In a hurry those are left out that would only say again that home is well, but for the last before
    /// `end`, when something may change. While an eye or the references say something else, or an override is to expire, the last
    /// before any other event is sent.
    fn next_probe(&self, other: Instant, end: Instant) -> Instant {
        let probe = self.schedule.next_wake();
        let interval = self.policy.interval;
        if !self.hurries || !self.quiet || self.home != Home::Serving || self.now.since(self.calm_since) < ATTENTIVE {
            return probe;
        }
        let until = if self.glimpse.auto && self.all_eyes_are_clear() {
            end
        } else {
            other.min(end)
        };
        let room = until.since(probe + super::sights::WELL_TAKES);
        let skipped = room.as_nanos() / interval.as_nanos();
        probe + interval.saturating_mul(u32::try_from(skipped).unwrap_or(u32::MAX))
    }

    /// The deadline has come. More than a few at one instant are a loop that never waits.
    pub fn wake(&mut self) {
        self.woken = match self.woken {
            (at, times) if at == self.now => (at, times + 1),
            _ => (self.now, 1),
        };
        if self.woken.1 > MOST_WAKES {
            self.violate(
                Invariant::NeverSpins,
                &format!("woken {} times at one instant", self.woken.1),
            );
        }
        assert!(self.woken.1 < NO_END, "core never lets time go on: {:?}", self.now);
        self.feed(Event::Woke);
    }

    pub(super) fn later(&mut self, after: Duration, what: Pending) {
        self.sequence += 1;
        self.pending.push(Item {
            at: self.now + after,
            sequence: self.sequence,
            what,
        });
    }

    fn happen(&mut self, what: Pending) {
        match what {
            Pending::Probe {
                number,
                sent_at,
                scheduled,
                outcome,
            } => {
                self.schedule.landed(number, outcome.is_ok(), self.now);
                let references = self.policy.references_again * 6;
                self.audit
                    .probed(self.now, sent_at, scheduled, outcome.is_ok(), references);
                let moved = self.feed(Event::Probed {
                    sent_at,
                    scheduled,
                    outcome,
                });
                self.quiet = outcome.is_ok() && !moved && self.is_at_peace();
            }
            Pending::Look { id, sighting } => {
                self.feed(Event::Looked { id, sighting });
            }
            Pending::Mirror { id, reflection } => {
                let reflection = reflection.unwrap_or(self.mirror);
                self.audit.mirrored(self.now);
                self.feed(Event::Mirrored { id, reflection });
            }
            Pending::Start { id, action } => self.operate(id, action),
            Pending::Op { id, action, fate } => self.finish(id, action, fate),
            Pending::TimedOut { id } => self.timed_out(id),
            Pending::Apply { key, position, version } => {
                if key.role != Role::Gate || self.remotes[&key].version == version {
                    self.audit.came_late(key, self.now);
                    self.apply(key, position);
                }
            }
            Pending::OnDisk { snapshot } => self.disk = Some(*snapshot),
            Pending::Saved { in_time } => {
                self.audit.saved(in_time);
                self.feed(Event::Saved { in_time });
            }
        }
    }

    /// Nothing is under way in the process: a quiet probe moves nothing but the end of a stopwatch.
    fn is_at_peace(&mut self) -> bool {
        if !self.seen_enough {
            self.seen_enough = self.controller.status(self.clock()).observed_enough;
        }
        self.seen_enough && self.saved_at_peace && self.glimpse.phase == "healthy"
    }

    fn timed_out(&mut self, id: pilotlight::core::OpId) {
        let key = self
            .in_flight
            .iter()
            .find(|(_, flight)| **flight == id)
            .map(|(key, _)| *key);
        let failure = Failure::new(FailureKind::NoAnswer);
        if let Some(key) = key {
            self.in_flight.remove(key);
            self.audit.ended(key, self.now, Err(failure));
        }
        self.feed(Event::Settled {
            id,
            result: Err(failure),
        });
    }

    /// Gives core an event and carries out the effects. Whether there were any.
    pub fn feed(&mut self, event: Event) -> bool {
        if !self.alive || self.plant == Some(Plant::Deaf) {
            return false;
        }
        let clock = self.clock();
        let effects = self.controller.handle(event, clock);
        if effects.is_empty() {
            return false;
        }
        if effects
            .iter()
            .any(|effect| matches!(effect, Effect::Save(_) | Effect::Notify(_)))
        {
            self.look_at_process(&effects);
        }
        self.quiet &= effects.iter().all(is_routine);
        for effect in effects {
            match effect {
                Effect::Save(snapshot) => self.save(*snapshot),
                Effect::Notify(notice) => self.hear(notice),
                Effect::Warm => self.warmed.push(self.now),
                Effect::Act { id, action } => {
                    self.act(id, action);
                    self.act_out(action);
                }
            }
        }
        true
    }

    /// People are told something.
    pub fn hear(&mut self, notice: Notice) {
        self.record(2, letters(notice.what.name()), || format!("told: {:?}", notice.what));
        self.audit_notice(&notice);
        self.notices.push((self.now, notice));
    }

    /// Compares what the process shows now with what it showed before.
    fn look_at_process(&mut self, effects: &[Effect]) {
        let next = Glimpse::of(&self.controller.status(self.clock()));
        let before = std::mem::replace(&mut self.glimpse, next);
        if before.mode != self.glimpse.mode {
            self.disturb();
        }
        if (before.phase, before.mode, before.route) != (self.glimpse.phase, self.glimpse.mode, self.glimpse.route) {
            let Glimpse { phase, mode, route, .. } = &self.glimpse;
            let text = format!("phase {phase}, mode {mode}, route {}", route.label());
            self.record(3, letters(&text), || text.clone());
        }
        self.audit_decision(&before, effects);
    }

    /// Keeps what happened: a digest always, the words when the story is wanted.
    pub fn record(&mut self, kind: u64, what: u64, words: impl FnOnce() -> String) {
        let at = u64::try_from(self.now.since_start().as_micros()).expect("not that long");
        self.history = mix(self.history ^ mix(at ^ (kind << 56)) ^ mix(what));
        if let Some(story) = &mut self.story {
            story.push(Line {
                at: self.now,
                text: words(),
            });
        }
    }

    pub(super) fn violate(&mut self, invariant: Invariant, what: &str) {
        let text = format!("{invariant}: {what} (at {:?})", self.now.since_start());
        self.record(4, 0, || format!("BROKEN {text}"));
        self.violations.push(text);
    }
}

/// Whether core only looks whether all is as it was.
const fn is_routine(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Act {
            action: Action::Look(_) | Action::Observe(_),
            ..
        }
    )
}

/// A number for some words.
fn letters(words: &str) -> u64 {
    words.bytes().fold(0, |sum, byte| mix(sum ^ u64::from(byte)))
}
