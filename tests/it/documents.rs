//! The documents say what the program is: commands, routes, metrics, dependencies, and links that lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use pilotlight::cli::args::Cli;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The text of one section, without its heading.
fn section(text: &str, heading: &str) -> String {
    let level = heading.chars().take_while(|c| *c == '#').count();
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let ends = |line: &&str| {
        let hashes = line.chars().take_while(|c| *c == '#').count();
        hashes == 0 || hashes > level
    };
    let found: Vec<_> = lines.take_while(ends).collect();
    assert!(!found.is_empty(), "no section {heading:?}");
    found.join("\n")
}

/// The first cell of each row of a section's table, without the head and the quotes.
fn first_column(section: &str) -> Vec<String> {
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| Some(line.split('`').nth(1)?.to_owned()))
        .collect()
}

fn set(names: &[String]) -> BTreeSet<String> {
    let unique: BTreeSet<_> = names.iter().cloned().collect();
    assert_eq!(unique.len(), names.len(), "a name stands twice in {names:?}");
    unique
}

/// The direct dependencies, those of the tests included.
fn dependencies() -> BTreeSet<String> {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let names = ["dependencies", "dev-dependencies"].map(|kind| manifest[kind].as_table().unwrap().clone());
    names.into_iter().flatten().map(|(name, _)| name).collect()
}

/// Quoted words in files under a folder that begin with one of these.
fn quoted_in(folder: &str, beginnings: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let words = text.split('"').skip(1).step_by(2);
        found.extend(
            words
                .filter(|word| beginnings.iter().any(|beginning| word.starts_with(beginning)))
                .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
                .map(str::to_owned),
        );
    }
    found
}

#[test]
fn the_readme_has_exactly_two_commands_after_the_clone() {
    let readme = read("README.md");
    let block = readme.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let commands: Vec<_> = block.lines().collect();
    assert_eq!(commands, ["cargo run --release -- demo", "cargo test"]);
    assert!(section(&readme, "## Try it").contains(block));
}

#[test]
fn the_readme_begins_with_five_lines_and_a_diagram() {
    let readme = read("README.md");
    let beginning = readme.split("## Try it").next().unwrap();
    let lines = beginning.split("```text").next().unwrap().lines().skip(1);
    assert_eq!(lines.filter(|line| !line.is_empty()).count(), 5);
    assert!(beginning.contains("```text"));
}

#[test]
fn every_dependency_has_its_reason_in_the_readme() {
    let table = section(&read("README.md"), "## Dependencies");
    assert_eq!(set(&first_column(&table)), dependencies());
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let reason = row.split(" | ").nth(1).unwrap().trim_end_matches(" |");
        assert!(reason.len() > 5, "{row}");
    }
    for advisory in ["RUSTSEC-2025-0012", "RUSTSEC-2024-0384"] {
        assert!(table.contains(advisory), "{advisory}");
    }
}

#[test]
fn what_the_readme_calls_banned_is_banned() {
    let deny: toml::Table = read("deny.toml").parse().unwrap();
    let banned: BTreeSet<_> = deny["bans"]["deny"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ban| ban["crate"].as_str().unwrap().to_owned())
        .collect();
    let wanted = ["aws-lc-sys", "backoff", "instant", "native-tls", "openssl-sys"];
    assert_eq!(banned, wanted.map(str::to_owned).into());
    let lock = read("Cargo.lock");
    for name in banned {
        assert!(!lock.contains(&format!("name = \"{name}\"\n")), "{name} is in the tree");
    }
}

#[test]
fn the_readme_lists_every_metric_and_no_other() {
    let listed = set(&first_column(&section(&read("README.md"), "### Metrics")));
    let exported = quoted_in("src/metrics", &["pilotlight_", "process_"]);
    assert_eq!(listed, exported);
}

