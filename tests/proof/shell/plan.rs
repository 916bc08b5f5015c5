//! What befalls a life, and when: drawn from the seed before it begins.

use std::time::Duration;

use pilotlight::core::{Order, Route};

use super::dice::Dice;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(86_400);

/// A chapter of a life ends with this much calm, in which everything has to come to rest: the longest `up_for`, and two hours for the rest.
pub const CALM: Duration = Duration::from_secs(8 * 3600);
/// A chapter's length.
const CHAPTER: Duration = Duration::from_secs(3 * 86_400);

/// How a site's home fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    Serving,
    /// Power cut: nobody answers.
    Silent,
    /// Connects, and never answers.
    Hanging,
    /// Box up, server dead.
    Refusing,
    /// We see home, the edge does not.
    EdgeLost,
    /// The edge sees home, we do not.
    OwnPathBroken,
    /// The health path is well, the page is not.
    AppBroken,
    /// The edge does not mind the certificate, we do.
    BadCertificate,
}

/// How the edge fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    Works,
    Broken,
    Challenges,
    Caches,
}

/// How the standby fares behind its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standby {
    Serves,
    Fails,
    Overloaded,
    Silent,
}

/// How a provider's API fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Well,
    Slow,
    /// Every call fails one way or another.
    Down,
    /// Some calls fail, each in its own way.
    Shaky,
    /// 401 and 403.
    Denies,
    /// 429 with `Retry-After`.
    Limits,
    /// Answers get lost, writes are applied late or not at all.
    Loses,
    /// Answers of the right status make no sense.
    Raves,
}

/// What somebody else does at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    OpensGate,
    ShutsGate,
    GrantsOther,
    RedirectsOn(usize),
    RedirectsOff(usize),
    AddsRule,
    EditsRule(usize),
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Turn {
    Home(usize, Home),
    Edge(Edge),
    Standby(Standby),
    /// The watcher's own line.
    Line(bool),
    /// The references alone.
    References(bool),
    Google(Api),
    Cloudflare(Api),
    Webhook(bool),
    Disk(bool),
    Hand(Hand),
    /// kill -9, and started again.
    Crash,
    /// Stopped and started in order, as for new settings.
    Restart,
    Order(usize, Order, Duration),
    /// The wall clock is set wrong by so many seconds; 0 is set right.
    Wall(i64),
    /// Nothing happens any more until the chapter ends.
    CalmBegins,
    /// The chapter ends: everything has to be at rest.
    CalmEnds,
}

/// All turns of a life, in order.
pub fn draw(seed: u64, life: Duration, sites: usize) -> Vec<(Duration, Turn)> {
    let dice = Dice::new(seed);
    let mut turns = Vec::new();
    let (mut from, mut number) = (MINUTE, 0);
    while from < life {
        let to = (from + CHAPTER).min(life.max(from + DAY / 2));
        let calm = to.saturating_sub(CALM);
        let mut chapter = Chapter {
            dice: dice.of("chapter", number),
            from,
            to: calm,
            turns: Vec::new(),
        };
        chapter.fill(sites);
        turns.append(&mut chapter.turns);
        turns.push((calm, Turn::CalmBegins));
        turns.push((to, Turn::CalmEnds));
        (from, number) = (to, number + 1);
    }
    turns.sort_by_key(|(at, _)| *at);
    turns
}

struct Chapter {
    dice: Dice,
    from: Duration,
    to: Duration,
    turns: Vec<(Duration, Turn)>,
}

impl Chapter {
    fn fill(&mut self, sites: usize) {
        for site in 0..sites {
            self.outages(site);
            self.orders(site);
        }
        let weather = [
            Api::Slow,
            Api::Down,
            Api::Shaky,
            Api::Denies,
            Api::Limits,
            Api::Loses,
            Api::Raves,
        ];
        self.spells(
            "google",
            DAY / 3,
            |dice| Turn::Google(dice.pick(&weather)),
            Turn::Google(Api::Well),
        );
        self.spells(
            "cloudflare",
            DAY / 3,
            |dice| Turn::Cloudflare(dice.pick(&weather)),
            Turn::Cloudflare(Api::Well),
        );
        self.spells(
            "edge",
            DAY * 2,
            |dice| Turn::Edge(dice.pick(&[Edge::Broken, Edge::Challenges, Edge::Caches])),
            Turn::Edge(Edge::Works),
        );
        self.spells(
            "standby",
            DAY,
            |dice| Turn::Standby(dice.pick(&[Standby::Fails, Standby::Overloaded, Standby::Silent])),
            Turn::Standby(Standby::Serves),
        );
        self.spells("line", DAY, |_| Turn::Line(false), Turn::Line(true));
        self.spells(
            "references",
            DAY * 2,
            |_| Turn::References(false),
            Turn::References(true),
        );
        self.spells("webhook", DAY, |_| Turn::Webhook(false), Turn::Webhook(true));
        self.spells("disk", DAY * 2, |_| Turn::Disk(false), Turn::Disk(true));
        self.spells(
            "wall",
            DAY * 3,
            |dice| Turn::Wall(dice.pick(&[-7000, -600, -70, 70, 600, 7000])),
            Turn::Wall(0),
        );
        self.hands(sites);
        self.scattered("crash", DAY, |_| Turn::Crash);
        self.scattered("restart", DAY * 2, |_| Turn::Restart);
    }

