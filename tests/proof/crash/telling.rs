//! What the world was told, and what of it must not be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pilotlight::sandbox::Notice;
use serde_json::Value;

use crate::support::daemon::text;

/// The edges of a whole outage.
const EDGES: [&str; 7] = [
    "suspected",
    "failover_started",
    "failed_over",
    "recovering",
    "failback_started",
    "back_home",
    "episode_over",
];

/// What may be told besides when home turns while the daemon is dead.
const TURNS: [&str; 3] = ["suspicion_cleared", "relapsed", "rolled_back"];

/// How far the disk was when the daemon was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Whatever was told had been saved.
    Saved,
    /// A save had been overdue for a second, this was said, and people were told from memory (rule 10). What the restart does
    /// not know of it tells again, under an id of its own: the same one would make a receiver drop the next real outage of a
    /// daemon that was restarted because its disk was dead.
    Overdue,
}

impl Memory {
    /// By the log of a daemon that was killed.
    pub fn at_the_end_of(log: &Path) -> Self {
        let text = text(log);
        let last = text.lines().rev().find_map(|line| {
            ["save_failed", "save_works"]
                .into_iter()
                .find(|name| line.contains(name))
        });
        if last == Some("save_failed") {
            Self::Overdue
        } else {
            Self::Saved
        }
    }

    /// How often an edge may come again.
    const fn again(self) -> usize {
        match self {
            Self::Saved => 0,
            Self::Overdue => 1,
        }
    }
}

/// All notices that arrived.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The id and the body, without what each sending says of itself.
    notices: Vec<(Option<String>, Value)>,
}

impl Heard {
    pub fn of(notices: &[Notice]) -> Self {
        let notices = notices.iter().map(|notice| {
            let mut body: Value = serde_json::from_str(&notice.body).unwrap_or_default();
            if let Some(data) = body["data"].as_object_mut() {
                for own in ["sent_at", "late_seconds", "late"] {
                    data.remove(own);
                }
            }
            (notice.id.clone(), body)
        });
        Self {
            notices: notices.collect(),
        }
    }

    /// Every notice by name, with how many different ids it came.
    pub fn told(&self) -> BTreeMap<String, usize> {
        let mut ids = BTreeMap::<String, BTreeSet<_>>::new();
        for (id, body) in &self.notices {
            let name = body["type"].as_str().unwrap_or("?").trim_start_matches("pilotlight.");
            ids.entry(name.to_owned()).or_default().insert(id);
        }
        ids.into_iter().map(|(name, ids)| (name, ids.len())).collect()
    }

    /// What was told of the outage: a disk that was slow for being stepped through is counted apart.
    fn of_the_outage(&self) -> BTreeMap<String, usize> {
        let mut told = self.told();
        told.retain(|name, _| !name.starts_with("save_"));
        told
    }

    /// A whole outage: each edge exactly once, all of one episode, and nothing else.
    pub fn each_once(&self, memory: Memory) -> Vec<String> {
        let told = self.of_the_outage();
        let mut wrong = self.two_under_one_id();
        let known = told.keys().all(|name| EDGES.contains(&name.as_str()));
        if !known || told.len() < EDGES.len() || told.values().any(|count| *count > 1 + memory.again()) {
            wrong.push(format!("r14: told were {told:?}, the disk {memory:?}"));
        }
        let episodes: BTreeSet<_> = self
            .notices
            .iter()
            .filter_map(|(_, body)| body["data"]["episode"].as_u64())
            .collect();
        if episodes.len() != 1 {
            wrong.push(format!("r14: of one outage these episodes were told: {episodes:?}"));
        }
        wrong
    }

    /// Home turned while the daemon was dead: edges may be missing that never were, and a relapse is one more leg of the same edges.
    pub fn in_pairs(&self, outages: usize, memory: Memory) -> Vec<String> {
        let told = self.of_the_outage();
        let count = |name: &str| told.get(name).copied().unwrap_or_default();
        let mut wrong = self.two_under_one_id();
        for (name, count) in &told {
            let known = EDGES.contains(&name.as_str()) || TURNS.contains(&name.as_str());
            if !known || *count > outages + memory.again() {
                wrong.push(format!("r14: {name} was told {count} times, the disk {memory:?}"));
            }
        }
        let began = count("suspected");
        let ended = count("episode_over") + count("suspicion_cleared");
        if began == 0 && !told.is_empty() || ended == 0 && began > 0 {
            wrong.push(format!("r14: began {began} times, ended {ended} times: {told:?}"));
        }
        if count("failover_started") > 0 && count("episode_over") == 0 {
            wrong.push(format!("r14: a failover without an end: {told:?}"));
        }
        wrong
    }

    /// Whoever drops an id that came before must not lose anything.
    fn two_under_one_id(&self) -> Vec<String> {
        let mut first = BTreeMap::new();
        let mut wrong = Vec::new();
        for (id, body) in &self.notices {
            let before = *first.entry(id).or_insert(body);
            if before != body {
                wrong.push(format!("r14: under one id came {before} and {body}"));
            }
        }
        wrong
    }

    /// Notices that arrived again under the id that they had.
    pub fn repeated(&self) -> usize {
        let different: BTreeSet<_> = self.notices.iter().map(|(id, _)| id).collect();
        self.notices.len() - different.len()
    }

    /// Edges that came under more ids than there were outages.
    pub fn retold(&self, outages: usize) -> usize {
        self.of_the_outage().values().filter(|count| **count > outages).count()
    }

    /// How often it was told that saving took too long.
    pub fn slow(&self) -> usize {
        self.told().get("save_failed").copied().unwrap_or_default()
    }
}
