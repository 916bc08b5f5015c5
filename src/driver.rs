//! The single event loop of a site: events in, effects out.
//!
//! Nothing is decided here. Whatever happens is made an [`Event`], handed to the [`Controller`], and the effects that come
//! back are started; their ends are events again. No call is ever waited for in the loop itself.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant as Tick, sleep_until, timeout};

use crate::clock::Clock;
use crate::core::{
    Action, ClockCheck, Command, Controller, Effect, Event, Eye, Faculties, FailureKind, Notice, Now, Observed, OpId,
    Position, Reflection, Severity, Sighting, Snapshot, Status, ToggleKey, View,
};
use crate::metrics::{Metrics, Operation};
use crate::probe::task::Probed;
use crate::probe::{Look, Mirror};
use crate::saver::{Disk, Saver, Ticket};
use crate::toggle::{Toggle, ToggleError};

/// Probes that may wait for the loop; the schedule never has more than a handful in flight.
pub const PROBES_WAITING: usize = 32;
/// Commands that may wait for the loop; people do not type faster.
pub const COMMANDS_WAITING: usize = 8;
/// Every eye has a deadline of its own; this one only guards against an eye that forgets it.
const LOOK_GUARD: Duration = Duration::from_secs(90);
/// The same for the mirror, whose references answer within seconds. Without an answer a failing home would never be judged.
const MIRROR_GUARD: Duration = Duration::from_secs(15);
/// The wall clock ran this much more or less than the monotonic one, or the loop woke this late: the clocks jumped.
const GAP: Duration = Duration::from_secs(10);
/// The loop turns at least this often, so that its pulse can be felt.
const PULSE: Duration = Duration::from_secs(1);

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

/// Told of every notice, with the picture of the moment. Must not block.
pub type Tell = Box<dyn Fn(&Notice, &Status) + Send + Sync>;

/// What a site's loop needs from outside.
pub struct Links {
    /// Ends of probes.
    pub probes: mpsc::Receiver<Probed>,
    /// Operators' commands.
    pub commands: mpsc::Receiver<Command>,
    /// Where the picture of the site goes.
    pub status: watch::Sender<Arc<Status>>,
    /// Where notices go.
    pub tell: Tell,
    /// Told that the loop turns and probes come in.
    pub pulse: Box<dyn Fn() + Send + Sync>,
    /// Where snapshots go.
    pub disk: Arc<dyn Disk>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Both clocks.
    pub clock: Clock,
}

/// The event loop of one site.
pub struct Driver {
    site: String,
    controller: Controller,
    limbs: Limbs,
    links: Links,
    saver: Saver,
    calls: JoinSet<Ended>,
    last: Now,
    probed_at: Tick,
}

/// Something that was started has ended.
enum Ended {
    Look(OpId, Eye, Sighting),
    Mirror(OpId, Reflection),
    Operation {
        id: OpId,
        key: ToggleKey,
        operation: Operation,
        wanted: Option<Position>,
        result: Result<Observed, ToggleError>,
        took: Duration,
    },
    Saved(bool),
    Warm,
}

impl std::fmt::Debug for Limbs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limbs").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

impl Driver {
    /// Ready to run. Nothing is started yet.
    pub fn new(site: String, controller: Controller, limbs: Limbs, links: Links) -> Self {
        let saver = Saver::start(Arc::clone(&links.disk));
        let last = links.clock.now();
        Self {
            site,
            controller,
            limbs,
            links,
            saver,
            calls: JoinSet::new(),
            last,
            probed_at: Tick::now(),
        }
    }

    /// Takes the `first` event (how the state was found) and runs until `shutdown` resolves. Calls in flight are then dropped: their end is read back at the next start.
    pub async fn run(mut self, first: Event, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        self.feed(first);
        loop {
            if self.probed_at.elapsed() <= self.limbs.probe_patience {
                (self.links.pulse)();
            }
            let deadline = self.deadline();
            // Cancel-safe: channel receives and `join_next` lose nothing when another branch wins, and the sleep is made anew.
            tokio::select! {
                () = &mut shutdown => break,
                Some(probed) = self.links.probes.recv() => self.probed(&probed),
                Some(command) = self.links.commands.recv() => self.commanded(command),
                Some(ended) = self.calls.join_next() => match ended {
                    Ok(ended) => self.ended(ended),
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(_) => {}
                },
                () = sleep_until(deadline.0) => {
                    if deadline.1 {
                        self.feed(Event::Woke);
                    } else {
                        self.notice_gap();
                        self.publish();
                    }
                }
            }
        }
        let snapshot = self.controller.snapshot(self.links.clock.now());
        self.saver.save(snapshot);
        self.calls.abort_all();
        self.saver.finish().await;
    }

