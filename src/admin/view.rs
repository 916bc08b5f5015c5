//! The JSON of `GET /api/v1/status`. Field names are stable; times are RFC 3339 in UTC, durations seconds.

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, rfc3339};
use crate::core::status::{EpisodeStatus, Judgement, Seen, ToggleStatus, Totals};
use crate::core::{Duration, FailureKind, Instant, Mode, Position, Status, View};
use crate::notify::glance;

/// All sites at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// The daemon's version.
    pub version: String,
    /// The daemon's wall clock.
    pub now: String,
    /// One entry per site, in the order of the config.
    pub sites: Vec<SiteView>,
}

/// One site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteView {
    /// The site's name.
    pub site: String,
    /// What is going on, in one plain sentence.
    pub summary: String,
    /// Who serves visitors now, as last seen from a visitor's seat.
    pub serving: Serving,
    /// `healthy`, `suspect`, `failed_over` or `recovering`.
    pub phase: String,
    /// When the phase began.
    pub phase_since: String,
    /// How long it lasts.
    pub phase_seconds: f64,
    /// Who is in command.
    pub mode: ModeView,
    /// Where visitors shall go: `origin` or `standby`.
    pub route: String,
    /// How far the switch towards the route is: `verified`, `settling`, `switching` or `partly`.
    pub switched: String,
    /// The last verdict on home; null before the first.
    pub verdict: Option<VerdictView>,
    /// The visitor eye's last look; null before the first.
    pub visitor: Option<SeenView>,
    /// The last look at the standby; null before the first.
    pub standby: Option<SeenView>,
    /// How much quiet going home asks for now.
    pub up_for_seconds: f64,
    /// Time until home is decided if it stays quiet; null when nothing counts.
    pub home_in_seconds: Option<f64>,
    /// Time until the failover is decided if it stays dark; null when nothing counts.
    pub failover_in_seconds: Option<f64>,
    /// The toggles.
    pub toggles: Vec<ToggleView>,
    /// The episode under way; null without one.
    pub episode: Option<EpisodeView>,
    /// Since when time is frozen because our own uplink is in doubt; null while we see.
    pub blind_since: Option<String>,
    /// Whether the last save of the state reached the disk in time.
    pub saving: bool,
    /// Whether the first full window of own observation is over.
    pub observed_enough: bool,
    /// Whether references contradict our wall clock.
    pub clock_doubtful: bool,
    /// Totals since the start of the process.
    pub totals: TotalsView,
}

/// Who serves visitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serving {
    /// Home.
    Home,
    /// The standby.
    Standby,
    /// Nobody: visitors get an error.
    Nobody,
    /// It was not seen.
    Unknown,
}

/// Who is in command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModeView {
    /// `auto`, `pinned` or `paused`.
    pub name: String,
    /// The forced route, when pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Time until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<f64>,
    /// Who took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictView {
    /// `up`, `down` or `unknown`.
    pub verdict: String,
    /// Why, as a label.
    pub cause: String,
    /// Why, in words.
    pub cause_in_words: String,
    /// When the round was judged.
    pub at: String,
    /// How long ago that is.
    pub age_seconds: f64,
}

/// A look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeenView {
    /// What was seen, as a label.
    pub view: String,
    /// When the look was sent.
    pub at: String,
    /// How long ago that is.
    pub age_seconds: f64,
}

/// A toggle. Positions are `on` (standby in use), `off` or null (not known).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToggleView {
    /// Its name: `gate`, `redirect`, `silence`, `silence2`, ...
    pub toggle: String,
    /// `gate`, `redirect` or `silence`.
    pub role: String,
    /// Where it should be.
    pub desired: Option<String>,
    /// The provider's record.
    pub configured: Option<String>,
    /// What a visitor sees.
    pub effective: Option<String>,
    /// What was proven from a visitor's seat.
    pub verified: Option<String>,
    /// Whether another site or its owner keeps it on.
    pub held_by_other: bool,
    /// Whether an operation is in flight.
    pub busy: bool,
    /// Why the last operation failed; null if it worked.
    pub failing: Option<String>,
    /// Since when operations fail.
    pub failing_since: Option<String>,
}

/// The episode under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpisodeView {
    /// Its id; survives a restart.
    pub id: u64,
    /// When the first failed probe was sent.
    pub began: String,
    /// Why it began, as a label.
    pub cause: String,
    /// Why it began, in words.
    pub cause_in_words: String,
}

/// Totals since the start of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalsView {
    /// Episodes begun.
    pub episodes: u64,
    /// Decisions to fail over.
    pub failovers: u64,
    /// Decisions to go home.
    pub failbacks: u64,
    /// Failbacks rolled back.
    pub rollbacks: u64,
    /// Drifts seen.
    pub drifts: u64,
}

