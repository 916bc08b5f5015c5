//! The edges under test, pointed at a provider, and the answers they are given.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pilotlight::core::{Observed, Position, Sighting, View, Wall};
use pilotlight::http::{Http, HttpSettings};
use pilotlight::toggle::cloud_run::{CloudRunGate, CloudRunSettings};
use pilotlight::toggle::cloudflare::CloudflareClient;
use pilotlight::toggle::google::GoogleClient;
use pilotlight::toggle::google_token::TokenSource;
use pilotlight::toggle::monitoring::{Snooze, SnoozeSettings};
use pilotlight::toggle::page_rule::{PageRule, PageRuleSettings};
use pilotlight::toggle::single_redirect::{SingleRedirect, SingleRedirectSettings};
use pilotlight::toggle::uptime_check::{UptimeCheck, UptimeCheckSettings};
use pilotlight::toggle::{AskStandby, Meter, TellWall};
use serde_json::{Value, json};

use super::provider::{Provider, Say};

pub(crate) const NOW: Wall = Wall(1_795_255_200_000);
pub(crate) const NOW_HTTP: &str = "Sat, 21 Nov 2026 10:00:00 GMT";

pub(crate) fn http() -> Http {
    Http::new(&HttpSettings::default()).unwrap()
}

pub(crate) fn wall() -> TellWall {
    Arc::new(|| NOW)
}

pub(crate) fn ask(view: View) -> AskStandby {
    Arc::new(move || {
        Box::pin(async move {
            Sighting {
                view,
                redirect: None,
                took: Duration::ZERO,
            }
        })
    })
}

pub(crate) fn key_tokens(endpoint: &str) -> TokenSource {
    let file = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/worthless_key.json"
    ));
    TokenSource::from_key_file(file, Some(endpoint.to_owned()), http(), wall()).unwrap()
}

pub(crate) fn google(provider: &Provider) -> GoogleClient {
    GoogleClient::new(http(), key_tokens(&format!("{}/token", provider.base_url())))
}

pub(crate) fn gate(provider: &Provider, client: GoogleClient, view: View) -> CloudRunGate {
    let settings = CloudRunSettings {
        base_url: provider.base_url(),
        project: "p".to_owned(),
        region: "r".to_owned(),
        service: "standby".to_owned(),
    };
    CloudRunGate::new(&settings, client, ask(view), Meter::new("google/main"))
}

pub(crate) fn cloudflare(provider: &Provider) -> CloudflareClient {
    let base = format!("{}/client/v4", provider.base_url());
    CloudflareClient::new(http(), &"cf-token".into(), &base).unwrap()
}

pub(crate) fn single_redirect(provider: &Provider) -> SingleRedirect {
    let settings = SingleRedirectSettings {
        zone_id: "z".to_owned(),
        rule_ref: "ours".to_owned(),
        ..SingleRedirectSettings::default()
    };
    SingleRedirect::new(settings, cloudflare(provider), Meter::new("cloudflare/main"))
}

pub(crate) fn page_rule(provider: &Provider) -> PageRule {
    let settings = PageRuleSettings {
        zone_id: "z".to_owned(),
        rule_id: "p1".to_owned(),
        hosts: Vec::new(),
    };
    PageRule::new(settings, cloudflare(provider), Meter::new("cloudflare/main"))
}

pub(crate) fn snooze(provider: &Provider) -> Snooze {
    let settings = SnoozeSettings {
        base_url: provider.base_url(),
        project: "p".to_owned(),
        alert_policy: "17".to_owned(),
        instance: "box".to_owned(),
        length: SnoozeSettings::LENGTH,
    };
    Snooze::new(settings, google(provider), Meter::new("google/main"), wall())
}

pub(crate) fn uptime_check(provider: &Provider) -> UptimeCheck {
    let settings = UptimeCheckSettings {
        base_url: provider.base_url(),
        project: "p".to_owned(),
        check_id: "home".to_owned(),
    };
    UptimeCheck::new(&settings, google(provider), Meter::new("google/main"))
}

pub(crate) fn ok(result: &Value) -> Say {
    Say::json(
        200,
        &json!({"success": true, "errors": [], "messages": [], "result": result}),
    )
}

pub(crate) fn ruleset(enabled: bool) -> Value {
    json!({"id": "rs", "version": "4", "rules": [
        {"id": "other", "ref": "theirs", "action": "redirect", "enabled": true},
        {"id": "r1", "version": "2", "last_updated": "x", "ref": "ours", "action": "redirect", "description": "d", "enabled": enabled,
         "expression": "(http.host eq \"site.example\")",
         "action_parameters": {"from_value": {"status_code": 307, "target_url": {"value": "https://standby.example"}}}},
    ]})
}

pub(crate) fn open_policy(etag: &str) -> Value {
    json!({"etag": etag, "bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]})
}

pub(crate) fn aborted() -> Say {
    let error = json!({"code": 409, "status": "ABORTED", "message": "There were concurrent policy changes."});
    Say::json(409, &json!({ "error": error }))
}

pub(crate) fn configured(observed: Observed) -> Option<Position> {
    observed.configured
}

pub(crate) const READ_POLICY: &str =
    "GET /v2/projects/p/locations/r/services/standby:getIamPolicy?options.requestedPolicyVersion=3";
pub(crate) const WRITE_POLICY: &str = "POST /v2/projects/p/locations/r/services/standby:setIamPolicy";

pub(crate) fn one_snooze(owner: &str, ends: &str) -> Value {
    json!({
        "name": "projects/p/snoozes/s1", "displayName": format!("pilotlight {owner} 17 1795251600"),
        "criteria": {"policies": ["projects/123/alertPolicies/17"]},
        "interval": {"startTime": "2026-11-21T09:00:00Z", "endTime": ends},
    })
}

pub(crate) fn dated(value: &Value) -> Say {
    Say::json(200, value).with("date", NOW_HTTP)
}
