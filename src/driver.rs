//! The single event loop of a site: events in, effects out.
//!
//! Nothing is decided here. Whatever happens is made an [`Event`], handed to the [`Controller`], and the effects that come
//! back are started; their ends are events again. No call is ever waited for in the loop itself.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant as Tick, sleep_until};

use crate::clock::Clock;
use crate::core::{
    Action, Command, Controller, Effect, Event, Eye, Notice, Now, Observed, OpId, Position, Reflection, Severity,
    Sighting, Snapshot, Status, ToggleKey, What,
};
pub use crate::limbs::Limbs;
use crate::metrics::{Metrics, Operation};
pub use crate::pending::Pending;
use crate::probe::task::Probed;
use crate::saver::{Disk, Saver, Ticket};
use crate::store::Kept;
use crate::toggle::ToggleError;

/// Probes that may wait for the loop; the schedule never has more than a handful in flight.
pub const PROBES_WAITING: usize = 32;
/// Commands that may wait for the loop; people do not type faster.
pub const COMMANDS_WAITING: usize = 8;
/// The wall clock ran this much more or less than the monotonic one, or the loop woke this late: the clocks jumped.
const GAP: Duration = Duration::from_secs(10);
/// The loop turns at least this often, so that its pulse can be felt.
const PULSE: Duration = Duration::from_secs(1);

