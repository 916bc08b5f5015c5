//! The world around one life: how everything fares, what has been told and written, which laws were broken, and the story of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use pilotlight::core::{Mode, Notice, Position, Route, Snapshot, ToggleKey, Wall};
use tokio::time::Instant;

use super::dice::{Dice, mix};
use super::laws::Law;
use super::objects::{By, Object, Objects};
use super::plan::{Api, Edge, Hand, Home, Standby, Turn};
use super::planted::Plant;
use super::wire::TOGGLE_TIMEOUT;

/// The sites' names; a life has one or two.
pub const SITES: [&str; 2] = ["home", "second"];
/// The wall clock when a life begins.
const EPOCH: Wall = Wall(1_790_000_000_000);
/// A save that was refused is tried again after a minute; the loop has a grain.
const SAVED_AGAIN: Duration = Duration::from_secs(62);
/// Lines of the story that are kept.
const KEPT: usize = 300;

/// A world that its provider, eyes and tasks share. Locked for moments only.
pub type Shared = Arc<Mutex<World>>;

pub fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What varies between lives besides their plan.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of a life, each drawn for itself"
)]
pub struct Kind {
    pub sites: usize,
    pub page_rules: bool,
    pub uptime_checks: bool,
    pub key_file: bool,
    pub prewarm: bool,
    pub plant: Option<Plant>,
}

impl Kind {
    pub fn of(seed: u64, plant: Option<Plant>) -> Self {
        let mut dice = Dice::new(seed).of("kind", 0);
        Self {
            sites: if dice.in_a_thousand(250) { 2 } else { 1 },
            page_rules: dice.in_a_thousand(300),
            uptime_checks: dice.in_a_thousand(300),
            key_file: dice.in_a_thousand(100),
            prewarm: dice.in_a_thousand(800),
            plant,
        }
    }
}

/// What the figures count.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub probes: u64,
    pub calls: u64,
    pub writes: u64,
    pub failovers: u64,
    pub crashes: u64,
    pub notices: u64,
    pub rests: u64,
}

/// What the laws remember of a site.
#[derive(Debug)]
pub struct Watched {
    pub home: Home,
    pub route: Route,
    pub mode: Mode,
    /// When the picture's mode became a pause.
    pub paused_since: Option<Instant>,
    /// Since when the gate is wished open.
    pub gate_wished_since: Option<Instant>,
    /// When the gate was wished open last after it had not been.
    pub gate_wished_at: Option<Instant>,
    /// The same of the wish before.
    pub gate_wished_before: Option<Instant>,
    /// When the last wish of it ended.
    pub gate_wish_ended_at: Option<Instant>,
    /// When a process began that the disk told nothing of an open gate.
    pub gate_forgotten_at: Option<Instant>,
    /// When this process, or one before that saved it, first knew that the redirect was on, the last time that it was.
    pub redirect_known_on: Option<Instant>,
    pub ordered_at: Option<Instant>,
    pub saved: Option<Snapshot>,
    /// What stood on disk until then.
    overtaken: Vec<(ToggleKey, Position, Instant)>,
    /// When the disk refused the last save, if it did.
    refused_at: Option<Instant>,
    pub turned_at: Instant,
    /// When home's answer last reached the origin eye.
    pub answered_at: Instant,
    /// When a visitor's look last saw home.
    pub visited_at: Instant,
}

impl Watched {
    /// The disk took this.
    pub fn save(&mut self, snapshot: Snapshot) {
        let now = Instant::now();
        self.overtaken.retain(|(.., at)| at.elapsed() <= TOGGLE_TIMEOUT);
        for was in self.saved.iter().flat_map(|saved| &saved.toggles) {
            if !tells(&snapshot, was.key, was.desired) {
                self.overtaken.push((was.key, was.desired, now));
            }
        }
        self.saved = Some(snapshot);
        self.refused_at = None;
    }

    /// The disk refused a save.
    pub fn refuse(&mut self) {
        self.refused_at = Some(Instant::now());
    }

    /// When the gate was wished open before an operation that shuts it now can have begun: a wish that stands has overtaken it.
    pub fn wished_before_shutting(&self) -> Option<Instant> {
        match self.gate_wished_since {
            Some(since) if since.elapsed() <= TOGGLE_TIMEOUT => self.gate_wished_before,
            _ => self.gate_wished_at,
        }
    }

