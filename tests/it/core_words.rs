//! The words of logs, metrics and payloads: dashboards and people's filters go by them, so each stands here once more.

use pilotlight::core::machine::Pin;
use pilotlight::core::status::Switched;
use pilotlight::core::{
    Breakage, Cause, Eye, Faculties, Failing, FailureKind, Mode, Outcome, Part, Position, Role, Route, Severity,
    ToggleKey, Verdict, View, Wall, Why,
};

const WHYS: [(Why, &str); 11] = [
    (Why::Dns, "dns"),
    (Why::Refused, "refused"),
    (Why::Unreachable, "unreachable"),
    (Why::Reset, "reset"),
    (Why::Timeout(Part::Connect), "timeout"),
    (Why::Tls, "tls"),
    (Why::Certificate, "certificate"),
    (Why::Status(500), "status"),
    (Why::Body, "body"),
    (Why::Blocked, "blocked"),
    (Why::Protocol, "protocol"),
];

#[test]
fn outcomes_are_told_by_why_they_failed() {
    assert_eq!(Outcome::Ok.label(), "ok");
    let used = Faculties::default();
    let mut labels = vec!["ok"];
    for (why, label) in WHYS {
        assert_eq!(why.label(), label);
        labels.push(Outcome::Failed(Failing { why, used }).label());
    }
    assert_eq!(labels, Outcome::LABELS);
}

#[test]
fn parts_of_a_try_are_told_in_their_order() {
    let labels = Part::ALL.map(Part::label);
    assert_eq!(labels, ["dns", "connect", "tls", "first_byte", "body"]);
}

#[test]
fn views_are_told() {
    let labels = [
        View::Home,
        View::Standby,
        View::EdgeLostHome(522),
        View::HomeBroken(500),
        View::EdgeBroken,
        View::Shut,
        View::StandbyBroken(Breakage::Silent),
        View::Overloaded,
        View::Loop,
        View::Cached,
        View::Blocked,
        View::Nothing,
    ]
    .map(|view| view.label());
    assert_eq!(labels, View::LABELS);
}

#[test]
fn eyes_verdicts_severities_and_switches_are_told() {
    let eyes = [Eye::Visitor, Eye::Standby, Eye::Edge, Eye::Mirror].map(Eye::label);
    assert_eq!(eyes, ["visitor", "standby", "edge", "mirror"]);
    assert_eq!(Verdict::ALL.map(Verdict::label), ["up", "down", "unknown"]);
    let severities = [Severity::Info, Severity::Warning, Severity::Critical].map(Severity::label);
    assert_eq!(severities, ["info", "warning", "critical"]);
    let switched = [
        Switched::Verified,
        Switched::Settling,
        Switched::Switching,
        Switched::Partly,
    ];
    assert_eq!(switched.map(Switched::label), Switched::LABELS);
    assert_eq!(Position::On.label(), "on");
    assert_eq!(Position::Off.label(), "off");
    assert_eq!(Route::Origin.label(), "origin");
    assert_eq!(Route::Standby.label(), "standby");
}

#[test]
fn a_toggle_is_told_by_its_role_and_from_the_second_on_by_its_number() {
    let told = |role, index| ToggleKey { role, index }.to_string();
    assert_eq!(told(Role::Gate, 0), "gate");
    assert_eq!(told(Role::Redirect, 0), "redirect");
    assert_eq!(told(Role::Silence, 0), "silence");
    assert_eq!(told(Role::Silence, 1), "silence2");
}

#[test]
fn modes_are_told_with_their_route_and_all_but_auto_have_a_pin() {
    let pin = Pin {
        until: Wall(7),
        author: "ann".to_owned(),
        reason: "a test".to_owned(),
    };
    let pinned = |route| Mode::Pinned {
        route,
        pin: pin.clone(),
    };
    let modes = [
        Mode::Auto,
        pinned(Route::Origin),
        pinned(Route::Standby),
        Mode::Paused { pin: pin.clone() },
    ];
    assert_eq!(modes.each_ref().map(Mode::label), Mode::LABELS);
    let pins = modes.each_ref().map(|mode| mode.pin().cloned());
    assert_eq!(pins, [None, Some(pin.clone()), Some(pin.clone()), Some(pin.clone())]);
}

#[test]
fn every_cause_has_a_label_and_words_of_its_own() {
    let mut causes = vec![
        (Cause::HomeServes, "home_serves"),
        (Cause::OwnPath, "own_path"),
        (Cause::OwnUplink, "own_uplink"),
        (Cause::EdgeBroken, "edge_broken"),
        (Cause::EdgeLostHome, "edge_lost_home"),
        (Cause::AppBroken, "app_broken"),
        (Cause::Operator, "operator"),
        (Cause::FoundSwitched, "found_switched"),
    ];
    causes.extend(WHYS.map(|(why, label)| (Cause::Origin(why), label)));
    let mut words = std::collections::BTreeSet::new();
    for (cause, label) in causes {
        assert_eq!(cause.label(), label);
        assert!(
            cause.in_words().split(' ').count() > 1 && words.insert(cause.in_words()),
            "{cause:?}: {}",
            cause.in_words()
        );
        let doubted = matches!(cause, Cause::EdgeLostHome | Cause::AppBroken);
        assert_eq!(cause.leaves_home_in_doubt(), doubted, "{cause:?}");
    }
}

#[test]
fn faculties_are_joined_one_by_one() {
    let none = Faculties::default();
    let each = [
        Faculties { resolver: true, ..none },
        Faculties { ipv4: true, ..none },
        Faculties { ipv6: true, ..none },
        Faculties { tls: true, ..none },
    ];
    let mut all = none;
    for one in each {
        assert_eq!(none.union(one), one);
        assert_eq!(one.union(none), one);
        all = all.union(one);
    }
    assert_eq!(all, Faculties::ALL);
}

#[test]
fn wall_time_is_told_in_seconds() {
    let wall = Wall(1_790_000_012_345);
    assert_eq!(wall.unix_secs(), 1_790_000_012);
    assert_eq!(wall.to_string(), "unix 1790000012.345");
}

#[test]
fn failures_are_told_by_their_kind() {
    let labels = FailureKind::ALL.map(FailureKind::label);
    let expected = [
        "no_answer",
        "unavailable",
        "limited",
        "held_back",
        "conflict",
        "denied",
        "missing",
        "refused",
        "nonsense",
        "not_applied",
        "local",
    ];
    assert_eq!(labels, expected);
    let people = FailureKind::ALL.map(FailureKind::needs_a_person);
    let needed = ["denied", "missing", "refused", "local"];
    assert_eq!(people, expected.map(|label| needed.contains(&label)));
}
