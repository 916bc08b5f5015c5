//! The redirect of kind `single_redirect`: one rule, found by its `ref`, in the zone's entry point ruleset.

use serde_json::{Value, json};

use crate::core::{FailureKind, Observed, Position};
use crate::http::{Method, segment};
use crate::probe::BoxFuture;

use super::cloudflare::{CloudflareCall, CloudflareClient};
use super::fingerprint::{LastSeen, fingerprint};
use super::meter::Meter;
use super::{CallKind, ResourceKey, Toggle, ToggleError};

const READ: &str = "single redirect: read the rule";
const WRITE: &str = "single redirect: switch the rule";

/// What Cloudflare itself writes into a rule; it does not belong into a definition.
const READ_ONLY: [&str; 4] = ["id", "version", "last_updated", "categories"];

/// Which rule sends visitors to the standby, and what it was declared to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SingleRedirectSettings {
    /// The zone.
    pub zone_id: String,
    /// The rule's `ref`, which survives its being made anew.
    pub rule_ref: String,
    /// The declared status, 302 or 307; nothing is compared without it.
    pub status_code: Option<u16>,
    /// Hosts that the rule redirects.
    pub hosts: Vec<String>,
    /// Paths that the rule leaves at home.
    pub excluded_paths: Vec<String>,
}

/// The redirect.
#[derive(Debug)]
pub struct SingleRedirect {
    key: ResourceKey,
    settings: SingleRedirectSettings,
    client: CloudflareClient,
    meter: Meter,
    last_seen: LastSeen,
}

impl SingleRedirect {
    /// The redirect that these settings name.
    pub fn new(settings: SingleRedirectSettings, client: CloudflareClient, meter: Meter) -> Self {
        let zone = &settings.zone_id;
        Self {
            key: ResourceKey {
                object: format!("single_redirect/{zone}/{}", settings.rule_ref),
                lane: format!("cloudflare_ruleset/{zone}"),
                credential: meter.credential().to_owned(),
            },
            settings,
            client,
            meter,
            last_seen: LastSeen::default(),
        }
    }

    /// Reads the real rule and tells where it contradicts the declaration, in words for `check` and the log. Empty when all is well.
    pub async fn inspect(&self) -> Result<Vec<String>, ToggleError> {
        Ok(complaints(&self.settings, &self.read(CallKind::Read).await?.definition))
    }

    async fn read(&self, kind: CallKind) -> Result<Rule, ToggleError> {
        let zone = segment(&self.settings.zone_id);
        let call = CloudflareCall {
            doing: READ,
            kind,
            method: Method::GET,
            path: &format!("/zones/{zone}/rulesets/phases/http_request_dynamic_redirect/entrypoint"),
            body: None,
        };
        let ruleset = self.client.call(&self.meter, call).await.map_err(explain_missing)?;
        Rule::find(READ, &ruleset, &self.settings.rule_ref)
    }

    async fn write(&self, rule: &Rule, wanted: Position) -> Result<Rule, ToggleError> {
        let zone = segment(&self.settings.zone_id);
        let call = CloudflareCall {
            doing: WRITE,
            kind: CallKind::Write,
            method: Method::PATCH,
            path: &format!(
                "/zones/{zone}/rulesets/{}/rules/{}",
                segment(&rule.ruleset),
                segment(&rule.id)
            ),
            body: Some(rule.switched(wanted)),
        };
        let ruleset = self.client.call(&self.meter, call).await?;
        let written = Rule::find(WRITE, &ruleset, &self.settings.rule_ref)?;
        if written.position != wanted {
            let detail = "Cloudflare took the change, but its answer shows the rule in the old position";
            return Err(ToggleError::new(FailureKind::NotApplied, WRITE, detail));
        }
        if written.fingerprint() != rule.fingerprint() {
            let detail = "the rule's definition changed while it was switched; somebody else may be editing it";
            return Err(ToggleError::new(FailureKind::NotApplied, WRITE, detail));
        }
        Ok(written)
    }

    async fn make(&self, wanted: Position) -> Result<Observed, ToggleError> {
        let mut rule = self.read(CallKind::Read).await?;
        if rule.position != wanted {
            if wanted == Position::On {
                rule.may_be_enabled()?;
            }
            rule = self.write(&rule, wanted).await?;
        }
        Ok(observed(&rule, self.see(&rule)))
    }

    async fn look(&self) -> Result<Observed, ToggleError> {
        let rule = self.read(CallKind::Routine).await?;
        Ok(observed(&rule, self.see(&rule)))
    }

    /// Remembers the rule and tells whether somebody edited it; what contradicts the declaration is logged once.
    /// To be asked when nothing can fail any more: an edit is told once, and a failure would swallow it.
    fn see(&self, rule: &Rule) -> bool {
        let sight = self.last_seen.look(rule.fingerprint());
        sight.warn(self.kind(), &complaints(&self.settings, &rule.definition));
        sight.is_edited()
    }
}

impl Toggle for SingleRedirect {
    fn key(&self) -> &ResourceKey {
        &self.key
    }