/// What a site's loop needs from outside.
pub struct Links {
    /// Ends of probes.
    pub probes: mpsc::Receiver<Probed>,
    /// Operators' commands.
    pub commands: mpsc::Receiver<Command>,
    /// Where the picture of the site goes.
    pub status: watch::Sender<Arc<Status>>,
    /// Where notices go; what was not safe before the start is in it.
    pub notices: Pending,
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
    /// For the newest intent that core wants on disk before anything is switched.
    intent: Ticket,
    /// The newest save that has ended, one way or the other.
    saved: u64,
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
    Saved {
        number: u64,
        in_time: bool,
    },
    /// The notice of this id is safe: in every outbox, delivered, or given up.
    Safe(String),
    Warm,
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
            intent: saver.ticket(),
            saved: 0,
            saver,
            calls: JoinSet::new(),
            last,
            probed_at: Tick::now(),
        }
    }

    /// Takes the `first` event (how the state was found) and runs until `shutdown` resolves. Calls in flight are then dropped: their end is read back at the next start.
    pub async fn run(mut self, first: Event, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        self.tell(self.saved);
        self.feed(first);
        loop {
            if self.probed_at.elapsed() <= self.limbs.probe_patience {
                (self.links.pulse)();
            }
            let deadline = self.deadline();
            // Cancel-safe: channel receives and `join_next` lose nothing when another branch wins, and the sleep is made anew.
            // In this order, so that what comes at one instant is always taken alike. None can keep the next from its turn: calls end
            // and probes come at the pace at which they were sent; and core looks at the clock at every event, not only when it is woken.
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = self.calls.join_next() => match ended {
                    Ok(ended) => self.ended(ended),
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(_) => {}
                },
                Some(probed) = self.links.probes.recv() => self.probed(&probed),
                Some(command) = self.links.commands.recv() => self.commanded(command),
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
        self.keep(self.controller.snapshot(self.links.clock.now()));
        self.calls.abort_all();
        self.saver.finish().await;
        // All of it is on disk, or cannot be: the deliveries take over what they do not have yet.
        self.links.notices.tell(u64::MAX);
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
            Ended::Saved { number, in_time } => {
                if !in_time {
                    self.links.metrics.save_failed(&self.site);
                }
                self.saved = self.saved.max(number);
                self.tell(self.saved);
                self.feed(Event::Saved { in_time });
            }
            Ended::Safe(id) => {
                if self.links.notices.forget(&id) {
                    self.keep(self.controller.snapshot(self.links.clock.now()));
                }
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

    /// Notices first of all: they go to disk in one piece with the intent.
    fn hand_over(&mut self, event: Event) {
        let effects = self.controller.handle(event, self.links.clock.now());
        let status = self.publish();
        let number = if effects.iter().any(is_kept) {
            self.saver.next_number()
        } else {
            self.saver.ticket().number()
        };
        for notice in effects.iter().filter_map(notice) {
            self.notify(notice, &status, number);
        }
        for effect in effects {
            match effect {
                Effect::Save(snapshot) => self.intent = self.keep(*snapshot),
                Effect::Notify(_) => {}
                Effect::Warm => self.warm(),
                Effect::Act { id, action } => self.act(id, action),
            }
        }
        if self.saver.ticket().number() < number {
            self.keep(self.controller.snapshot(self.links.clock.now()));
        }
        self.tell(self.saved);
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

    /// Has the snapshot, and the notices that are not yet safe, put on disk.
    fn keep(&mut self, snapshot: Snapshot) -> Ticket {
        let notices = self.links.notices.keep();
        let ticket = self.saver.save(Kept { snapshot, notices });
        let (number, waiting) = (ticket.number(), ticket.clone());
        self.calls.spawn(async move {
            let in_time = waiting.on_disk().await;
            Ended::Saved { number, in_time }
        });
        ticket
    }

    /// People are told once the save of this number has ended.
    fn notify(&mut self, notice: &Notice, status: &Status, number: u64) {
        let (what, episode) = (notice.what.name(), notice.episode.map(|id| id.0));
        match notice.what.severity() {
            Severity::Info => tracing::info!(site = self.site, episode, detail = ?notice.what, "{what}"),
            Severity::Warning => tracing::warn!(site = self.site, episode, detail = ?notice.what, "{what}"),
            Severity::Critical => tracing::error!(site = self.site, episode, detail = ?notice.what, "{what}"),
        }
        self.links.notices.hold(notice, status, number);
    }

    /// The saves up to this number have ended: tells what waited for them.
    fn tell(&mut self, saved: u64) {
        for (told, receipt) in self.links.notices.tell(saved) {
            self.calls.spawn(async move {
                receipt.safe().await;
                Ended::Safe(told.id.clone())
            });
        }
    }

    fn act(&mut self, id: OpId, action: Action) {
        match action {
            Action::Look(Eye::Mirror) => {
                let asked = self.limbs.ask_mirror();
                self.calls.spawn(async move { Ended::Mirror(id, asked.await) });
            }
            Action::Look(eye) => {
                let look = self.limbs.look(eye);
                self.calls.spawn(async move { Ended::Look(id, eye, look.await) });
            }
            Action::Observe(key) => self.operate(id, key, None),
            Action::Set(key, position) => self.operate(id, key, Some(position)),
        }
    }

    fn warm(&mut self) {
        for warm in self.limbs.warm() {
            self.calls.spawn(async move {
                warm.await;
                Ended::Warm
            });
        }
    }

    /// One operation with one deadline. A write waits until the intent is on disk, for a second at most.
    fn operate(&mut self, id: OpId, key: ToggleKey, wanted: Option<Position>) {
        let Some(call) = self.limbs.operate(key, wanted) else {
            return;
        };
        let (operation, intent) = match wanted {
            Some(_) => (Operation::Set, Some(self.intent.clone())),
            None => (Operation::Observe, None),
        };
        self.calls.spawn(async move {
            if let Some(intent) = intent {
                intent.on_disk().await;
            }
            let began = Tick::now();
            Ended::Operation {
                id,
                key,
                operation,
                wanted,
                result: call.await,
                took: began.elapsed(),
            }
        });
    }
}

/// Whether it has to be on disk. A disk that fails is not asked for more on account of that.
fn is_kept(effect: &Effect) -> bool {
    match effect {
        Effect::Save(_) => true,
        Effect::Notify(notice) => notice.what != What::SaveFailed,
        Effect::Warm | Effect::Act { .. } => false,
    }
}

const fn notice(effect: &Effect) -> Option<&Notice> {
    match effect {
        Effect::Notify(notice) => Some(notice),
        Effect::Save(_) | Effect::Warm | Effect::Act { .. } => None,
    }
}
