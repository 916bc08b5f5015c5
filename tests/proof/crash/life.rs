//! One life of the real daemon: an outage, out and home again, with a kill somewhere in it, and what the world says of it afterwards.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pilotlight::sandbox::{Api, Home, World};
use pilotlight::store::format;
use tokio::time::Instant;

use crate::support::daemon::{Daemon, LIMIT, Lab, text, until};

use super::strace::{Call, Seen, Tracer, Watched};
use super::telling::{Heard, Memory};

/// Durations that a busy machine can keep: a probe that is late for want of a processor would be a fault of ours.
const CALM: &str = r#"
[daemon]
log = "info"
shutdown_timeout = "60s"
[probe]
interval = "1s"
timeout = "900ms"
confirm_interval = "200ms"
hedge_after = "800ms"
[visitor]
interval = "1s"
timeout = "5s"
[references]
again = "2s"
[policy]
clear_threshold = 1
[timing]
gate_patience = "60s"
drain = "2500ms"
verify_every = "5m"
toggle_timeout = "2s"
home_proof = "20s"
"#;
/// The drain of these settings.
pub const DRAIN: Duration = Duration::from_millis(2500);
/// How long the standby's front ends take to follow the gate's record, in the lab.
const PROPAGATION: Duration = Duration::from_millis(400);
/// How often the daemon's calls are looked at.
const GLANCE: Duration = Duration::from_millis(4);
/// Nothing was written for this long after the end of a way: it is over.
const QUIET: Duration = Duration::from_millis(700);

/// Which way of the switch is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Out,
    Home,
}

/// What happens on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hand {
    /// Nothing; what is written or sent is taken down.
    Records,
    /// SIGKILL when this call has been carried out, and nothing after it.
    KillsAfter(Call),
    /// SIGKILL on entering some thread's so-manieth call of this name: it does not happen.
    KillsAt(&'static str, u32),
}

/// What the world does while the daemon is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meanwhile {
    GoesOn,
    /// The outage ends (on the way home: home fails again).
    Turns,
}

/// Which calls are of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    Disk,
    Wire,
}

/// A life to be lived.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: String,
    pub way: Way,
    pub place: Where,
    pub hand: Hand,
    pub meanwhile: Meanwhile,
}

/// How it went.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// The calls seen on the way, up to the kill.
    pub calls: Vec<Call>,
    /// Where the daemon was killed.
    pub killed: Option<Call>,
    /// Everything that must not be.
    pub wrong: Vec<String>,
    /// A probe was not answered in time. No home in here is slow: the machine was too busy for the world or the daemon.
    pub starved: bool,
    /// Notices that arrived again under the id that they had.
    pub repeated: usize,
    /// Notices that were told again under another id, because the save of the first one was overdue at the kill.
    pub retold: usize,
    /// How often it was told that saving took too long: whoever stands still at each call has a slow disk.
    pub slow: usize,
}

/// A world with a daemon that has looked at everything while home is well.
pub async fn begin(name: &str) -> Result<(Lab, Daemon), String> {
    let mut lab = Lab::new(name).await;
    lab.lay_over("calm.toml", CALM);
    let daemon = lab.start();
    lab.has_looked().await?;
    Ok((lab, daemon))
}

/// Lives it. An error is a life that came to no end.
pub async fn live(plan: &Plan) -> Result<Story, String> {
    let (mut lab, mut daemon) = begin(&plan.name).await?;
    let world = lab.world();
    if plan.way == Way::Home {
        world.set_home(Home::Refusing);
        lab.reaches_the_standby().await?;
        settled(&lab).await?;
    }
    let mut story = Story::default();
    watch(plan, &lab, &mut daemon, &mut story).await?;
    let turned = plan.meanwhile == Meanwhile::Turns;
    let outages = if turned && plan.way == Way::Home { 2 } else { 1 };
    let mut memory = Memory::Saved;
    if story.killed.is_some() {
        memory = Memory::at_the_end_of(&lab.log(1));
        if turned {
            world.set_home(match plan.way {
                Way::Out => Home::Serving,
                Way::Home => Home::Refusing,
            });
        }
        daemon = lab.start();
        daemon.watches().await;
    }
    let turned = turned && story.killed.is_some();
    if (plan.way == Way::Out) != turned {
        lab.reaches_the_standby().await?;
        world.set_home(Home::Serving);
    }
    lab.is_home().await?;
    settled(&lab).await?;
    if !daemon.terminate().await.success() {
        story.wrong.push("it did not end well".to_owned());
    }
    story.wrong.extend(leftovers(&lab));
    story.wrong.extend(order(&world));
    story.starved = lab.printed().contains("Origin(Timeout(");
    let heard = Heard::of(&world.notices());
    story.wrong.extend(if turned {
        heard.in_pairs(outages, memory)
    } else {
        heard.each_once(memory)
    });
    (story.repeated, story.retold, story.slow) = (heard.repeated(), heard.retold(outages), heard.slow());
    if story.wrong.is_empty() {
        lab.finish().await;
    }
    Ok(story)
}

