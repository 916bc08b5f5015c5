//! The catalogue of faults names tests that exist, and enough faults.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The catalogue may grow and not shrink below this.
const LEAST: usize = 60;

/// One row: the fault's name and the tests that show it.
struct Fault {
    name: String,
    shown_by: Vec<String>,
}

fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn catalogue() -> String {
    fs::read_to_string(tests().join("../docs/faults.md")).unwrap()
}

/// The rows of all tables whose head is that of a fault.
fn faults(text: &str) -> Vec<Fault> {
    let mut found = Vec::new();
    let mut within = false;
    for line in text.lines() {
        within = line.starts_with("| fault |") || (within && line.starts_with('|'));
        let cells: Vec<_> = line.trim_matches(['|', ' ']).split(" | ").collect();
        if within && cells.len() == 3 && cells[0] != "fault" {
            found.push(Fault {
                name: cells[0].to_owned(),
                shown_by: cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect(),
            });
        }
    }
    found
}

/// What is wrong with a reference: `folder/file.rs::test` names a function with `#[test]`, `file :: word` a word in any other file of the tests.
fn wrong(reference: &str) -> Option<String> {
    let (file, name) = reference.split_once("::").unwrap_or((reference, ""));
    let (file, name) = (file.trim(), name.trim());
    let Ok(text) = fs::read_to_string(tests().join(file)) else {
        return Some(format!("tests/{file} is not there"));
    };
    let there = if Path::new(file).extension().is_some_and(|extension| extension == "rs") {
        is_test(&text, name)
    } else {
        !name.is_empty() && text.contains(name)
    };
    (!there).then(|| format!("tests/{file} has no {name}"))
}

/// Whether the text has a function of this name under a test's attribute, or a row of this name of a macro that makes such functions.
fn is_test(text: &str, name: &str) -> bool {
    let before = text.split(&format!("fn {name}(")).next().unwrap_or("");
    let written = before.len() < text.len() && before.lines().rev().take(8).any(|line| line.contains("test"));
    let row = format!("    {name}: ");
    written || (text.contains("$(#[tokio::test]") && text.lines().any(|line| line.starts_with(&row)))
}

#[test]
fn every_fault_of_the_catalogue_names_a_test_that_exists() {
    let faults = faults(&catalogue());
    let mut complaints = Vec::new();
    for fault in &faults {
        if fault.shown_by.is_empty() {
            complaints.push(format!("{}: no test", fault.name));
        }
        let missing = fault.shown_by.iter().filter_map(|reference| wrong(reference));
        complaints.extend(missing.map(|what| format!("{}: {what}", fault.name)));
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn the_catalogue_has_enough_faults_and_each_once() {
    let faults = faults(&catalogue());
    let names: BTreeSet<_> = faults.iter().map(|fault| fault.name.as_str()).collect();
    assert_eq!(names.len(), faults.len(), "a fault stands twice");
    assert!(names.len() >= LEAST, "{} faults", names.len());
}

#[test]
fn a_reference_to_nothing_is_noticed() {
    let rows = "| fault | what pilotlight does | shown by |\n|---|---|---|\n| x | y | `it/faults.rs::no_such_test`, `it/none.rs::x` |\n";
    let found = faults(rows);
    let named = found.iter().find(|fault| fault.name == "x").unwrap();
    assert_eq!(named.shown_by.len(), 2);
    assert!(named.shown_by.iter().all(|reference| wrong(reference).is_some()));
    assert!(wrong("it/faults.rs::a_reference_to_nothing_is_noticed").is_none());
}