    /// When to wake up, and whether core asked for it (or it is only the pulse).
    fn deadline(&self) -> (Tick, bool) {
        let pulse = Tick::now() + PULSE;
        let asked = self
            .controller
            .next_deadline()
            .and_then(|at| self.links.clock.moment(at));
        match asked {
            Some(at) if at <= pulse => (at, true),
            Some(_) | None => (pulse, false),
        }
    }

    fn probed(&mut self, probed: &Probed) {
        self.probed_at = Tick::now();
        self.links.metrics.probed(&self.site, &probed.report);
        tracing::debug!(
            site = self.site,
            outcome = probed.report.outcome.label(),
            scheduled = probed.scheduled,
            "probed"
        );
        self.feed(Event::Probed {
            sent_at: probed.sent_at,
            scheduled: probed.scheduled,
            outcome: probed.report.outcome,
        });
    }

    fn commanded(&mut self, command: Command) {
        self.feed(Event::Commanded(command));
    }

    fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Look(id, eye, sighting) => {
                self.links.metrics.looked(&self.site, eye, &sighting);
                tracing::debug!(
                    site = self.site,
                    eye = eye.label(),
                    view = sighting.view.label(),
                    "looked"
                );
                self.feed(Event::Looked { id, sighting });
            }
            Ended::Mirror(id, reflection) => {
                self.links.metrics.mirrored(&self.site, &reflection);
                self.feed(Event::Mirrored { id, reflection });
            }
            Ended::Operation {
                id,
                key,
                operation,
                wanted,
                result,
                took,
            } => {
                let outcome = result.as_ref().map(drop).map_err(|error| error.kind);
                self.links.metrics.settled(&self.site, key, operation, outcome, took);
                self.log_operation(key, wanted, &result, took);
                let result = result.map_err(|error| error.failure());
                self.feed(Event::Settled { id, result });
            }
            Ended::Warm => {}
            Ended::Saved(in_time) => {
                if !in_time {
                    self.links.metrics.save_failed(&self.site);
                }
                self.feed(Event::Saved { in_time });
            }
        }
    }

    fn log_operation(
        &self,
        key: ToggleKey,
        wanted: Option<Position>,
        result: &Result<Observed, ToggleError>,
        took: Duration,
    ) {
        let toggle = key.to_string();
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match (wanted, result) {
            (Some(wanted), Ok(_)) => {
                tracing::info!(
                    site = self.site,
                    toggle,
                    position = wanted.label(),
                    ms,
                    "toggle is in position"
                );
            }
            (None, Ok(observed)) => {
                let position = observed.configured.map(Position::label);
                tracing::debug!(site = self.site, toggle, position, ms, "toggle was read");
            }
            (_, Err(error)) => {
                tracing::warn!(site = self.site, toggle, reason = error.reason(), %error, ms, "toggle operation failed");
            }
        }
    }

    /// Hands an event to core and carries out what comes back.
    fn feed(&mut self, event: Event) {
        self.notice_gap();
        self.hand_over(event);
    }

    fn hand_over(&mut self, event: Event) {
        let effects = self.controller.handle(event, self.links.clock.now());
        let status = self.publish();
        let mut ticket = None;
        for effect in effects {
            match effect {
                Effect::Save(snapshot) => ticket = Some(self.save(*snapshot)),
                Effect::Notify(notice) => self.notify(&notice, &status),
                Effect::Warm => self.warm(),
                Effect::Act { id, action } => self.act(id, action, ticket.as_ref()),
            }
        }
    }

    /// A machine that slept, a process that was stopped and a wall clock that was set all look the same: time ran unseen.
    fn notice_gap(&mut self) {
        let now = self.links.clock.now();
        let ran = now.at.since(self.last.at);
        let wall_ran = i128::from(now.wall.0) - i128::from(self.last.wall.0);
        let apart = wall_ran.abs_diff(i128::try_from(ran.as_millis()).unwrap_or(i128::MAX));
        let slept = ran > PULSE + GAP;
        self.last = now;
        if apart > GAP.as_millis() || slept {
            tracing::warn!(site = self.site, "the clocks jumped: counting afresh");
            self.hand_over(Event::Gap);
        }
    }

    fn publish(&mut self) -> Arc<Status> {
        let now = self.links.clock.now();
        let status = Arc::new(self.controller.status(now));
        self.links.metrics.observe_status(&self.site, &status, now);
        self.links.status.send_replace(Arc::clone(&status));
        status
    }

    fn save(&mut self, snapshot: Snapshot) -> Ticket {
        let ticket = self.saver.save(snapshot);
        let waiting = ticket.clone();
        self.calls.spawn(async move { Ended::Saved(waiting.on_disk().await) });
        ticket
    }

    fn notify(&self, notice: &Notice, status: &Status) {
        let (what, episode) = (notice.what.name(), notice.episode.map(|id| id.0));
        match notice.what.severity() {
            Severity::Info => tracing::info!(site = self.site, episode, detail = ?notice.what, "{what}"),
            Severity::Warning => tracing::warn!(site = self.site, episode, detail = ?notice.what, "{what}"),
            Severity::Critical => tracing::error!(site = self.site, episode, detail = ?notice.what, "{what}"),
        }
        (self.links.tell)(notice, status);
    }

    fn act(&mut self, id: OpId, action: Action, ticket: Option<&Ticket>) {
        match action {
            Action::Look(Eye::Mirror) => {
                let mirror = Arc::clone(&self.limbs.mirror);
                self.calls.spawn(async move {
                    Ended::Mirror(id, timeout(MIRROR_GUARD, mirror.ask()).await.unwrap_or_else(|_| dark()))
                });
            }
            Action::Look(eye) => self.look(id, eye),
            Action::Observe(key) => self.operate(id, key, None, None),
            Action::Set(key, position) => {
                self.operate(
                    id,
                    key,
                    Some(position),
                    Some(ticket.cloned().unwrap_or_else(|| self.saver.ticket())),
                );
            }
        }
    }

    fn warm(&mut self) {
        for (_, toggle) in &self.limbs.toggles {
            let toggle = Arc::clone(toggle);
            let deadline = self.limbs.toggle_timeout;
            self.calls.spawn(async move {
                // Best effort: a connection that is not ready in time is made when it is needed.
                timeout(deadline, toggle.warm()).await.unwrap_or_default();
                Ended::Warm
            });
        }
    }

    fn look(&mut self, id: OpId, eye: Eye) {
        let look = match eye {
            Eye::Visitor => Some(&self.limbs.visitor),
            Eye::Standby => Some(&self.limbs.standby),
            Eye::Edge => self.limbs.edge.as_ref(),
            Eye::Mirror => None,
        };
        let look = look.map(Arc::clone);
        self.calls.spawn(async move {
            let blank = Sighting {
                view: View::Nothing,
                redirect: None,
                took: LOOK_GUARD,
            };
            let Some(look) = look else {
                return Ended::Look(id, eye, blank);
            };
            Ended::Look(id, eye, timeout(LOOK_GUARD, look.look()).await.unwrap_or(blank))
        });
    }

    /// One operation with one deadline. A write waits until the intent is on disk, for a second at most.
    fn operate(&mut self, id: OpId, key: ToggleKey, wanted: Option<Position>, intent: Option<Ticket>) {
        let found = self.limbs.toggles.iter().find(|(other, _)| *other == key);
        let Some(toggle) = found.map(|(_, toggle)| Arc::clone(toggle)) else {
            return;
        };
        let deadline = self.limbs.toggle_timeout;
        self.calls.spawn(async move {
            if let Some(intent) = intent {
                intent.on_disk().await;
            }
            let began = Tick::now();
            let operation = if wanted.is_some() {
                Operation::Set
            } else {
                Operation::Observe
            };
            let call = match wanted {
                Some(position) => toggle.set(position),
                None => toggle.observe(),
            };
            let result = timeout(deadline, call)
                .await
                .unwrap_or_else(|_| Err(no_answer(deadline)));
            Ended::Operation {
                id,
                key,
                operation,
                wanted,
                result,
                took: began.elapsed(),
            }
        });
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
