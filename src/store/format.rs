//! The shape of a snapshot on disk: mirrors of core's types (core knows no serde) and the conversions, both ways.
//!
//! Durations are whole milliseconds, wall times milliseconds since the Unix epoch. Unknown fields are passed over, so that a
//! file survives a step back to the last release; whatever changes the meaning of a field raises [`VERSION`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Kept;
use crate::core::episode;
use crate::core::machine::Pin;
use crate::core::snapshot::ToggleRecord;
use crate::core::{
    Cause, Duration, EpisodeId, Instant, Mode, Part, Phase, Position, Role, Route, Snapshot, Stopwatch, ToggleKey,
    Wall, Why,
};

/// The version that is written. Older ones would be converted here; newer ones are refused.
pub const VERSION: u32 = 1;

/// Why a file's content cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Not JSON, cut off, or a field is missing or wrong.
    #[error("not a readable snapshot: {0}")]
    Broken(#[from] serde_json::Error),
    /// Written by a release this one does not know.
    #[error("snapshot version {found} is not known here (this release knows {VERSION})")]
    Version {
        /// The version in the file.
        found: u32,
    },
}

/// What is kept of a site as JSON text, with a line feed at the end.
pub fn encode(kept: &Kept) -> Result<Vec<u8>, FormatError> {
    let mut text = serde_json::to_vec_pretty(&File::from(kept))?;
    text.push(b'\n');
    Ok(text)
}

