//! One life from its first minute to its last.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pilotlight::core::Order;
use tokio::runtime::Builder;
use tokio::time::{sleep, sleep_until};

use super::laws::Law;
use super::plan::{Turn, draw};
use super::planted::Plant;
use super::process::Process;
use super::receiver::Sent;
use super::world::{Shared, Tally, World, lock};

/// A life that has been lived.
#[derive(Debug)]
pub struct Life {
    pub seed: u64,
    pub hash: u64,
    pub tally: Tally,
    pub violations: Vec<String>,
    pub story: String,
}

/// Lives it. Blocking writes run one after the other, so that a killed process's last one is over before the next process starts.
/// Their ends are taken when nothing else is left to do at that instant: how long the disk really took is no part of a life.
pub fn live(seed: u64, lasts: Duration, plant: Option<Plant>) -> Life {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .max_blocking_threads(1)
        .global_queue_interval(u32::MAX)
        .build()
        .expect("a runtime");
    let dir = scratch(seed);
    let life = runtime.block_on(unfold(seed, lasts, plant, &dir));
    drop(runtime);
    std::fs::remove_dir_all(&dir).expect("our own directory");
    life
}

/// A directory of its own, in memory where there is such a place: what a sync costs proves nothing here.
fn scratch(seed: u64) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    base.join(format!("pilotlight-shell-{}-{seed}-{number}", std::process::id()))
}

struct Course<'a> {
    world: Shared,
    sent: Sent,
    dir: &'a Path,
    process: Process,
}

async fn unfold(seed: u64, lasts: Duration, plant: Option<Plant>, dir: &Path) -> Life {
    let world: Shared = Arc::new(Mutex::new(World::new(seed, plant)));
    let sent = Sent::default();
    let (began, sites) = {
        let world = lock(&world);
        (world.began, world.kind.sites)
    };
    let process = Process::start(&world, dir, &sent).await;
    let mut course = Course {
        world,
        sent,
        dir,
        process,
    };
    for (at, turn) in draw(seed, lasts, sites) {
        sleep_until(began + at).await;
        lock(&course.world).turn(turn);
        course = course.take(turn).await;
        if !lock(&course.world).violations.is_empty() {
            break;
        }
    }
    let Course { world, process, .. } = course;
    process.stop().await;
    let world = lock(&world);
    Life {
        seed,
        hash: world.hash(),
        tally: world.tally,
        violations: world.violations.clone(),
        story: world.story(),
    }
}

impl Course<'_> {
    /// What a turn means to the process.
    async fn take(mut self, turn: Turn) -> Self {
        match turn {
            Turn::Crash => {
                lock(&self.world).tally.crashes += 1;
                self.sent.crashed();
                self.process.crash().await;
                if lock(&self.world).kind.plant == Some(Plant::Forgets) {
                    std::fs::remove_dir_all(self.dir).expect("our own directory");
                }
                let down = lock(&self.world)
                    .draw("down")
                    .between(Duration::ZERO, Duration::from_secs(20));
                sleep(down).await;
                self.process = Process::start(&self.world, self.dir, &self.sent).await;
            }
            Turn::Restart => {
                self.process.stop().await;
                self.process = Process::start(&self.world, self.dir, &self.sent).await;
            }
            Turn::Order(site, order, lasts) => self.process.order(site, order, lasts).await,
            Turn::Wall(_) => self.process.set_wall(),
            Turn::CalmBegins => {
                self.process.set_wall();
                for site in 0..self.process.status.len() {
                    self.process.order(site, Order::Resume, Duration::ZERO).await;
                }
            }
            Turn::CalmEnds => self.check_rest(),
            _ => {}
        }
        self
    }

    fn check_rest(&self) {
        let mut world = lock(&self.world);
        world.clock_was_right = true;
        for (site, status) in self.process.status.iter().enumerate() {
            let status = Arc::clone(&status.borrow());
            world.check_rest(site, &status);
        }
        let owed = self.sent.owed();
        if owed > 0 {
            world.broken(Law::ToldOnceInOrder, &format!("{owed} notices were never delivered"));
        }
    }
}