impl SiteView {
    /// A site's picture in words and numbers of `clock`.
    pub fn new(site: &str, status: &Status, clock: &Clock) -> Self {
        Self {
            site: site.to_owned(),
            summary: glance(status),
            serving: Serving::seen(status.visitor),
            phase: status.phase.label().to_owned(),
            phase_since: told(clock, status.phase_since),
            phase_seconds: age(clock, status.phase_since),
            mode: ModeView::new(&status.mode, clock),
            route: status.route.label().to_owned(),
            switched: status.switched.label().to_owned(),
            verdict: status.verdict.map(|judged| VerdictView::new(judged, clock)),
            visitor: status.visitor.map(|seen| SeenView::new(seen, clock)),
            standby: status.standby.map(|seen| SeenView::new(seen, clock)),
            up_for_seconds: status.up_for.as_secs_f64(),
            home_in_seconds: status.home_in.as_ref().map(Duration::as_secs_f64),
            failover_in_seconds: status.failover_in.as_ref().map(Duration::as_secs_f64),
            toggles: status
                .toggles
                .iter()
                .map(|toggle| ToggleView::new(toggle, clock))
                .collect(),
            episode: status.episode.map(EpisodeView::new),
            blind_since: status.blind_since.map(|since| told(clock, since)),
            saving: status.saving,
            observed_enough: status.observed_enough,
            clock_doubtful: status.clock_doubtful,
            totals: TotalsView::new(status.totals),
        }
    }
}

impl Serving {
    fn seen(seen: Option<Seen>) -> Self {
        match seen.map(|seen| seen.view) {
            Some(View::Home) => Self::Home,
            Some(View::Standby | View::Overloaded) => Self::Standby,
            Some(
                View::EdgeLostHome(_)
                | View::HomeBroken(_)
                | View::EdgeBroken
                | View::Shut
                | View::StandbyBroken(_)
                | View::Loop,
            ) => Self::Nobody,
            Some(View::Cached | View::Blocked | View::Nothing) | None => Self::Unknown,
        }
    }
}

impl ModeView {
    /// Who is in command, in words and numbers of `clock`.
    pub fn new(mode: &Mode, clock: &Clock) -> Self {
        let (name, route) = match mode {
            Mode::Auto => ("auto", None),
            Mode::Pinned { route, .. } => ("pinned", Some(route.label().to_owned())),
            Mode::Paused { .. } => ("paused", None),
        };
        let pin = mode.pin();
        let left = |until: u64| Duration::from_millis(until.saturating_sub(clock.wall().0)).as_secs_f64();
        Self {
            name: name.to_owned(),
            route,
            until: pin.map(|pin| rfc3339(pin.until)),
            expires_in_seconds: pin.map(|pin| left(pin.until.0)),
            author: pin.map(|pin| pin.author.clone()),
            reason: pin.map(|pin| pin.reason.clone()),
        }
    }
}

impl VerdictView {
    fn new(judged: Judgement, clock: &Clock) -> Self {
        Self {
            verdict: judged.verdict.label().to_owned(),
            cause: judged.cause.label().to_owned(),
            cause_in_words: judged.cause.in_words().to_owned(),
            at: told(clock, judged.at),
            age_seconds: age(clock, judged.at),
        }
    }
}

impl SeenView {
    fn new(seen: Seen, clock: &Clock) -> Self {
        Self {
            view: seen.view.label().to_owned(),
            at: told(clock, seen.at),
            age_seconds: age(clock, seen.at),
        }
    }
}

impl ToggleView {
    fn new(toggle: &ToggleStatus, clock: &Clock) -> Self {
        let position = |position: Option<Position>| position.map(|position| position.label().to_owned());
        Self {
            toggle: toggle.key.to_string(),
            role: toggle.role().label().to_owned(),
            desired: position(toggle.desired),
            configured: position(toggle.observed.configured),
            effective: position(toggle.observed.effective),
            verified: position(toggle.verified),
            held_by_other: toggle.observed.held_by_other,
            busy: toggle.busy,
            failing: toggle.failing.map(FailureKind::label).map(str::to_owned),
            failing_since: toggle.failing_since.map(|since| told(clock, since)),
        }
    }
}

impl EpisodeView {
    fn new(episode: EpisodeStatus) -> Self {
        Self {
            id: episode.id.0,
            began: rfc3339(episode.began),
            cause: episode.cause.label().to_owned(),
            cause_in_words: episode.cause.in_words().to_owned(),
        }
    }
}

impl TotalsView {
    const fn new(totals: Totals) -> Self {
        Self {
            episodes: totals.episodes,
            failovers: totals.failovers,
            failbacks: totals.failbacks,
            rollbacks: totals.rollbacks,
            drifts: totals.drifts,
        }
    }
}

fn told(clock: &Clock, instant: Instant) -> String {
    rfc3339(clock.wall_of(instant))
}

fn age(clock: &Clock, instant: Instant) -> f64 {
    clock.now().at.since(instant).as_secs_f64()
}