/// What is kept of a site in a JSON text.
pub fn decode(text: &[u8]) -> Result<Kept, FormatError> {
    #[derive(Deserialize)]
    struct Header {
        version: u32,
    }
    let Header { version } = serde_json::from_slice(text)?;
    if version != VERSION {
        return Err(FormatError::Version { found: version });
    }
    Ok(serde_json::from_slice::<File>(text)?.into())
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    taken_unix_ms: u64,
    #[serde(with = "PhaseForm")]
    phase: Phase,
    #[serde(with = "ModeForm")]
    mode: Mode,
    #[serde(with = "RouteForm")]
    route: Route,
    #[serde(rename = "up_for_ms", with = "millis")]
    up_for: Duration,
    #[serde(rename = "since_home_ms", with = "maybe_millis", default)]
    since_home: Option<Duration>,
    #[serde(default)]
    episode: Option<Episode>,
    next_episode: u64,
    #[serde(default)]
    toggles: Vec<Toggle>,
    #[serde(default)]
    notices: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
struct Episode {
    id: u64,
    began_unix_ms: u64,
    #[serde(with = "CauseForm")]
    cause: Cause,
    failed_over: bool,
    home_proven: bool,
    home_in_doubt: bool,
    leg: u32,
    #[serde(default)]
    told: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Toggle {
    #[serde(with = "RoleForm")]
    role: Role,
    #[serde(default)]
    index: u8,
    #[serde(with = "PositionForm")]
    desired: Position,
    settled: bool,
    #[serde(rename = "on_for_ms", with = "maybe_millis", default)]
    on_for: Option<Duration>,
    #[serde(rename = "off_for_ms", with = "maybe_millis", default)]
    off_for: Option<Duration>,
}

impl From<&Kept> for File {
    fn from(kept: &Kept) -> Self {
        let snapshot = &kept.snapshot;
        let episode = snapshot.episode.as_ref().map(|episode| Episode {
            id: episode.id.0,
            began_unix_ms: episode.began.0,
            cause: episode.cause,
            failed_over: episode.failed_over,
            home_proven: episode.home_proven,
            home_in_doubt: episode.home_in_doubt,
            leg: episode.leg,
            told: episode.told.clone(),
        });
        let toggles = snapshot.toggles.iter().map(|toggle| Toggle {
            role: toggle.key.role,
            index: toggle.key.index,
            desired: toggle.desired,
            settled: toggle.settled,
            on_for: toggle.on_for,
            off_for: toggle.off_for,
        });
        Self {
            version: VERSION,
            taken_unix_ms: snapshot.taken.0,
            phase: snapshot.phase,
            mode: snapshot.mode.clone(),
            route: snapshot.route,
            up_for: snapshot.up_for,
            since_home: snapshot.since_home,
            episode,
            next_episode: snapshot.next_episode,
            toggles: toggles.collect(),
            notices: kept.notices.clone(),
        }
    }
}

impl From<File> for Kept {
    fn from(file: File) -> Self {
        let episode = file.episode.map(|episode| episode::Episode {
            id: EpisodeId(episode.id),
            began: Wall(episode.began_unix_ms),
            cause: episode.cause,
            failed_over: episode.failed_over,
            home_proven: episode.home_proven,
            home_in_doubt: episode.home_in_doubt,
            leg: episode.leg,
            told: episode.told,
        });
        let toggles = file.toggles.into_iter().map(|toggle| ToggleRecord {
            key: ToggleKey {
                role: toggle.role,
                index: toggle.index,
            },
            desired: toggle.desired,
            settled: toggle.settled,
            on_for: toggle.on_for,
            off_for: toggle.off_for,
        });
        let snapshot = Snapshot {
            taken: Wall(file.taken_unix_ms),
            phase: file.phase,
            mode: file.mode,
            route: file.route,
            up_for: file.up_for,
            since_home: file.since_home,
            episode,
            next_episode: file.next_episode,
            toggles: toggles.collect(),
        };
        Self {
            snapshot,
            notices: file.notices,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Phase", tag = "name", rename_all = "snake_case")]
enum PhaseForm {
    Healthy {
        #[serde(rename = "well_ms", with = "stopwatch")]
        well: Stopwatch,
    },
    Suspect {
        failures: u32,
        successes: u32,
        #[serde(rename = "dark_ms", with = "stopwatch")]
        dark: Stopwatch,
        #[serde(rename = "quiet_ms", with = "stopwatch")]
        quiet: Stopwatch,
    },
    FailedOver {
        #[serde(rename = "out_ms", with = "stopwatch")]
        out: Stopwatch,
    },
    Recovering {
        successes: u32,
        #[serde(rename = "quiet_ms", with = "stopwatch")]
        quiet: Stopwatch,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Mode", tag = "name", rename_all = "snake_case")]
enum ModeForm {
    Auto,
    Pinned {
        #[serde(with = "RouteForm")]
        route: Route,
        #[serde(with = "PinForm")]
        pin: Pin,
    },
    Paused {
        #[serde(with = "PinForm")]
        pin: Pin,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Pin")]
struct PinForm {
    #[serde(rename = "until_unix_ms", with = "wall")]
    until: Wall,
    author: String,
    reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Route", rename_all = "snake_case")]
enum RouteForm {
    Origin,
    Standby,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Role", rename_all = "snake_case")]
enum RoleForm {
    Gate,
    Redirect,
    Silence,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Position", rename_all = "snake_case")]
enum PositionForm {
    Off,
    On,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Cause", rename_all = "snake_case")]
enum CauseForm {
    HomeServes,
    OwnPath,
    OwnUplink,
    EdgeBroken,
    EdgeLostHome,
    AppBroken,
    Origin(#[serde(with = "WhyForm")] Why),
    Operator,
    FoundSwitched,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Why", rename_all = "snake_case")]
enum WhyForm {
    Dns,
    Refused,
    Unreachable,
    Reset,
    Timeout(#[serde(with = "PartForm")] Part),
    Tls,
    Certificate,
    Status(u16),
    Body,
    Blocked,
    Protocol,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Part", rename_all = "snake_case")]
enum PartForm {
    Dns,
    Connect,
    Tls,
    FirstByte,
    Body,
}

/// A stopped stopwatch is what it shows. A running one would lose what ran since its last mark: core stops them first.
mod stopwatch {
    use super::{Deserialize, Duration, Instant, Stopwatch, millis};

    pub(super) fn serialize<S: serde::Serializer>(watch: &Stopwatch, serializer: S) -> Result<S::Ok, S::Error> {
        millis::serialize(&watch.read(Instant::ZERO), serializer)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Stopwatch, D::Error> {
        u64::deserialize(deserializer).map(|millis| Stopwatch::stopped(Duration::from_millis(millis)))
    }
}

mod millis {
    use super::{Deserialize, Duration};

    pub(super) fn of(duration: Duration) -> u64 {
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn serialize<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(of(*duration))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

mod maybe_millis {
    use super::{Deserialize, Duration, Serialize, millis};

    #[expect(clippy::ref_option, reason = "serde asks for this signature")]
    pub(super) fn serialize<S: serde::Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(millis::of).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

mod wall {
    use super::{Deserialize, Wall};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
    pub(super) fn serialize<S: serde::Serializer>(wall: &Wall, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(wall.0)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Wall, D::Error> {
        u64::deserialize(deserializer).map(Wall)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::arbitrary::kept;

    proptest! {
        #[test]
        fn whatever_is_kept_comes_back_as_it_was(kept in kept()) {
            let text = encode(&kept).unwrap();
            prop_assert_eq!(decode(&text).unwrap(), kept);
        }

        #[test]
        fn a_cut_file_is_never_taken_for_a_snapshot(kept in kept(), cut in 0.0..1.0_f64) {
            let text = encode(&kept).unwrap();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
            let keep = ((text.len() - 2) as f64 * cut) as usize;
            prop_assert!(decode(&text[..keep]).is_err());
        }
    }

    #[test]
    fn fields_of_a_later_release_are_passed_over_and_missing_lists_are_empty() {
        let text = br#"{"version":1,"taken_unix_ms":5,"phase":{"name":"failed_over","out_ms":7000,"weather":"storm"},
            "mode":{"name":"auto"},"route":"standby","up_for_ms":600000,"next_episode":3,"colour":"blue"}"#;
        let Kept { snapshot, notices } = decode(text).unwrap();
        assert_eq!(
            snapshot.phase,
            Phase::FailedOver {
                out: Stopwatch::stopped(Duration::from_secs(7))
            }
        );
        assert_eq!(snapshot.up_for, Duration::from_secs(600));
        assert!(snapshot.episode.is_none() && snapshot.toggles.is_empty() && notices.is_empty());
    }

    #[test]
    fn a_version_of_a_later_release_is_named() {
        let error = decode(br#"{"version":2,"whatever":true}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "snapshot version 2 is not known here (this release knows 1)"
        );
    }
}
