//! A disk that refuses in the middle of an outage: the failover happens from memory, it is said, and all of it clears afterwards.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use pilotlight::sandbox::{Home, World};

use crate::support::daemon::{Daemon, Lab, until};

use super::life::{begin, leftovers, order};
use super::strace::{Seen, Tracer, Watched};
use super::telling::Heard;

/// How the disk refuses.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// These calls fail so, from the first one or only the so-manieth of each thread (in strace's words).
    Calls {
        calls: &'static str,
        errno: &'static str,
        when: String,
    },
    /// A real file system of 64 KiB, filled to the last byte.
    Full,
}

/// A refusal to be lived through.
#[derive(Clone, Debug)]
pub struct Trial {
    pub name: String,
    pub refusal: Refusal,
}

/// How it went.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// How many calls were made to fail; not known of a real file system.
    pub failed: usize,
    pub wrong: Vec<String>,
}

fn told(world: &World) -> BTreeMap<String, usize> {
    Heard::of(&world.notices()).told()
}

/// What refuses, until it is ended.
enum Hand {
    Strace(Tracer),
    /// The file that fills the disk.
    Stone(PathBuf),
}

/// Lives through it. A life that comes to no end has that among what is wrong.
pub async fn endure(trial: &Trial) -> Account {
    let mut account = Account::default();
    if let Err(error) = outlive(trial, &mut account).await {
        account.wrong.push(error);
    }
    account
}

async fn outlive(trial: &Trial, account: &mut Account) -> Result<(), String> {
    let (mut lab, mut daemon) = begin(&trial.name).await?;
    let mut mounted = None;
    if matches!(trial.refusal, Refusal::Full) {
        // A small file system of its own under the state directory; nothing that happened before matters.
        daemon.terminate().await;
        mounted = Some(Mounted::on(lab.dir.join("state"))?);
        daemon = lab.start();
        until("the first save", || lab.state_file().exists()).await?;
    }
    let world = lab.world();
    let hand = refuse(&trial.refusal, &lab, &daemon);
    world.set_home(Home::Refusing);
    let lasting = !matches!(&trial.refusal, Refusal::Calls { when, .. } if !when.contains('+'));
    if lasting {
        until("the failover from memory", || {
            world.gate().effective && world.redirect().effective && world.silence().snoozed_for.is_some()
        })
        .await?;
        until("the failover to be told from memory", || {
            told(&world).contains_key("failed_over")
        })
        .await?;
        account.wrong.extend(said(&lab, &world).await);
    } else {
        lab.reaches_the_standby().await?;
    }
    let state_was_hit = relent(hand, account);
    world.set_home(Home::Serving);
    lab.is_home().await?;
    if lasting || state_was_hit {
        until("the end of it to be told", || told(&world).contains_key("save_works")).await?;
    }
    // One that lasts is one failure; of the others each thread's own call may be one.
    let most = if lasting { 1 } else { account.failed.max(1) };
    account.wrong.extend(all_is_well(&lab, &world, most).await);
    if !daemon.terminate().await.success() {
        account.wrong.push("it did not end well".to_owned());
    }
    account.wrong.extend(order(&world));
    account.wrong.extend(leftovers(&lab));
    drop(mounted);
    if account.wrong.is_empty() {
        lab.finish().await;
    }
    Ok(())
}

fn refuse(refusal: &Refusal, lab: &Lab, daemon: &Daemon) -> Hand {
    let state = lab.dir.join("state").canonicalize().unwrap();
    match refusal {
        Refusal::Calls { calls, errno, when } => {
            let inject = [format!("{calls}:error={errno}:when={when}")];
            Hand::Strace(Tracer::attach(
                daemon.pid(),
                Watched::Disk(state),
                &inject,
                lab.dir.join("strace.log"),
            ))
        }
        Refusal::Full => {
            let stone = state.join("stone");
            // As much as fits: `dd` ends with an error when nothing fits any more, which is the point.
            run(
                "dd",
                &[
                    "if=/dev/zero",
                    &format!("of={}", stone.display()),
                    "bs=4096",
                    "status=none",
                ],
            );
            Hand::Stone(stone)
        }
    }
}

/// Ends the refusal; whether a save of the state was among what failed.
fn relent(hand: Hand, account: &mut Account) -> bool {
    match hand {
        Hand::Strace(tracer) => {
            let mut state = false;
            for seen in tracer.detach() {
                if let Seen::Call { call, injected: true } = seen {
                    account.failed += 1;
                    state |= call.on.contains("site.json") || call.on == ".";
                }
            }
            state
        }
        Hand::Stone(stone) => std::fs::remove_file(stone).is_ok(),
    }
}

/// A file system of 64 KiB, until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn on(dir: PathBuf) -> Result<Self, String> {
        let words = ["-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", dir.to_str().unwrap()];
        let mounted = run("mount", &words);
        mounted
            .then_some(Self(dir))
            .ok_or_else(|| "no file system can be mounted".to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: of a life that failed half-way a daemon may still be there.
        run("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

fn run(program: &str, words: &[&str]) -> bool {
    Command::new(program)
        .args(words)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// While the disk refuses: notice, readiness and metric say so.
async fn said(lab: &Lab, world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    if told(world).get("save_failed") != Some(&1) {
        wrong.push(format!("r10: save_failed was not told once: {:?}", told(world)));
    }
    let ready = lab.get("/readyz").await;
    if !ready.contains("503") || !ready.contains("save_failing") {
        wrong.push(format!("r10: /readyz says {ready}"));
    }
    if !lab
        .get("/metrics")
        .await
        .contains("pilotlight_state_save_failing{site=\"site\"} 1")
    {
        wrong.push("r10: the metric does not say that saving fails".to_owned());
    }
    wrong
}

/// Afterwards: readiness and metric are clear, every edge of the outage was told once, and nothing waits.
async fn all_is_well(lab: &Lab, world: &World, most: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    let ready = lab.get("/readyz").await;
    if !ready.starts_with("HTTP/1.1 200") {
        wrong.push(format!("r10: afterwards /readyz says {ready}"));
    }
    if !lab
        .get("/metrics")
        .await
        .contains("pilotlight_state_save_failing{site=\"site\"} 0")
    {
        wrong.push("r10: the metric does not clear".to_owned());
    }
    if let Err(error) = until("the last notice", || told(world).contains_key("episode_over")).await {
        wrong.push(error);
    }
    let count = |name: &str| told(world).get(name).copied().unwrap_or_default();
    for (name, count) in told(world) {
        if count > if name.starts_with("save_") { most } else { 1 } {
            wrong.push(format!("r14: {name} was told {count} times"));
        }
    }
    if count("save_failed") != count("save_works") {
        wrong.push(format!("r14: told were {:?}", told(world)));
    }
    if told(world).keys().filter(|name| !name.starts_with("save_")).count() != 7 {
        wrong.push(format!("r14: told were {:?}", told(world)));
    }
    wrong
}
