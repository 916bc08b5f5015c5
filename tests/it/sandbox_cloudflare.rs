//! The sandbox's Cloudflare: envelope, tokens, rules, page rules, records, limits, and the edge behind them.

use std::time::Duration;

use pilotlight::sandbox::{Api, Fault, FaultKind, Owner, WorkerState};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::advance;

use super::sandbox_rig::{Rig, options, plain, zone};

const ENTRY_POINT: &str = "rulesets/phases/http_request_dynamic_redirect/entrypoint";

/// The path of the site's rule and its definition, read as a careful client reads it.
async fn rule(rig: &Rig) -> (String, Value) {
    let set = rig.cloudflare("GET", &zone(ENTRY_POINT), Value::Null).await.json()["result"].clone();
    let rules = set["rules"].as_array().unwrap();
    let mut rule = rules
        .iter()
        .find(|rule| rule["ref"] == "pilotlight_site")
        .unwrap()
        .clone();
    let path = zone(&format!(
        "rulesets/{}/rules/{}",
        set["id"].as_str().unwrap(),
        rule["id"].as_str().unwrap()
    ));
    for read_only in ["id", "version", "last_updated"] {
        rule.as_object_mut().unwrap().remove(read_only);
    }
    (path, rule)
}

#[tokio::test]
async fn every_answer_has_the_envelope_the_limits_and_a_ray() {
    let rig = Rig::start("envelope").await;
    let at = rig.sandbox.addresses().cloudflare;
    let path = zone(ENTRY_POINT);
    let good = rig.cloudflare("GET", &path, Value::Null).await;
    assert_eq!((good.status, &good.json()["success"]), (200, &json!(true)));
    for header in ["ratelimit", "ratelimit-policy", "cf-ray"] {
        assert_ne!(good.header(header), "", "{header}");
    }
    let none = plain(at, "GET", &path, None, Value::Null).await;
    assert_eq!(none.code(), (400, 6003));
    assert_eq!(none.json()["errors"][0]["error_chain"][0]["code"], 6111);
    assert_eq!(none.json()["result"], Value::Null);
    assert_eq!(
        plain(at, "GET", &path, Some("Bearer twice"), Value::Null).await.code(),
        (400, 6003)
    );
    assert_eq!(
        plain(at, "GET", &path, Some("stranger"), Value::Null).await.code(),
        (403, 10000)
    );
    rig.world.set_cloudflare_refusal(401);
    rig.world.set_cloudflare_scopes(&["pagerules"]);
    assert_eq!(rig.cloudflare("GET", &path, Value::Null).await.code(), (401, 10000));
    let lost = rig
        .cloudflare("GET", "/client/v4/zones/short/rulesets", Value::Null)
        .await;
    assert_eq!(lost.code(), (404, 7003));
}

#[tokio::test]
async fn tokens_are_verified_on_the_path_of_their_owner() {
    let rig = Rig::start("verify").await;
    let user = "/client/v4/user/tokens/verify";
    assert_eq!(
        rig.cloudflare("GET", user, Value::Null).await.json()["result"]["status"],
        "active"
    );
    rig.world.set_cloudflare_status("expired", Some("2026-01-01T00:00:00Z"));
    let expired = rig.cloudflare("GET", user, Value::Null).await.json();
    assert_eq!(expired["result"]["expires_on"], "2026-01-01T00:00:00Z");
    assert_eq!(
        rig.cloudflare("GET", &zone(ENTRY_POINT), Value::Null).await.code(),
        (403, 10000)
    );
    rig.world.set_cloudflare_owner(Owner::Account);
    assert_eq!(rig.cloudflare("GET", user, Value::Null).await.code(), (401, 1000));
    let account = "/client/v4/accounts/0123/tokens/verify";
    assert_eq!(rig.cloudflare("GET", account, Value::Null).await.status, 200);
}

