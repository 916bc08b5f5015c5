//! Everything that happens to a life from outside: how often, for how long, and what it does to the world.

use std::time::Duration;

use pilotlight::core::{
    Breakage, ClockCheck, Failure, FailureKind, Order, Position, Reflection, Role, Route, ToggleKey,
};

use crate::support::model::{CLEAR, Chance, DARK, DiskFares, Fate, Home, Remote, Standby, World, secs};

/// Something that comes by itself, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Outage,
    OwnLine,
    Edge,
    Standby,
    Provider,
    Foreigner,
    Crash,
    Operator,
    Reload,
    Clock,
    Suspend,
    Disk,
}

/// Something that happens now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Happening {
    /// A source strikes.
    Strikes(Source),
    /// Home fares so from now on.
    Home(Home),
    /// Home goes to and fro between well and this.
    Flap {
        home: Home,
        every: Duration,
        times: u32,
    },
    LineBack,
    EdgeBack,
    StandbyBack,
    ProviderBack(Role),
    DiskBack,
    ClockBack(i64),
    Start,
    /// Somebody moves a toggle and, so many times more, again.
    Meddle {
        key: ToggleKey,
        position: Position,
        times: u32,
    },
}

impl Source {
    pub const ALL: [Self; 12] = [
        Self::Outage,
        Self::OwnLine,
        Self::Edge,
        Self::Standby,
        Self::Provider,
        Self::Foreigner,
        Self::Crash,
        Self::Operator,
        Self::Reload,
        Self::Clock,
        Self::Suspend,
        Self::Disk,
    ];

    /// The mean time between two strikes, in a world that is rough and in one that is typical of a year.
    pub const fn mean(self) -> Duration {
        let hours = match self {
            Self::Outage => 47,
            Self::OwnLine => 120,
            Self::Edge | Self::Standby => 400,
            Self::Provider => 90,
            Self::Foreigner | Self::Operator => 250,
            Self::Crash => 100,
            Self::Reload => 500,
            Self::Clock | Self::Suspend => 700,
            Self::Disk => 300,
        };
        secs(hours * 3600)
    }
}

/// What follows from a happening, and when.
pub type Next = Vec<(Duration, Happening)>;

const MINUTE: Duration = secs(60);
const HOUR: Duration = secs(3600);

/// An outage at home: how long, by published distributions.
pub fn outage_lasts(chance: &mut Chance) -> Duration {
    let most = secs(55 * 3600);
    match chance.below(186) {
        // Blips: a router's breath, a link's renegotiation.
        0..=99 => chance.between(secs(1), secs(25)),
        // Nightly reconnects.
        100..=129 => chance.between(secs(10), MINUTE),
        // Losses of the provider's line.
        130..=176 => chance.lognormal(secs(215), 2.1).clamp(secs(5), most),
        // Power cuts, and the rare long ones.
        177..=184 => chance.lognormal(secs(72 * 60), 0.9).clamp(MINUTE, most),
        _ => chance.between(secs(7 * 3600), most),
    }
}

fn ailment(chance: &mut Chance) -> Home {
    *chance.pick(&[
        Home::Silent,
        Home::Silent,
        Home::Silent,
        Home::Silent,
        Home::Refusing,
        Home::Refusing,
        Home::EdgeLost,
        Home::OwnPathBroken,
        Home::AppBroken,
        Home::BadCertificate,
    ])
}