    /// A new process: what the one before had begun ended with it.
    pub fn forget_begun(&mut self) {
        self.overtaken.clear();
        self.refused_at = None;
    }

    /// Whether a write may leave that puts the toggle there: its intent is on disk, or was when its operation can have begun at the
    /// earliest, or the disk refused it not longer ago than saving is tried again.
    pub fn intends(&self, key: ToggleKey, position: Position) -> bool {
        let stands = self.saved.as_ref().is_some_and(|saved| tells(saved, key, position));
        let stood = self
            .overtaken
            .iter()
            .any(|(was, there, at)| (*was, *there) == (key, position) && at.elapsed() <= TOGGLE_TIMEOUT);
        let refused = self.refused_at.is_some_and(|at| at.elapsed() <= SAVED_AGAIN);
        stands || stood || refused
    }
}

fn tells(saved: &Snapshot, key: ToggleKey, position: Position) -> bool {
    saved
        .toggles
        .iter()
        .any(|record| record.key == key && record.desired == position)
}

/// The world.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of the world that its plan turns"
)]
pub struct World {
    pub kind: Kind,
    pub dice: Dice,
    pub began: Instant,
    pub sites: Vec<Watched>,
    pub edge: Edge,
    pub standby: Standby,
    pub line: bool,
    pub references: bool,
    pub google: Api,
    /// From when until when Google was down last.
    pub google_down: Option<(Instant, Option<Instant>)>,
    pub cloudflare: Api,
    pub webhook: bool,
    pub disk: bool,
    pub wall_offset_ms: i64,
    /// Since the last calm.
    pub clock_was_right: bool,
    pub objects: Objects,
    pub gate_seen_open_at: Option<Instant>,
    pub shone_at: Instant,
    pub process_began: Instant,
    /// Whether this process has been shown the policy as it is.
    pub policy_seen: bool,
    pub processes: u64,
    pub turns: u64,
    pub tally: Tally,
    pub violations: Vec<String>,
    pub(super) flights: BTreeSet<Object>,
    pub(super) read: BTreeMap<Object, u64>,
    pub(super) late: Vec<(Instant, super::objects::Call, u64)>,
    pub(super) spent: BTreeMap<&'static str, VecDeque<(Instant, bool)>>,
    draws: BTreeMap<&'static str, u64>,
    story: VecDeque<String>,
    hash: u64,
}

impl World {
    pub fn new(seed: u64, plant: Option<Plant>) -> Self {
        let now = Instant::now();
        let kind = Kind::of(seed, plant);
        let watched = |_| Watched {
            home: Home::Serving,
            route: Route::Origin,
            mode: Mode::Auto,
            paused_since: None,
            gate_wished_since: None,
            gate_wished_at: None,
            gate_wished_before: None,
            gate_wish_ended_at: None,
            gate_forgotten_at: None,
            redirect_known_on: None,
            ordered_at: None,
            saved: None,
            overtaken: Vec::new(),
            refused_at: None,
            turned_at: now,
            answered_at: now,
            visited_at: now,
        };
        Self {
            kind,
            dice: Dice::new(seed),
            began: now,
            sites: (0..kind.sites).map(watched).collect(),
            edge: Edge::Works,
            standby: Standby::Serves,
            line: true,
            references: true,
            google: Api::Well,
            google_down: None,
            cloudflare: Api::Well,
            webhook: true,
            disk: true,
            wall_offset_ms: 0,
            clock_was_right: true,
            objects: Objects::new(kind.sites, kind.page_rules, now),
            gate_seen_open_at: None,
            shone_at: now,
            process_began: now,
            policy_seen: false,
            processes: 0,
            turns: 0,
            tally: Tally::default(),
            violations: Vec::new(),
            flights: BTreeSet::new(),
            read: BTreeMap::new(),
            late: Vec::new(),
            spent: BTreeMap::new(),
            draws: BTreeMap::new(),
            story: VecDeque::new(),
            hash: 0,
        }
    }

    /// The next draw called `what`.
    pub fn draw(&mut self, what: &'static str) -> Dice {
        let nth = self.draws.entry(what).or_default();
        *nth += 1;
        self.dice.of(what, *nth)
    }

    /// True wall time, whatever the watcher's clock says.
    pub fn true_wall(&self) -> Wall {
        EPOCH + self.began.elapsed()
    }

