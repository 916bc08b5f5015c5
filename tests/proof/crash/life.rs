//! One life of the real daemon: an outage, out and home again, with a kill somewhere in it, and what the world says of it afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use pilotlight::sandbox::{Api, Home, Notice, World};
use pilotlight::store::format;
use serde_json::Value;
use tokio::time::Instant;

use crate::support::daemon::{Daemon, Lab, text};

use super::strace::{Call, Seen, Tracer, Watched};

/// Durations that a busy machine can keep: a probe that is late for want of a processor would be a fault of ours.
const CALM: &str = r#"
[daemon]
log_format = "json"
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
unhealthy_threshold = 2
down_for = "1500ms"
clear_threshold = 1
clear_for = "500ms"
healthy_threshold = 2
up_for = "1s"
up_for_max = "4s"
relapse_window = "3s"
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
/// Nothing here is timed; a condition that does not come true for this long never will.
const LIMIT: Duration = Duration::from_secs(120);
/// How often the world is looked at.
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
    /// Notices that arrived again under the id that they had.
    pub repeated: usize,
    /// How often it was told that saving took too long: whoever stands still at each call has a slow disk.
    pub slow: usize,
}

/// A world with a daemon that has looked at everything while home is well.
pub async fn begin(name: &str) -> Result<(Lab, Daemon), String> {
    let mut lab = Lab::new(name).await;
    std::fs::write(lab.dir.join("quick.toml"), CALM).unwrap();
    let daemon = lab.start();
    let world = lab.world();
    until("the first reads", || {
        world.journal().len() >= 6 && lab.state_file().exists()
    })
    .await?;
    Ok((lab, daemon))
}

/// Waits until something is true.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) -> Result<(), String> {
    let from = Instant::now();
    while !condition() {
        if from.elapsed() > LIMIT {
            return Err(format!("never came: {what}"));
        }
        tokio::time::sleep(GLANCE).await;
    }
    Ok(())
}

/// Visitors are at the standby, and this is proven.
pub async fn reaches_the_standby(lab: &Lab) -> Result<(), String> {
    let world = lab.world();
    until("gate, redirect and silence", || {
        world.gate().effective && world.redirect().effective && world.silence().snoozed_for.is_some()
    })
    .await?;
    until("the proof", || lab.saved("/episode/failed_over", "true")).await
}

/// Everything is off and the episode over.
pub async fn is_home(lab: &Lab) -> Result<(), String> {
    let world = lab.world();
    until("all toggles off", || {
        !world.gate().configured && !world.redirect().configured && world.silence().snoozed_for.is_none()
    })
    .await?;
    until("the episode's end", || lab.saved("/episode", "null")).await
}

/// Lives it. An error is a life that came to no end.
pub async fn live(plan: &Plan) -> Result<Story, String> {
    let (mut lab, mut daemon) = begin(&plan.name).await?;
    let world = lab.world();
    if plan.way == Way::Home {
        world.set_home(Home::Refusing);
        reaches_the_standby(&lab).await?;
        settled(&lab).await?;
    }
    let mut story = Story::default();
    watch(plan, &lab, &mut daemon, &mut story).await?;
    let turned = plan.meanwhile == Meanwhile::Turns;
    let outages = if turned && plan.way == Way::Home { 2 } else { 1 };
    if story.killed.is_some() {
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
        reaches_the_standby(&lab).await?;
        world.set_home(Home::Serving);
    }
    is_home(&lab).await?;
    settled(&lab).await?;
    if !daemon.terminate().await.success() {
        story.wrong.push("it did not end well".to_owned());
    }
    story.wrong.extend(leftovers(&lab));
    story.wrong.extend(order(&world));
    story.wrong.extend(if turned {
        told_in_pairs(&world.notices(), outages)
    } else {
        told_once(&world.notices())
    });
    story.repeated = repeated(&world.notices());
    story.slow = told(&world.notices()).get("save_failed").copied().unwrap_or_default();
    if story.wrong.is_empty() {
        lab.finish().await;
    }
    Ok(story)
}

