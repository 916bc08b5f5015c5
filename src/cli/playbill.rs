//! What the demo tells at the end: the figures of the switch and what visitors got.

use std::time::Duration;

use crate::sandbox::Tally;
use crate::toggle::Calls;

use super::stage::{Mark, Stage};

/// The outage of the first system of 2020: deploy Cloud Run and map a domain.
const FIRST_SYSTEM: Duration = Duration::from_secs(13 * 60);
/// The outage of the second: Google Monitoring's alert, then three cheap things.
const SECOND_SYSTEM: Duration = Duration::from_secs(3 * 60);

/// A figure with what it was aimed at.
#[derive(Clone, Debug)]
pub struct Figure {
    what: &'static str,
    took: Option<Duration>,
    aim: Option<Duration>,
}

impl Figure {
    /// A figure; `aim` stands beside it where there is one.
    pub const fn new(what: &'static str, took: Option<Duration>, aim: Option<Duration>) -> Self {
        Self { what, took, aim }
    }

    fn row(&self) -> String {
        let took = self
            .took
            .map_or("not seen".to_owned(), |took| format!("{:.2} s", took.as_secs_f64()));
        let aim = self
            .aim
            .map(|aim| format!("  (aim: at most {:.1} s)", aim.as_secs_f64()));
        format!("  {:<58} {took:>9}{}\n", self.what, aim.unwrap_or_default())
    }
}

/// Figures of the way out, taken while its marks are fresh.
pub fn way_out(stage: &Stage, shortened: bool) -> Vec<Figure> {
    let aim = |millis| shortened.then_some(Duration::from_millis(millis));
    let suspect = stage.between(Mark::Fault, Mark::Suspect);
    let proven = stage.between(Mark::GateEffective, Mark::GateProven);
    let allowed = stage.at(Mark::FailedOver).max(stage.at(Mark::GateProven));
    let redirect = stage
        .at(Mark::RedirectOn)
        .zip(allowed)
        .map(|(on, allowed)| on.saturating_duration_since(allowed));
    let decided = stage.between(Mark::Fault, Mark::FailedOver);
    vec![
        Figure::new("power cut (silence) to suspect", suspect, aim(2000)),
        Figure::new("power cut to decided", decided, None),
        Figure::new("gate lets visitors in to gate proven", proven, aim(500)),
        Figure::new("decided and proven to redirect on", redirect, aim(500)),
        Figure::new(
            "power cut to visitors verified at the standby",
            stage.between(Mark::Fault, Mark::StandbyVerified),
            None,
        ),
    ]
}

/// The figures as a table.
pub fn table(figures: &[Figure]) -> String {
    figures.iter().map(Figure::row).collect()
}

/// What visitors got, beside the systems of 2020.
pub fn visitors(tally: &Tally) -> String {
    let outage = tally.outage();
    let times = |other: Duration| other.as_secs_f64() / outage.as_secs_f64().max(0.1);
    let mut out = format!(
        "\nVisitors: {} served by home, {} by the standby, {} lost\n",
        tally.home, tally.standby, tally.lost
    );
    out += &format!("Outage as visitors saw it: {:.1} s\n", outage.as_secs_f64());
    for (system, took) in [
        ("first system of 2020", FIRST_SYSTEM),
        ("second system of 2020", SECOND_SYSTEM),
    ] {
        out += &format!(
            "  {system:<24} {:>4} s  ({:.0} times as long)\n",
            took.as_secs(),
            times(took)
        );
    }
    out
}

/// Requests to each provider over the whole demo.
pub fn calls(calls: &[(String, Calls)]) -> String {
    let mut out = String::from("Calls to providers (reads and writes, the start and the hourly routine included):\n");
    for (credential, calls) in calls {
        out += &format!("  {credential:<24} {} reads, {} writes\n", calls.reads, calls.writes);
    }
    out
}