    fn kind(&self) -> &'static str {
        "single_redirect"
    }

    fn observe(&self) -> BoxFuture<'_, Result<Observed, ToggleError>> {
        Box::pin(self.look())
    }

    fn set(&self, position: Position) -> BoxFuture<'_, Result<Observed, ToggleError>> {
        Box::pin(self.make(position))
    }

    fn may_observe(&self) -> bool {
        self.meter.allows(CallKind::Routine)
    }

    fn warm(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.client.warm())
    }
}

/// A zone without any redirect rule has no entry point.
fn explain_missing(error: ToggleError) -> ToggleError {
    if error.kind != FailureKind::Missing {
        return error;
    }
    error.hint("no such zone, or it has no redirect rule yet: correct `zone_id`, or make the rule")
}

fn observed(rule: &Rule, edited: bool) -> Observed {
    Observed {
        configured: Some(rule.position),
        edited,
        ..Observed::default()
    }
}

/// Our rule as found in its ruleset.
#[derive(Clone, Debug, PartialEq)]
struct Rule {
    ruleset: String,
    id: String,
    position: Position,
    /// All of it but what is read-only.
    definition: Value,
}

impl Rule {
    fn find(doing: &'static str, ruleset: &Value, rule_ref: &str) -> Result<Self, ToggleError> {
        let nonsense = |what| ToggleError::nonsense(doing, what);
        let ruleset_id = ruleset.get("id").and_then(Value::as_str);
        let ruleset_id = ruleset_id.ok_or_else(|| nonsense("the answer is not a ruleset"))?;
        let rules = match ruleset.get("rules") {
            None => &[],
            Some(Value::Array(rules)) => rules.as_slice(),
            Some(_) => return Err(nonsense("the ruleset's rules are not a list")),
        };
        let mut ours = rules
            .iter()
            .filter(|rule| rule.get("ref").is_some_and(|found| found == rule_ref));
        let Some(rule) = ours.next() else {
            let detail = format!("no redirect rule of this zone has the ref {rule_ref:?}: make it, or correct `ref`");
            return Err(ToggleError::new(FailureKind::Missing, doing, &detail));
        };
        if ours.next().is_some() {
            let detail = format!("several redirect rules have the ref {rule_ref:?}; it must be one alone");
            return Err(ToggleError::new(FailureKind::Refused, doing, &detail));
        }
        Self::parse(ruleset_id, rule).ok_or_else(|| nonsense("the rule is of unknown shape"))
    }

    fn parse(ruleset: &str, rule: &Value) -> Option<Self> {
        let id = rule.get("id")?.as_str()?;
        (is_id(ruleset) && is_id(id)).then_some(())?;
        rule.get("expression")?.as_str()?;
        rule.get("action_parameters")?.as_object()?;
        if rule.get("action")? != "redirect" {
            return None;
        }
        // The schema's default is true.
        let enabled = match rule.get("enabled") {
            None => true,
            Some(enabled) => enabled.as_bool()?,
        };
        let mut definition = rule.clone();
        let fields = definition.as_object_mut()?;
        fields.retain(|key, _| !READ_ONLY.contains(&key.as_str()));
        Some(Self {
            ruleset: ruleset.to_owned(),
            id: id.to_owned(),
            position: if enabled { Position::On } else { Position::Off },
            definition,
        })
    }

    fn fingerprint(&self) -> u64 {
        fingerprint(&self.definition, &["enabled"])
    }

    /// The whole definition: Cloudflare replaces it, and a missing `enabled` would mean true.
    fn switched(&self, wanted: Position) -> Value {
        let mut definition = self.definition.clone();
        if let Some(fields) = definition.as_object_mut() {
            fields.insert("enabled".to_owned(), json!(wanted == Position::On));
        }
        definition
    }

    /// Browsers keep a 301 or 308 for ever, and visitors would never come home; without a status Cloudflare sends 301.
    fn may_be_enabled(&self) -> Result<(), ToggleError> {
        if matches!(status_code(&self.definition), Some(302 | 303 | 307)) {
            return Ok(());
        }
        let detail = "the rule's status_code is not 302, 303 or 307; browsers would keep the redirect for ever. Set it to 307 or 302";
        Err(ToggleError::new(FailureKind::Refused, WRITE, detail))
    }
}

/// Ids become part of the URL that is written to.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn status_code(definition: &Value) -> Option<u64> {
    definition
        .pointer("/action_parameters/from_value/status_code")?
        .as_u64()
}

