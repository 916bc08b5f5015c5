//! House rules that no compiler checks: sizes, words that do not belong, and where tasks may start.

use std::fs;
use std::path::{Path, PathBuf};

/// The most lines a file may have before its unit tests.
const MOST_LINES: usize = 450;

/// Files that are longer for a reason, and how long they may be at most.
const LONGER: &[(&str, usize, &str)] = &[];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file under these folders with its path from the root; binary files are left out.
fn files(folders: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut found);
    }
    assert!(!found.is_empty(), "no files in {folders:?}");
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<(String, String)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            found.push((name, text));
        }
    }
}

fn is_rust(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "rs")
}

fn sources() -> Vec<(String, String)> {
    files(&["src"]).into_iter().filter(|(name, _)| is_rust(name)).collect()
}

/// The part of a file before its unit tests, which stand last.
fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

/// `file:line` of every line for which `bad` holds.
fn places(files: &[(String, String)], bad: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in files {
        for (number, line) in text.lines().enumerate() {
            if bad(name, line) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    found
}

/// The part of a line that is code.
fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

#[test]
fn no_file_is_too_long_to_be_read_at_once() {
    let mut found = Vec::new();
    for (name, text) in sources() {
        let most = LONGER
            .iter()
            .find(|(longer, ..)| *longer == name)
            .map_or(MOST_LINES, |(_, most, _)| *most);
        let lines = code(&text).lines().count();
        if lines > most {
            found.push(format!("{name}: {lines} lines, at most {most}"));
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_longer_file_exists_and_has_a_reason() {
    for (name, most, reason) in LONGER {
        assert!(root().join(name).exists(), "{name} is gone; take it off the list");
        assert!(*most > MOST_LINES && !reason.is_empty(), "{name}");
    }
}

#[test]
fn nothing_is_left_for_later() {
    let unfinished = ["todo!", "unimplemented!", "#[allow", "#![allow", "FIXME", "XXX"];
    let found = places(&sources(), |_, line| unfinished.iter().any(|word| line.contains(word)));
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_module_says_what_it_is_for() {
    for (name, text) in sources() {
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("//! "), "{name} begins with {first:?}");
    }
}

#[test]
fn core_knows_no_vendor() {
    let core: Vec<_> = files(&["src/core"]);
    let vendors = ["google", "cloudflare", "cloud_run", "cloud run", "slack", "kubernetes"];
    let found = places(&core, |_, line| {
        let line = line.to_lowercase();
        vendors.iter().any(|vendor| line.contains(vendor))
    });
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn tasks_start_only_where_the_house_rules_say() {
    // The sandbox is a world of its own; it is no part of the daemon.
    let starters = ["src/app/", "src/driver.rs", "src/saver.rs", "src/sandbox/"];
    let daemon: Vec<_> = sources()
        .into_iter()
        .map(|(name, text)| (name, code(&text).to_owned()))
        .collect();
    let found = places(&daemon, |name, line| {
        let starts = ["tokio::spawn", "task::spawn(", "spawn_local"];
        let line = without_comment(line);
        !starters.iter().any(|starter| name.starts_with(starter)) && starts.iter().any(|start| line.contains(start))
    });
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn untyped_errors_stay_at_the_rim() {
    let rim = ["src/main.rs", "src/cli/", "src/app/"];
    let found = places(&sources(), |name, line| {
        !rim.iter().any(|file| name.starts_with(file)) && without_comment(line).contains("anyhow::")
    });
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_channel_is_without_a_bound() {
    let found = places(&sources(), |_, line| {
        without_comment(line).contains("unbounded_channel")
    });
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    let mut all = files(&[
        "src",
        "tests",
        "config",
        "systemd",
        "dashboards",
        "benches",
        "fuzz/src",
        "fuzz/fuzz_targets",
        "fuzz/corpus",
        "worker",
        ".ci",
    ]);
    for name in ["README.md", "CHANGELOG.md", "Cargo.toml", "deny.toml", "clippy.toml"] {
        all.push((
            name.to_owned(),
            fs::read_to_string(root().join(name)).unwrap_or_default(),
        ));
    }
    // Put together here, or this file would be its own finding.
    let machines = ["work", "root"].map(|folder| format!("/{folder}/"));
    let found = places(&all, |_, line| {
        machines.iter().any(|machine| {
            line.match_indices(machine.as_str()).any(|(at, _)| {
                let before = line.get(..at).and_then(|before| before.chars().next_back());
                before.is_none_or(|c| c.is_whitespace() || "\"'`(=:".contains(c))
            })
        })
    });
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}
