//! A path through the states, told so that a person can follow it.

use std::fmt::Write as _;

use pilotlight::core::{Position, Role};
use stateright::Path;

use super::kinds::{NAMES, State, Step, object};
use super::rig::Rig;

/// Each step and what the world looks like before it; and how it would go on if nothing more went wrong.
pub fn tell(rig: &Rig, path: Path<State, Step>) -> String {
    let mut story = String::new();
    let mut last = None;
    for (state, step) in path.into_vec() {
        let step = step.map_or_else(|| "(end)".to_owned(), |step| format!("{step:?}"));
        line(&mut story, &state, &step);
        last = Some(state);
    }
    if let Some(end) = last.filter(State::is_over) {
        let calm = rig.calm_end(&State { broken: None, ..end });
        line(&mut story, &calm, "(and calmly on)");
        for site in &calm.sites {
            let status = site.controller.status(calm.clock());
            writeln!(story, "{status:?}").expect("a string grows");
        }
    }
    story
}

/// How many steps a story has.
pub fn steps(story: &str) -> usize {
    let taken = |line: &&str| line.contains(" -> ") && !line.ends_with("(end)") && !line.ends_with("(and calmly on)");
    story.lines().filter(taken).count()
}

fn line(story: &mut String, state: &State, step: &str) {
    write!(
        story,
        "{:>4} {:>9.3}s",
        state.tick,
        state.now.since_start().as_secs_f64()
    )
    .expect("a string grows");
    let gate = &state.remotes[0];
    write!(
        story,
        "  gate {}/{}{}",
        word(gate.configured),
        word(gate.visible),
        busy(state, 0)
    )
    .expect("a string grows");
    for (index, site) in state.sites.iter().enumerate() {
        let status = site.controller.status(state.clock());
        let redirect = &state.remotes[object(index, Role::Redirect)];
        write!(
            story,
            "  {}: home {} {} {} {}{} redirect {}{}",
            NAMES[index],
            if site.home { "up" } else { "DOWN" },
            status.phase.label(),
            status.mode.label(),
            status.route.label(),
            if site.saving.is_some() { " saving" } else { "" },
            word(redirect.configured),
            busy(state, object(index, Role::Redirect)),
        )
        .expect("a string grows");
    }
    let broken = state
        .broken
        .map_or_else(String::new, |rule| format!("  BROKEN {}", rule.name()));
    writeln!(story, "{broken}  -> {step}").expect("a string grows");
}

const fn word(position: Position) -> &'static str {
    match position {
        Position::Off => "off",
        Position::On => "ON",
    }
}

fn busy(state: &State, object: usize) -> String {
    let remote = &state.remotes[object];
    let first = remote.lane.first().map(|op| format!("({:?} {:?})", op.wish, op.stage));
    let ghosts = remote
        .ghosts
        .iter()
        .map(|ghost| format!("(late {:?} at {})", ghost.position, ghost.at));
    first.into_iter().chain(ghosts).collect()
}
