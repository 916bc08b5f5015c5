//! Tests of every notice.

use super::*;
use crate::core::{Cause, FailureKind, Position, Role, Route, ToggleKey, What, Why};

/// One of every notice, and of those whose words depend on their content several.
fn every_what() -> Vec<What> {
    let cause = Cause::Origin(Why::Refused);
    let after = Duration::from_secs(95);
    let gate = ToggleKey {
        role: Role::Gate,
        index: 0,
    };
    let second = ToggleKey {
        role: Role::Silence,
        index: 1,
    };
    let overridden = |route| What::Overridden {
        route,
        until: Wall(1_767_225_600_000),
        author: "ann".to_owned(),
        reason: "new router".to_owned(),
    };
    let mut all = vec![
        What::Suspected { cause },
        What::SuspicionCleared { lasted: after },
        What::FailoverStarted { cause, after },
        What::FailedOver { after },
        What::Recovering { up_for: after },
        What::Relapsed { cause },
        What::FailbackStarted,
        What::BackHome { after },
        What::EpisodeOver { lasted: after },
        What::RolledBack { up_for: after },
        What::Unstuck { toggle: gate },
        What::PartlySwitched,
        What::StandbyBroken { held: true },
        What::StandbyBroken { held: false },
        What::StandbyMended,
        What::Unverified { route: Route::Origin },
        What::Unverified { route: Route::Standby },
        What::RedirectLoop,
        What::Drifted {
            toggle: gate,
            found: Position::Off,
            repaired: true,
        },
        What::Drifted {
            toggle: second,
            found: Position::On,
            repaired: false,
        },
        What::DriftLimit { toggle: gate },
        What::Edited { toggle: gate },
        What::Orphan,
        What::GateLeaks,
        What::Adopted,
        What::FoundOff,
        What::Blind {
            cause: Cause::OwnUplink,
        },
        What::SeesAgain,
        What::OwnPathBroken,
        What::BackForVisitorsOnly { cause },
        What::VisitorEyeBlocked,
        overridden(Some(Route::Standby)),
        overridden(Some(Route::Origin)),
        overridden(None),
        What::OverrideEnded { expired: true },
        What::OverrideEnded { expired: false },
        What::SaveFailed,
        What::SaveWorks,
        What::StateSetAside,
    ];
    all.extend(stuck());
    all
}

/// Every reason for every switch, both ways.
fn stuck() -> Vec<What> {
    let mut all = Vec::new();
    for (kind, role) in FailureKind::ALL.into_iter().zip(Role::ALL.into_iter().cycle()) {
        for desired in [Position::On, Position::Off] {
            let toggle = ToggleKey { role, index: 0 };
            all.push(What::Stuck { toggle, desired, kind });
        }
    }
    all
}

#[test]
fn what_is_told_can_be_kept_on_disk() {
    for what in every_what() {
        let notice = Notice {
            what,
            episode: Some(EpisodeId(3)),
            wall: Wall(1_767_225_600_000),
        };
        let told = Told::new("id".to_owned(), "blog", &notice, None);
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<Told>(&text).unwrap(), told);
        assert_eq!(told.name, notice.what.name());
    }
}

#[test]
fn every_notice_has_four_plain_sentences_about_home_the_standby_or_visitors() {
    let internals = [
        "toggle",
        "episode",
        "phase",
        "verdict",
        "origin",
        "reconcile",
        "{",
        "_",
        "Some(",
        "None(",
        "  ",
        "..",
    ];
    for what in every_what() {
        let words = Words::of(&what);
        let all = [&words.summary, &words.meaning, &words.next, &words.advice];
        for sentence in all {
            assert!(
                sentence.ends_with('.') || sentence.ends_with('?'),
                "{what:?}: {sentence}"
            );
            assert!(sentence.len() > 12, "{what:?}: {sentence}");
            assert!(
                sentence.chars().next().unwrap().is_uppercase() || sentence.starts_with("ann"),
                "{sentence}"
            );
            for internal in internals {
                assert!(!sentence.contains(internal), "{what:?} says {internal:?}: {sentence}");
            }
        }
        assert!(words.summary.len() < 140, "{} is long for a subject", words.summary);
        let text = all.map(String::as_str).join(" ").to_lowercase();
        assert!(
            ["home", "standby", "visitors"].iter().any(|word| text.contains(word)),
            "{text}"
        );
        assert!(words.meaning.contains("isitors"), "{what:?}: {}", words.meaning);
        assert!(words.next.contains("Pilotlight"), "{what:?}: {}", words.next);
    }
}

#[test]
fn different_things_are_told_differently() {
    let mut summaries: Vec<_> = every_what().iter().map(|what| Words::of(what).summary).collect();
    let all = summaries.len();
    summaries.sort();
    summaries.dedup();
    assert_eq!(summaries.len(), all);
}

#[test]
fn a_failover_reads_like_this() {
    let what = What::FailoverStarted {
        cause: Cause::Origin(Why::Refused),
        after: Duration::from_secs(32),
    };
    let words = Words::of(&what);
    assert_eq!(
        words.summary,
        "Home has been down for 32 s: the box at home is up, but nothing listens. Switching to the standby."
    );
    assert_eq!(words.advice, "The box at home is up: look at its web server.");
}