/// Where a rule's definition contradicts its declaration. Best effort: the expression is searched for the declared names, not understood.
pub fn complaints(declared: &SingleRedirectSettings, definition: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    let expression = definition.get("expression").and_then(Value::as_str).unwrap_or_default();
    let status = status_code(definition);
    if let Some(wanted) = declared.status_code
        && status != Some(u64::from(wanted))
    {
        let found = status.map_or_else(|| "none (so 301)".to_owned(), |status| status.to_string());
        complaints.push(format!("the rule's status_code is {found}, declared is {wanted}"));
    }
    for host in &declared.hosts {
        if !names(expression, host) {
            complaints.push(format!("the rule's expression does not name the host {host:?}"));
        }
    }
    for path in &declared.excluded_paths {
        if !expression.contains(&format!("\"{path}\"")) {
            complaints.push(format!("the rule's expression does not exclude the path {path:?}"));
        }
    }
    if !expression.contains("http.host") {
        complaints.push(
            "the rule's expression names no host, so a standby in the same zone would redirect to itself".to_owned(),
        );
    }
    complaints
}

/// Whether the expression quotes this host, or for `*.site.example` whatever stands for all hosts below it.
fn names(expression: &str, host: &str) -> bool {
    let expression = expression.to_lowercase();
    match host.strip_prefix("*.") {
        Some(parent) => expression.contains(&format!(".{parent}")),
        None => expression.contains(&format!("\"{host}\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(enabled: bool) -> Value {
        json!({
            "id": "r1", "version": "3", "last_updated": "x", "categories": [], "ref": "pilotlight_failover",
            "action": "redirect", "description": "pilotlight: do not edit", "enabled": enabled, "logging": {"enabled": true},
            "expression": "(http.host eq \"site.example\" and not starts_with(http.request.uri.path, \"/healthz\"))",
            "action_parameters": {"from_value": {"status_code": 307, "preserve_query_string": true,
                "target_url": {"expression": "concat(\"https://standby.example.net\", http.request.uri.path)"}}},
        })
    }

    fn find(rules: &Value) -> Result<Rule, ToggleError> {
        let ruleset = json!({"id": "rs", "version": "1", "rules": rules});
        Rule::find("test", &ruleset, "pilotlight_failover")
    }

    #[test]
    fn the_full_definition_goes_back_without_what_is_read_only() {
        let found = find(&json!([{"ref": "other"}, rule(false)])).unwrap();
        assert_eq!(
            (found.ruleset.as_str(), found.id.as_str(), found.position),
            ("rs", "r1", Position::Off)
        );
        let mut expected = rule(true);
        for field in READ_ONLY {
            expected.as_object_mut().unwrap().remove(field);
        }
        assert_eq!(found.switched(Position::On), expected);
        assert_eq!(found.fingerprint(), find(&json!([rule(true)])).unwrap().fingerprint());
    }

    #[test]
    fn a_rule_without_enabled_is_on() {
        let mut bare = rule(true);
        bare.as_object_mut().unwrap().remove("enabled");
        assert_eq!(find(&json!([bare])).unwrap().position, Position::On);
    }

    #[test]
    fn our_rule_must_be_there_once_and_be_a_redirect() {
        assert_eq!(find(&json!([])).unwrap_err().kind, FailureKind::Missing);
        assert_eq!(
            find(&json!([rule(true), rule(true)])).unwrap_err().kind,
            FailureKind::Refused
        );
        for (field, value) in [
            ("action", json!("block")),
            ("enabled", json!("yes")),
            ("expression", Value::Null),
            ("action_parameters", json!([])),
            ("id", json!(7)),
            ("id", json!("")),
            ("id", json!("..")),
        ] {
            let mut wrong = rule(true);
            wrong[field] = value;
            assert_eq!(
                find(&json!([wrong])).unwrap_err().kind,
                FailureKind::Nonsense,
                "{field}"
            );
        }
        assert_eq!(find(&json!({})).unwrap_err().kind, FailureKind::Nonsense);
        let error = Rule::find("test", &Value::Null, "x").unwrap_err();
        assert_eq!(error.kind, FailureKind::Nonsense);
    }

    #[test]
    fn a_redirect_that_browsers_keep_is_not_enabled() {
        for (status, allowed) in [
            (json!(301), false),
            (json!(308), false),
            (Value::Null, false),
            (json!(302), true),
            (json!(307), true),
        ] {
            let mut rule = rule(false);
            rule["action_parameters"]["from_value"]["status_code"] = status.clone();
            let result = find(&json!([rule])).unwrap().may_be_enabled();
            assert_eq!(result.is_ok(), allowed, "{status}");
        }
    }

    #[test]
    fn the_declaration_is_compared_with_the_real_rule() {
        let declared = SingleRedirectSettings {
            status_code: Some(307),
            hosts: vec!["site.example".to_owned()],
            excluded_paths: vec!["/healthz".to_owned()],
            ..SingleRedirectSettings::default()
        };
        assert_eq!(complaints(&declared, &rule(true)), Vec::<String>::new());
        let mut other = rule(true);
        other["expression"] = json!("true");
        other["action_parameters"]["from_value"]["status_code"] = json!(302);
        assert_eq!(complaints(&declared, &other).len(), 4);
        let below = SingleRedirectSettings {
            hosts: vec!["*.site.example".to_owned()],
            ..SingleRedirectSettings::default()
        };
        other["expression"] = json!("ends_with(http.host, \".site.example\")");
        assert_eq!(complaints(&below, &other), Vec::<String>::new());
    }
}