    /// The watcher's wall time.
    pub fn wall(&self) -> Wall {
        Wall(self.true_wall().0.saturating_add_signed(self.wall_offset_ms))
    }

    pub fn timestamp(&self) -> Timestamp {
        let millis = i64::try_from(self.true_wall().0).expect("a time in this age");
        Timestamp::from_millisecond(millis).expect("a time in this age")
    }

    /// A line of the history: part of its hash.
    pub fn note(&mut self, line: &str) {
        let at = u64::try_from(self.began.elapsed().as_millis()).expect("a life's length");
        self.hash = line
            .bytes()
            .fold(mix(self.hash, at), |hash, byte| mix(hash, u64::from(byte)));
        self.aside(line);
    }

    /// A line of the story that is not part of the history: what waits of random length of the program's own, as the outbox does.
    pub fn aside(&mut self, line: &str) {
        if self.story.len() == KEPT {
            self.story.pop_front();
        }
        self.story
            .push_back(format!("{} {line}", clock_face(self.began.elapsed())));
    }

    pub fn broken(&mut self, law: Law, detail: &str) {
        let line = format!("BROKEN {law}: {detail}");
        self.note(&line);
        self.violations
            .push(format!("{} {line}", clock_face(self.began.elapsed())));
    }

    /// The loop of a site has something to tell.
    pub fn said(&mut self, site: usize, notice: &Notice) {
        self.tally.notices += 1;
        self.tally.failovers += u64::from(notice.what.name() == "failover_started");
        self.note(&format!("  {}: {:?}", SITES[site], notice.what));
    }

    pub const fn hash(&self) -> u64 {
        self.hash
    }

    pub fn story(&self) -> String {
        self.story.iter().flat_map(|line| [line, "\n"]).collect()
    }

    /// What a visitor of the standby's URL finds: the record, or while a change spreads one of both at random.
    pub fn gate_lets_in(&mut self) -> bool {
        let moved = *self.objects.moved(Object::Gate);
        let spreads = moved.at.elapsed() < moved.lag;
        let new = !spreads || self.draw("spreading").in_a_thousand(250);
        (moved.position == Position::On) == new
    }

    /// Whether the edge sends visitors of the site away now.
    pub fn redirects(&self, site: usize) -> bool {
        let moved = self.objects.moved(Object::Redirect(site));
        (moved.position == Position::On) == (moved.at.elapsed() >= moved.lag)
    }

    /// Carries out what the world itself does; what concerns the process is done by its owner.
    pub fn turn(&mut self, turn: Turn) {
        self.note(&format!("* {turn:?}"));
        match turn {
            Turn::Home(site, home) => self.sites[site].home = home,
            Turn::Edge(edge) => self.edge = edge,
            Turn::Standby(standby) => self.standby = standby,
            Turn::Line(up) => self.line = up,
            Turn::References(up) => self.references = up,
            Turn::Google(api) => self.turn_google(api),
            Turn::Cloudflare(api) => self.cloudflare = api,
            Turn::Webhook(up) => self.webhook = up,
            Turn::Disk(up) => self.disk = up,
            Turn::Hand(hand) => self.meddle(hand),
            Turn::Wall(secs) => {
                self.wall_offset_ms = secs * 1000;
                self.clock_was_right = false;
            }
            Turn::CalmBegins => self.becalm(),
            Turn::CalmEnds if self.kind.plant == Some(Plant::NeverRests) => self.meddle(Hand::OpensGate),
            Turn::Crash | Turn::Restart | Turn::Order(..) | Turn::CalmEnds => {}
        }
    }

    fn turn_google(&mut self, api: Api) {
        match (self.google, api) {
            (Api::Down, Api::Down) => {}
            (_, Api::Down) => self.google_down = Some((Instant::now(), None)),
            (Api::Down, _) => self.google_down = self.google_down.map(|(since, _)| (since, Some(Instant::now()))),
            _ => {}
        }
        self.google = api;
    }

    fn becalm(&mut self) {
        for site in &mut self.sites {
            site.home = Home::Serving;
        }
        (self.edge, self.standby) = (Edge::Works, Standby::Serves);
        self.turn_google(Api::Well);
        self.cloudflare = Api::Well;
        (self.line, self.references, self.webhook, self.disk) = (true, true, true, true);
        self.wall_offset_ms = 0;
    }

