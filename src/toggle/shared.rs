//! A toggle belongs to a provider's object, not to a site: sites that share one are counted here, and its operations stand in line.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::core::{FailureKind, Observed, Position};
use crate::probe::BoxFuture;

use super::claims::{Claims, Errand};
use super::meter::{Calls, Meter};
use super::{ResourceKey, Toggle, ToggleError};

/// All provider objects of the process, their lanes and the meters of their credentials.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    inner: Arc<Mutex<Registry>>,
}

#[derive(Debug, Default)]
struct Registry {
    objects: HashMap<String, Arc<Object>>,
    lanes: HashMap<String, Arc<Semaphore>>,
    meters: BTreeMap<String, Meter>,
}

/// One provider object and what each site that shares it wants.
struct Object {
    toggle: Arc<dyn Toggle>,
    /// One operation at a time per lane. A tokio semaphore is fair, so nobody starves; its permit is given back when an operation is
    /// dropped at its deadline, and that is safe although the write may still arrive: the next operation reads before it writes.
    lane: Arc<Semaphore>,
    claims: Mutex<Claims>,
    /// What the last operation found, and when; nothing once a write was tried and may have been applied.
    memory: Mutex<Option<(Instant, Observed)>>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("key", self.toggle.key())
            .finish_non_exhaustive()
    }
}

impl Resources {
    /// No objects yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The meter of the credential of this name; one per name.
    pub fn meter(&self, credential: &str) -> Meter {
        let mut registry = self.lock();
        let meter = registry.meters.entry(credential.to_owned());
        meter.or_insert_with(|| Meter::new(credential)).clone()
    }

    /// The calls made so far, per credential.
    pub fn calls(&self) -> Vec<(String, Calls)> {
        let registry = self.lock();
        let totals = registry
            .meters
            .iter()
            .map(|(name, meter)| (name.clone(), meter.total()));
        totals.collect()
    }

    /// The toggle as `site` sees it. The first toggle given for an object drives it for all sites; `deadline` bounds each operation, the wait in its lane included.
    ///
    /// Until `site` has said what it wants by a `set`, nobody can switch a shared object off: it may be in the middle of an episode.
    pub fn handle(&self, site: &str, toggle: Arc<dyn Toggle>, deadline: Duration) -> Arc<dyn Toggle> {
        let key = toggle.key().clone();
        let mut registry = self.lock();
        let lane = registry.lanes.entry(key.lane);
        let lane = Arc::clone(lane.or_insert_with(|| Arc::new(Semaphore::new(1))));
        let object = registry.objects.entry(key.object).or_insert_with(|| {
            Arc::new(Object {
                toggle,
                lane,
                claims: Mutex::default(),
                memory: Mutex::default(),
            })
        });
        object.claims().join(site);
        Arc::new(Handle {
            site: site.to_owned(),
            object: Arc::clone(object),
            deadline,
        })
    }

    /// A map that only grows cannot be left half-changed, so a poisoned lock is as good as a sound one.
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Object {
    /// A claim is replaced whole, so a poisoned lock is as good as a sound one.
    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An observed value is replaced whole, so a poisoned lock is as good as a sound one.
    fn memory(&self) -> MutexGuard<'_, Option<(Instant, Observed)>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn set(&self, position: Position) -> Result<Observed, ToggleError> {
        *self.memory() = None;
        let observed = self.toggle.set(position).await?;
        self.remember(observed);
        Ok(observed)
    }

    /// A look that the budget has no room for is put off, or the eighty calls an hour would make failures of a third site's routine reads:
    /// the provider's record as it was seen last is told again.
    async fn observe(&self) -> Result<Observed, ToggleError> {
        if !self.toggle.may_observe()
            && let Some(record) = self.recall()
        {
            return Ok(record);
        }
        let observed = self.toggle.observe().await?;
        self.remember(observed);
        Ok(observed)
    }

    fn remember(&self, observed: Observed) {
        *self.memory() = Some((Instant::now(), observed));
    }

    /// What visitors see is not remembered, and neither is a position that has lapsed since.
    fn recall(&self) -> Option<Observed> {
        let (at, seen) = (*self.memory())?;
        let lapses_in = seen.lapses_in.map(|left| left.saturating_sub(at.elapsed()));
        (lapses_in != Some(Duration::ZERO)).then_some(Observed {
            configured: seen.configured,
            lapses_in,
            held_by_other: seen.held_by_other,
            ..Observed::default()
        })
    }
}

/// A site's share of an object.
#[derive(Debug)]
struct Handle {
    site: String,
    object: Arc<Object>,
    deadline: Duration,
}

impl Handle {
    async fn run(&self, wish: Option<Position>) -> Result<Observed, ToggleError> {
        let until = Instant::now() + self.deadline;
        if let Some(position) = wish {
            self.object.claims().claim(&self.site, position);
        }
        let Ok(permit) = timeout_at(until, self.object.lane.acquire()).await else {
            return Err(self.late(
                FailureKind::HeldBack,
                "an operation in the same lane has not ended in time",
            ));
        };
        // Only after the wait: another site may have changed its mind meanwhile.
        let errand = self.object.claims().errand(&self.site, wish);
        let operation = async {
            match errand {
                Errand::Write(position) => self.object.set(position).await,
                Errand::Read | Errand::Release => self.object.observe().await,
            }
        };
        let Ok(result) = timeout_at(until, operation).await else {
            return Err(self.late(FailureKind::NoAnswer, "not done in time; a write may have been applied"));
        };
        drop(permit);
        let observed = match result {
            // Released, and there is no call left to look: it is where the other site keeps it.
            Err(error) if errand == Errand::Release && error.kind == FailureKind::HeldBack => Observed {
                configured: Some(Position::On),
                ..Observed::default()
            },
            result => result?,
        };
        Ok(self.object.claims().tell(&self.site, observed))
    }

