//! The house's walls: who may import whom, and what core does not know. A planted import fails.

mod source;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path as FilePath, PathBuf};

use source::Path;
use table::{PURE_PATHS, PURE_STD, ROOMS, Room};

/// Files under `src/` by their path there.
type House = BTreeMap<String, String>;

/// The modules of the house, and what they hand on from elsewhere.
#[derive(Default)]
struct Map<'a> {
    files: BTreeMap<Vec<String>, &'a str>,
    handed_on: BTreeMap<Vec<String>, Vec<String>>,
}

impl<'a> Map<'a> {
    fn draw(house: &'a House) -> Self {
        let mut map = Self::default();
        for file in house.keys().filter(|file| *file != "main.rs") {
            map.files.insert(module_of(file), file);
        }
        for (file, text) in house {
            for path in source::paths(text).into_iter().filter(|path| path.handed_on) {
                let mut name = module_of(file);
                name.extend(path.within.iter().cloned());
                name.push(path.name().to_owned());
                if let Some(full) = map.resolve(file, &path).filter(|full| *full != name) {
                    map.handed_on.insert(name, full);
                }
            }
        }
        map
    }

    /// The full path from the crate's root, when the path leads into this crate.
    fn resolve(&self, file: &str, path: &Path) -> Option<Vec<String>> {
        let mut here = module_of(file);
        here.extend(path.within.iter().cloned());
        let mut rest = path.parts.as_slice();
        match rest.first()?.as_str() {
            "crate" | "pilotlight" => {
                here.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {}
            child
                if self
                    .files
                    .contains_key(&[here.as_slice(), &[child.to_owned()]].concat()) => {}
            _ => return None,
        }
        while let Some(("super", more)) = rest.split_first().map(|(first, more)| (first.as_str(), more)) {
            here.pop();
            rest = more;
        }
        here.extend(rest.iter().cloned());
        Some(here)
    }

    /// The file that a full path leads into: the deepest module on its way, past every door that only hands on.
    fn file_of(&self, full: &[String]) -> &'a str {
        let mut full = full.to_vec();
        for _ in 0..self.handed_on.len() {
            let door = (1..=full.len()).find_map(|length| Some((length, self.handed_on.get(&full[..length])?)));
            let Some((length, origin)) = door else { break };
            full = [origin.as_slice(), &full[length..]].concat();
        }
        let deepest = (0..=full.len())
            .rev()
            .find_map(|length| self.files.get(&full[..length]));
        deepest.copied().unwrap_or("lib.rs")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn real_house() -> House {
    let mut house = House::new();
    collect(&root().join("src"), "", &mut house);
    assert!(house.contains_key("core/mod.rs"), "no source found");
    house
}

fn collect(folder: &FilePath, under: &str, house: &mut House) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{under}{}", path.file_name().unwrap().to_string_lossy());
        if path.is_dir() {
            collect(&path, &format!("{name}/"), house);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            house.insert(name, fs::read_to_string(path).unwrap());
        }
    }
}

/// The names under which other crates can be used here.
fn dependencies() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = matches!(line.trim(), "[dependencies]" | "[dev-dependencies]");
        } else if let Some((name, _)) = line.split_once('=').filter(|_| inside) {
            names.push(name.trim().replace('-', "_"));
        }
    }
    assert!(names.contains(&"tokio".to_owned()), "no dependencies found");
    names
}

/// The room of a file: the longest entry that fits decides.
fn room_of(file: &str) -> Option<&'static Room> {
    let fit = |held: &str| file == held || (held.ends_with('/') && file.starts_with(held));
    let longest = |room: &Room| room.holds.iter().filter(|held| fit(held)).map(|held| held.len()).max();
    ROOMS
        .iter()
        .filter_map(|room| Some((longest(room)?, room)))
        .max_by_key(|(length, _)| *length)
        .map(|(_, room)| room)
}

/// `toggle/google.rs` is the module `toggle::google`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    match path {
        "lib" | "main" => Vec::new(),
        path => path.split('/').map(str::to_owned).collect(),
    }
}

/// Every import that breaks the table, as `file:line: what`.
fn complaints(house: &House) -> Vec<String> {
    let others = dependencies();
    let map = Map::draw(house);
    let mut found = Vec::new();
    for (file, text) in house {
        let Some(room) = room_of(file) else {
            found.push(format!("{file}: stands in no room; give it one in the table"));
            continue;
        };
        for path in source::paths(text) {
            let written = path.parts.join("::");
            if let Some(full) = map.resolve(file, &path) {
                // A door that hands on what stands behind it imports nothing; whoever goes through it does.
                if path.handed_on && full.starts_with(&module_of(file)) {
                    continue;
                }
                let target = map.file_of(&full);
                let name = room_of(target).map_or("no room", |room| room.name);
                if name != room.name && !room.may.contains(&name) {
                    found.push(format!(
                        "{file}:{}: {} may not import {name} ({written})",
                        path.line, room.name
                    ));
                }
            } else if room.name == "core" && !is_pure(&path, &others) {
                found.push(format!("{file}:{}: core is pure ({written})", path.line));
            }
        }
    }
    found
}

/// Whether core may name this path, which leads out of the crate or begins with a name brought in elsewhere.
fn is_pure(path: &Path, others: &[String]) -> bool {
    let written = path.parts.join("::");
    match path.parts.first().map(String::as_str) {
        Some("std" | "core" | "alloc") => {
            let module = path.parts.get(1).map(String::as_str);
            module.is_some_and(|module| PURE_STD.contains(&module))
                || PURE_PATHS.iter().any(|pure| written.starts_with(pure))
        }
        Some(head) => !others.iter().any(|other| other == head),
        None => true,
    }
}

