//! The state file: a snapshot or a complaint, the same again once written, and whatever it says core starts from it and lives on.

use std::collections::HashMap;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use pilotlight::core::{
    Action, BrokenStandby, ClockCheck, Controller, DriftPolicy, Effect, Event, Eye, Faculties, Failback, Failing,
    Instant, Layout, Mode, Now, Observed, OpId, Outcome, Policy, Position, Reflection, Role, Sighting, Snapshot,
    ToggleKey, View, Wall, Why,
};
use pilotlight::store::Kept;
use pilotlight::store::format::{decode, encode};
use serde_json::{Value, json};

/// When the daemon starts again.
const WALL: Wall = Wall(1_790_000_000_000);
/// How often home is probed here.
const INTERVAL: Duration = Duration::from_secs(15);
/// Home is dark for the first part of the life, then back.
const DARK: Duration = Duration::from_secs(600);
/// The whole life.
const LIFE: Duration = Duration::from_secs(1800);
/// One event leads to no more effects than these.
const MOST_EFFECTS: usize = 32;
/// No more than these events at one moment: core would be going round.
const MOST_AT_ONCE: u32 = 64;

/// Runs one input: the file's content when it begins with a brace, else bytes that one is made from.
pub fn try_one(data: &[u8]) {
    let kept = if data.first() == Some(&b'{') {
        decode(data).ok()
    } else {
        let made = made(&mut Unstructured::new(data)).ok();
        made.map(|made| decode(made.to_string().as_bytes()).expect("it is of the right shape"))
    };
    let Some(kept) = kept else { return };
    let text = encode(&kept).expect("what is kept can be put into words");
    assert_eq!(decode(&text).ok().as_ref(), Some(&kept));
    Life::of(&kept.snapshot).live();
}

/// A snapshot of the right shape with anything in it, also what no life leads to: a file may be edited, or from another machine.
fn made(u: &mut Unstructured<'_>) -> Result<Value> {
    let successes = *u.choose(&[0, 1, 3, u32::MAX])?;
    let phase = match u.int_in_range(0..=3)? {
        0 => json!({"name": "healthy", "well_ms": millis(u)?}),
        1 => json!({"name": "suspect", "failures": *u.choose(&[0, 1, 3, u32::MAX])?, "successes": successes,
            "dark_ms": millis(u)?, "quiet_ms": millis(u)?}),
        2 => json!({"name": "failed_over", "out_ms": millis(u)?}),
        _ => json!({"name": "recovering", "successes": successes, "quiet_ms": millis(u)?}),
    };
    let pin = json!({"until_unix_ms": wall(u)?, "author": "a", "reason": "r"});
    let mode = match u.int_in_range(0..=3)? {
        0 => json!({"name": "pinned", "route": route(u)?, "pin": pin}),
        1 => json!({"name": "paused", "pin": pin}),
        _ => json!({"name": "auto"}),
    };
    let mut toggles = Vec::new();
    for _ in 0..u.int_in_range(0..=4)? {
        toggles.push(toggle(u)?);
    }
    let since_home = if u.arbitrary()? { Some(millis(u)?) } else { None };
    let episode = if u.ratio(2, 3)? { episode(u)? } else { Value::Null };
    Ok(json!({
        "version": 1, "taken_unix_ms": wall(u)?, "phase": phase, "mode": mode, "route": route(u)?, "up_for_ms": millis(u)?,
        "since_home_ms": since_home, "episode": episode, "next_episode": *u.choose(&[0, 1, 7, u64::MAX])?, "toggles": toggles,
    }))
}