#[tokio::test]
async fn a_patch_replaces_the_definition_and_a_forgotten_enabled_switches_on() {
    let rig = Rig::start("patch").await;
    let before = rig.world.ruleset_json();
    let (path, mut definition) = rule(&rig).await;
    let same = rig.cloudflare("PATCH", &path, definition.clone()).await.json();
    assert_eq!(same["result"]["version"], before["version"], "nothing differed");
    let written = rig.world.journal().pop().unwrap();
    assert!(written.wrote && !written.changed);
    definition.as_object_mut().unwrap().remove("enabled");
    definition.as_object_mut().unwrap().remove("description");
    let after = rig.cloudflare("PATCH", &path, definition).await.json()["result"].clone();
    assert_eq!((&before["version"], &after["version"]), (&json!("7"), &json!("8")));
    let now = rig.world.rule_json("site");
    assert_eq!(
        (&now["enabled"], &now["description"], &now["version"]),
        (&json!(true), &json!(""), &json!("4"))
    );
    assert!(rig.world.redirect().configured);
    let others = |set: &Value| {
        let rules = set["rules"].as_array().unwrap().clone();
        rules
            .into_iter()
            .filter(|rule| rule["ref"] != "pilotlight_site")
            .collect::<Vec<_>>()
    };
    assert_eq!(others(&before), others(&after), "nothing else changed");
}

#[tokio::test]
async fn a_rehearsal_checks_everything_and_saves_nothing() {
    let rig = Rig::start("dry").await;
    let (path, mut definition) = rule(&rig).await;
    let before = rig.world.ruleset_json();
    definition["enabled"] = json!(true);
    let dry = rig
        .cloudflare("PATCH", &format!("{path}?dry_run=true"), definition.clone())
        .await;
    assert_eq!((dry.status, &dry.json()["result"]), (200, &Value::Null));
    let odd = rig
        .cloudflare("PATCH", &format!("{path}?dry_run=yes"), definition.clone())
        .await;
    assert_eq!(odd.status, 400);
    definition["expression"] = json!("(http.hots eq \"a\")");
    let bad = rig
        .cloudflare("PATCH", &format!("{path}?dry_run=true"), definition)
        .await;
    assert_eq!(bad.status, 400);
    assert_eq!(rig.world.ruleset_json(), before);
}

#[tokio::test]
async fn definitions_that_make_no_sense_are_refused_with_a_pointer() {
    let rig = Rig::start("refused").await;
    let (path, definition) = rule(&rig).await;
    let refused = async |pointer: &str, value: Value| {
        let mut wrong = definition.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        let got = rig.cloudflare("PATCH", &path, wrong).await;
        assert_eq!(got.status, 400, "{pointer}");
        assert_ne!(got.json()["errors"][0]["source"]["pointer"], Value::Null);
    };
    refused("/action", Value::Null).await;
    refused("/expression", Value::Null).await;
    refused("/action_parameters/from_value/status_code", json!(200)).await;
    let both = json!({"value": "https://a.example/", "expression": "http.host"});
    refused("/action_parameters/from_value/target_url", both).await;
    assert_eq!(
        rig.cloudflare("PATCH", &path, json!({"enabled": true})).await.status,
        400
    );
    assert!(!rig.world.redirect().configured);
}

#[tokio::test]
async fn rules_vanish_come_back_under_another_id_and_zones_may_have_none() {
    let rig = Rig::start("vanish").await;
    let (path, definition) = rule(&rig).await;
    rig.world
        .before_next_write(Api::Cloudflare, |world| world.recreate_rule("site"));
    assert_eq!(
        rig.cloudflare("PATCH", &path, definition.clone()).await.code(),
        (404, 10003)
    );
    let (found, _) = rule(&rig).await;
    assert_ne!(found, path, "the same ref, another id");
    rig.world
        .before_next_write(Api::Cloudflare, |world| world.delete_rule("site"));
    assert_eq!(rig.cloudflare("PATCH", &found, definition).await.status, 404);
    rig.world.remove_ruleset();
    assert_eq!(
        rig.cloudflare("GET", &zone(ENTRY_POINT), Value::Null).await.code(),
        (404, 10003)
    );
}

