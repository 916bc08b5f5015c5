//! The eyes and toggles of a site, each call with a deadline that nobody has to remember.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::core::{ClockCheck, Eye, Faculties, FailureKind, Observed, Position, Reflection, Sighting, ToggleKey, View};
use crate::probe::{Look, Mirror};
use crate::toggle::{Toggle, ToggleError};

/// Every eye has a deadline of its own; this one only guards against an eye that forgets it.
const LOOK_GUARD: Duration = Duration::from_secs(90);
/// The same for the mirror, whose references answer within seconds. Without an answer a failing home would never be judged.
const MIRROR_GUARD: Duration = Duration::from_secs(15);

/// The eyes and toggles of a site.
pub struct Limbs {
    /// The public URL, as a visitor.
    pub visitor: Arc<dyn Look>,
    /// The standby itself, as a visitor.
    pub standby: Arc<dyn Look>,
    /// A page that the redirect excludes, through the edge.
    pub edge: Option<Arc<dyn Look>>,
    /// The references.
    pub mirror: Arc<dyn Mirror>,
    /// The toggles.
    pub toggles: Vec<(ToggleKey, Arc<dyn Toggle>)>,
    /// The total deadline of one operation on a toggle.
    pub toggle_timeout: Duration,
    /// Without a probe's end for this long, the loop does not count as making progress.
    pub probe_patience: Duration,
}

impl std::fmt::Debug for Limbs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limbs").finish_non_exhaustive()
    }
}

impl Limbs {
    /// One look through an eye; nothing is seen by one that the site does not have or that does not come back.
    pub(crate) fn look(&self, eye: Eye) -> impl Future<Output = Sighting> + Send + 'static {
        let look = match eye {
            Eye::Visitor => Some(&self.visitor),
            Eye::Standby => Some(&self.standby),
            Eye::Edge => self.edge.as_ref(),
            Eye::Mirror => None,
        };
        let look = look.map(Arc::clone);
        async move {
            let blank = Sighting {
                view: View::Nothing,
                redirect: None,
                took: LOOK_GUARD,
            };
            match look {
                Some(look) => timeout(LOOK_GUARD, look.look()).await.unwrap_or(blank),
                None => blank,
            }
        }
    }

    /// Asks the references; dark when they do not come back.
    pub(crate) fn ask_mirror(&self) -> impl Future<Output = Reflection> + Send + 'static {
        let mirror = Arc::clone(&self.mirror);
        async move { timeout(MIRROR_GUARD, mirror.ask()).await.unwrap_or_else(|_| dark()) }
    }

    /// One operation with one deadline: a write when a position is wanted, or else a read. Nothing when there is no such toggle.
    pub(crate) fn operate(
        &self,
        key: ToggleKey,
        wanted: Option<Position>,
    ) -> Option<impl Future<Output = Result<Observed, ToggleError>> + Send + 'static> {
        let found = self.toggles.iter().find(|(other, _)| *other == key);
        let toggle = found.map(|(_, toggle)| Arc::clone(toggle))?;
        let deadline = self.toggle_timeout;
        Some(async move {
            let call = match wanted {
                Some(position) => toggle.set(position),
                None => toggle.observe(),
            };
            timeout(deadline, call)
                .await
                .unwrap_or_else(|_| Err(no_answer(deadline)))
        })
    }

    /// Makes the connections of all toggles ready. Best effort: one that is not ready in time is made when it is needed.
    pub(crate) fn warm(&self) -> Vec<impl Future<Output = ()> + Send + 'static> {
        let warm = |(_, toggle): &(ToggleKey, Arc<dyn Toggle>)| {
            let (toggle, deadline) = (Arc::clone(toggle), self.toggle_timeout);
            async move { timeout(deadline, toggle.warm()).await.unwrap_or_default() }
        };
        self.toggles.iter().map(warm).collect()
    }
}

/// The references say nothing.
fn dark() -> Reflection {
    Reflection {
        answered: 0,
        proven: Faculties::default(),
        clock: ClockCheck::Unknown,
    }
}

fn no_answer(deadline: Duration) -> ToggleError {
    ToggleError {
        kind: FailureKind::NoAnswer,
        doing: "toggle operation",
        detail: format!(
            "no answer within {} s; it is read back and tried again",
            deadline.as_secs_f32()
        ),
        retry_after: None,
    }
}
