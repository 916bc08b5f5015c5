//! The providers' records as another writer sees and changes them, and the switches of what they refuse.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::SandboxError;
use super::cloudflare::{Owner, Token};
use super::identity::SelfSigned;
use super::profile::{self, Files};
use super::rulesets::{Ruleset, rule_ref};
use super::run::{Arrival, OrgPolicy};
use super::secrets::SecretVersion;
use super::world::{World, service_name};

/// The Cloudflare token that the config names may do this.
const SCOPES: [&str; 4] = ["rulesets", "pagerules", "dns_records", "workers"];

impl World {
    /// Writes the key file and the tokens, and lets the tokens in.
    pub(super) fn write_secrets(&self, files: &Files, token_uri: &str) -> Result<(), SandboxError> {
        let mut state = self.lock();
        let key = state.identity.key_file(token_uri);
        let secret = format!("cf_sandbox_{}", state.chance.hex_id());
        let admin = format!("admin-sandbox-{}\n", state.chance.hex_id());
        let token = Token {
            id: state.chance.hex_id(),
            status: "active",
            expires_on: None,
            owner: Owner::User,
            scopes: SCOPES.iter().map(ToString::to_string).collect(),
        };
        state.zone.tokens.insert(secret.clone(), token);
        state.secrets.add(
            "cloudflare-api-key",
            format!("{secret}\n").as_bytes(),
            SecretVersion::Enabled,
        );
        drop(state);
        files.write(profile::KEY, &key.to_string())?;
        files.write(profile::CLOUDFLARE_TOKEN, &format!("{secret}\n"))?;
        files.write(profile::ADMIN_TOKEN, &admin)
    }

    const fn arrival(&self, now: Instant, delay: std::time::Duration) -> Arrival {
        Arrival {
            now,
            delay,
            spread: self.spread(),
        }
    }

    /// The IAM policy of a site's service, whole, with its etag.
    pub fn policy_json(&self, site: &str) -> Value {
        let state = self.lock();
        let service = state.run.service(&service_name(site));
        service.map_or(Value::Null, |service| service.policy.to_json(3))
    }

    /// Overwrites the bindings of a site's service, as another writer would; null makes it a service never granted on.
    pub fn set_policy_json(&self, site: &str, policy: &Value) {
        let arrival = self.arrival(Instant::now(), self.options.iam_propagation);
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(service) = state.run.service_mut(&service_name(site)) {
            if policy.is_null() {
                service.policy.forget();
            } else {
                service.policy.replace(policy);
            }
            service.follow(arrival, &mut state.chance);
        }
    }

    /// A field of a site's Cloud Run service: a JSON pointer and its new value, for example `/template/revision`.
    pub fn set_service_field(&self, site: &str, field: &str, value: Value) {
        let arrival = self.arrival(Instant::now(), self.options.iam_propagation);
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(service) = state.run.service_mut(&service_name(site)) {
            super::google::set_at(&mut service.settings, field, value);
            service.follow(arrival, &mut state.chance);
        }
    }

    /// Lets the container of a site's standby stop, so that the next visitor meets a cold start.
    pub fn cool_down(&self, site: &str) {
        if let Some(service) = self.lock().run.service_mut(&service_name(site)) {
            service.warm = false;
        }
    }

    /// What the organisation forbids.
    pub fn set_org_policy(&self, policy: OrgPolicy) {
        self.lock().run.org_policy = policy;
    }

    /// How often an operation has to be asked for before it is done.
    pub fn set_polls_until_done(&self, polls: u32) {
        self.lock().run.polls_until_done = polls;
    }

    /// The next operation ends with this error: a number of `google.rpc.Code` and a message.
    pub fn fail_next_operation(&self, code: i32, message: &str) {
        self.lock().run.next_operation_error = Some((code, message.to_owned()));
    }