#[tokio::test]
async fn two_writes_to_one_ruleset_at_a_time_are_one_too_many() {
    let rig = Rig::with(pilotlight::sandbox::Options {
        api_delay: Duration::from_millis(20),
        ..options("lane")
    })
    .await;
    let (path, mut definition) = rule(&rig).await;
    definition["enabled"] = json!(true);
    let (one, two) = tokio::join!(
        rig.cloudflare("PATCH", &path, definition.clone()),
        rig.cloudflare("PATCH", &path, definition.clone()),
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 429]);
    assert_eq!(
        rig.cloudflare("PATCH", &path, definition).await.status,
        200,
        "the lane is free again"
    );
}

#[tokio::test]
async fn page_rules_are_switched_by_status_and_hide_their_reasons_in_messages() {
    let rig = Rig::start("page-rule").await;
    let id = rig.world.page_rule_id("site").unwrap();
    let path = zone(&format!("pagerules/{id}"));
    let list = async |query: &str| {
        let got = rig
            .cloudflare("GET", &zone(&format!("pagerules{query}")), Value::Null)
            .await
            .json();
        got["result"].as_array().unwrap().len()
    };
    assert_eq!((list("").await, list("?status=active").await), (1, 0));
    let on = rig.cloudflare("PATCH", &path, json!({"status": "active"})).await.json();
    assert_eq!(on["result"]["status"], "active");
    assert_eq!(
        (list("").await, list("?status=active").await),
        (0, 1),
        "the default shows the disabled ones"
    );
    let redirected = rig.edge("/a/b?c=d").await;
    assert_eq!(redirected.header("location"), "https://site-standby.example/a/b?c=d");
    let mut rule = on["result"].clone();
    rule["actions"][0]["value"]["status_code"] = json!(307);
    let refused = rig
        .cloudflare("PATCH", &path, json!({"actions": rule["actions"]}))
        .await;
    assert_eq!(refused.code(), (400, 1004));
    assert!(
        refused.json()["messages"][0]["message"]
            .as_str()
            .unwrap()
            .contains("301 or 302")
    );
    rule["actions"][0]["value"]["status_code"] = json!(302);
    let put = json!({"targets": rule["targets"], "actions": rule["actions"]});
    let put = rig.cloudflare("PUT", &path, put).await.json();
    assert_eq!(put["result"]["status"], "disabled", "a PUT that forgets the status");
    rig.world.set_cloudflare_owner(Owner::Account);
    assert_eq!(rig.cloudflare("GET", &path, Value::Null).await.code(), (400, 1011));
}

#[tokio::test]
async fn records_are_checked_and_a_batch_is_all_or_nothing() {
    let rig = Rig::start("dns").await;
    let before = rig.world.records_json();
    let id = before[0]["id"].as_str().unwrap().to_owned();
    let record = |id: &str| zone(&format!("dns_records/{id}"));
    assert_eq!(
        rig.cloudflare("PATCH", &record("0"), json!({"ttl": 60})).await.code(),
        (404, 81044)
    );
    assert_eq!(
        rig.cloudflare("PATCH", &record(&id), json!({"ttl": 5})).await.code(),
        (400, 9021)
    );
    let same = json!({"type": "A", "name": "site.example", "content": "203.0.113.10", "ttl": 1});
    assert_eq!(
        rig.cloudflare("POST", &zone("dns_records"), same).await.code(),
        (400, 81058)
    );
    let batch = json!({"patches": [{"id": id, "content": "203.0.113.11"}], "deletes": [{"id": "0"}]});
    let batch = rig.cloudflare("POST", &zone("dns_records/batch"), batch).await;
    assert_eq!(batch.code(), (404, 81044));
    assert_eq!(rig.world.records_json(), before);
    let swapped = rig
        .cloudflare("PATCH", &record(&id), json!({"content": "203.0.113.11"}))
        .await
        .json();
    assert_eq!(swapped["result"]["proxied"], true);
    let put = json!({"type": "A", "name": "site.example", "content": "203.0.113.11", "ttl": 1});
    assert_eq!(
        rig.cloudflare("PUT", &record(&id), put).await.json()["result"]["proxied"],
        false
    );
}

