//! Whole lives by seed: the real core in a world of outages, broken providers, foreign writers, crashes and operators.
//!
//! In plain `cargo test` a few short lives are lived. The whole budget, 1,000 lives of 30 days and 10 of ten years, is
//! `PILOTLIGHT_SEEDS=1000 PILOTLIGHT_DAYS=30 PILOTLIGHT_LONG_SEEDS=10 PILOTLIGHT_LONG_DAYS=3650 cargo test --profile proof --test proof sim::`.
//!
//! | variable | what it sets |
//! |---|---|
//! | `PILOTLIGHT_SEED` | the first seed (`random`: another one at each run) |
//! | `PILOTLIGHT_SEEDS` | how many lives |
//! | `PILOTLIGHT_DAYS` | how long each is |
//! | `PILOTLIGHT_LONG_SEEDS`, `PILOTLIGHT_LONG_DAYS` | the same for the long lives |
//! | `PILOTLIGHT_PATIENT_SEEDS` | how many lives are lived both with and without every quiet probe |
//! | `PILOTLIGHT_YEARS` | how many typical years are lived for the figures |
//! | `PILOTLIGHT_STORY` | `all`: the whole story of a failed life, not only its end |

mod draw;
mod figures;
mod life;
mod weather;

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::support::model::mix;
use life::{DAY, Lived, Manner, Ticket, live, wall};

/// Lines of a failed life's story that are printed.
const LAST_LINES: usize = 120;
/// Long lives have seeds of their own.
const LONG_LIVES: u64 = 1 << 40;

fn given(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")),
    )
}

fn first_seed() -> u64 {
    match std::env::var("PILOTLIGHT_SEED") {
        Ok(word) if word == "random" => u64::from(std::process::id()) << 20,
        Ok(_) => given("PILOTLIGHT_SEED").unwrap_or_default(),
        Err(_) => 0,
    }
}

fn threads(tickets: &[Ticket]) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(tickets.len())
}

/// Lives them all, on as many threads as there are cores.
fn live_all(tickets: &[Ticket], manner: Manner) -> Vec<Lived> {
    let next = AtomicUsize::new(0);
    let lived = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads(tickets) {
            scope.spawn(|| {
                while let Some(ticket) = tickets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = live(*ticket, manner);
                    lived.lock().expect("no life panics").push(one);
                }
            });
        }
    });
    let mut lived = lived.into_inner().expect("no life panics");
    lived.sort_by_key(|one| (one.ticket.days, one.ticket.seed));
    lived
}

/// The end of a failed life, and how to live it again.
fn story(ticket: Ticket) -> String {
    let lived = live(
        ticket,
        Manner {
            told: true,
            ..Manner::default()
        },
    );
    let all = std::env::var("PILOTLIGHT_STORY").is_ok_and(|word| word == "all");
    let from = if all {
        0
    } else {
        lived.story.len().saturating_sub(LAST_LINES)
    };
    let mut text = String::new();
    for line in &lived.story[from..] {
        writeln!(text, "{}  {}", wall(line.at), line.text).expect("a string takes everything");
    }
    text + &format!(
        "\nseed {} broke an invariant: {}\nlive it again: PILOTLIGHT_SEED={} PILOTLIGHT_SEEDS=1 PILOTLIGHT_DAYS={} cargo test --profile proof --test proof sim:: -- --nocapture\n",
        ticket.seed,
        lived.violation.unwrap_or_default(),
        ticket.seed,
        ticket.days
    )
}