    /// Outages of home: short blips, the provider's losses, nightly reconnects, power cuts. Some bring a crash of ours with them.
    fn outages(&mut self, site: usize) {
        let mut dice = self.dice.of("home", site as u64);
        let mut at = self.from + dice.exponential(DAY / 5);
        while at < self.to {
            let lasts = match dice.below(100) {
                0..45 => dice.between(SECOND, 30 * SECOND),
                45..75 => dice.lognormal(215 * SECOND, 2.1, 10 * HOUR),
                75..85 => dice.between(10 * SECOND, MINUTE),
                _ => dice.lognormal(72 * MINUTE, 1.0, 30 * HOUR),
            };
            let how = match dice.below(100) {
                0..40 => Home::Silent,
                40..50 => Home::Hanging,
                50..65 => Home::Refusing,
                65..75 => Home::EdgeLost,
                75..85 => Home::OwnPathBroken,
                85..93 => Home::AppBroken,
                _ => Home::BadCertificate,
            };
            let end = (at + lasts).min(self.to);
            self.turns.push((at, Turn::Home(site, how)));
            self.turns.push((end, Turn::Home(site, Home::Serving)));
            if dice.in_a_thousand(250) {
                let begin = dice.pick(&[at, end]);
                self.add(begin + dice.between(SECOND / 10, 15 * MINUTE), Turn::Crash);
            }
            at = end + dice.exponential(DAY / 5);
        }
    }

    fn orders(&mut self, site: usize) {
        let mut dice = self.dice.of("orders", site as u64);
        let mut at = self.from + dice.exponential(DAY);
        while at < self.to {
            let order = dice.pick(&[
                Order::Force(Route::Standby),
                Order::Force(Route::Origin),
                Order::Pause,
                Order::Pause,
                Order::Resume,
            ]);
            self.add(at, Turn::Order(site, order, dice.between(MINUTE, 4 * HOUR)));
            at += dice.exponential(DAY);
        }
    }

    /// Bad times of one thing, of some minutes or hours each.
    fn spells(&mut self, what: &str, mean: Duration, mut begins: impl FnMut(&mut Dice) -> Turn, ends: Turn) {
        let mut dice = self.dice.of(what, 0);
        let mut at = self.from + dice.exponential(mean);
        while at < self.to {
            let end = (at + dice.lognormal(8 * MINUTE, 1.5, 8 * HOUR)).min(self.to);
            let begins = begins(&mut dice);
            self.turns.push((at, begins));
            self.turns.push((end, ends));
            at = end + dice.exponential(mean);
        }
    }

    fn hands(&mut self, sites: usize) {
        let site = |dice: &mut Dice| usize::try_from(dice.below(sites as u64)).expect("a site");
        self.scattered("hands", DAY, |dice| {
            let site = site(dice);
            Turn::Hand(dice.pick(&[
                Hand::OpensGate,
                Hand::ShutsGate,
                Hand::GrantsOther,
                Hand::RedirectsOn(site),
                Hand::RedirectsOff(site),
                Hand::AddsRule,
                Hand::EditsRule(site),
            ]))
        });
    }

    fn scattered(&mut self, what: &str, mean: Duration, mut turn: impl FnMut(&mut Dice) -> Turn) {
        let mut dice = self.dice.of(what, 0);
        let mut at = self.from + dice.exponential(mean);
        while at < self.to {
            let turn = turn(&mut dice);
            self.turns.push((at, turn));
            at += dice.exponential(mean);
        }
    }

    fn add(&mut self, at: Duration, turn: Turn) {
        if at < self.to {
            self.turns.push((at, turn));
        }
    }
}