/// What the checker says when this one file is planted into the real house.
fn planted(file: &str, text: &str) -> Vec<String> {
    let mut house = real_house();
    house.insert(file.to_owned(), text.to_owned());
    let of_this_file = |complaint: &String| complaint.starts_with(file);
    complaints(&house).into_iter().filter(of_this_file).collect()
}

#[test]
fn the_real_house_keeps_its_walls() {
    let found = complaints(&real_house());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn the_table_is_sound() {
    for room in ROOMS {
        assert!(!room.why.is_empty(), "{} has no reason", room.name);
        for other in room.may {
            assert!(ROOMS.iter().any(|room| room.name == *other), "{other} is no room");
        }
    }
}

#[test]
fn no_room_can_reach_itself_through_others() {
    // The ports and edges hang below the driver; a circle would mean that a layer knows what stands on it.
    fn reaches(from: &str, to: &str, depth: usize) -> bool {
        let room = ROOMS.iter().find(|room| room.name == from).unwrap();
        depth < ROOMS.len() && room.may.iter().any(|next| *next == to || reaches(next, to, depth + 1))
    }
    for room in ROOMS {
        assert!(!reaches(room.name, room.name, 0), "{} stands on itself", room.name);
    }
}

#[test]
fn core_using_anything_of_ours_is_found() {
    let found = planted(
        "core/planted.rs",
        "use super::time::Wall;\nfn f() { crate::clock::now() }",
    );
    assert_eq!(
        found,
        ["core/planted.rs:2: core may not import clock (crate::clock::now)"]
    );
}

#[test]
fn core_using_another_crate_or_the_world_is_found() {
    let source = "use std::time::{Duration, Instant, SystemTime};\nuse tokio;\nfn f() { tracing::info!(\"x\") }\n\
                  use std::{fmt, fs};\nfn g() { std::net::UdpSocket::bind(0); std::thread::sleep(x); std::process::exit(1) }";
    let lines: Vec<_> = planted("core/planted.rs", source)
        .iter()
        .map(|complaint| complaint.rsplit_once(" (").unwrap().1.trim_end_matches(')').to_owned())
        .collect();
    let want = [
        "std::time::Instant",
        "std::time::SystemTime",
        "tokio",
        "tracing::info",
        "std::fs",
        "std::net::UdpSocket::bind",
        "std::thread::sleep",
        "std::process::exit",
    ];
    assert_eq!(lines, want);
}

#[test]
fn a_vendor_using_another_is_found() {
    let found = planted(
        "toggle/cloudflare.rs",
        "use super::{\n    ToggleError,\n    google::GoogleClient,\n};\nuse crate::http::Http;",
    );
    let want = "toggle/cloudflare.rs:3: cloudflare may not import google (super::google::GoogleClient)";
    assert_eq!(found, [want]);
}

#[test]
fn a_sandbox_that_shares_code_with_the_daemon_is_found() {
    let found = planted(
        "sandbox/planted.rs",
        "mod inner { use super::super::super::toggle::iam_policy::Policy; }",
    );
    assert_eq!(
        found,
        ["sandbox/planted.rs:1: sandbox may not import google (super::super::super::toggle::iam_policy::Policy)"]
    );
}

#[test]
fn an_admin_or_driver_that_knows_an_edge_is_found() {
    let found = planted("admin/planted.rs", "use crate::toggle::Toggle;");
    assert_eq!(
        found,
        ["admin/planted.rs:1: admin may not import toggle port (crate::toggle::Toggle)"]
    );
    let found = planted(
        "driver.rs",
        "use crate::{probe::{http::HttpProbe, task::Probed}, toggle::Toggle};",
    );
    assert_eq!(
        found,
        ["driver.rs:1: driver may not import probes (crate::probe::http::HttpProbe)"]
    );
    let found = planted("config/planted.rs", "type T = crate::http::Http;");
    assert_eq!(
        found,
        ["config/planted.rs:1: config may not import http (crate::http::Http)"]
    );
}

#[test]
fn a_port_that_knows_what_stands_on_it_is_found() {
    let found = planted("probe/task.rs", "use super::http::HttpProbe;\nuse super::Probe;");
    assert_eq!(
        found,
        ["probe/task.rs:1: probe port may not import probes (super::http::HttpProbe)"]
    );
}

#[test]
fn an_edge_reached_through_a_door_of_its_port_is_found() {
    let mut house = real_house();
    house.insert(
        "probe/mod.rs".to_owned(),
        "pub use http::{HttpProbe as Eye};".to_owned(),
    );
    house.insert("driver.rs".to_owned(), "use crate::probe::Eye;".to_owned());
    let found = complaints(&house);
    let want = "driver.rs:1: driver may not import probes (crate::probe::Eye)";
    assert!(found.contains(&want.to_owned()), "{found:?}");
    assert!(
        !found.iter().any(|complaint| complaint.starts_with("probe/mod.rs")),
        "{found:?}"
    );
}

#[test]
fn a_port_that_uses_its_own_edges_is_found() {
    let found = planted("probe/mod.rs", "use http::HttpProbe;");
    assert_eq!(
        found,
        ["probe/mod.rs:1: probe port may not import probes (http::HttpProbe)"]
    );
}

#[test]
fn a_file_without_a_room_is_found() {
    assert_eq!(
        planted("attic.rs", "fn f() {}"),
        ["attic.rs: stands in no room; give it one in the table"]
    );
}

#[test]
fn an_import_out_of_the_map_is_found() {
    let found = planted("systemd.rs", "use crate::*;");
    assert_eq!(found, ["systemd.rs:1: systemd may not import map (crate)"]);
}
