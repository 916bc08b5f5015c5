//! The demo's stage: the real daemon before the sandbox, watched from a seat that sees both.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::{self, Clock};
use crate::core::{Position, Role, Status};
use crate::sandbox::{Tally, World};

use super::playbill::Fault;

/// How often the stage is looked at; the timeline is this exact.
const GLANCE: Duration = Duration::from_millis(10);

/// Back to the line's beginning, and empty it.
const WIPE: &str = "\r\x1b[2K";
/// A line too long for a narrow terminal is cut off, not wrapped: a wrapped one could not be wiped.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// Something that happened on stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// The first full window of observation is over.
    Ready,
    /// Home was made to fail.
    Fault,
    /// The first bad probe was counted.
    Suspect,
    /// The gate's record says open.
    GateOn,
    /// The standby's front ends let everyone in.
    GateEffective,
    /// Pilotlight saw the standby twice in a row.
    GateProven,
    /// The failover was decided.
    FailedOver,
    /// The redirect's record says on.
    RedirectOn,
    /// Visitors were seen at the standby through the redirect.
    StandbyVerified,
    /// The suspicion passed without a failover.
    Cleared,
    /// Home was revived.
    Revived,
    /// Home answers again.
    Recovering,
    /// Home went dark again before the countdown ended.
    Relapsed,
    /// Going home was decided.
    Home,
    /// The redirect's record says off.
    RedirectOff,
    /// Visitors were seen at home.
    HomeVerified,
    /// The gate's record says shut.
    GateOff,
    /// The episode is over.
    Over,
}

impl Mark {
    /// The line of the timeline.
    const fn words(self) -> &'static str {
        match self {
            Self::Ready => "watched for a full window; ready to decide",
            Self::Fault | Self::Revived => "",
            Self::Suspect => "suspect: the gate is being opened, just in case",
            Self::Cleared => "suspicion cleared: no failover",
            Self::GateOn => "gate: the record says open (now it has to spread)",
            Self::GateEffective => "gate: the standby lets visitors in",
            Self::GateProven => "gate: proven, seen twice in a row as a visitor",
            Self::FailedOver => "FAILED OVER: decided",
            Self::RedirectOn => "redirect on",
            Self::StandbyVerified => "verified: visitors reach the standby",
            Self::Recovering => "recovering: home answers again, the countdown runs",
            Self::Relapsed => "dark again: the countdown is off, visitors stay at the standby",
            Self::Home => "HEALTHY: decided to go home",
            Self::RedirectOff => "redirect off",
            Self::HomeVerified => "verified: visitors are at home; the drain begins",
            Self::GateOff => "gate shut after the drain",
            Self::Over => "the episode is over: nothing left to do",
        }
    }

    /// The same in a word or two, for the timeline at the end; `None` for what only matters while it happens.
    const fn short(self) -> Option<&'static str> {
        match self {
            Self::Ready | Self::Fault | Self::Revived | Self::GateEffective => None,
            Self::Suspect => Some("suspect, gate opening"),
            Self::Cleared => Some("cleared, no failover"),
            Self::GateOn => Some("gate on record"),
            Self::GateProven => Some("gate proven"),
            Self::FailedOver => Some("failover decided"),
            Self::RedirectOn => Some("redirect on"),
            Self::StandbyVerified => Some("visitors verified at the standby"),
            Self::Recovering => Some("recovering"),
            Self::Relapsed => Some("dark again"),
            Self::Home => Some("failback decided"),
            Self::RedirectOff => Some("redirect off"),
            Self::HomeVerified => Some("visitors verified at home"),
            Self::GateOff => Some("gate shut"),
            Self::Over => Some("episode over"),
        }
    }
}

/// The watched stage.
#[derive(Debug)]
pub struct Stage {
    /// The sandbox's world.
    pub world: Arc<World>,
    status: watch::Receiver<Arc<Status>>,
    clock: Clock,
    began: Instant,
    /// What was true at the last glance.
    seen: BTreeMap<Mark, bool>,
    /// When each mark last became true.
    marks: BTreeMap<Mark, Instant>,
    terminal: bool,
    /// The progress line as it stands on the terminal.
    progress: String,
    timeline: Vec<(String, &'static str)>,
}

impl Stage {
    /// A stage on which nothing has happened.
    pub fn new(world: Arc<World>, status: watch::Receiver<Arc<Status>>) -> Self {
        Self {
            world,
            status,
            clock: Clock::system(),
            began: Instant::now(),
            seen: BTreeMap::new(),
            marks: BTreeMap::new(),
            terminal: is_terminal(),
            progress: String::new(),
            timeline: Vec::new(),
        }
    }

    /// When a mark last became true.
    pub fn at(&self, mark: Mark) -> Option<Instant> {
        self.marks.get(&mark).copied()
    }

    /// Time from one mark to a later one.
    pub fn between(&self, from: Mark, to: Mark) -> Option<Duration> {
        self.at(to)?.checked_duration_since(self.at(from)?)
    }

    /// The fault that was marked last and over with `end`, on the world's clock.
    pub fn fault(&self, end: Mark) -> Fault {
        let moment = |mark| {
            let ago = self.at(mark).map_or(Duration::ZERO, |at| at.elapsed());
            self.world.elapsed().saturating_sub(ago)
        };
        Fault {
            from: moment(Mark::Fault),
            until: moment(end),
        }
    }

    /// The newest picture.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status.borrow())
    }