    fn meddle(&mut self, hand: Hand) {
        self.settle_late();
        let now = Instant::now();
        let lag = self.spread();
        let (object, position) = match hand {
            Hand::OpensGate => (Object::Gate, Position::On),
            Hand::ShutsGate => (Object::Gate, Position::Off),
            Hand::GrantsOther => (Object::Gate, self.objects.gate.position),
            Hand::RedirectsOn(site) => (Object::Redirect(site), Position::On),
            Hand::RedirectsOff(site) => (Object::Redirect(site), Position::Off),
            Hand::AddsRule => (Object::Redirect(0), self.objects.redirects[0].position),
            Hand::EditsRule(site) => (Object::Redirect(site), self.objects.redirects[site].position),
        };
        let objects = &mut self.objects;
        objects.change(object, position, By::Other, lag, now);
        let version = objects.moved(object).version;
        match hand {
            Hand::OpensGate | Hand::ShutsGate => objects.set_member(position),
            Hand::GrantsOther => {
                let member = serde_json::json!(format!("user:u{version}@site.example"));
                objects.policy["bindings"][0]["members"]
                    .as_array_mut()
                    .expect("a list")
                    .push(member);
            }
            Hand::RedirectsOn(site) | Hand::RedirectsOff(site) => objects.set_switch(site, position),
            Hand::AddsRule => objects
                .rules
                .push(serde_json::json!({"id": format!("x{version}"), "ref": "theirs", "action": "redirect"})),
            Hand::EditsRule(site) => {
                objects.rules[site + 1]["description"] = serde_json::json!(format!("edited {version}"));
            }
        }
    }

    /// How long the gate's next change takes to spread (Google says two minutes, and up to seven), or the edge's.
    pub fn spread(&mut self) -> Duration {
        let mut dice = self.draw("spread");
        dice.lognormal(Duration::from_secs(45), 0.8, Duration::from_secs(420))
    }

    /// The process knows that the site's redirect is on, or was just now.
    pub fn knows_on(&mut self, site: usize) {
        let (since, _) = self.objects.redirects[site].went_on();
        let known = &mut self.sites[site].redirect_known_on;
        *known = known.filter(|at| *at >= since).or_else(|| Some(Instant::now()));
    }

    /// Whatever was to arrive late by now has arrived.
    pub fn settle_late(&mut self) {
        let now = Instant::now();
        while let Some(next) = self.late.iter().position(|(at, ..)| *at <= now) {
            let (_, call, version) = self.late.remove(next);
            self.carry_out(&call, By::UsLate, version).map_or_else(|_| (), drop);
        }
    }

    /// Carries out a call that read its object at `version`, and sees to it that nothing else changes.
    pub fn carry_out(
        &mut self,
        call: &super::objects::Call,
        by: By,
        version: u64,
    ) -> Result<serde_json::Value, super::objects::Refusal> {
        let now = (Instant::now(), self.timestamp());
        let Some((object, position)) = self.objects.aim(call) else {
            return self.objects.carry_out(call, by, Duration::ZERO, now);
        };
        let lag = match object {
            Object::Gate => self.spread(),
            Object::Redirect(_) => self.draw("edge lag").between(Duration::ZERO, Duration::from_secs(8)),
            Object::Silence(_) => Duration::ZERO,
        };
        let raced = object != Object::Gate && self.objects.moved(object).version != version;
        let theirs = self.objects.theirs(object);
        let result = self.objects.carry_out(call, by, lag, now);
        // A rule is patched whole and carries no etag: whoever edits it between our read and our write loses the edit.
        if self.objects.theirs(object) != theirs && !raced {
            self.broken(Law::NothingElseChanges, &format!("{object:?}"));
        }
        // Who puts it off has read it on.
        if let (Ok(_), Object::Redirect(site), By::Us) = (&result, object, by) {
            self.knows_on(site);
        }
        let word = result.as_ref().map_or("refused", |_| "applied");
        self.note(&format!("  {object:?} {} {word} {by:?}", position.label()));
        result
    }
}

/// A time of a life as people read it: day, hours, minutes, seconds.
fn clock_face(at: Duration) -> String {
    let secs = at.as_secs();
    format!(
        "d{:02} {:02}:{:02}:{:02}.{:03}",
        secs / 86_400,
        secs / 3600 % 24,
        secs / 60 % 60,
        secs % 60,
        at.subsec_millis()
    )
}