    fn late(&self, kind: FailureKind, detail: &str) -> ToggleError {
        ToggleError::new(kind, self.object.toggle.kind(), detail)
    }
}

impl Toggle for Handle {
    fn key(&self) -> &ResourceKey {
        self.object.toggle.key()
    }

    fn kind(&self) -> &'static str {
        self.object.toggle.kind()
    }

    fn observe(&self) -> BoxFuture<'_, Result<Observed, ToggleError>> {
        Box::pin(self.run(None))
    }

    fn set(&self, position: Position) -> BoxFuture<'_, Result<Observed, ToggleError>> {
        Box::pin(self.run(Some(position)))
    }

    fn warm(&self) -> BoxFuture<'_, ()> {
        self.object.toggle.warm()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    /// Records what reaches the provider; each operation waits until it is let go, if asked to.
    #[derive(Default)]
    struct Fake {
        key: Option<ResourceKey>,
        log: Mutex<Vec<String>>,
        position: Mutex<Option<Position>>,
        gate: Option<Arc<Notify>>,
    }

    impl Fake {
        fn new(object: &str, lane: &str) -> Self {
            Self {
                key: Some(ResourceKey {
                    object: object.to_owned(),
                    lane: lane.to_owned(),
                    credential: "google/main".to_owned(),
                }),
                position: Mutex::new(Some(Position::Off)),
                ..Self::default()
            }
        }

        fn note(&self, what: &str) {
            self.log.lock().unwrap().push(what.to_owned());
        }

        fn log(&self) -> Vec<String> {
            self.log.lock().unwrap().clone()
        }

        async fn pass(&self, what: String) -> Result<Observed, ToggleError> {
            self.note(&what);
            if let Some(gate) = &self.gate {
                gate.notified().await;
                self.note(&format!("{what} done"));
            }
            Ok(Observed {
                configured: *self.position.lock().unwrap(),
                ..Observed::default()
            })
        }
    }

    impl Toggle for Fake {
        fn key(&self) -> &ResourceKey {
            self.key.as_ref().expect("made by new")
        }
        fn kind(&self) -> &'static str {
            "fake"
        }
        fn observe(&self) -> BoxFuture<'_, Result<Observed, ToggleError>> {
            Box::pin(self.pass("observe".to_owned()))
        }
        fn set(&self, position: Position) -> BoxFuture<'_, Result<Observed, ToggleError>> {
            *self.position.lock().unwrap() = Some(position);
            Box::pin(self.pass(format!("set {}", position.label())))
        }
    }

    const DEADLINE: Duration = Duration::from_secs(15);

    fn share(resources: &Resources, site: &str, fake: &Arc<Fake>) -> Arc<dyn Toggle> {
        let toggle: Arc<dyn Toggle> = Arc::<Fake>::clone(fake);
        resources.handle(site, toggle, DEADLINE)
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn a_shared_object_goes_off_only_when_every_site_wants_it_off() {
        let resources = Resources::new();
        let fake = Arc::new(Fake::new("gate", "gate"));
        let (a, b) = (share(&resources, "a", &fake), share(&resources, "b", &fake));
        a.set(Position::On).await.unwrap();
        let held = a.set(Position::Off).await.unwrap();
        assert!(held.held_by_other, "b has not said what it wants");
        b.set(Position::On).await.unwrap();
        assert!(a.set(Position::Off).await.unwrap().held_by_other);
        assert!(!b.observe().await.unwrap().held_by_other, "b holds it itself");
        let off = b.set(Position::Off).await.unwrap();
        assert_eq!((off.configured, off.held_by_other), (Some(Position::Off), false));
        assert_eq!(
            fake.log(),
            ["set on", "observe", "set on", "observe", "observe", "set off"],
            "a held off is only a read"
        );
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn operations_of_one_lane_never_overlap() {
        let resources = Resources::new();
        let gate = Arc::new(Notify::new());
        let fake = |object| {
            let mut fake = Fake::new(object, "project");
            fake.gate = Some(Arc::clone(&gate));
            Arc::new(fake)
        };
        let (first, second) = (fake("one"), fake("two"));
        let (a, b) = (share(&resources, "a", &first), share(&resources, "a", &second));
        let a = tokio::spawn(async move { a.set(Position::On).await });
        let b = tokio::spawn(async move { b.set(Position::On).await });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!((first.log().len(), second.log().len()), (1, 0), "the second one waits");
        gate.notify_one();
        a.await.unwrap().unwrap();
        assert_eq!(first.log(), ["set on", "set on done"]);
        gate.notify_one();
        b.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn a_hanging_operation_ends_at_its_deadline_and_frees_the_lane() {
        let resources = Resources::new();
        let mut hanging = Fake::new("one", "project");
        hanging.gate = Some(Arc::new(Notify::new()));
        let a = share(&resources, "a", &Arc::new(hanging));
        let b = share(&resources, "a", &Arc::new(Fake::new("two", "project")));
        assert_eq!(a.set(Position::On).await.unwrap_err().kind, FailureKind::NoAnswer);
        b.set(Position::On).await.unwrap();
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn meters_are_one_per_credential() {
        let resources = Resources::new();
        resources
            .meter("cloudflare/main")
            .call(super::super::CallKind::Read, "test")
            .unwrap();
        assert_eq!(resources.meter("cloudflare/main").total().total(), 1);
        assert_eq!(resources.calls().len(), 1);
    }
}
