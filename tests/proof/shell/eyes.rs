//! The eyes: the origin eye, the visitor's, the standby's and the mirror, as the world shows itself to each of them.

use std::time::Duration;

use pilotlight::core::{
    Breakage, ClockCheck, Faculties, Failing, Outcome, Part, Position, Reflection, Role, Sighting, ToggleKey, View, Why,
};
use pilotlight::probe::{BoxFuture, Look, Mirror, Probe, Report, Timings};
use tokio::time::{Instant, sleep};

use super::objects::Object;
use super::plan::{Edge, Home, Standby};
use super::planted::Plant;
use super::world::{Shared, World, lock};

const MILLIS: Duration = Duration::from_millis(1);
/// The origin eye's own deadline.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(4);
const REFERENCES_TIMEOUT: Duration = Duration::from_secs(3);
const STANDBY_TIMEOUT: Duration = Duration::from_secs(10);
/// Clocks further apart than this do not agree.
const TOLERANCE_MS: u64 = 60_000;

/// What an edge's object is to core.
pub fn key(object: Object) -> ToggleKey {
    let role = match object {
        Object::Gate => Role::Gate,
        Object::Redirect(_) => Role::Redirect,
        Object::Silence(_) => Role::Silence,
    };
    ToggleKey { role, index: 0 }
}

/// Looks at one site's home.
#[derive(Debug)]
pub struct OriginEye(pub Shared, pub usize);

impl Probe for OriginEye {
    fn probe(&self) -> BoxFuture<'_, Report> {
        Box::pin(async {
            let (outcome, took) = lock(&self.0).probe(self.1);
            sleep(took).await;
            if outcome.is_ok() {
                lock(&self.0).sites[self.1].answered_at = Instant::now();
            }
            let mut timings = Timings::default();
            timings.set(Part::FirstByte, took);
            Report { outcome, timings }
        })
    }
}

/// Looks at one site's public URL.
#[derive(Debug)]
pub struct VisitorEye(pub Shared, pub usize);

impl Look for VisitorEye {
    fn look(&self) -> BoxFuture<'_, Sighting> {
        Box::pin(async {
            let (view, redirect, took) = lock(&self.0).visit(self.1);
            sleep(took).await;
            if redirect == Some(Position::On) {
                lock(&self.0).knows_on(self.1);
            } else if view == View::Home {
                lock(&self.0).sites[self.1].visited_at = Instant::now();
            }
            Sighting { view, redirect, took }
        })
    }
}

/// Looks at the standby itself.
#[derive(Debug)]
pub struct StandbyEye(pub Shared);

impl Look for StandbyEye {
    fn look(&self) -> BoxFuture<'_, Sighting> {
        Box::pin(async {
            let (view, took) = {
                let mut world = lock(&self.0);
                let (view, took) = if world.line {
                    world.at_standby()
                } else {
                    (View::StandbyBroken(Breakage::Dns), 20 * MILLIS)
                };
                (view, took)
            };
            sleep(took).await;
            Sighting {
                view,
                redirect: None,
                took,
            }
        })
    }
}

/// The references.
#[derive(Debug)]
pub struct References(pub Shared);

impl Mirror for References {
    fn ask(&self) -> BoxFuture<'_, Reflection> {
        Box::pin(async {
            let shines = {
                let world = lock(&self.0);
                world.line && world.references
            };
            if !shines {
                sleep(REFERENCES_TIMEOUT).await;
                return Reflection {
                    answered: 0,
                    proven: Faculties::default(),
                    clock: ClockCheck::Unknown,
                };
            }
            let took = lock(&self.0).draw("mirror").between(20 * MILLIS, 200 * MILLIS);
            sleep(took).await;
            let mut world = lock(&self.0);
            if world.kind.plant != Some(Plant::MirrorInvents) {
                world.shone_at = Instant::now();
            }
            let apart = world.wall_offset_ms.unsigned_abs();
            Reflection {
                answered: 2,
                proven: Faculties::ALL,
                clock: if apart > TOLERANCE_MS {
                    ClockCheck::Contradicts
                } else {
                    ClockCheck::Agrees
                },
            }
        })
    }
}

impl World {
    fn probe(&mut self, site: usize) -> (Outcome, Duration) {
        self.tally.probes += 1;
        let used = Faculties {
            resolver: true,
            ipv4: true,
            tls: true,
            ipv6: false,
        };
        let failed = |why| Outcome::Failed(Failing { why, used });
        if !self.line {
            let resolver = Faculties {
                resolver: true,
                ..Faculties::default()
            };
            let why = Why::Dns;
            return (Outcome::Failed(Failing { why, used: resolver }), 10 * MILLIS);
        }
        let quick = self.draw("probe").between(20 * MILLIS, 120 * MILLIS);
        match self.sites[site].home {
            Home::Serving | Home::EdgeLost | Home::AppBroken => (Outcome::Ok, quick),
            Home::Silent | Home::OwnPathBroken => (failed(Why::Timeout(Part::Connect)), PROBE_TIMEOUT),
            Home::Hanging => (failed(Why::Timeout(Part::FirstByte)), PROBE_TIMEOUT),
            Home::Refusing => (failed(Why::Refused), 5 * MILLIS),
            Home::BadCertificate => (failed(Why::Certificate), quick),
        }
    }

    /// What a visitor of the public URL gets.
    fn visit(&mut self, site: usize) -> (View, Option<Position>, Duration) {
        self.settle_late();
        let quick = self.draw("visit").between(30 * MILLIS, 300 * MILLIS);
        let at_home = |view, took| (view, Some(Position::Off), took);
        if !self.line {
            return (View::EdgeBroken, None, quick);
        }
        match self.edge {
            Edge::Broken => return (View::EdgeBroken, None, 2000 * MILLIS),
            _ if self.redirects(site) => {
                let (view, took) = self.at_standby();
                return (view, Some(Position::On), took + quick);
            }
            Edge::Challenges => return at_home(View::Blocked, quick),
            Edge::Caches => return at_home(View::Cached, quick),
            Edge::Works => {}
        }
        match self.sites[site].home {
            Home::Serving | Home::OwnPathBroken | Home::BadCertificate => at_home(View::Home, quick),
            Home::Silent | Home::Hanging => at_home(View::EdgeLostHome(522), 17_000 * MILLIS),
            Home::Refusing | Home::EdgeLost => at_home(View::EdgeLostHome(521), quick),
            Home::AppBroken => at_home(View::HomeBroken(500), quick),
        }
    }

    fn at_standby(&mut self) -> (View, Duration) {
        self.settle_late();
        let quick = self.draw("standby").between(40 * MILLIS, 900 * MILLIS);
        if !self.gate_lets_in() {
            return (View::Shut, quick);
        }
        match self.standby {
            Standby::Serves => {
                self.gate_seen_open_at = Some(Instant::now());
                (View::Standby, quick)
            }
            Standby::Fails => (View::StandbyBroken(Breakage::Status(503)), quick),
            Standby::Overloaded => {
                self.gate_seen_open_at = Some(Instant::now());
                (View::Overloaded, quick)
            }
            Standby::Silent => (View::StandbyBroken(Breakage::Silent), STANDBY_TIMEOUT),
        }
    }
}
