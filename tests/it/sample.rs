//! Pictures of sites, as core would give them.

use std::collections::BTreeMap;
use std::sync::Arc;

use pilotlight::core::evidence::{Cause, Part, Verdict, View, Why};
use pilotlight::core::status::{EpisodeStatus, Judgement, Seen, Status, Switched, ToggleStatus, Totals};
use pilotlight::core::{
    Duration, EpisodeId, Instant, Mode, Observed, Phase, Position, Role, Route, Stopwatch, ToggleKey, Wall,
};
use pilotlight::metrics::{Labels, Metrics};

pub(crate) const GATE: ToggleKey = ToggleKey {
    role: Role::Gate,
    index: 0,
};
pub(crate) const REDIRECT: ToggleKey = ToggleKey {
    role: Role::Redirect,
    index: 0,
};

pub(crate) fn at(secs: u64) -> Instant {
    Instant::at(Duration::from_secs(secs))
}

pub(crate) fn toggle(key: ToggleKey, position: Position) -> ToggleStatus {
    ToggleStatus {
        key,
        desired: Some(position),
        observed: Observed {
            configured: Some(position),
            effective: Some(position),
            ..Observed::default()
        },
        verified: Some(position),
        busy: false,
        failing: None,
        failing_since: None,
    }
}

/// Home serves, all is well.
pub(crate) fn healthy() -> Status {
    Status {
        phase: Phase::Healthy {
            well: Stopwatch::stopped(Duration::ZERO),
        },
        phase_since: at(0),
        mode: Mode::Auto,
        route: Route::Origin,
        switched: Switched::Verified,
        verdict: Some(Judgement {
            verdict: Verdict::Up,
            cause: Cause::HomeServes,
            at: at(0),
        }),
        visitor: Some(Seen {
            view: View::Home,
            at: at(0),
        }),
        standby: None,
        up_for: Duration::from_secs(600),
        home_in: None,
        failover_in: None,
        toggles: vec![toggle(GATE, Position::Off), toggle(REDIRECT, Position::Off)],
        episode: None,
        blind_since: None,
        saving: true,
        observed_enough: true,
        clock_doubtful: false,
        totals: Totals::default(),
    }
}

/// Home is gone, visitors reach the standby.
pub(crate) fn failed_over() -> Status {
    let cause = Cause::Origin(Why::Timeout(Part::Connect));
    Status {
        phase: Phase::FailedOver {
            out: Stopwatch::stopped(Duration::ZERO),
        },
        route: Route::Standby,
        verdict: Some(Judgement {
            verdict: Verdict::Down,
            cause,
            at: at(0),
        }),
        visitor: Some(Seen {
            view: View::Standby,
            at: at(0),
        }),
        toggles: vec![toggle(GATE, Position::On), toggle(REDIRECT, Position::On)],
        episode: Some(EpisodeStatus {
            id: EpisodeId(7),
            began: Wall(1_767_225_600_000),
            cause,
        }),
        totals: Totals {
            episodes: 1,
            failovers: 1,
            ..Totals::default()
        },
        ..healthy()
    }
}

/// Metrics of one site, `home`, with one target and one credential.
pub(crate) fn metrics() -> Arc<Metrics> {
    let labels = Labels {
        sites: BTreeMap::from([("home".to_owned(), vec![GATE, REDIRECT])]),
        targets: vec!["ops".to_owned()],
        credentials: vec!["google.main".to_owned()],
    };
    Arc::new(Metrics::new(&labels, Wall(1_767_225_600_000)).unwrap())
}
