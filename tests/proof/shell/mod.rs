//! The shell's whole lives under the paused clock: the real driver, probe task, edges with their clients, shared objects, lanes, budgets
//! and tokens, the real saver and store on a real directory, and the real outbox and its delivery, in one process. Simulated are only the
//! wire below the client, what the eyes see, the wall clock, the disk's moods and the target of notices.
//!
//! A life is drawn from its seed ([`plan`]) and lived in chapters of three days, each of which ends in eight hours of calm. What must hold
//! stands in [`laws`]. `cargo test` lives three days; `tests/proof/run` lives more. By environment:
//!
//! - `PILOTLIGHT_SHELL_SEEDS`: how many lives (their seeds count from 1);
//! - `PILOTLIGHT_SHELL_DAYS`: how many days each;
//! - `PILOTLIGHT_SHELL_SEED`: this one life alone, with its story.
//!
//! The same seed gives the same history, over lives of any length. The runtime's seed cannot be set in a plain build, so nothing may hang
//! on what it draws: the loops take what comes at one instant in a fixed order, and who waits for a save goes on in the order of asking.
//! Two things are left out because they are the program's own chance: the ids of notices and the jitter of a webhook's retries.

mod checks;
mod dice;
mod eyes;
mod fates;
mod laws;
mod life;
mod objects;
mod parts;
mod plan;
mod planted;
mod process;
mod receiver;
mod watch;
mod wire;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use life::{Life, live};
use plan::DAY;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
    )
}

/// How long each life is.
fn days() -> u32 {
    let days = number("PILOTLIGHT_SHELL_DAYS").unwrap_or(1);
    u32::try_from(days).expect("a number of days that fits a life")
}

/// Lives all of these lives, spread over the cores.
fn live_all(seeds: &[u64], days: u32) -> Vec<Life> {
    let next = AtomicU64::new(0);
    let lives = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism()
        .map_or(1, std::num::NonZero::get)
        .min(seeds.len());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).expect("a few"))
                {
                    let life = live(*seed, DAY * days, None);
                    // At once: a run that is cut short has told what it found.
                    for broken in &life.violations {
                        println!("seed {seed}: {broken}");
                    }
                    lives.lock().expect("no panic under the lock").push(life);
                }
            });
        }
    });
    let mut lives = lives.into_inner().expect("no panic under the lock");
    lives.sort_by_key(|life| life.seed);
    lives
}

#[test]
fn the_shell_keeps_every_law_in_every_life() {
    let days = days();
    let seeds = match number("PILOTLIGHT_SHELL_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("PILOTLIGHT_SHELL_SEEDS").unwrap_or(1)).collect(),
    };
    let lives = live_all(&seeds, days);
    let sum = |of: fn(&Life) -> u64| lives.iter().map(of).sum::<u64>();
    let broken: Vec<_> = lives.iter().filter(|life| !life.violations.is_empty()).collect();
    println!(
        "shell: {} lives, {} days, {} probes, {} calls, {} writes, {} failovers, {} crashes, {} notices, {} times at rest, {} violations",
        lives.len(),
        u64::from(days) * lives.len() as u64,
        sum(|life| life.tally.probes),
        sum(|life| life.tally.calls),
        sum(|life| life.tally.writes),
        sum(|life| life.tally.failovers),
        sum(|life| life.tally.crashes),
        sum(|life| life.tally.notices),
        sum(|life| life.tally.rests),
        sum(|life| life.violations.len() as u64),
    );
    for life in &broken {
        println!(
            "replay: PILOTLIGHT_SHELL_SEED={} PILOTLIGHT_SHELL_DAYS={days} cargo test --profile proof --test proof shell",
            life.seed
        );
    }
    if let Some(life) = broken.first() {
        panic!("seed {} broke a law; the end of its story:\n{}", life.seed, life.story);
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    // A life of one site, and one of two that share a gate.
    for seed in [7, 12] {
        let lives = live_all(&[seed, seed], days());
        assert_eq!(
            lives[0].hash, lives[1].hash,
            "{}\n---\n{}",
            lives[0].story, lives[1].story
        );
    }
}
