//! The state directory against a real file system.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use pilotlight::core::episode::Episode;
use pilotlight::core::machine::Pin;
use pilotlight::core::snapshot::ToggleRecord;
use pilotlight::core::{
    Cause, Duration, EpisodeId, Mode, Part, Phase, Position, Role, Route, Snapshot, Stopwatch, ToggleKey, Wall, Why,
};
use pilotlight::store::{Kept, Loaded, SiteStore, StateDir, StoreError};

use crate::scratch::Scratch;

fn snapshot() -> Kept {
    let snapshot = Snapshot {
        taken: Wall(1_767_225_600_123),
        phase: Phase::FailedOver {
            out: Stopwatch::stopped(Duration::from_secs(90)),
        },
        mode: Mode::Pinned {
            route: Route::Standby,
            pin: Pin {
                until: Wall(1_767_240_000_000),
                author: "ann".into(),
                reason: "new router".into(),
            },
        },
        route: Route::Standby,
        up_for: Duration::from_secs(1200),
        since_home: None,
        episode: Some(Episode {
            id: EpisodeId(41),
            began: Wall(1_767_225_500_000),
            cause: Cause::Origin(Why::Timeout(Part::Connect)),
            failed_over: true,
            home_proven: false,
            home_in_doubt: true,
            leg: 1,
            told: vec!["failed_over".into()],
        }),
        next_episode: 42,
        toggles: vec![ToggleRecord {
            key: ToggleKey {
                role: Role::Gate,
                index: 0,
            },
            desired: Position::On,
            settled: true,
            on_for: Some(Duration::from_secs(88)),
            off_for: None,
        }],
    };
    Kept {
        snapshot,
        notices: vec![serde_json::json!({"id": "pl_1"})],
    }
}

struct World {
    scratch: Scratch,
    dir: StateDir,
    site: SiteStore,
}

impl World {
    fn new() -> Self {
        let scratch = Scratch::new();
        let dir = StateDir::open(scratch.path()).unwrap();
        let site = dir.site("home").unwrap();
        Self { scratch, dir, site }
    }

    fn file(&self) -> PathBuf {
        self.scratch.path().join("home.json")
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.scratch.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".lock")
            .collect();
        names.sort();
        names
    }

    /// Asserts that the file with this content is set aside unchanged, and says why.
    fn sets_aside(&self, content: &[u8]) -> String {
        fs::write(self.file(), content).unwrap();
        let Loaded::SetAside { kept_as, why } = self.site.load().unwrap() else {
            panic!("taken for a snapshot: {}", String::from_utf8_lossy(content));
        };
        assert_eq!(fs::read(kept_as).unwrap(), content, "what was found is kept as it was");
        assert!(!self.file().exists());
        why
    }
}

#[test]
fn what_was_saved_is_restored_and_nothing_else_lies_about() {
    let world = World::new();
    assert_eq!(world.site.load().unwrap(), Loaded::Fresh);
    world.site.save(&snapshot()).unwrap();
    world.site.save(&snapshot()).unwrap();
    assert_eq!(world.site.load().unwrap(), Loaded::Restored(Box::new(snapshot())));
    assert_eq!(world.files(), ["home.json"]);
}

#[test]
fn the_file_and_the_directory_are_for_the_owner_only() {
    let scratch = Scratch::new();
    let path = scratch.path().join("state");
    let dir = StateDir::open(&path).unwrap();
    dir.site("home").unwrap().save(&snapshot()).unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.clone()), 0o700);
    assert_eq!(mode(path.join("home.json")), 0o600);
}

#[test]
fn broken_files_are_set_aside_with_a_reason() {
    let world = World::new();
    world.site.save(&snapshot()).unwrap();
    let good = fs::read(world.file()).unwrap();
    assert!(world.sets_aside(b"").contains("EOF"));
    assert!(world.sets_aside(&good[..good.len() / 2]).contains("EOF"), "a torn file");
    assert!(
        world.sets_aside(&[0xff; 512]).contains("not a readable snapshot"),
        "garbage"
    );
    assert!(
        world.sets_aside(&[0; 512]).contains("not a readable snapshot"),
        "zeroes after a loss of power"
    );
    assert!(world.sets_aside(br#"{"version":7}"#).contains("version 7"));
    let mut trailing = good.clone();
    trailing.extend_from_slice(b"{}");
    assert!(world.sets_aside(&trailing).contains("trailing"));
    assert!(world.sets_aside(&vec![b' '; 2 << 20]).contains("too large"));
}

#[test]
fn only_the_newest_five_broken_files_are_kept() {
    let world = World::new();
    for number in 1..=8 {
        world.sets_aside(format!("broken {number}").as_bytes());
    }
    assert_eq!(
        world.files(),
        [
            "home.json.broken-4",
            "home.json.broken-5",
            "home.json.broken-6",
            "home.json.broken-7",
            "home.json.broken-8"
        ]
    );
}

#[test]
fn a_leftover_of_a_killed_save_does_not_matter() {
    let world = World::new();
    world.site.save(&snapshot()).unwrap();
    fs::write(world.scratch.path().join(".home.json.tmp"), b"{\"versi").unwrap();
    assert_eq!(world.site.load().unwrap(), Loaded::Restored(Box::new(snapshot())));
    world.site.save(&snapshot()).unwrap();
    assert_eq!(world.files(), ["home.json"]);
}

#[test]
fn a_directory_that_cannot_be_written_is_a_typed_error_and_leaves_no_temp_file() {
    let world = World::new();
    fs::create_dir_all(world.file().join("in the way")).unwrap();
    let error = world.site.save(&snapshot()).unwrap_err();
    assert_eq!(error.reason(), "io");
    assert!(error.to_string().ends_with("home.json"));
    assert_eq!(world.files(), ["home.json"]);

    fs::remove_dir_all(world.scratch.path()).unwrap();
    assert!(matches!(world.site.save(&snapshot()), Err(StoreError::Io { .. })));
}

#[test]
fn a_second_instance_refuses_to_start_and_names_the_first() {
    let world = World::new();
    let error = StateDir::open(world.scratch.path()).unwrap_err();
    assert_eq!(error.reason(), "in_use");
    let text = error.to_string();
    assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
    let World { scratch, dir, site } = world;
    drop((dir, site));
    StateDir::open(scratch.path()).expect("free again");
}

#[test]
fn a_site_name_cannot_lead_out_of_the_directory() {
    let world = World::new();
    let dir = &world.dir;
    for name in ["", ".hidden", "../home", "a/b", "nul\0", "ü"] {
        assert!(matches!(dir.site(name), Err(StoreError::Name { .. })), "{name:?}");
    }
    dir.site("blog.example-2_b").unwrap();
}

#[test]
fn an_error_names_what_was_tried_and_why_it_did_not_work() {
    let error = StoreError::Io {
        doing: "write",
        path: "state/site.json".into(),
        source: std::io::ErrorKind::StorageFull.into(),
    };
    assert_eq!(error.whole(), "cannot write state/site.json: no storage space");
}

#[test]
fn r10_a_full_disk_does_not_keep_the_daemon_from_starting() {
    let scratch = Scratch::new();
    std::os::unix::fs::symlink("/dev/full", scratch.path().join(".lock")).unwrap();
    let dir = StateDir::open(scratch.path()).unwrap();
    assert_eq!(dir.site("blog").unwrap().load().unwrap(), Loaded::Fresh);
    assert!(matches!(StateDir::open(scratch.path()), Err(StoreError::InUse { .. })));
}
