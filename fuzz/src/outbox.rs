//! An outbox as it is found at start: every whole notice is told once and in order, what is broken is counted and taken off the disk,
//! and what is not ours stays, but for what a kill in the middle of a write left.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pilotlight::clock::Clock;
use pilotlight::core::Wall;
use pilotlight::notify::{Dropped, Happening, Notifier, Tally, Target, TellError, TellFailure, Told, open};
use pilotlight::probe::BoxFuture;
use tokio::runtime::Runtime;

use crate::script::parts;

/// When the daemon starts again.
const WALL: Wall = Wall(1_790_000_000_000);
/// Older notices are given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);

thread_local! {
    static RUNTIME: Runtime = crate::rig::paused();
}

/// Runs one input: parts as in [`crate::script`], each a file: its name on the first line, its content behind. The first byte of all says
/// how the target answers: `!` refuses every notice, `~` is not there, anything else takes them.
pub fn try_one(data: &[u8]) {
    let (answer, data) = match data.split_first() {
        Some((b'!', rest)) => (Some(TellFailure::Refused), rest),
        Some((b'~', rest)) => (Some(TellFailure::NoAnswer), rest),
        _ => (None, data),
    };
    let root = crate::scratch("outbox");
    let directory = root.join("ops");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("the scratch directory can be written");
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for part in parts(data) {
        let (name, content) = named(part);
        if fs::write(directory.join(&name), content).is_ok() {
            files.retain(|(other, _)| *other != name);
            files.push((name, content.to_vec()));
        }
    }
    let ear = Arc::new(Ear {
        answer,
        heard: Mutex::default(),
        happened: Mutex::default(),
    });
    RUNTIME.with(|runtime| runtime.block_on(deliver(&root, &ear)));
    check(&files, &ear, &directory);
}

/// A file's name and content. Names that lead elsewhere are made harmless.
fn named(part: &[u8]) -> (String, &[u8]) {
    let at = part.iter().position(|byte| *byte == b'\n');
    let (name, content) = at.map_or((part, &[][..]), |at| (&part[..at], &part[at + 1..]));
    let mut name = String::from_utf8_lossy(name).replace(['/', '\0'], "_");
    if name.is_empty() || name == "." || name == ".." {
        name.push('_');
    }
    (name.chars().take(60).collect(), content)
}

async fn deliver(root: &Path, ear: &Arc<Ear>) {
    let (clock, _) = Clock::settable(WALL);
    let target = Target {
        name: "ops".to_owned(),
        sites: Vec::new(),
        notifier: Arc::clone(ear) as Arc<dyn Notifier>,
    };
    let tally = Arc::clone(ear) as Arc<dyn Tally>;
    let (tellers, deliveries) = open(vec![target], root, &clock, &tally).expect("the target's name is a file name");
    drop(tellers);
    for delivery in deliveries {
        delivery.run().await;
    }
}

fn check(files: &[(String, Vec<u8>)], ear: &Ear, directory: &Path) {
    let ours = |name: &str| {
        let place = name.strip_suffix(".json")?.parse::<u64>().ok()?;
        (name == format!("{place:020}.json")).then_some(place)
    };
    let mut waiting: Vec<(u64, Told)> = Vec::new();
    let mut broken = 0;
    for (name, content) in files {
        let Some(place) = ours(name) else {
            // What is left of a kill in the middle of a write is tidied up.
            let temporary = pilotlight::store::is_temporary(name);
            assert!(
                temporary || directory.join(name).exists(),
                "{name} is not ours and is gone"
            );
            continue;
        };
        match serde_json::from_slice::<Told>(content) {
            Ok(told) => {
                let text = serde_json::to_vec(&told).expect("a notice can be put into words");
                assert_eq!(serde_json::from_slice::<Told>(&text).ok().as_ref(), Some(&told));
                waiting.push((place, told));
            }
            Err(_) => broken += 1,
        }
    }
    waiting.sort_by_key(|(place, _)| *place);
    let (fresh, old): (Vec<_>, Vec<_>) = waiting.iter().partition(|(_, told)| told.age(WALL) < GIVE_UP_AFTER);
    let heard = ear.heard.lock().unwrap_or_else(PoisonError::into_inner);
    let count = |what| {
        let happened = ear.happened.lock().unwrap_or_else(PoisonError::into_inner);
        happened.iter().filter(|happening| **happening == what).count()
    };
    assert_eq!(count(Happening::Dropped(Dropped::Broken)), broken);
    let left = files
        .iter()
        .filter(|(name, _)| ours(name).is_some() && directory.join(name).exists());
    if ear.answer == Some(TellFailure::NoAnswer) {
        assert!(heard.len() <= 1, "whoever does not answer is not asked again at once");
        let before = old
            .iter()
            .take_while(|(place, _)| fresh.first().is_none_or(|(first, _)| place < first));
        assert!(left.count() >= waiting.len() - before.count(), "a notice was lost");
    } else {
        // Age is looked at before a try; one that grows old behind another is still told at the end.
        let told: Vec<&Told> = heard.iter().filter(|told| told.age(WALL) < GIVE_UP_AFTER).collect();
        assert_eq!(told, fresh.iter().map(|(_, told)| told).collect::<Vec<_>>());
        assert_eq!(
            heard.len() - told.len() + count(Happening::Dropped(Dropped::Expired)),
            old.len()
        );
        assert_eq!(left.count(), 0, "what is done is still on the disk");
    }
}

/// The target, and the one who counts.
struct Ear {
    answer: Option<TellFailure>,
    heard: Mutex<Vec<Told>>,
    happened: Mutex<Vec<Happening>>,
}

impl Notifier for Ear {
    fn tell<'a>(&'a self, told: &'a Told, _: Option<Duration>) -> BoxFuture<'a, Result<(), TellError>> {
        Box::pin(async {
            self.heard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(told.clone());
            self.answer.map_or(Ok(()), |kind| {
                Err(TellError {
                    kind,
                    detail: kind.label().to_owned(),
                    retry_after: None,
                })
            })
        })
    }
}

impl Tally for Ear {
    fn note(&self, _: &str, happening: Happening) {
        self.happened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(happening);
    }
}