#[tokio::test(start_paused = true)]
async fn too_many_calls_block_the_token_for_five_minutes() {
    let rig = Rig::start("limit").await;
    let path = "/client/v4/user/tokens/verify";
    for _ in 0..1200 {
        assert_eq!(rig.cloudflare("GET", path, Value::Null).await.status, 200);
    }
    let limited = rig.cloudflare("GET", path, Value::Null).await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, "300"));
    advance(Duration::from_secs(200)).await;
    assert_eq!(rig.cloudflare("GET", path, Value::Null).await.status, 429);
    advance(Duration::from_secs(101)).await;
    assert_eq!(rig.cloudflare("GET", path, Value::Null).await.status, 200);
}

#[tokio::test]
async fn answers_can_be_a_success_that_failed_html_or_lost() {
    let rig = Rig::start("cf-faults").await;
    let (path, mut definition) = rule(&rig).await;
    definition["enabled"] = json!(true);
    let once = |kind| rig.world.inject(Fault::once(Api::Cloudflare, kind));
    once(FaultKind::SuccessFalse);
    let failed = rig.cloudflare("PATCH", &path, definition.clone()).await;
    assert_eq!((failed.status, &failed.json()["success"]), (200, &json!(false)));
    once(FaultKind::ServerErrorHtml(502));
    let html = rig.cloudflare("PATCH", &path, definition.clone()).await;
    assert_eq!(
        (html.status, html.header("content-type")),
        (502, "text/html; charset=UTF-8")
    );
    assert!(!rig.world.redirect().configured, "nothing was carried out");
    once(FaultKind::HalfBody);
    let at = rig.sandbox.addresses().cloudflare;
    let lost = super::sandbox_rig::try_plain(at, "PATCH", &path, Some(&rig.cloudflare), definition).await;
    assert!(lost.is_err());
    assert!(rig.world.redirect().configured, "carried out, half told");
}

#[tokio::test]
async fn compressed_answers_go_to_those_who_can_read_them_only() {
    let rig = Rig::start("gzip").await;
    rig.world.inject(Fault::always(Api::Cloudflare, FaultKind::Gzip));
    let plain = rig.cloudflare("GET", &zone(ENTRY_POINT), Value::Null).await;
    assert_eq!((plain.header("content-encoding"), plain.status), ("", 200));
    let at = rig.sandbox.addresses().cloudflare;
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: sandbox\r\nauthorization: Bearer {}\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n",
        zone(ENTRY_POINT),
        rig.cloudflare
    );
    let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(&answer[body..body + 3], [0x1f, 0x8b, 8], "gzip's magic");
}

#[tokio::test(start_paused = true)]
async fn the_edge_follows_the_record_later_and_leaves_the_excluded_paths() {
    let rig = Rig::with(pilotlight::sandbox::Options {
        edge_propagation: Duration::from_secs(8),
        ..options("edge-lag")
    })
    .await;
    rig.world.switch_rule("site", true);
    assert!(rig.world.redirect().configured && !rig.world.redirect().effective);
    assert_eq!(rig.edge("/").await.header("x-served-by"), "home");
    advance(Duration::from_secs(9)).await;
    assert!(rig.world.redirect().effective);
    let redirected = rig.edge("/a?b=c").await;
    assert_eq!(redirected.status, 307);
    assert_eq!(redirected.header("location"), "https://site-standby.example/a?b=c");
    assert_eq!(rig.edge("/healthz").await.header("x-served-by"), "home");
    assert_eq!(rig.edge("/old-blog").await.status, 301, "the owner's own rule");
}