fn episode(u: &mut Unstructured<'_>) -> Result<Value> {
    let cause = match u.int_in_range(0..=4)? {
        0 => json!("edge_lost_home"),
        1 => json!("operator"),
        2 => json!("found_switched"),
        3 => json!({"origin": {"timeout": "connect"}}),
        _ => json!({"origin": {"status": u.arbitrary::<u16>()?}}),
    };
    let mut told = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        told.push(*u.choose(&[
            "suspected",
            "failover_started",
            "failed_over",
            "1:failed_over",
            "recovering",
            "back_home",
            "",
        ])?);
    }
    Ok(json!({
        "id": *u.choose(&[0, 3, u64::MAX])?, "began_unix_ms": wall(u)?, "cause": cause, "failed_over": u.arbitrary::<bool>()?,
        "home_proven": u.arbitrary::<bool>()?, "home_in_doubt": u.arbitrary::<bool>()?,
        "leg": *u.choose(&[0, 1, 2, u32::MAX])?, "told": told,
    }))
}

fn toggle(u: &mut Unstructured<'_>) -> Result<Value> {
    let role = *u.choose(&["gate", "redirect", "silence"])?;
    let desired = *u.choose(&["on", "off"])?;
    let index = *u.choose(&[0, 0, 0, 1, u8::MAX])?;
    Ok(
        json!({"role": role, "index": index, "desired": desired, "settled": u.arbitrary::<bool>()?,
        "on_for_ms": if u.arbitrary()? { Some(millis(u)?) } else { None },
        "off_for_ms": if u.arbitrary()? { Some(millis(u)?) } else { None }}),
    )
}