/// Turns home and follows the daemon along its way, up to the kill or the end.
async fn watch(plan: &Plan, lab: &Lab, daemon: &mut Daemon, story: &mut Story) -> Result<(), String> {
    let state = || lab.dir.join("state").canonicalize().unwrap();
    let watched = match (plan.place, &plan.hand) {
        (Where::Disk, Hand::KillsAfter(call)) => Watched::Call(state(), call.clone()),
        (Where::Disk, _) => Watched::Disk(state()),
        (Where::Wire, _) => Watched::Wire(peers(lab)),
    };
    let inject = match &plan.hand {
        Hand::Records => Vec::new(),
        Hand::KillsAfter(_) => Tracer::stepping(&watched),
        Hand::KillsAt(name, when) => vec![format!("{name}:signal=KILL:when={when}")],
    };
    let mut tracer = Tracer::attach(daemon.pid(), watched, &inject, lab.dir.join("strace.log"));
    let world = lab.world();
    world.set_home(match plan.way {
        Way::Out => Home::Refusing,
        Way::Home => Home::Serving,
    });
    let (from, mut last) = (Instant::now(), Instant::now());
    loop {
        for seen in tracer.seen() {
            match seen {
                Seen::Call { call, .. } => {
                    last = Instant::now();
                    let here = plan.hand == Hand::KillsAfter(call.clone());
                    story.calls.push(call);
                    if here {
                        daemon.kill();
                        story.killed = last_call(&mut tracer, story);
                        return Ok(());
                    }
                }
                Seen::Killed(call) => {
                    daemon.kill();
                    story.killed = Some(call);
                    return Ok(());
                }
                Seen::Stopped => go_on(daemon.pid()),
            }
        }
        if last.elapsed() > QUIET && world.notices().len() >= least(plan.way) && arrived(plan.way, lab) {
            tracer.detach();
            return walks_again(daemon.pid()).await;
        }
        if from.elapsed() > LIMIT {
            return Err("the way has no end".to_owned());
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// What was really carried out last: on a busy machine a kill may come a call late, and then this is the point.
fn last_call(tracer: &mut Tracer, story: &mut Story) -> Option<Call> {
    for seen in tracer.end() {
        if let Seen::Call { call, .. } = seen {
            story.calls.push(call);
        }
    }
    story.calls.last().cloned()
}

fn go_on(pid: u32) {
    signal(pid, "-CONT");
}

fn signal(pid: u32, which: &str) {
    let sent = std::process::Command::new("kill")
        .args([which, &pid.to_string()])
        .status();
    assert!(sent.is_ok_and(|status| status.success()), "there is no `kill`");
}

/// After the last stop. A thread that is let go in the middle of one may miss the signal.
async fn walks_again(pid: u32) -> Result<(), String> {
    until("all threads to go on", || {
        go_on(pid);
        !stands(pid)
    })
    .await
}

/// Whether a thread of it is stopped.
fn stands(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.filter_map(Result::ok).any(|thread| {
        let stat = text(&thread.path().join("stat"));
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        matches!(state, Some('T' | 't'))
    })
}

/// The notices that a way has at least.
const fn least(way: Way) -> usize {
    match way {
        Way::Out => 3,
        Way::Home => 7,
    }
}

fn arrived(way: Way, lab: &Lab) -> bool {
    match way {
        Way::Out => lab.saved("/episode/failed_over", "true"),
        Way::Home => lab.saved("/episode", "null"),
    }
}

fn peers(lab: &Lab) -> Vec<(&'static str, std::net::SocketAddr)> {
    let at = lab.sandbox.addresses();
    vec![
        ("run", at.run),
        ("monitoring", at.monitoring),
        ("cloudflare", at.cloudflare),
        ("webhook", at.webhook),
    ]
}

/// Nothing waits to be told any more, neither in the outbox nor beside the intent.
pub async fn settled(lab: &Lab) -> Result<(), String> {
    until("the outbox to be empty", || {
        outbox(lab).is_empty() && lab.saved("/notices", "[]")
    })
    .await
}

fn outbox(lab: &Lab) -> Vec<String> {
    names(&lab.dir.join("state").join("outbox").join("sandbox"))
}

fn names(dir: &std::path::Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The state directory after the end: what belongs there, and nothing else.
pub fn leftovers(lab: &Lab) -> Vec<String> {
    let mut wrong = Vec::new();
    let found = names(&lab.dir.join("state"));
    if found != [".lock", "outbox", "site.json"] {
        wrong.push(format!("in the state directory lie {found:?}"));
    }
    if !outbox(lab).is_empty() {
        wrong.push(format!("in the outbox lie {:?}", outbox(lab)));
    }
    if let Err(error) = format::decode(text(&lab.state_file()).as_bytes()) {
        wrong.push(format!("the state file cannot be used: {error}"));
    }
    wrong
}

/// What changed at the providers: gate open, redirect on, redirect off, gate shut, in this order and not too soon.
pub fn order(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut gate, mut redirect) = (None::<Duration>, None::<Duration>);
    let mut redirect_off = Duration::ZERO;
    let writes = world.journal().into_iter().filter(|call| call.wrote);
    for call in writes.filter(|call| matches!(call.api, Api::Run | Api::Cloudflare)) {
        if !call.changed {
            wrong.push(format!("{:?} changed nothing: {} {}", call.api, call.method, call.path));
        }
        let at = call.at;
        match (call.api, gate, redirect) {
            (Api::Run, None, _) => gate = Some(at),
            (Api::Run, Some(_), Some(_)) => wrong.push("r06: the gate was shut while the redirect was on".to_owned()),
            (Api::Run, Some(_), None) => {
                if redirect_off > Duration::ZERO && at < redirect_off + DRAIN {
                    wrong.push(format!(
                        "r06: the gate was shut {:?} after the redirect",
                        at.saturating_sub(redirect_off)
                    ));
                }
                gate = None;
            }
            (Api::Cloudflare, Some(opened), None) => {
                if at < opened + PROPAGATION {
                    wrong.push(format!(
                        "r06: the redirect was on {:?} after the gate's record",
                        at.saturating_sub(opened)
                    ));
                }
                redirect = Some(at);
            }
            (Api::Cloudflare, _, Some(_)) => (redirect, redirect_off) = (None, at),
            _ => wrong.push("r06: the redirect went on while the gate was shut".to_owned()),
        }
    }
    if gate.is_some() || redirect.is_some() {
        wrong.push("not everything is off".to_owned());
    }
    wrong
}

/// The disk takes a minute from the moment at which the last write of the way home leaves, and the kill comes as soon as the end was
/// told from memory. How often it was told again comes back beside what is wrong.
pub async fn die_before_an_overdue_save(name: &str) -> Result<(usize, Vec<String>), String> {
    let (mut lab, mut daemon) = begin(name).await?;
    let world = lab.world();
    world.set_home(Home::Refusing);
    lab.reaches_the_standby().await?;
    let tracer = Arc::new(Mutex::new(None));
    let (slot, pid, log) = (Arc::clone(&tracer), daemon.pid(), lab.dir.join("strace.log"));
    let state = Watched::Disk(lab.dir.join("state").canonicalize().unwrap());
    world.before_next_write(Api::Run, move |_| {
        let slow = ["fsync:delay_enter=60000000".to_owned()];
        *slot.lock().unwrap() = Some(Tracer::attach(pid, state, &slow, log));
    });
    world.set_home(Home::Serving);
    let heard = || Heard::of(&world.notices());
    until("the end, from memory", || heard().told().contains_key("episode_over")).await?;
    // Its end waits for strace's, which waits for the disk.
    signal(daemon.pid(), "-KILL");
    drop(tracer.lock().unwrap().take());
    daemon.kill();
    let mut wrong = Vec::new();
    let memory = Memory::at_the_end_of(&lab.log(1));
    if memory != Memory::Overdue || lab.saved("/episode", "null") {
        wrong.push(format!("r14: told before it was saved, the disk {memory:?}"));
    }
    let daemon = lab.start();
    lab.is_home().await?;
    settled(&lab).await?;
    if !daemon.terminate().await.success() {
        wrong.push("it did not end well".to_owned());
    }
    wrong.extend(leftovers(&lab));
    wrong.extend(heard().each_once(memory));
    let retold = heard().retold(1);
    lab.finish().await;
    Ok((retold, wrong))
}