#[tokio::test]
async fn a_worker_route_serves_the_public_url_from_the_closed_standby_and_keeps_some_paths_at_home() {
    let rig = Rig::start("worker-route").await;
    let list = rig.cloudflare("GET", &zone("workers/routes"), Value::Null).await.json()["result"].clone();
    let route = list
        .as_array()
        .unwrap()
        .iter()
        .find(|route| route["pattern"] == "site.example/*");
    let path = zone(&format!("workers/routes/{}", route.unwrap()["id"].as_str().unwrap()));
    let on = json!({"pattern": "site.example/*", "script": "standby"});
    assert_eq!(rig.edge("/").await.header("x-served-by"), "home");
    assert!(!rig.world.redirect().configured);
    let put = rig.cloudflare("PUT", &path, on).await.json();
    assert_eq!(put["result"]["script"], "standby");
    assert!(rig.world.redirect().configured && rig.world.redirect().effective);

    let served = rig.edge("/a?b=c").await;
    assert_eq!((served.status, served.header("x-served-by")), (200, "standby"));
    assert_eq!(served.header("location"), "", "the visitor's URL stays");
    assert!(!rig.world.gate().configured, "the gate is shut all the while");
    assert_eq!(rig.edge("/healthz").await.header("x-served-by"), "home");
    assert_eq!(
        rig.edge("/.well-known/acme-challenge/x").await.header("x-served-by"),
        "home"
    );

    rig.world.set_rights([]);
    assert_eq!(
        rig.edge("/").await.status,
        403,
        "the account may not invoke the service"
    );
    rig.world.set_worker(WorkerState::Tokenless);
    let tokenless = rig.edge("/").await;
    assert_eq!(
        (tokenless.status, tokenless.header("x-pilotlight")),
        (503, "standby-unavailable")
    );
    rig.world.set_worker(WorkerState::UsedUp);
    assert_eq!(rig.edge("/").await.header("x-served-by"), "home", "it fails open");

    let off = json!({"pattern": "site.example/*"});
    let put = rig.cloudflare("PUT", &path, off).await.json();
    assert_eq!(put["result"].get("script"), None);
    assert!(!rig.world.redirect().configured);
}

#[tokio::test]
async fn worker_routes_are_refused_as_cloudflare_does() {
    let rig = Rig::start("worker-route-refusals").await;
    let routes = zone("workers/routes");
    for (body, refusal) in [
        (json!({"pattern": "site.example/*"}), (409, 10020)),
        (json!({"pattern": "site.example/a*", "script": "nobody"}), (404, 10019)),
        (json!({"pattern": "site.example/*/a*"}), (400, 10022)),
        (json!({"pattern": "site.*.example/"}), (400, 10022)),
        (json!({"script": "standby"}), (400, 10022)),
        (json!([]), (400, 10014)),
    ] {
        assert_eq!(
            rig.cloudflare("POST", &routes, body.clone()).await.code(),
            refusal,
            "{body}"
        );
    }
    let missing = rig
        .cloudflare("PUT", &zone("workers/routes/0"), json!({"pattern": "a.example/*"}))
        .await;
    assert_eq!(missing.code(), (404, 10007));
    let made = rig
        .cloudflare("POST", &routes, json!({"pattern": "site.example/a*"}))
        .await
        .json();
    let path = zone(&format!("workers/routes/{}", made["result"]["id"].as_str().unwrap()));
    assert_eq!(
        rig.cloudflare("GET", &path, Value::Null).await.json()["result"],
        made["result"]
    );
    assert_eq!(rig.cloudflare("DELETE", &path, Value::Null).await.status, 200);
    assert_eq!(rig.cloudflare("GET", &path, Value::Null).await.status, 404);
    rig.world.set_cloudflare_scopes(&["rulesets"]);
    assert_eq!(rig.cloudflare("GET", &routes, Value::Null).await.code(), (403, 10000));
}
