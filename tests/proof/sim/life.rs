//! One life from one seed: a site, its world and everything that happens to it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use pilotlight::core::{Instant, Role};

use super::draw;
use super::weather::{self, Happening, Source};
use crate::support::model::{Chance, Home, Line, World, secs};

/// A day.
pub const DAY: Duration = secs(86_400);

/// Which life to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub seed: u64,
    pub days: u64,
}

/// How to live it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Every probe is lived, also those that say nothing new.
    pub patient: bool,
    /// The story is kept.
    pub told: bool,
}

/// What became of it.
#[derive(Debug)]
pub struct Lived {
    pub ticket: Ticket,
    pub history: u64,
    pub failovers: u64,
    pub violation: Option<String>,
    pub story: Vec<Line>,
}

/// A life under way.
#[derive(Debug)]
pub struct Life {
    pub world: World,
    chance: Chance,
    /// What is to come; the key holds the order, the list what it is.
    calendar: BinaryHeap<Reverse<(Instant, usize)>>,
    entries: Vec<Happening>,
}

impl Life {
    pub fn new(seed: u64, manner: Manner) -> Self {
        let mut chance = Chance::new(seed);
        let policy = draw::policy(&mut chance);
        let mut world = World::with(policy, draw::layout(&mut chance));
        world.hurries = !manner.patient;
        world.announced = true;
        world.metered = true;
        world.story = manner.told.then(Vec::new);
        world.chance = Chance::new(seed.rotate_left(32));
        let flaps = chance.one_in(2);
        for (key, remote) in world.remotes.iter_mut() {
            if key.role == Role::Gate {
                remote.lag = Some(secs(60));
                remote.flaps = flaps;
            }
        }
        let mut life = Self {
            world,
            chance,
            calendar: BinaryHeap::new(),
            entries: Vec::new(),
        };
        for source in Source::ALL {
            // Not everything goes wrong in every life.
            if source == Source::Outage || !life.chance.one_in(3) {
                life.await_strike(source);
            }
        }
        life
    }

    fn await_strike(&mut self, source: Source) {
        let after = self.chance.until_next(source.mean());
        self.arrange(after, Happening::Strikes(source));
    }

    fn arrange(&mut self, after: Duration, what: Happening) {
        // To the millisecond, as everything in the world.
        let after = Duration::from_millis(u64::try_from(after.as_millis()).expect("not that long"));
        self.calendar
            .push(Reverse((self.world.now + after, self.entries.len())));
        self.entries.push(what);
    }

    /// Lives until `end` or until an invariant is broken.
    pub fn live(&mut self, end: Instant) -> Option<String> {
        loop {
            let next = self.calendar.peek().map(|Reverse((at, _))| *at).filter(|at| *at <= end);
            self.world.run_to(next.unwrap_or(end));
            if let Some(violation) = self.world.violations.first() {
                return Some(violation.clone());
            }
            let Reverse((_, index)) = next.and_then(|_| self.calendar.pop())?;
            self.turn(self.entries[index]);
        }
    }

    fn turn(&mut self, what: Happening) {
        let possible = match what {
            Happening::Strikes(Source::Outage) => self.world.home == Home::Serving,
            Happening::Strikes(Source::OwnLine) => !self.world.cut_off,
            Happening::Strikes(Source::Crash | Source::Suspend | Source::Clock | Source::Reload | Source::Operator) => {
                self.world.alive
            }
            _ => true,
        };
        self.world.disturb();
        self.world
            .record(8, 0, || format!("{what:?}{}", if possible { "" } else { " (not now)" }));
        let next = match what {
            Happening::Strikes(source) => {
                let next = if possible {
                    weather::strike(&mut self.world, source, &mut self.chance)
                } else {
                    Vec::new()
                };
                self.await_strike(source);
                next
            }
            _ => weather::happen(&mut self.world, what),
        };
        for (after, what) in next {
            self.arrange(after, what);
        }
    }
}

/// Lives one life to its end or to the first broken invariant.
pub fn live(ticket: Ticket, manner: Manner) -> Lived {
    let mut life = Life::new(ticket.seed, manner);
    let end = life.world.now + DAY * u32::try_from(ticket.days).expect("not that long");
    let violation = life.live(end);
    let told = |what| {
        life.world
            .notices
            .iter()
            .filter(|(_, notice)| notice.what.name() == what)
            .count() as u64
    };
    Lived {
        ticket,
        history: life.world.history,
        failovers: told("failover_started"),
        violation,
        story: life.world.story.take().unwrap_or_default(),
    }
}

/// The wall time in a life, as a timeline shows it.
pub fn wall(at: Instant) -> String {
    let secs = at.since_start().as_secs();
    let millis = at.since_start().subsec_millis();
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    format!("day {days:>4} {hours:02}:{minutes:02}:{:02}.{millis:03}", secs % 60)
}
