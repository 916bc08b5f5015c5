//! The toggles against the sandbox: what providers really do, and what they do when they are in trouble.

use std::sync::Arc;
use std::time::Duration;

use pilotlight::core::{FailureKind, Position};
use pilotlight::http::{Http, HttpError, HttpSettings, Method, Request};
use pilotlight::sandbox::{Api, Fault, FaultKind, OrgPolicy, Owner};
use pilotlight::toggle::google_id_token::IdToken;
use pilotlight::toggle::monitoring::SnoozeSettings;
use pilotlight::toggle::{Resources, Toggle};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::bench::{Bench, SITE};

const fn api_of(kind: &str) -> Api {
    match kind.as_bytes() {
        b"cloud_run" => Api::Run,
        b"snooze" | b"uptime_check" => Api::Monitoring,
        _ => Api::Cloudflare,
    }
}

/// `value` without what changes by itself.
fn stable(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            let volatile = ["etag", "version", "last_updated", "modified_on"];
            fields.retain(|key, _| !volatile.contains(&key.as_str()));
            for field in fields.values_mut() {
                *field = stable(field.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = stable(item.take());
            }
        }
        _ => {}
    }
    value
}

#[tokio::test(flavor = "current_thread")]
async fn r09_every_kind_goes_on_and_off_and_leaves_everything_else_as_it_was() {
    let bench = Bench::start("on-and-off").await;
    let world = &bench.world;
    let picture = || {
        let mut check = world.uptime_check_json(SITE);
        check.as_object_mut().unwrap().remove("disabled");
        stable(json!([
            world.policy_json(SITE),
            world.ruleset_json(),
            world.page_rules_json(),
            world.worker_routes_json(),
            check,
            world.alert_policy_json(SITE)
        ]))
    };
    let before = picture();
    for toggle in bench.every_kind() {
        let kind = toggle.kind();
        assert_eq!(
            toggle.observe().await.unwrap().configured,
            Some(Position::Off),
            "{kind}"
        );
        for position in [Position::On, Position::Off] {
            world.clear_journal();
            for _ in 0..2 {
                let observed = toggle.set(position).await.unwrap();
                assert_eq!(
                    (observed.configured, observed.edited),
                    (Some(position), false),
                    "{kind}"
                );
            }
            let observed = toggle.observe().await.unwrap();
            assert_eq!(
                (observed.configured, observed.edited),
                (Some(position), false),
                "{kind}"
            );
            assert_eq!(
                bench.writes().len(),
                1,
                "the second set of {kind} found nothing to change"
            );
        }
    }
    assert_eq!(picture(), before);
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn visitors_get_what_the_toggles_say() {
    let bench = Bench::start("facts").await;
    let world = &bench.world;
    bench.gate(bench.google()).set(Position::On).await.unwrap();
    assert!(world.gate().configured && world.gate().effective);
    bench.single_redirect().set(Position::On).await.unwrap();
    assert!(world.redirect().effective);
    bench.snooze(SnoozeSettings::LENGTH).set(Position::On).await.unwrap();
    bench.uptime_check().set(Position::On).await.unwrap();
    let silence = world.silence();
    assert!(silence.snoozed_for > Some(Duration::from_secs(3500)) && silence.check_disabled);
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn what_visitors_get_may_lag_behind_what_is_configured() {
    let bench = Bench::start_with("lag", Duration::from_secs(3600)).await;
    let gate = bench.gate(bench.google());
    let set = gate.set(Position::On).await.unwrap();
    assert_eq!(set.effective, None, "nobody waits for the propagation");
    let observed = gate.observe().await.unwrap();
    assert_eq!(
        (observed.configured, observed.effective),
        (Some(Position::On), Some(Position::Off))
    );
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_provider_in_trouble_is_a_typed_error_and_no_write() {
    let table = [
        (FaultKind::OkHtml, FailureKind::Nonsense),
        (FaultKind::TruncatedJson, FailureKind::Nonsense),
        (FaultKind::SuccessFalse, FailureKind::Nonsense),
        (FaultKind::HalfBody, FailureKind::NoAnswer),
        (FaultKind::Reset, FailureKind::NoAnswer),
        (FaultKind::ServerErrorHtml(502), FailureKind::Unavailable),
        (FaultKind::ServerError(503), FailureKind::Unavailable),
        (FaultKind::TooMany(Some(7)), FailureKind::Limited),
        (FaultKind::Forbidden, FailureKind::Denied),
        (FaultKind::NotFound, FailureKind::Missing),
    ];
    let bench = Bench::start("trouble").await;
    for toggle in bench.every_kind() {
        let api = api_of(toggle.kind());
        for (fault, expected) in table {
            bench.world.inject(Fault::always(api, fault).on_reads());
            for position in [Position::On, Position::Off] {
                let error = toggle.set(position).await.unwrap_err();
                assert_eq!(error.kind, expected, "{} under {fault:?}: {error}", toggle.kind());
                if fault == FaultKind::TooMany(Some(7)) {
                    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
                }
            }
            bench.world.clear_faults();
        }
        assert_eq!(bench.writes(), [], "{}", toggle.kind());
    }
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn r09_a_policy_that_lost_its_bindings_is_never_written_back() {
    let bench = Bench::start("blank-policy").await;
    let gate = bench.gate(bench.google());
    gate.observe().await.unwrap();
    bench
        .world
        .inject(Fault::always(Api::Run, FaultKind::PolicyWithoutBindings).on_reads());
    let error = gate.set(Position::On).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Nonsense);
    let fresh = bench.gate(bench.google());
    let error = fresh.set(Position::On).await.unwrap_err();
    assert_eq!(
        error.kind,
        FailureKind::Conflict,
        "without memory the etag protects the policy"
    );
    assert_eq!(bench.writes(), []);
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_service_nobody_was_ever_granted_on_can_be_opened_and_shut() {
    let bench = Bench::start("fresh-service").await;
    bench.world.set_policy_json(SITE, &Value::Null);
    let rights = bench.world.rights();
    let gate_rights = ["run.services.getIamPolicy", "run.services.setIamPolicy"];
    bench
        .world
        .set_rights(rights.iter().map(String::as_str).chain(gate_rights));
    let gate = bench.gate(bench.google());
    for position in [Position::On, Position::Off, Position::On] {
        assert_eq!(gate.set(position).await.unwrap().configured, Some(position));
        assert_eq!(bench.world.gate().configured, position == Position::On);
    }
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_lost_reply_is_no_answer_and_the_next_set_finds_it_done() {
    let bench = Bench::start("lost-reply").await;
    for toggle in bench.every_kind() {
        let kind = toggle.kind();
        bench.world.clear_journal();
        bench
            .world
            .inject(Fault::once(api_of(kind), FaultKind::LostReply).on_writes());
        let error = toggle.set(Position::On).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::NoAnswer, "{kind}");
        assert_eq!(
            toggle.set(Position::On).await.unwrap().configured,
            Some(Position::On),
            "{kind}"
        );
        assert_eq!(bench.writes().len(), 1, "{kind}");
    }
    assert_eq!(bench.world.snoozes_json().len(), 1, "a snooze is not created twice");
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn r09_a_foreign_writer_between_read_and_write_loses_nothing() {
    let bench = Bench::start("foreign-writer").await;
    let added = json!({"role": "roles/run.viewer", "members": ["user:late@site.example"]});
    let binding = added.clone();
    bench.world.before_next_write(Api::Run, move |world| {
        let mut policy = world.policy_json(SITE);
        policy["bindings"].as_array_mut().unwrap().push(binding);
        world.set_policy_json(SITE, &policy);
    });
    bench.gate(bench.google()).set(Position::On).await.unwrap();
    let policy = bench.world.policy_json(SITE);
    assert!(policy["bindings"].as_array().unwrap().contains(&added), "{policy}");
    assert!(bench.world.gate().configured);

    bench.world.before_next_write(Api::Cloudflare, |world| {
        world.edit_rules(|rules| {
            rules.push(json!({"id": "f", "ref": "foreign", "action": "redirect", "enabled": true}));
        });
    });
    bench.single_redirect().set(Position::On).await.unwrap();
    assert!(bench.world.ruleset_json().to_string().contains("foreign"));
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_rule_that_was_made_anew_is_found_by_its_ref_and_a_deleted_one_is_missing() {
    let bench = Bench::start("made-anew").await;
    let redirect = bench.single_redirect();
    redirect.set(Position::On).await.unwrap();
    bench.world.recreate_rule(SITE);
    redirect.set(Position::Off).await.unwrap();
    bench
        .world
        .edit_rule(SITE, |rule| rule["description"] = json!("touched"));
    assert!(redirect.observe().await.unwrap().edited);
    bench.world.delete_rule(SITE);
    assert_eq!(redirect.observe().await.unwrap_err().kind, FailureKind::Missing);
    bench.world.remove_ruleset();
    assert_eq!(redirect.observe().await.unwrap_err().kind, FailureKind::Missing);
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_worker_route_that_was_made_anew_is_found_by_its_pattern_and_one_that_is_gone_is_made() {
    let bench = Bench::start("worker-route-anew").await;
    let redirect = bench.worker_route();
    let pattern = format!("{SITE}.example/*");
    let ours = |routes: &[Value]| routes.iter().position(|route| route["pattern"] == *pattern);
    redirect.set(Position::On).await.unwrap();
    bench.world.edit_worker_routes(|routes| {
        let place = ours(routes).unwrap();
        routes[place]["id"] = json!("0123456789abcdef0123456789abcdef");
        routes[place]["request_limit_fail_open"] = json!(true);
    });
    let off = redirect.set(Position::Off).await.unwrap();
    assert_eq!((off.configured, off.edited), (Some(Position::Off), false));
    let routes = bench.world.worker_routes_json();
    let kept = ours(routes.as_array().unwrap()).unwrap();
    assert_eq!(
        routes[kept]["request_limit_fail_open"], true,
        "what becomes of too many requests stays"
    );

    bench.world.edit_worker_routes(|routes| {
        routes.remove(ours(routes).unwrap());
    });
    bench.world.clear_journal();
    assert_eq!(
        redirect.set(Position::Off).await.unwrap().configured,
        Some(Position::Off)
    );
    assert_eq!(bench.writes(), [], "no route is as good as one without a Worker");
    assert_eq!(redirect.set(Position::On).await.unwrap().configured, Some(Position::On));
    assert!(bench.world.redirect().effective);
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn another_ones_worker_is_left_on_the_route_and_a_worker_that_is_not_there_is_told() {
    let bench = Bench::start("foreign-worker").await;
    let error = bench.worker_route_of("typo").set(Position::On).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Missing);
    assert!(error.detail.contains("deploy it"), "{error}");

    let redirect = bench.worker_route();
    assert!(!redirect.observe().await.unwrap().edited);
    bench
        .world
        .edit_worker_routes(|routes| routes[0]["script"] = json!("another"));
    let observed = redirect.observe().await.unwrap();
    assert_eq!((observed.configured, observed.edited), (Some(Position::Off), true));
    bench.world.clear_journal();
    assert_eq!(
        redirect.set(Position::Off).await.unwrap().configured,
        Some(Position::Off)
    );
    let error = redirect.set(Position::On).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Refused);
    assert!(error.detail.contains("another Worker"), "{error}");
    assert_eq!(bench.writes(), []);
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_route_that_takes_the_acme_challenges_too_is_complained_of_and_its_loss_is_an_edit() {
    let bench = Bench::start("worker-route-inspect").await;
    let redirect = bench.worker_route();
    assert_eq!(redirect.inspect().await.unwrap(), Vec::<String>::new());
    assert!(!redirect.observe().await.unwrap().edited);
    bench.world.edit_worker_routes(|routes| {
        routes.retain(|route| route["pattern"] != format!("{SITE}.example/.well-known/*"));
    });
    let complaints = redirect.inspect().await.unwrap();
    assert!(
        matches!(&complaints[..], [one] if one.contains("/.well-known/")),
        "{complaints:?}"
    );
    assert!(redirect.observe().await.unwrap().edited);
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_id_token_is_fetched_ahead_and_good_for_its_audience_from_both_sources() {
    let bench = Bench::start("id-token").await;
    for client in [bench.google(), bench.google_by_metadata()] {
        let audience = format!("https://{SITE}-standby.example");
        let token = IdToken::new(client.tokens().clone(), audience, Bench::wall());
        assert!(token.get().is_none(), "asking never waits");
        let again = token.refresh().await.unwrap();
        assert!(
            again > Duration::from_secs(3000) && again < Duration::from_secs(3600),
            "{again:?}"
        );
        let first = token.get().unwrap();
        assert!(bench.world.lets_in(SITE, first.expose_secret()));
        assert!(!bench.world.lets_in(SITE, "e30.e30.e30"));
        for api in [Api::Token, Api::Metadata] {
            bench.world.inject(Fault::always(api, FaultKind::ServerErrorHtml(503)));
        }
        token.refresh().await.unwrap_err();
        assert_eq!(
            token.get().unwrap().expose_secret(),
            first.expose_secret(),
            "the old one is still good"
        );
        bench.world.clear_faults();
    }
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn the_real_rule_is_compared_with_its_declaration() {
    let bench = Bench::start("inspect").await;
    assert_eq!(bench.single_redirect().inspect().await.unwrap(), Vec::<String>::new());
    assert_eq!(bench.page_rule().inspect().await.unwrap(), Vec::<String>::new());
    bench.world.edit_rule(SITE, |rule| rule["expression"] = json!("true"));
    assert!(!bench.single_redirect().inspect().await.unwrap().is_empty());
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn refusals_for_good_say_what_to_do() {
    let bench = Bench::start("refusals").await;
    bench.world.set_org_policy(OrgPolicy::DomainRestricted);
    let error = bench.gate(bench.google()).set(Position::On).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Refused);
    assert!(error.detail.contains("organization policy"), "{error}");

    bench.world.set_cloudflare_owner(Owner::Account);
    let error = bench.page_rule().set(Position::On).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Refused);
    assert!(error.detail.contains("user's token"), "{error}");

    bench.world.set_cloudflare_scopes(&[]);
    for status in [400, 401, 403] {
        bench.world.set_cloudflare_refusal(status);
        let error = bench.single_redirect().set(Position::On).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::Denied, "{status}");
    }

    bench
        .world
        .inject(Fault::always(Api::Monitoring, FaultKind::IgnoreDisabled));
    let error = bench.uptime_check().set(Position::On).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::NotApplied);
    assert!(bench.writes().iter().all(|call| !call.changed));
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn no_token_is_fetched_unless_our_own_are_refused() {
    let bench = Bench::start("tokens").await;
    let gate = bench.gate(bench.google());
    gate.set(Position::On).await.unwrap();
    bench.snooze(SnoozeSettings::LENGTH).set(Position::On).await.unwrap();
    assert_eq!(bench.calls_to(Api::Token), 0);

    bench.world.refuse_self_signed_tokens();
    gate.set(Position::Off).await.unwrap();
    gate.set(Position::On).await.unwrap();
    assert_eq!(bench.calls_to(Api::Token), 1, "fetched once, then kept");
    bench.world.revoke_google_tokens();
    gate.set(Position::Off).await.unwrap();
    assert_eq!(bench.calls_to(Api::Token), 2, "one 401, one fresh token");

    bench.world.accept_self_signed_tokens();
    bench.gate(bench.google_by_metadata()).set(Position::On).await.unwrap();
    assert_eq!(bench.calls_to(Api::Metadata), 1);
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn one_snooze_is_renewed_for_an_outage_and_another_made_for_the_next() {
    let bench = Bench::start("snooze").await;
    let hour = SnoozeSettings::LENGTH;
    bench.snooze(hour).set(Position::On).await.unwrap();
    let longer = bench.snooze(2 * hour);
    let left = |lapses_in: Option<Duration>| lapses_in.unwrap_or_default();
    assert!(left(longer.observe().await.unwrap().lapses_in) <= hour);
    assert!(
        left(longer.set(Position::On).await.unwrap().lapses_in) > hour,
        "it was over half gone"
    );
    assert_eq!(bench.world.snoozes_json().len(), 1);
    longer.set(Position::Off).await.unwrap();
    assert_eq!(bench.world.silence().snoozed_for, None);
    longer.set(Position::On).await.unwrap();
    assert_eq!(bench.world.snoozes_json().len(), 2, "an ended one is read-only");
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_write_that_arrives_after_its_deadline_is_found_done() {
    let bench = Bench::start("late-reply").await;
    let resources = Resources::new();
    let gate: Arc<dyn Toggle> = Arc::new(bench.gate(bench.google()));
    let hasty = resources.handle("a", Arc::clone(&gate), Duration::from_millis(300));
    bench.world.inject(Fault::once(Api::Run, FaultKind::Hang).on_writes());
    assert_eq!(hasty.set(Position::On).await.unwrap_err().kind, FailureKind::NoAnswer);
    assert_eq!(hasty.set(Position::On).await.unwrap().configured, Some(Position::On));
    assert_eq!(bench.writes().len(), 1);
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn two_sites_on_one_standby_shut_it_only_together() {
    let bench = Bench::start("two-sites").await;
    let resources = Resources::new();
    let handle = |site| resources.handle(site, Arc::new(bench.gate(bench.google())), Duration::from_secs(15));
    let (a, b) = (handle("a"), handle("b"));
    a.set(Position::On).await.unwrap();
    b.set(Position::On).await.unwrap();
    let held = a.set(Position::Off).await.unwrap();
    assert_eq!((held.configured, held.held_by_other), (Some(Position::On), true));
    assert!(bench.world.gate().configured);
    assert!(!b.set(Position::Off).await.unwrap().held_by_other);
    assert!(!bench.world.gate().configured);
    assert_eq!(bench.writes().len(), 2);
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn r18_what_can_be_warm_is_warm_before_the_first_call() {
    let bench = Bench::start("warm").await;
    let gate = bench.gate(bench.google_by_metadata());
    gate.warm().await;
    assert_eq!(bench.calls_to(Api::Metadata), 1);
    gate.set(Position::On).await.unwrap();
    assert_eq!(bench.calls_to(Api::Metadata), 1, "the token was there already");
    bench.single_redirect().warm().await;
    assert_eq!(bench.writes().len(), 1, "warming writes nothing");
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_server_is_believed_only_under_the_right_authority() {
    let bench = Bench::start("authority").await;
    let url = bench.reference_url();
    let ours = HttpSettings {
        ca_file: Some(bench.ca_file()),
        ..HttpSettings::default()
    };
    let answer = Http::new(&ours)
        .unwrap()
        .send(Request::new(Method::GET, &url))
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.date_secs().is_some());
    let error = Bench::http().send(Request::new(Method::GET, &url)).await.unwrap_err();
    assert!(
        matches!(&error, HttpError::Connect(why) if why.contains("certificate")),
        "{error}"
    );
    let missing = HttpSettings {
        ca_file: Some("no/such/ca.pem".into()),
        ..HttpSettings::default()
    };
    assert!(Http::new(&missing).unwrap_err().to_string().contains("no/such/ca.pem"));
    bench.stop().await;
}
