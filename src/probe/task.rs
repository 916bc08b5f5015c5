//! The ticking task: sends the origin eye's probes when the schedule says so and passes on what comes back.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant as Tick, sleep_until, timeout};

use super::schedule::{Cadence, Dispatch, Schedule};
use super::{BoxFuture, Probe, Report, Timings};
use crate::core::{Faculties, Failing, Instant, Outcome, Part, Why};

/// Results kept for a receiver that does not keep up; ten minutes of them at the default interval. The oldest go first.
const BACKLOG: usize = 128;
/// A probe that breaks its promise to end is given up after this many times its timeout.
const PATIENCE: u32 = 2;

/// A probe that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// When it was sent.
    pub sent_at: Instant,
    /// Whether it stood on the fixed-rate schedule (or was a confirming one).
    pub scheduled: bool,
    /// What came of it.
    pub report: Report,
}

/// A probe that ended, with its number in the schedule.
struct Landed {
    number: u64,
    probed: Probed,
}

/// Probes at the cadence until the receiver of `out` is gone; the first probe goes out at once.
///
/// `epoch` is the start of the process, from which core's instants count. Probes run side by side in this one future:
/// dropping it closes their sockets. A receiver that does not keep up delays nothing here.
pub async fn run(probe: Arc<dyn Probe>, cadence: Cadence, epoch: Tick, out: mpsc::Sender<Probed>) {
    let now = || Instant::at(Tick::now().duration_since(epoch));
    let mut schedule = Schedule::new(cadence, now());
    let mut flights = FuturesUnordered::new();
    let mut backlog: VecDeque<Probed> = VecDeque::new();
    loop {
        while let Some(dispatch) = schedule.due(now()) {
            flights.push(fly(Arc::clone(&probe), dispatch, now(), cadence));
        }
        // Cancel-safe: flights stay in their set, the sleep is to a fixed instant, `closed` and `reserve` hold nothing of ours.
        // In this order, so that what comes at one instant is always taken alike; flights and wake-ups are few, so all have their turn.
        tokio::select! {
            biased;
            Some(Landed { number, probed }) = flights.next() => {
                schedule.landed(number, probed.report.outcome.is_ok(), now());
                if backlog.len() >= BACKLOG {
                    backlog.pop_front();
                    tracing::warn!(kept = BACKLOG, "probe results pile up: the oldest is dropped");
                }
                backlog.push_back(probed);
            }
            () = sleep_until(epoch + schedule.next_wake().since_start()) => {}
            () = out.closed() => return,
            room = out.reserve(), if !backlog.is_empty() => {
                let Ok(room) = room else { return };
                if let Some(probed) = backlog.pop_front() {
                    room.send(probed);
                }
            }
        }
    }
}

fn fly(probe: Arc<dyn Probe>, dispatch: Dispatch, sent_at: Instant, cadence: Cadence) -> BoxFuture<'static, Landed> {
    Box::pin(async move {
        let report = timeout(cadence.timeout.saturating_mul(PATIENCE), probe.probe()).await;
        let report = report.unwrap_or(Report {
            outcome: Outcome::Failed(Failing {
                why: Why::Timeout(Part::FirstByte),
                used: Faculties::ALL,
            }),
            timings: Timings::default(),
        });
        Landed {
            number: dispatch.number,
            probed: Probed {
                sent_at,
                scheduled: dispatch.scheduled,
                report,
            },
        }
    })
}