fn route(u: &mut Unstructured<'_>) -> Result<&'static str> {
    u.choose(&["origin", "standby"]).copied()
}

fn millis(u: &mut Unstructured<'_>) -> Result<u64> {
    let usual = [0, 999, 5_000, 30_000, 120_000, 300_000, 3_600_000, 86_400_000, u64::MAX];
    if u.ratio(1, 8)? {
        u.arbitrary()
    } else {
        u.choose(&usual).copied()
    }
}

fn wall(u: &mut Unstructured<'_>) -> Result<u64> {
    let day = 86_400_000;
    u.choose(&[
        0,
        WALL.0 - day,
        WALL.0 - 1000,
        WALL.0,
        WALL.0 + 60_000,
        WALL.0 + day / 6,
        u64::MAX,
    ])
    .copied()
}

/// A duration beyond 64 bits of milliseconds is kept as the longest that fits, so here the texts are compared.
fn prints_the_same(snapshot: Snapshot) {
    let text = encode(&Kept::from(snapshot)).expect("every snapshot can be put into words");
    let read = decode(&text).expect("what was written can be read");
    assert_eq!(encode(&read).ok(), Some(text));
}

const fn key(role: Role) -> ToggleKey {
    ToggleKey { role, index: 0 }
}

const KEYS: [ToggleKey; 3] = [key(Role::Gate), key(Role::Redirect), key(Role::Silence)];

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// DESIGN's defaults, but for quicker ways home and fewer probes.
pub const fn policy() -> Policy {
    Policy {
        interval: INTERVAL,
        confirm_interval: Duration::from_millis(500),
        visitor_interval: secs(60),
        references_again: secs(10),
        unhealthy_threshold: 3,
        down_for: secs(30),
        clear_threshold: 2,
        clear_for: secs(10),
        healthy_threshold: 4,
        up_for: secs(120),
        up_for_max: secs(6 * 3600),
        relapse_window: secs(3600),
        prewarm: true,
        failback: Failback::Auto,
        broken_standby: BrokenStandby::Hold,
        drift: DriftPolicy::Repair,
        gate_patience: secs(120),
        drain: secs(300),
        verify_every: secs(300),
        home_proof: secs(30),
    }
}

/// Core in a world that does what it is told at once.
struct Life {
    core: Controller,
    at: Duration,
    paused_until: Option<Wall>,
    positions: HashMap<ToggleKey, Position>,
    answers: Vec<Event>,
    at_once: u32,
}

impl Life {
    fn of(snapshot: &Snapshot) -> Self {
        let layout = Layout {
            toggles: KEYS.to_vec(),
            edge_eye: true,
        };
        let now = Now {
            at: Instant::ZERO,
            wall: WALL,
        };
        let last = |key: &ToggleKey| snapshot.toggles.iter().find(|record| record.key == *key);
        let position = |key: &ToggleKey| last(key).map_or(Position::Off, |record| record.desired);
        Self {
            core: Controller::new(policy(), layout, Some(snapshot), 7, now),
            at: Duration::ZERO,
            paused_until: match &snapshot.mode {
                Mode::Paused { pin } => Some(pin.until),
                Mode::Auto | Mode::Pinned { .. } => None,
            },
            positions: KEYS.iter().map(|key| (*key, position(key))).collect(),
            answers: Vec::new(),
            at_once: 0,
        }
    }

    fn now(&self) -> Now {
        Now {
            at: Instant::at(self.at),
            wall: WALL + self.at,
        }
    }

    fn live(mut self) {
        self.handle(Event::Woke);
        let mut next_probe = Duration::ZERO;
        while self.at < LIFE {
            if let Some(answer) = self.answers.pop() {
                self.handle(answer);
                continue;
            }
            let deadline = self.core.next_deadline().map_or(LIFE, Instant::since_start);
            let before = self.at;
            self.at = self.at.max(deadline.min(next_probe));
            if self.at > before {
                self.at_once = 0;
            }
            if self.at >= next_probe {
                next_probe = self.at + INTERVAL;
                self.handle(Event::Probed {
                    sent_at: Instant::at(self.at),
                    scheduled: true,
                    outcome: self.outcome(),
                });
            } else {
                self.handle(Event::Woke);
            }
        }
    }

    fn outcome(&self) -> Outcome {
        if self.at >= DARK {
            return Outcome::Ok;
        }
        Outcome::Failed(Failing {
            why: Why::Refused,
            used: Faculties::ALL,
        })
    }

    fn handle(&mut self, event: Event) {
        self.at_once += 1;
        assert!(
            self.at_once <= MOST_AT_ONCE,
            "core goes round at {:?}: {:?}",
            self.at,
            self.core
        );
        let effects = self.core.handle(event, self.now());
        assert!(effects.len() <= MOST_EFFECTS, "{effects:?}");
        for effect in effects {
            match effect {
                Effect::Save(snapshot) => prints_the_same(*snapshot),
                Effect::Act { id, action } => self.act(id, action),
                Effect::Notify(_) | Effect::Warm => {}
            }
        }
        // What is told to people and to monitoring is made of this.
        let _ = format!("{:?}", self.core.status(self.now()));
    }

    fn act(&mut self, id: OpId, action: Action) {
        let answer = match action {
            Action::Set(key, position) => {
                let paused = self.paused_until.is_some_and(|until| self.now().wall < until);
                assert!(!paused, "written while paused: {key:?} {position:?}");
                self.positions.insert(key, position);
                self.settled(id, key)
            }
            Action::Observe(key) => self.settled(id, key),
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
        };
        self.answers.push(answer);
    }

    fn settled(&self, id: OpId, key: ToggleKey) -> Event {
        let position = self.positions.get(&key).copied();
        let observed = Observed {
            configured: position,
            effective: position.filter(|_| key.role == Role::Gate),
            ..Observed::UNKNOWN
        };
        Event::Settled {
            id,
            result: Ok(observed),
        }
    }

    fn sighting(&self, eye: Eye) -> Sighting {
        let is_on = |role| self.positions.get(&key(role)) == Some(&Position::On);
        let home = if self.at < DARK {
            View::EdgeLostHome(522)
        } else {
            View::Home
        };
        let standby = if is_on(Role::Gate) { View::Standby } else { View::Shut };
        let redirected = is_on(Role::Redirect);
        Sighting {
            view: match eye {
                Eye::Visitor if redirected => standby,
                Eye::Standby => standby,
                Eye::Visitor | Eye::Edge | Eye::Mirror => home,
            },
            redirect: (eye == Eye::Visitor).then_some(if redirected { Position::On } else { Position::Off }),
            took: Duration::from_millis(80),
        }
    }
}