/// Lives them all, prints one line and, if one broke an invariant, its story.
fn prove(name: &str, tickets: &[Ticket]) {
    let began = Instant::now();
    let lived = live_all(tickets, Manner::default());
    let took = began.elapsed();
    let days: u64 = tickets.iter().map(|ticket| ticket.days).sum();
    let failed: Vec<&Lived> = lived.iter().filter(|one| one.violation.is_some()).collect();
    let threads = u32::try_from(threads(tickets)).expect("few");
    let speed = days_of(days).as_secs_f64() / DAY.as_secs_f64() / took.as_secs_f64().max(0.001);
    println!(
        "{name}: {} lives from seed {}, {:.1} simulated years, {} failovers, {} violations, {speed:.0} days per second on {threads} cores, {:.0} per core",
        tickets.len(),
        tickets.first().map_or(0, |ticket| ticket.seed),
        days_of(days).as_secs_f64() / days_of(365).as_secs_f64(),
        lived.iter().map(|one| one.failovers).sum::<u64>(),
        failed.len(),
        speed / f64::from(threads),
    );
    let digest = lived.iter().fold(0, |all, one| mix(all ^ one.history));
    println!("{name}: history {digest:016x}");
    for one in &failed {
        println!("{}: {}", one.ticket.seed, one.violation.as_deref().unwrap_or_default());
    }
    if let Some(one) = failed.first() {
        panic!("\n{}", story(one.ticket));
    }
}

fn days_of(days: u64) -> Duration {
    DAY * u32::try_from(days).expect("not that long")
}

fn tickets(first: u64, seeds: u64, days: u64) -> Vec<Ticket> {
    (first..first + seeds).map(|seed| Ticket { seed, days }).collect()
}

#[test]
fn no_life_breaks_an_invariant() {
    let seeds = given("PILOTLIGHT_SEEDS").unwrap_or(8);
    let days = given("PILOTLIGHT_DAYS").unwrap_or(5);
    prove("lives", &tickets(first_seed(), seeds, days));
}

#[test]
fn no_long_life_breaks_an_invariant() {
    let seeds = given("PILOTLIGHT_LONG_SEEDS").unwrap_or(1);
    let days = given("PILOTLIGHT_LONG_DAYS").unwrap_or(40);
    prove("long lives", &tickets(first_seed() + LONG_LIVES, seeds, days));
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let chosen = tickets(first_seed(), 3, 4);
    let histories = || -> Vec<u64> {
        let lived = live_all(&chosen, Manner::default());
        lived.iter().map(|one| one.history).collect()
    };
    let (once, twice) = (histories(), histories());
    assert_eq!(once, twice);
    assert!(once[0] != once[1] && once[1] != once[2], "another seed, another life");
}

/// Leaving out quiet probes changes nothing: that is what lets years be lived in seconds.
#[test]
fn a_life_in_a_hurry_is_the_life_that_sends_every_probe() {
    let seeds = given("PILOTLIGHT_PATIENT_SEEDS").unwrap_or(4);
    for ticket in tickets(first_seed(), seeds, 5) {
        let patient = Manner {
            patient: true,
            ..Manner::default()
        };
        let (hurried, patient) = (live(ticket, Manner::default()), live(ticket, patient));
        assert_eq!(hurried.history, patient.history, "{ticket:?}");
        assert_eq!(hurried.failovers, patient.failovers, "{ticket:?}");
    }
}

/// Lives that once broke an invariant, and what they found. What a life of ten years found is a named rule test, and CI lives that life again.
const FOUND: &[(u64, u64, &str)] = &[
    (
        22,
        16,
        "a run of good probes that begins with a confirming one (the audit was wrong)",
    ),
    (40, 30, "told of a way home that was never begun"),
    (
        83,
        10,
        "home was never looked at within a short home_proof: rolled back for ever",
    ),
    (
        193,
        16,
        "somebody else shut the gate between its proof and the redirect (nobody could know)",
    ),
    (
        2006,
        2,
        "the redirect came on again after a trial, a second before visitors saw it (the audit was wrong)",
    ),
];

#[test]
fn no_life_that_was_mended_breaks_again() {
    for (seed, days, found) in FOUND {
        let ticket = Ticket {
            seed: *seed,
            days: *days,
        };
        let lived = live(ticket, Manner::default());
        assert_eq!(lived.violation, None, "{found}\n{}", story(ticket));
    }
}
