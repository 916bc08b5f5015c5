//! What the demo tells at the end: the figures of the switch and what visitors got.

use std::time::Duration;

use crate::clock::in_words;
use crate::sandbox::Tally;
use crate::toggle::Calls;

use super::stage::{Mark, Stage};

/// The outages of the systems of 2020: deploy Cloud Run and map a domain; Google Monitoring's alert, then three cheap things.
const SYSTEMS: [(&str, Duration); 2] = [
    ("first system of 2020", Duration::from_secs(13 * 60)),
    ("second system of 2020", Duration::from_secs(3 * 60)),
];
/// A line of the timeline, with some room for its indent and commas on a terminal of 80 columns.
const WIDTH: usize = 74;
/// A visit that began this long before a fault may have been under way in it.
const UNDER_WAY: Duration = Duration::from_secs(1);

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
        format!("  {:<46} {took:>9}{}\n", self.what, aim.unwrap_or_default())
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

/// The timeline in few lines: `17:08:09 power cut, 17:08:11 suspect, gate opening, ...`, each second told once.
pub fn timeline(events: &[(String, &'static str)]) -> String {
    let (mut lines, mut told) = (vec![String::new()], "");
    for (time, what) in events {
        let item = if time == told {
            (*what).to_owned()
        } else {
            format!("{time} {what}")
        };
        told = time;
        match lines.last_mut() {
            Some(line) if line.is_empty() => *line = item,
            Some(line) if line.len() + item.len() <= WIDTH => *line = [line, item.as_str()].join(", "),
            Some(_) | None => lines.push(item),
        }
    }
    format!("  {}\n", lines.join(",\n  "))
}

/// A fault that explains why visits were lost, as moments since the sandbox's start.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// When home stopped to answer.
    pub from: Duration,
    /// When visitors were served again.
    pub until: Duration,
}

impl Fault {
    /// How many visits it cost. One under way when it began may have begun a little before.
    fn lost(self, tally: &Tally) -> u64 {
        tally.lost_between(self.reaches_from(), self.until)
    }

    fn outage(self, tally: &Tally) -> Duration {
        tally.outage_between(self.reaches_from(), self.until)
    }

    const fn reaches_from(self) -> Duration {
        self.from.saturating_sub(UNDER_WAY)
    }
}

/// The two faults of the demo.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Home loses power.
    pub power_cut: Fault,
    /// Home's web server restarts.
    pub restart: Fault,
}

/// Visits that were lost and that no fault explains.
pub fn unexplained(tally: &Tally, faults: &Faults) -> u64 {
    let explained = faults.power_cut.lost(tally) + faults.restart.lost(tally);
    tally.lost.saturating_sub(explained)
}

/// What visitors got, beside the systems of 2020.
pub fn visitors(tally: &Tally, faults: &Faults) -> String {
    let outage = faults.power_cut.outage(tally);
    let times = |other: Duration| other.as_secs_f64() / outage.as_secs_f64().max(0.1);
    let system = |(system, took): (&str, Duration)| {
        let (words, times) = (in_words(took), times(took));
        format!("  {system:<24} {words:>6}  ({times:.0} times as long)\n")
    };
    let systems: String = SYSTEMS.map(system).concat();
    format!(
        "\nVisitors: {} served by home, {} by the standby, {} lost\n\
         \x20 lost: {} in the power cut, {} while the web server restarted, {} otherwise\n\
         \nOutage of the power cut as visitors saw it: {:.1} s\n{systems}",
        tally.home,
        tally.standby,
        tally.lost,
        faults.power_cut.lost(tally),
        faults.restart.lost(tally),
        unexplained(tally, faults),
        outage.as_secs_f64()
    )
}

/// Requests to each provider over the whole demo.
pub fn calls(calls: &[(String, Calls)]) -> String {
    let row = |(credential, calls): &(String, Calls)| {
        format!("  {credential:<24} {} reads, {} writes\n", calls.reads, calls.writes)
    };
    let rows: String = calls.iter().map(row).collect();
    format!("\nCalls to providers (start and routine reads included):\n{rows}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Service, Span};

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn tally(spans: &[(u64, u64, Service, u64)]) -> Tally {
        let spans: Vec<Span> = spans
            .iter()
            .map(|&(from, until, service, visits)| Span {
                from: secs(from),
                until: secs(until),
                service,
                visits,
            })
            .collect();
        Tally {
            lost: spans
                .iter()
                .filter(|span| span.service == Service::Lost)
                .map(|span| span.visits)
                .sum(),
            spans,
            ..Tally::default()
        }
    }

    const FAULTS: Faults = Faults {
        power_cut: Fault {
            from: Duration::from_secs(10),
            until: Duration::from_secs(20),
        },
        restart: Fault {
            from: Duration::from_secs(40),
            until: Duration::from_secs(42),
        },
    };

    #[test]
    fn the_timeline_tells_each_second_once_and_fits_a_terminal() {
        let events = [
            ("17:08:09", "power cut"),
            ("17:08:11", "suspect, gate opening"),
            ("17:08:11", "gate on record"),
            ("17:08:15", "failover decided"),
            ("17:08:15", "redirect on"),
        ];
        let told = timeline(&events.map(|(time, what)| (time.to_owned(), what)));
        assert_eq!(
            told,
            "  17:08:09 power cut, 17:08:11 suspect, gate opening, gate on record,\n  17:08:15 failover decided, redirect on\n"
        );
        assert!(told.lines().all(|line| line.len() < 80));
    }

    #[test]
    fn what_is_lost_in_a_fault_is_explained_and_only_the_power_cut_is_the_outage() {
        let tally = tally(&[
            (0, 9, Service::Home, 90),
            (10, 18, Service::Lost, 80),
            (19, 30, Service::Standby, 110),
            (31, 39, Service::Home, 80),
            (40, 41, Service::Lost, 20),
            (42, 50, Service::Home, 80),
        ]);
        assert_eq!(unexplained(&tally, &FAULTS), 0);
        let told = visitors(&tally, &FAULTS);
        assert!(
            told.contains("lost: 80 in the power cut, 20 while the web server restarted, 0 otherwise"),
            "{told}"
        );
        assert!(told.contains("as visitors saw it: 9.0 s"), "{told}");
        assert!(told.contains("13 min") && told.contains("3 min"), "{told}");
    }

    #[test]
    fn a_visit_lost_on_the_way_home_is_not_explained() {
        let tally = tally(&[(25, 25, Service::Lost, 1)]);
        assert_eq!(unexplained(&tally, &FAULTS), 1);
    }
}
