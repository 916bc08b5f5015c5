//! The real binary killed at every system call that writes, and before a disk that refuses; needs strace and the right to attach it.
//!
//! A recording life lists what the daemon writes to its state directory on the way out and on the way home. Then each of these
//! calls ends a life of its own: SIGKILL right after it (the process stands still at that moment: SIGSTOP comes with it)
//! and SIGKILL on entering it (it does not happen). After a restart the world has to get where it would have got, in the right
//! order, every edge told under one id, nothing left behind. Under a second id only what was told from memory, because its save
//! was overdue and people knew it, see [`telling::Memory`]. In another third of the lives the outage turns while the daemon is
//! dead. Sends to providers are points as well, counted apart.
//!
//! `PILOTLIGHT_CRASH=all` lives through all of it and fails when fewer than a hundred points were hit, `tests/proof/crash.sh` runs
//! that; otherwise a handful. `PILOTLIGHT_CRASH_JOBS` lives run at a time (32).

mod errors;
mod life;
mod strace;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use tokio::time::Instant;

use self::errors::{Refusal, Trial};
use self::life::{Hand, Meanwhile, Plan, Story, Way, Where};
use self::strace::{Call, WRITING};

/// So many lives run at a time: they mostly wait.
const JOBS: usize = 32;
/// A life in which the call never came, and so no kill, or that was starved and went wrong, is lived so often again.
const AGAIN: usize = 2;
/// Fewer points than this are no proof.
const LEAST_POINTS: usize = 100;

fn everything() -> bool {
    std::env::var("PILOTLIGHT_CRASH").is_ok_and(|wish| wish == "all")
}

/// Lives all of them, a few at a time, each on a runtime of its own.
fn each<P: Sync, S: Send>(plans: &[P], live: impl Fn(&P) -> Result<S, String> + Sync) -> Vec<Result<S, String>> {
    let jobs = std::env::var("PILOTLIGHT_CRASH_JOBS")
        .ok()
        .and_then(|jobs| jobs.parse().ok())
        .unwrap_or(JOBS);
    let next = Mutex::new(0..plans.len());
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().unwrap().next();
                    let Some(number) = taken else { return };
                    let ended = catch_unwind(AssertUnwindSafe(|| live(&plans[number])));
                    let ended = ended.unwrap_or_else(|_| Err("a panic, see above".to_owned()));
                    done.lock().unwrap().insert(number, ended);
                }
            });
        }
    });
    done.into_inner().unwrap().into_values().collect()
}

fn on_a_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn record(way: Way, place: Where) -> Plan {
    Plan {
        name: format!("crash-{way:?}-{place:?}"),
        way,
        place,
        hand: Hand::Records,
        meanwhile: Meanwhile::GoesOn,
    }
}

/// A life for each call: killed after it, and (of those on disk) killed at it.
fn plans(way: Way, place: Where, calls: &[Call]) -> Vec<Plan> {
    let mut plans = Vec::new();
    let mut add = |hand, meanwhile| {
        plans.push(Plan {
            name: format!("crash-{way:?}-{place:?}-{}", plans.len()),
            way,
            place,
            hand,
            meanwhile,
        });
    };
    for (number, call) in calls.iter().enumerate() {
        add(Hand::KillsAfter(call.clone()), Meanwhile::GoesOn);
        if number % 3 == 0 {
            add(Hand::KillsAfter(call.clone()), Meanwhile::Turns);
        }
    }
    if place == Where::Disk {
        for name in WRITING {
            let times = calls.iter().filter(|call| call.name == name).count();
            for when in 1..=u32::try_from(times).unwrap() {
                add(Hand::KillsAt(name, when), Meanwhile::GoesOn);
            }
        }
    }
    plans
}

/// What all lives of a kind came to.
#[derive(Default)]
struct Sum {
    lives: usize,
    hit: BTreeSet<(Way, bool, Call)>,
    repeated: usize,
    retold: usize,
    slow: usize,
    starved: usize,
    wrong: Vec<String>,
}

