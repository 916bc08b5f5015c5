//! Random snapshots, for the round trip.

use proptest::option;
use proptest::prelude::*;

use super::Kept;
use crate::core::episode::Episode;
use crate::core::machine::Pin;
use crate::core::snapshot::ToggleRecord;
use crate::core::{
    Cause, Duration, EpisodeId, Mode, Part, Phase, Position, Role, Route, Snapshot, Stopwatch, ToggleKey, Wall, Why,
};

fn duration() -> impl Strategy<Value = Duration> {
    (0..u64::MAX / 4).prop_map(Duration::from_millis)
}

fn stopped() -> impl Strategy<Value = Stopwatch> {
    duration().prop_map(Stopwatch::stopped)
}

fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![
        stopped().prop_map(|well| Phase::Healthy { well }),
        (any::<u32>(), any::<u32>(), stopped(), stopped()).prop_map(|(failures, successes, dark, quiet)| {
            Phase::Suspect {
                failures,
                successes,
                dark,
                quiet,
            }
        }),
        stopped().prop_map(|out| Phase::FailedOver { out }),
        (any::<u32>(), stopped()).prop_map(|(successes, quiet)| Phase::Recovering { successes, quiet }),
    ]
}

fn pin() -> impl Strategy<Value = Pin> {
    (any::<u64>(), any::<String>(), any::<String>()).prop_map(|(until, author, reason)| Pin {
        until: Wall(until),
        author,
        reason,
    })
}

fn mode() -> impl Strategy<Value = Mode> {
    let route = prop_oneof![Just(Route::Origin), Just(Route::Standby)];
    prop_oneof![
        Just(Mode::Auto),
        (route, pin()).prop_map(|(route, pin)| Mode::Pinned { route, pin }),
        pin().prop_map(|pin| Mode::Paused { pin }),
    ]
}

fn why() -> impl Strategy<Value = Why> {
    prop_oneof![
        Just(Why::Dns),
        Just(Why::Refused),
        Just(Why::Unreachable),
        Just(Why::Reset),
        proptest::sample::select(Part::ALL.to_vec()).prop_map(Why::Timeout),
        Just(Why::Tls),
        Just(Why::Certificate),
        any::<u16>().prop_map(Why::Status),
        Just(Why::Body),
        Just(Why::Blocked),
        Just(Why::Protocol),
    ]
}

fn cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        Just(Cause::HomeServes),
        Just(Cause::OwnPath),
        Just(Cause::OwnUplink),
        Just(Cause::EdgeBroken),
        Just(Cause::EdgeLostHome),
        Just(Cause::AppBroken),
        why().prop_map(Cause::Origin),
        Just(Cause::Operator),
        Just(Cause::FoundSwitched),
    ]
}

fn episode() -> impl Strategy<Value = Episode> {
    let told = proptest::collection::vec(any::<String>(), 0..4);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<u32>());
    (any::<u64>(), any::<u64>(), cause(), flags, told).prop_map(|(id, began, cause, flags, told)| {
        let (failed_over, home_proven, home_in_doubt, leg) = flags;
        Episode {
            id: EpisodeId(id),
            began: Wall(began),
            cause,
            failed_over,
            home_proven,
            home_in_doubt,
            leg,
            told,
        }
    })
}

fn toggle() -> impl Strategy<Value = ToggleRecord> {
    let role = proptest::sample::select(Role::ALL.to_vec());
    let desired = prop_oneof![Just(Position::Off), Just(Position::On)];
    let times = (option::of(duration()), option::of(duration()));
    (role, any::<u8>(), desired, any::<bool>(), times).prop_map(|(role, index, desired, settled, (on_for, off_for))| {
        ToggleRecord {
            key: ToggleKey { role, index },
            desired,
            settled,
            on_for,
            off_for,
        }
    })
}

pub(super) fn kept() -> impl Strategy<Value = Kept> {
    let notice = any::<String>().prop_map(|id| serde_json::json!({ "id": id }));
    (snapshot(), proptest::collection::vec(notice, 0..3)).prop_map(|(snapshot, notices)| Kept { snapshot, notices })
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let times = (any::<u64>(), duration(), option::of(duration()), any::<u64>());
    let toggles = proptest::collection::vec(toggle(), 0..5);
    let who = (mode(), prop_oneof![Just(Route::Origin), Just(Route::Standby)]);
    (times, phase(), who, option::of(episode()), toggles).prop_map(
        |((taken, up_for, since_home, next_episode), phase, (mode, route), episode, toggles)| Snapshot {
            taken: Wall(taken),
            phase,
            mode,
            route,
            up_for,
            since_home,
            episode,
            next_episode,
            toggles,
        },
    )
}