pub fn strike(world: &mut World, source: Source, chance: &mut Chance) -> Next {
    match source {
        Source::Outage => outage(world, chance),
        Source::OwnLine => own_line(world, chance),
        Source::Edge => edge(world, chance),
        Source::Standby => standby(world, chance),
        Source::Provider => provider(world, chance),
        Source::Foreigner => foreigner(world, chance),
        Source::Crash => {
            world.crash();
            let dead = if chance.one_in(4) {
                chance.lognormal(secs(600), 1.8).min(HOUR * 48)
            } else {
                chance.between(Duration::from_millis(10), secs(10))
            };
            vec![(dead, Happening::Start)]
        }
        Source::Operator => {
            let order = *chance.pick(&[
                Order::Force(Route::Standby),
                Order::Force(Route::Origin),
                Order::Pause,
                Order::Resume,
            ]);
            let span = chance.between(MINUTE, HOUR * 4);
            world.record(7, 1, || format!("an operator: {order:?} for {span:?}"));
            world.command(order, span.as_secs());
            Vec::new()
        }
        Source::Reload => {
            let policy = super::draw::policy(chance);
            world.record(7, 2, || format!("reloaded: {policy:?}"));
            world.reload(policy);
            Vec::new()
        }
        Source::Clock => clock(world, chance),
        Source::Suspend => {
            let span = chance.lognormal(secs(60), 1.6).min(HOUR * 6);
            world.record(7, 3, || format!("the process sleeps for {span:?}"));
            world.sleep(span);
            Vec::new()
        }
        Source::Disk => {
            world.disk_fares = match chance.below(3) {
                0 => DiskFares::Fails,
                1 => DiskFares::Slow(chance.between(Duration::from_millis(20), secs(1))),
                _ => DiskFares::Slow(chance.between(secs(1), secs(30))),
            };
            vec![(chance.lognormal(HOUR, 1.5).min(HOUR * 48), Happening::DiskBack)]
        }
    }
}

fn own_line(world: &mut World, chance: &mut Chance) -> Next {
    world.cut_off = true;
    world.mirror = DARK;
    vec![(chance.lognormal(secs(120), 1.8).min(HOUR * 10), Happening::LineBack)]
}

fn edge(world: &mut World, chance: &mut Chance) -> Next {
    match chance.below(4) {
        0 => world.edge_blocks = true,
        1 => world.edge_caches = true,
        2 => world.loops = true,
        _ => world.edge_works = false,
    }
    vec![(chance.lognormal(secs(900), 1.2).min(HOUR * 12), Happening::EdgeBack)]
}

fn standby(world: &mut World, chance: &mut Chance) -> Next {
    world.standby = *chance.pick(&[
        Standby::Broken(Breakage::Status(503)),
        Standby::Broken(Breakage::Certificate),
        Standby::Broken(Breakage::Silent),
        Standby::Broken(Breakage::Refused),
        Standby::Broken(Breakage::Marker),
        Standby::Overloaded,
    ]);
    vec![(chance.lognormal(HOUR, 1.5).min(HOUR * 72), Happening::StandbyBack)]
}

fn outage(world: &mut World, chance: &mut Chance) -> Next {
    let home = ailment(chance);
    world.home = home;
    if chance.one_in(12) {
        let every = chance.between(secs(1), MINUTE);
        let times = 2 * u32::try_from(chance.between(secs(2), secs(40)).as_secs()).expect("small");
        return vec![(every, Happening::Flap { home, every, times })];
    }
    let lasts = outage_lasts(chance);
    if chance.one_in(5) {
        // A server that starts before its app is well.
        let then = *chance.pick(&[Home::Refusing, Home::AppBroken, Home::EdgeLost]);
        let more = chance.between(secs(1), secs(300));
        return vec![
            (lasts, Happening::Home(then)),
            (lasts + more, Happening::Home(Home::Serving)),
        ];
    }
    vec![(lasts, Happening::Home(Home::Serving))]
}