impl Sum {
    fn add(&mut self, plan: &Plan, ended: Result<Story, String>) {
        self.lives += 1;
        let story = match ended {
            Ok(story) => story,
            Err(error) => Story {
                wrong: vec![error],
                ..Story::default()
            },
        };
        let after = matches!(plan.hand, Hand::KillsAfter(_));
        let at = story
            .killed
            .as_ref()
            .map_or_else(|| "not killed".to_owned(), Call::to_string);
        self.hit.extend(story.killed.map(|call| (plan.way, after, call)));
        self.repeated += story.repeated;
        self.retold += story.retold;
        self.slow += story.slow;
        let place = format!("{} ({:?}, {:?}): {at}", plan.name, plan.hand, plan.meanwhile);
        self.wrong
            .extend(story.wrong.into_iter().map(|wrong| format!("{place}: {wrong}")));
    }

    /// Whether nobody was killed after the call of this plan. Which thread writes first is chance, and how many intents fit into one save.
    fn misses(&self, plan: &Plan) -> bool {
        match &plan.hand {
            Hand::KillsAfter(call) => !self.hit.contains(&(plan.way, true, call.clone())),
            Hand::Records | Hand::KillsAt(..) => false,
        }
    }

    fn points(&self, way: Way) -> usize {
        self.hit.iter().filter(|(of, ..)| *of == way).count()
    }
}

/// Records both ways, then lives through the points; how many of the recorded calls were not hit comes back beside.
fn lives(place: Where, share: impl Fn(Vec<Plan>) -> Vec<Plan>) -> (Sum, Vec<String>) {
    let ways = [record(Way::Out, place), record(Way::Home, place)];
    let mut all = Vec::new();
    let (mut sum, mut wanted) = (Sum::default(), BTreeSet::new());
    for (plan, ended) in ways.iter().zip(each(&ways, |plan| on_a_runtime(life::live(plan)))) {
        let calls = ended.as_ref().map(|story| story.calls.clone()).unwrap_or_default();
        sum.add(plan, ended);
        all.extend(plans(plan.way, place, &calls));
    }
    let mut next = share(all);
    for plan in &next {
        if let Hand::KillsAfter(call) = &plan.hand {
            wanted.insert((plan.way, true, call.clone()));
        }
    }
    for again in (0..=AGAIN).rev() {
        let mut later = Vec::new();
        for (plan, ended) in next.iter().zip(each(&next, |plan| on_a_runtime(life::live(plan)))) {
            let starved = ended
                .as_ref()
                .is_ok_and(|story| story.starved && !story.wrong.is_empty());
            if starved && again > 0 {
                sum.starved += 1;
                later.push(plan.clone());
            } else {
                sum.add(plan, ended);
            }
        }
        next.retain(|plan| sum.misses(plan) && !later.iter().any(|other| other.name == plan.name));
        next.extend(later);
        for plan in &mut next {
            plan.name = format!("{}-again-{again}", plan.name);
        }
    }
    let missed = wanted.difference(&sum.hit);
    let missed = missed.map(|(way, _, call)| format!("{way:?} {call}")).collect();
    (sum, missed)
}

/// One in so many, the last ones among them: the ends of the ways are as good as their beginnings.
fn a_few(plans: Vec<Plan>) -> Vec<Plan> {
    let every = plans.len().div_ceil(6).max(1);
    plans.into_iter().skip(every / 2).step_by(every).collect()
}

fn skipped() -> bool {
    let why = strace::why_not();
    if let Some(why) = &why {
        println!("crash: skipped: {why}");
    }
    why.is_some()
}

#[test]
fn r10_a_kill_at_any_write_to_the_disk_changes_nothing_for_visitors_and_loses_no_notice() {
    if skipped() {
        return;
    }
    let from = Instant::now();
    let (sum, missed) = lives(Where::Disk, |plans| if everything() { plans } else { a_few(plans) });
    let (out, home) = (sum.points(Way::Out), sum.points(Way::Home));
    println!(
        "crash: {} lives, {out} points of a failover and {home} of a failback hit, {} recorded ones not hit, {} notices repeated under their id, {} told again under another one after an overdue save, {} saves slow for being stepped, {} lived again after a starved probe, {} wrong, {} s",
        sum.lives,
        missed.len(),
        sum.repeated,
        sum.retold,
        sum.slow,
        sum.starved,
        sum.wrong.len(),
        from.elapsed().as_secs()
    );
    assert!(sum.wrong.is_empty(), "{}", sum.wrong.join("\n"));
    if everything() {
        assert!(out + home >= LEAST_POINTS, "only {out} + {home} points");
    }
    // A recording may hold a save more than other lives have.
    let share = if everything() { 10 } else { 1 };
    assert!(missed.len() * share <= out + home, "not hit: {missed:#?}");
}