/// Turns home and follows the daemon along its way, up to the kill or the end.
async fn watch(plan: &Plan, lab: &Lab, daemon: &mut Daemon, story: &mut Story) -> Result<(), String> {
    let watched = match plan.place {
        Where::Disk => Watched::Disk(lab.dir.join("state").canonicalize().unwrap()),
        Where::Wire => Watched::Wire(peers(lab)),
    };
    let inject = match &plan.hand {
        Hand::Records | Hand::KillsAfter(_) => Tracer::stepping(&watched),
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
        if arrived(plan.way, lab) && last.elapsed() > QUIET && world.notices().len() >= least(plan.way) {
            tracer.detach();
            go_on(daemon.pid());
            return Ok(());
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
    let ended = std::process::Command::new("kill")
        .args(["-CONT", &pid.to_string()])
        .status();
    assert!(ended.is_ok_and(|status| status.success()), "there is no `kill`");
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

/// Every notice by name, with how many different ids it came.
pub fn told(notices: &[Notice]) -> BTreeMap<String, usize> {
    let mut ids: Vec<(String, Option<String>)> = Vec::new();
    for notice in notices {
        let body: Value = serde_json::from_str(&notice.body).unwrap_or_default();
        let name = body["type"]
            .as_str()
            .unwrap_or("?")
            .trim_start_matches("pilotlight.")
            .to_owned();
        if !ids.contains(&(name.clone(), notice.id.clone())) {
            ids.push((name, notice.id.clone()));
        }
    }
    let mut counts = BTreeMap::new();
    for (name, _) in ids {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// The edges of a whole outage.
const EDGES: [&str; 7] = [
    "suspected",
    "failover_started",
    "failed_over",
    "recovering",
    "failback_started",
    "back_home",
    "episode_over",
];

/// What may be told besides when home turns while the daemon is dead.
const TURNS: [&str; 3] = ["suspicion_cleared", "relapsed", "rolled_back"];

/// What was told of the outage: a disk that was slow for being stepped through is counted apart.
fn told_of_the_outage(notices: &[Notice]) -> BTreeMap<String, usize> {
    let mut told = told(notices);
    told.retain(|name, _| !name.starts_with("save_"));
    told
}

/// A whole outage: each edge exactly once, and nothing else.
fn told_once(notices: &[Notice]) -> Vec<String> {
    let told = told_of_the_outage(notices);
    let wanted: BTreeMap<_, _> = EDGES.into_iter().map(|name| (name.to_owned(), 1)).collect();
    let wrong = (told != wanted).then(|| format!("r14: told were {told:?}"));
    wrong.into_iter().collect()
}

/// Home turned while the daemon was dead: edges may be missing that never were, and a relapse is one more leg of the same edges.
fn told_in_pairs(notices: &[Notice], outages: usize) -> Vec<String> {
    let told = told_of_the_outage(notices);
    let count = |name: &str| told.get(name).copied().unwrap_or_default();
    let mut wrong = Vec::new();
    for (name, count) in &told {
        let known = EDGES.contains(&name.as_str()) || TURNS.contains(&name.as_str());
        if !known || *count > outages {
            wrong.push(format!("r14: {name} was told {count} times"));
        }
    }
    let began = count("suspected");
    let ended = count("episode_over") + count("suspicion_cleared");
    if began == 0 && !told.is_empty() || ended == 0 && began > 0 {
        wrong.push(format!("r14: began {began} times, ended {ended} times: {told:?}"));
    }
    if count("failover_started") > 0 && count("episode_over") == 0 {
        wrong.push(format!("r14: a failover without an end: {told:?}"));
    }
    wrong
}

fn repeated(notices: &[Notice]) -> usize {
    let different: std::collections::BTreeSet<_> = notices.iter().map(|notice| &notice.id).collect();
    notices.len() - different.len()
}