/// A provider in trouble: some calls, or all of them in one way.
fn provider(world: &mut World, chance: &mut Chance) -> Next {
    let role = *chance.pick(&Role::ALL);
    let always = chance.one_in(3);
    let failed = |kind| Fate::Fails(Failure::new(kind));
    let fate = *chance.pick(&[
        failed(FailureKind::NoAnswer),
        failed(FailureKind::Unavailable),
        failed(FailureKind::Denied),
        failed(FailureKind::Nonsense),
        failed(FailureKind::Conflict),
        Fate::Fails(Failure {
            kind: FailureKind::Limited,
            retry_after: Some(secs(90)),
        }),
        Fate::LostReply,
        Fate::Late(secs(45)),
        failed(FailureKind::NotApplied),
    ]);
    let trouble = 50 + chance.below(600);
    let takes = chance.between(Duration::from_millis(100), secs(14));
    world.record(7, 4, || {
        format!(
            "{} calls: always {always} {fate:?}, or {trouble} in 1000, {takes:?}",
            role.label()
        )
    });
    for remote in with_role(world, role) {
        if always {
            remote.fate = fate;
        } else {
            remote.trouble = trouble;
            remote.takes = takes;
        }
    }
    vec![(
        chance.lognormal(secs(1200), 1.6).min(HOUR * 72),
        Happening::ProviderBack(role),
    )]
}

fn with_role(world: &mut World, role: Role) -> impl Iterator<Item = &mut Remote> {
    let remotes = world.remotes.iter_mut();
    remotes
        .filter(move |(key, _)| key.role == role)
        .map(|(_, remote)| remote)
}

/// A human in the console, or Terraform every so often.
fn foreigner(world: &mut World, chance: &mut Chance) -> Next {
    let keys: Vec<ToggleKey> = world.remotes.keys().copied().collect();
    let key = *chance.pick(&keys);
    if chance.one_in(4) {
        world.remote(key).edited = true;
        return Vec::new();
    }
    let position = *chance.pick(&[Position::Off, Position::On]);
    let times = if chance.one_in(3) { 6 } else { 0 };
    vec![(Duration::ZERO, Happening::Meddle { key, position, times })]
}

fn clock(world: &mut World, chance: &mut Chance) -> Next {
    let far = i64::try_from(chance.lognormal(secs(300), 2.0).as_secs().min(10_000_000)).expect("small");
    let by = if chance.one_in(2) { far } else { -far };
    world.record(7, 5, || format!("the wall clock jumps by {by} s"));
    world.jump_wall(by);
    if far > 60 {
        world.mirror = Reflection {
            clock: ClockCheck::Contradicts,
            ..world.mirror
        };
    }
    vec![(chance.between(secs(10), HOUR), Happening::ClockBack(by))]
}

/// Something that was arranged before.
pub fn happen(world: &mut World, what: Happening) -> Next {
    match what {
        Happening::Strikes(_) => {}
        Happening::Home(home) => world.home = home,
        Happening::Flap { home, every, times } => {
            world.home = if world.home == Home::Serving {
                home
            } else {
                Home::Serving
            };
            let times = times.saturating_sub(1);
            if times > 0 {
                return vec![(every, Happening::Flap { home, every, times })];
            }
            world.home = Home::Serving;
        }
        Happening::LineBack => {
            world.cut_off = false;
            world.mirror = CLEAR;
        }
        Happening::EdgeBack => {
            world.edge_works = true;
            (world.edge_blocks, world.edge_caches, world.loops) = (false, false, false);
        }
        Happening::StandbyBack => world.standby = Standby::Serving,
        Happening::ProviderBack(role) => {
            for remote in with_role(world, role) {
                remote.fate = Fate::Done;
                remote.trouble = 0;
                remote.takes = Duration::from_millis(200);
            }
        }
        Happening::DiskBack => world.disk_fares = DiskFares::Well,
        Happening::ClockBack(by) => {
            world.jump_wall(-by);
            if !world.cut_off {
                world.mirror = CLEAR;
            }
        }
        Happening::Start => world.start(),
        Happening::Meddle { key, position, times } => {
            world.meddle(key, position);
            if times > 0 {
                let times = times - 1;
                return vec![(secs(900), Happening::Meddle { key, position, times })];
            }
        }
    }
    Vec::new()
}