#[test]
fn r10_a_kill_at_any_request_to_a_provider_changes_nothing_for_visitors() {
    if skipped() || !everything() {
        println!("crash: requests are points with PILOTLIGHT_CRASH=all only");
        return;
    }
    let from = Instant::now();
    let (sum, missed) = lives(Where::Wire, |plans| plans);
    let (out, home) = (sum.points(Way::Out), sum.points(Way::Home));
    println!(
        "crash: {} lives, {out} requests of a failover and {home} of a failback hit, {} recorded ones not sent again, {} wrong, {} s",
        sum.lives,
        missed.len(),
        sum.wrong.len(),
        from.elapsed().as_secs()
    );
    assert!(sum.wrong.is_empty(), "{}", sum.wrong.join("\n"));
    assert!(out + home >= missed.len(), "not hit: {missed:#?}");
}

#[test]
fn r14_a_kill_before_an_overdue_save_tells_again_what_was_told_from_memory_and_nothing_else() {
    if skipped() {
        return;
    }
    let ended = on_a_runtime(life::die_before_an_overdue_save("crash-overdue"));
    assert_eq!(ended, Ok((1, Vec::new())));
}

/// Every error on every call for good and on all of them, each call's first ones alone, and a file system that is really full.
fn trials() -> Vec<Trial> {
    let mut refusals = Vec::new();
    let always = "openat,write,fsync,rename,unlink";
    for errno in ["ENOSPC", "EIO", "EROFS", "EDQUOT"] {
        for calls in ["openat", "write", "fsync", "rename", always] {
            refusals.push((calls, errno, "1+".to_owned()));
        }
    }
    for (calls, errno) in [
        ("openat", "EROFS"),
        ("write", "ENOSPC"),
        ("fsync", "EIO"),
        ("rename", "EIO"),
        ("unlink", "EIO"),
    ] {
        for when in 1..=8 {
            refusals.push((calls, errno, when.to_string()));
        }
    }
    let strace = refusals
        .into_iter()
        .map(|(calls, errno, when)| Refusal::Calls { calls, errno, when });
    let real = may_mount().then_some(Refusal::Full);
    let named = |(number, refusal)| Trial {
        name: format!("refusal-{number}"),
        refusal,
    };
    strace.chain(real).enumerate().map(named).collect()
}

fn may_mount() -> bool {
    let id = std::process::Command::new("id").arg("-u").output();
    let root = id.is_ok_and(|output| output.stdout == b"0\n");
    if !root {
        println!("crash: a really full disk is skipped: it needs root");
    }
    root
}

#[test]
fn r10_a_disk_that_refuses_stops_no_failover_and_is_said_and_clears() {
    if skipped() {
        return;
    }
    let from = Instant::now();
    let mut trials = trials();
    if !everything() {
        let every = trials.len() / 4;
        trials = trials.into_iter().skip(4).step_by(every).collect();
    }
    let mut wrong = Vec::new();
    let mut failed = 0;
    let ended = each(&trials, |trial| Ok(on_a_runtime(errors::endure(trial))));
    for (trial, ended) in trials.iter().zip(ended) {
        let place = format!("{} {:?}", trial.name, trial.refusal);
        match ended {
            Ok(account) => {
                failed += account.failed;
                wrong.extend(account.wrong.iter().map(|wrong| format!("{place}: {wrong}")));
            }
            Err(error) => wrong.push(format!("{place}: {error}")),
        }
    }
    println!(
        "crash: {} outages before a disk that refuses, {failed} calls made to fail, {} wrong, {} s",
        trials.len(),
        wrong.len(),
        from.elapsed().as_secs()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