#[test]
fn the_readme_says_of_each_metric_what_the_program_says() {
    let table = section(&read("README.md"), "### Metrics");
    let text = crate::sample::metrics().encode().unwrap();
    for line in text.lines() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|told| told.split_once(' ')) else {
            continue;
        };
        let row = table.lines().find(|row| row.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not listed"));
        assert!(row.ends_with(&format!("| {help} |")), "{name}: {help}");
        let listed: BTreeSet<_> = row.split(" | ").nth(1).unwrap().split('`').skip(1).step_by(2).collect();
        assert_eq!(listed, labels(&text, name), "{name}");
    }
}

/// The labels of a metric's series, without a histogram's own.
fn labels<'a>(text: &'a str, name: &str) -> BTreeSet<&'a str> {
    let series = [format!("{name}{{"), format!("{name}_bucket{{")];
    let lines = text
        .lines()
        .filter(|line| series.iter().any(|series| line.starts_with(series)));
    let pairs = lines.filter_map(|line| line.split_once('{')?.1.split_once('}').map(|(pairs, _)| pairs));
    pairs
        .flat_map(|pairs| pairs.split(','))
        .filter_map(|pair| pair.split_once('=').map(|(label, _)| label))
        .filter(|label| *label != "le")
        .collect()
}

#[test]
fn the_readme_lists_every_route_and_no_other() {
    let source = read("src/admin/routes.rs");
    let served: BTreeSet<_> = source
        .split(".route(\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    assert!(served.len() >= 8, "{served:?}");
    let listed: BTreeSet<_> = first_column(&section(&read("README.md"), "### Admin API"))
        .iter()
        .filter_map(|cell| Some(cell.split_once(' ')?.1.to_owned()))
        .collect();
    assert_eq!(listed, served);
}

#[test]
fn the_readme_names_every_command() {
    let readme = read("README.md");
    for command in Cli::command()
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
    {
        let name = command.get_name();
        assert!(
            readme.contains(&format!("pilotlight {name}")) || readme.contains(&format!("-- {name}")),
            "{name}"
        );
    }
}

#[test]
fn every_kind_of_switch_is_in_the_readme() {
    let rows = section(&read("README.md"), "## The switches");
    let kinds: Vec<_> = rows
        .lines()
        .filter(|line| {
            ["| gate", "| redirect", "| silence"]
                .iter()
                .any(|role| line.starts_with(role))
        })
        .filter_map(|line| Some(line.split('`').nth(1)?.to_owned()))
        .collect();
    let wanted = [
        "cloud_run",
        "exec",
        "page_rule",
        "single_redirect",
        "snooze",
        "uptime_check",
        "worker_route",
    ];
    assert_eq!(set(&kinds), wanted.map(str::to_owned).into());
    let reference = read("config/pilotlight.toml");
    for kind in &kinds {
        assert!(
            reference.contains(&format!("kind = \"{kind}\"")),
            "{kind} is in no config"
        );
    }
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    for document in ["README.md", "CHANGELOG.md"] {
        let text = read(document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let leads = link.starts_with("https://") || Path::new(&root()).join(link).exists();
            assert!(leads, "{document}: {link}");
        }
    }
}

#[test]
fn the_changelog_says_what_is_not_yet_released() {
    let unreleased = section(&read("CHANGELOG.md"), "## Unreleased");
    let kinds = ["### Added", "### Changed", "### Fixed", "### Removed"];
    let headings: Vec<_> = unreleased.lines().filter(|line| line.starts_with("### ")).collect();
    assert!(!headings.is_empty());
    assert!(headings.iter().all(|heading| kinds.contains(heading)), "{headings:?}");
}

#[test]
fn the_checks_before_a_change_end_with_the_readmes_test_command() {
    let run = read(".ci/run");
    let last = run.lines().rfind(|line| !line.trim().is_empty()).unwrap();
    assert_eq!(last, "exec cargo test --locked");
    for step in [
        "cargo fmt --check",
        "-D warnings",
        "cargo deny check",
        "--release -- demo",
    ] {
        assert!(run.contains(step), "{step}");
    }
}
