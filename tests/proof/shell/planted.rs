//! Wrongs planted into lives: each law has one that breaks it, or the law could not fail.

use super::laws::Law;
use super::life::live;
use super::plan::HOUR;

/// A wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The program is told to wait no time for the gate.
    NoPatience,
    /// Whatever sends visitors to the standby shuts the gate behind it.
    ShutsGateBehind,
    /// The program is told to drain for a minute only.
    ShortDrain,
    /// Every write is sent again behind its answer.
    WritesAgain,
    /// Every read is sent twice at once.
    ReadsTwice,
    /// The mirror answers for references that nobody asked.
    MirrorInvents,
    /// A forced route passes for a pause.
    WritesWhilePaused,
    /// Every read is sent thirty times.
    Floods,
    /// A policy goes back with nobody else's grants.
    WipesGrants,
    /// The disk says that it saved, and did not.
    DiskLies,
    /// Notices are worded and then dropped.
    TellsNobody,
    /// The state directory is empty after a crash.
    Forgets,
    /// Of three turns of the loop one is seen.
    TurnsSlowly,
    /// A task goes on without its process.
    Leaks,
    /// Somebody moves a switch as the calm ends.
    NeverRests,
}

/// Each law with the wrong that breaks it, and a life in which that shows soon: its seed and its length in hours.
const TABLE: [(Plant, Law, u64, u32); 16] = [
    (Plant::NoPatience, Law::RedirectOnlyToAnOpenGate, 5, 24),
    (Plant::ShutsGateBehind, Law::GateNotShutUnderRedirect, 15, 24),
    (Plant::ShortDrain, Law::DrainBeforeShut, 15, 24),
    (Plant::ShortDrain, Law::OpenedGateStaysOpen, 4, 24),
    (Plant::WritesAgain, Law::NoWriteWhenNothingDiffers, 15, 24),
    (Plant::ReadsTwice, Law::OneInFlight, 1, 24),
    (Plant::MirrorInvents, Law::NoSwitchWhileBlind, 15, 24),
    (Plant::WritesWhilePaused, Law::PausedMeansNoWrites, 6, 24),
    (Plant::Floods, Law::Budget, 6, 24),
    (Plant::WipesGrants, Law::NothingElseChanges, 15, 24),
    (Plant::DiskLies, Law::IntentFirst, 15, 24),
    (Plant::TellsNobody, Law::ToldOnceInOrder, 1, 12),
    (Plant::Forgets, Law::RestartChangesNothing, 21, 24),
    (Plant::TurnsSlowly, Law::LoopNeverStalls, 11, 24),
    (Plant::Leaks, Law::NoTaskLeaks, 21, 24),
    (Plant::NeverRests, Law::Converges, 1, 12),
];

#[test]
fn every_law_is_broken_by_the_wrong_planted_against_it() {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let rows = (0..workers).map(|worker| {
            let rows = TABLE.iter().skip(worker).step_by(workers);
            scope.spawn(move || rows.filter_map(unseen).collect::<Vec<_>>())
        });
        let rows: Vec<_> = rows.collect();
        rows.into_iter()
            .flat_map(|row| row.join().expect("no panic in a life"))
            .collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is to be said if the law does not notice the wrong.
fn unseen((plant, law, seed, hours): &(Plant, Law, u64, u32)) -> Option<String> {
    let life = live(*seed, HOUR * *hours, Some(*plant));
    let first = life.violations.first();
    let seen = first.is_some_and(|first| first.contains(&format!("BROKEN {law}:")));
    (!seen).then(|| format!("{plant:?} should break {law}, but: {first:?}\n{}", life.story))
}
