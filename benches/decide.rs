//! How long core takes: for one probe of a healthy home, and for a whole outage with every operation answered at once.
//!
//! `cargo bench` prints both. There is no aim and no test on it: a watcher has seconds. It shows when somebody makes core slow.

use std::collections::VecDeque;
use std::hint::black_box;

use pilotlight::core::{
    Action, BrokenStandby, ClockCheck, Controller, DriftPolicy, Duration, Effect, Event, Eye, Faculties, Failback,
    Failing, Instant, Layout, Now, Observed, Outcome, Part, Phase, Policy, Position, Reflection, Role, Sighting,
    ToggleKey, View, Wall, Why,
};

/// The default interval: time goes on by this from probe to probe.
const INTERVAL: Duration = Duration::from_secs(5);
/// Probes of a healthy home that are measured.
const PROBES: u32 = 200_000;
/// Outages that are measured; each is an hour long.
const OUTAGES: u32 = 100;
/// Probes in an outage, and as many after it until all is over.
const OUTAGE_PROBES: u32 = 720;

/// A site whose world does at once what it is told.
struct Site {
    controller: Controller,
    now: Duration,
    redirect: Position,
    home: bool,
}

impl Site {
    fn new() -> Self {
        let key = |role| ToggleKey { role, index: 0 };
        let layout = Layout {
            toggles: [Role::Gate, Role::Redirect, Role::Silence].map(key).to_vec(),
            edge_eye: false,
        };
        Self {
            controller: Controller::new(policy(), layout, None, 1, at(Duration::ZERO)),
            now: Duration::ZERO,
            redirect: Position::Off,
            home: true,
        }
    }

    /// One interval with its probe, and everything that follows from it.
    fn probe(&mut self) -> u32 {
        self.now += INTERVAL;
        let outcome = if self.home {
            Outcome::Ok
        } else {
            Outcome::Failed(Failing {
                why: Why::Timeout(Part::Connect),
                used: Faculties::ALL,
            })
        };
        let mut events = VecDeque::from([Event::Probed {
            sent_at: Instant::at(self.now),
            scheduled: true,
            outcome,
        }]);
        let mut handled = 0;
        while let Some(event) = events.pop_front() {
            handled += 1;
            for effect in self.controller.handle(event, at(self.now)) {
                if let Effect::Act { id, action } = effect {
                    events.push_back(self.answer(id, action));
                }
            }
        }
        handled
    }

    fn answer(&mut self, id: pilotlight::core::ring::OpId, action: Action) -> Event {
        let observed = |position| Observed {
            configured: Some(position),
            effective: Some(position),
            ..Observed::default()
        };
        match action {
            Action::Set(key, position) => {
                if key.role == Role::Redirect {
                    self.redirect = position;
                }
                Event::Settled {
                    id,
                    result: Ok(observed(position)),
                }
            }
            Action::Observe(key) => {
                let position = match key.role {
                    Role::Redirect => self.redirect,
                    Role::Gate | Role::Silence => Position::Off,
                };
                Event::Settled {
                    id,
                    result: Ok(observed(position)),
                }
            }
            Action::Look(Eye::Mirror) => Event::Mirrored {
                id,
                reflection: Reflection {
                    answered: 2,
                    proven: Faculties::ALL,
                    clock: ClockCheck::Agrees,
                },
            },
            Action::Look(eye) => Event::Looked {
                id,
                sighting: self.sighting(eye),
            },
        }
    }

    fn sighting(&self, eye: Eye) -> Sighting {
        let view = match (eye, self.redirect, self.home) {
            (Eye::Standby, ..) | (_, Position::On, _) => View::Standby,
            (_, Position::Off, true) => View::Home,
            (_, Position::Off, false) => View::EdgeLostHome(522),
        };
        Sighting {
            view,
            redirect: (eye == Eye::Visitor).then_some(self.redirect),
            took: Duration::from_millis(50),
        }
    }

    fn probes(&mut self, count: u32) -> u32 {
        (0..count).map(|_| black_box(self.probe())).sum()
    }
}

fn at(since_start: Duration) -> Now {
    let since_epoch = 1_767_225_600_000 + u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX / 2);
    Now {
        at: Instant::at(since_start),
        wall: Wall(since_epoch),
    }
}

/// The default policy.
fn policy() -> Policy {
    Policy {
        interval: INTERVAL,
        confirm_interval: Duration::from_millis(500),
        visitor_interval: Duration::from_secs(60),
        references_again: Duration::from_secs(10),
        unhealthy_threshold: 3,
        down_for: Duration::from_secs(30),
        clear_threshold: 2,
        clear_for: Duration::from_secs(10),
        healthy_threshold: 12,
        up_for: Duration::from_secs(600),
        up_for_max: Duration::from_secs(6 * 3600),
        relapse_window: Duration::from_secs(3600),
        prewarm: true,
        failback: Failback::Auto,
        broken_standby: BrokenStandby::Hold,
        drift: DriftPolicy::Repair,
        gate_patience: Duration::from_secs(120),
        drain: Duration::from_secs(600),
        verify_every: Duration::from_secs(300),
        home_proof: Duration::from_secs(30),
    }
}

fn main() {
    let mut site = Site::new();
    site.probes(1000);
    let began = tokio::time::Instant::now();
    site.probes(PROBES);
    println!("one probe of a healthy home: {:?}", began.elapsed() / PROBES);

    let began = tokio::time::Instant::now();
    let mut events = 0;
    for _ in 0..OUTAGES {
        site.home = false;
        events += site.probes(OUTAGE_PROBES);
        let failed_over = matches!(site.controller.status(at(site.now)).phase, Phase::FailedOver { .. });
        assert!(failed_over, "an hour of darkness was no outage");
        site.home = true;
        // Long enough for any number of relapses that came before.
        while site.redirect == Position::On {
            events += site.probes(1);
        }
        events += site.probes(OUTAGE_PROBES);
    }
    println!(
        "an outage of an hour, out and home again: {:?} ({} events)",
        began.elapsed() / OUTAGES,
        events / OUTAGES
    );
}