    /// Says what is done to home, and notes when.
    pub fn act(&mut self, mark: Mark, short: &'static str, words: &str) {
        self.marks.insert(mark, Instant::now());
        self.say(short, words);
    }

    /// One line now, and its short form in the timeline at the end.
    pub fn say(&mut self, short: &'static str, words: &str) {
        self.timeline.push((self.time(), short));
        self.line(words);
    }

    /// What happened so far: the time of day, and what in short.
    pub fn timeline(&self) -> &[(String, &'static str)] {
        &self.timeline
    }

    /// Watches until `mark` becomes true (anew, if it was before); false when it does not within `limit`.
    pub async fn until(&mut self, mark: Mark, limit: Duration) -> bool {
        let from = Instant::now();
        while from.elapsed() < limit {
            self.glance();
            if self.seen.get(&mark) == Some(&true) && self.at(mark).is_some() {
                return true;
            }
            tokio::time::sleep(GLANCE).await;
        }
        self.line(&format!("NOT SEEN within {} s: {}", limit.as_secs(), mark.words()));
        false
    }

    /// Watches for a while.
    pub async fn linger(&mut self, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            self.glance();
            tokio::time::sleep(GLANCE).await;
        }
    }

    fn glance(&mut self) {
        let status = self.status();
        for (mark, holds) in self.facts(&status) {
            let before = self.seen.insert(mark, holds).unwrap_or(false);
            if holds && !before {
                self.marks.insert(mark, Instant::now());
                match mark.short() {
                    Some(short) => self.say(short, mark.words()),
                    None => self.line(mark.words()),
                }
            }
        }
        self.progress(&status);
    }

    /// What is true now: the daemon's picture and the world's own truth.
    fn facts(&self, status: &Status) -> [(Mark, bool); 16] {
        let (gate, redirect) = (self.world.gate(), self.world.redirect());
        let verified = |role, position| {
            status
                .toggles
                .iter()
                .any(|toggle| toggle.role() == role && toggle.verified == Some(position))
        };
        let phase = status.phase.label();
        let had = |mark| self.marks.contains_key(&mark);
        let at_home = had(Mark::RedirectOn) && !redirect.configured;
        [
            (Mark::Ready, status.observed_enough),
            (Mark::Suspect, phase == "suspect"),
            (
                Mark::Cleared,
                had(Mark::Home) && had(Mark::Suspect) && self.is_after(Mark::Suspect, Mark::Home) && phase == "healthy",
            ),
            (Mark::GateOn, gate.configured),
            (Mark::GateEffective, gate.effective),
            (Mark::GateProven, verified(Role::Gate, Position::On)),
            (Mark::FailedOver, status.totals.failovers > 0),
            (Mark::RedirectOn, redirect.configured),
            (
                Mark::StandbyVerified,
                verified(Role::Redirect, Position::On) && redirect.effective,
            ),
            (Mark::Recovering, phase == "recovering"),
            (Mark::Relapsed, had(Mark::Recovering) && phase == "failed_over"),
            (Mark::Home, status.totals.failbacks > 0),
            (Mark::RedirectOff, at_home),
            (Mark::HomeVerified, at_home && verified(Role::Redirect, Position::Off)),
            (Mark::GateOff, had(Mark::GateOn) && !gate.configured),
            (Mark::Over, had(Mark::RedirectOn) && status.episode.is_none()),
        ]
    }

    fn is_after(&self, later: Mark, earlier: Mark) -> bool {
        self.at(later) > self.at(earlier)
    }

    /// One line of the timeline.
    pub fn line(&mut self, words: &str) {
        let time = self.time();
        let since = self.began.elapsed().as_secs_f32();
        self.print(&format!("{time}  {since:6.1} s  {words}\n"));
    }

    /// The time of day in UTC, to the second.
    fn time(&self) -> String {
        let wall = clock::rfc3339(self.clock.wall());
        wall.get(11..19).unwrap_or_default().to_owned()
    }

    /// Plain text, after wiping the progress line.
    pub fn print(&mut self, text: &str) {
        let wipe = if self.terminal { WIPE } else { "" };
        self.progress.clear();
        write(&format!("{wipe}{text}"));
    }

    /// Redraws the progress line when it changed.
    fn progress(&mut self, status: &Status) {
        if !self.terminal {
            return;
        }
        let line = progress(status, &self.world.visitors().unwrap_or_default());
        if line != self.progress {
            write(&format!("{WIPE}{NO_WRAP}{line}{WRAP}"));
            self.progress = line;
        }
    }
}

/// What goes on now, in well under a terminal's 80 columns.
fn progress(status: &Status, tally: &Tally) -> String {
    let doing = match (status.phase.label(), status.failover_in, status.home_in) {
        ("suspect", Some(left), _) => format!("suspect, standby in {} s", left.as_secs()),
        ("suspect", None, _) => "suspect".to_owned(),
        ("recovering", _, Some(left)) => format!("recovering, home in {} s", left.as_secs()),
        ("recovering", _, None) => "recovering".to_owned(),
        ("failed_over", ..) => "failed over".to_owned(),
        (phase, ..) => phase.to_owned(),
    };
    format!(
        "  ... {doing:<26} | visits: home {}, standby {}, lost {}",
        tally.home, tally.standby, tally.lost
    )
}

/// Writes to the terminal. A demo whose reader went away goes on to its exit status.
fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A terminal that understands more than plain lines.
fn is_terminal() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}