    /// What the service account may do in the project, replacing what it could; a service's own policy still counts.
    pub fn set_rights<'a>(&self, rights: impl IntoIterator<Item = &'a str>) {
        self.lock().identity.rights = rights.into_iter().map(ToOwned::to_owned).collect();
    }

    /// What the service account may do in the project.
    pub fn rights(&self) -> BTreeSet<String> {
        self.lock().identity.rights.clone()
    }

    /// Whether the APIs take JWTs that the caller signed.
    pub fn set_self_signed(&self, answer: SelfSigned) {
        self.lock().identity.self_signed = answer;
    }

    /// From now on the APIs refuse JWTs that the caller signed, so that the token endpoint has to be asked.
    pub fn refuse_self_signed_tokens(&self) {
        self.set_self_signed(SelfSigned::Refused);
    }

    /// The APIs take JWTs that the caller signed, as at the start.
    pub fn accept_self_signed_tokens(&self) {
        self.set_self_signed(SelfSigned::Accepted);
    }

    /// A Google access token; with `rights` it may do these things only.
    pub fn issue_google_token(&self, rights: Option<Vec<String>>) -> String {
        let mut state = self.lock();
        let now = state.now();
        let state = &mut *state;
        state.identity.issue(now, rights, &mut state.chance)
    }

    /// Makes every Google access token that was issued so far invalid.
    pub fn revoke_google_tokens(&self) {
        self.lock().identity.revoke_all();
    }

    /// Adds a version of a secret; returns its number.
    pub fn add_secret(&self, secret: &str, payload: &[u8], condition: SecretVersion) -> usize {
        self.lock().secrets.add(secret, payload, condition)
    }

    /// The redirect ruleset as the API shows it; null when the zone has none.
    pub fn ruleset_json(&self) -> Value {
        let state = self.lock();
        state.zone.ruleset.as_ref().map_or(Value::Null, Ruleset::to_json)
    }

    /// Changes the rules of the ruleset, as another writer would; a ruleset is not made where there is none.
    pub fn edit_rules(&self, edit: impl FnOnce(&mut Vec<Value>)) {
        let arrival = self.arrival(Instant::now(), self.options.edge_propagation);
        let mut state = self.lock();
        let state = &mut *state;
        let now = state.now();
        if let Some(set) = state.zone.ruleset.as_mut() {
            edit(&mut set.rules);
            set.version += 1;
            set.updated = now;
        }
        state.zone.follow(arrival, &mut state.chance);
    }

    /// Removes the zone's ruleset, as on a zone that never had a redirect.
    pub fn remove_ruleset(&self) {
        self.lock().zone.ruleset = None;
        self.edit_rules(|_| {});
    }

    /// A site's redirect rule as the API shows it.
    pub fn rule_json(&self, site: &str) -> Value {
        let set = self.ruleset_json();
        let rules = set.get("rules").and_then(Value::as_array).cloned().unwrap_or_default();
        let found = rules.into_iter().find(|rule| has_ref(rule, site));
        found.unwrap_or_default()
    }

    /// Changes a site's redirect rule, as another writer would.
    pub fn edit_rule(&self, site: &str, edit: impl FnOnce(&mut Value)) {
        self.edit_rules(|rules| {
            if let Some(rule) = rules.iter_mut().find(|rule| has_ref(rule, site)) {
                edit(rule);
            }
        });
    }

    /// Switches a site's redirect rule, as another writer would.
    pub fn switch_rule(&self, site: &str, enabled: bool) {
        self.edit_rule(site, |rule| super::google::set_at(rule, "/enabled", json!(enabled)));
    }

    /// Deletes a site's redirect rule, as another writer would.
    pub fn delete_rule(&self, site: &str) {
        self.edit_rules(|rules| rules.retain(|rule| !has_ref(rule, site)));
    }

    /// Deletes a site's redirect rule and makes it again: the same `ref`, another id.
    pub fn recreate_rule(&self, site: &str) {
        let id = self.lock().chance.hex_id();
        self.edit_rule(site, |rule| super::google::set_at(rule, "/id", json!(id)));
    }

    /// The Page Rules as the API shows them.
    pub fn page_rules_json(&self) -> Value {
        json!(self.lock().zone.page_rules)
    }

    /// Changes the Page Rules, as another writer would.
    pub fn edit_page_rules(&self, edit: impl FnOnce(&mut Vec<Value>)) {
        let arrival = self.arrival(Instant::now(), self.options.edge_propagation);
        let mut state = self.lock();
        let state = &mut *state;
        edit(&mut state.zone.page_rules);
        state.zone.follow(arrival, &mut state.chance);
    }

    /// All Worker routes of the zone.
    pub fn worker_routes_json(&self) -> Value {
        json!(self.lock().zone.routes)
    }

    /// Changes the Worker routes, as another writer would.
    pub fn edit_worker_routes(&self, edit: impl FnOnce(&mut Vec<Value>)) {
        let arrival = self.arrival(Instant::now(), self.options.edge_propagation);
        let mut state = self.lock();
        let state = &mut *state;
        edit(&mut state.zone.routes);
        state.zone.follow(arrival, &mut state.chance);
    }

    /// The zone's DNS records as the API shows them.
    pub fn records_json(&self) -> Value {
        json!(self.lock().zone.records)
    }

    /// The status that goes with Cloudflare's 10000 for a token that may not: 403, 401 or 400.
    pub fn set_cloudflare_refusal(&self, status: u16) {
        self.lock().zone.refusal_status = status;
    }

    /// Whose the Cloudflare tokens are.
    pub fn set_cloudflare_owner(&self, owner: Owner) {
        for token in self.lock().zone.tokens.values_mut() {
            token.owner = owner;
        }
    }

    /// What the Cloudflare tokens may touch: `rulesets`, `pagerules`, `dns_records`, `workers`.
    pub fn set_cloudflare_scopes(&self, scopes: &[&str]) {
        for token in self.lock().zone.tokens.values_mut() {
            token.scopes = scopes.iter().map(ToString::to_string).collect();
        }
    }

    /// How the Cloudflare tokens are: `active`, `disabled` or `expired`, and when they expire.
    pub fn set_cloudflare_status(&self, status: &'static str, expires_on: Option<&str>) {
        for token in self.lock().zone.tokens.values_mut() {
            token.status = status;
            token.expires_on = expires_on.map(ToOwned::to_owned);
        }
    }

    /// The providers' records of a site, all in one.
    pub fn records_of(&self, site: &str) -> Value {
        json!({
            "policy": self.policy_json(site),
            "rule": self.rule_json(site),
            "ruleset": self.ruleset_json(),
            "page_rules": self.page_rules_json(),
            "worker_routes": self.worker_routes_json(),
            "dns_records": self.records_json(),
            "snoozes": self.snoozes_json(),
            "uptime_check": self.uptime_check_json(site),
            "alert_policy": self.alert_policy_json(site),
        })
    }

    /// The snoozes as the API shows them, oldest first.
    pub fn snoozes_json(&self) -> Vec<Value> {
        self.lock().monitoring.snoozes.values().cloned().collect()
    }

    /// A site's uptime check, with `disabled` only when it was set.
    pub fn uptime_check_json(&self, site: &str) -> Value {
        let state = self.lock();
        let check = state.monitoring.checks.get(&super::monitoring::check_id(site));
        check.cloned().unwrap_or_default()
    }

    /// A site's alert policy.
    pub fn alert_policy_json(&self, site: &str) -> Value {
        let state = self.lock();
        let policy = state.monitoring.policies.get(&super::monitoring::policy_id(site));
        policy.cloned().unwrap_or_default()
    }
}

fn has_ref(rule: &Value, site: &str) -> bool {
    rule.get("ref").is_some_and(|known| *known == rule_ref(site).as_str())
}
