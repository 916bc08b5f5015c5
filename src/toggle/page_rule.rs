//! The redirect of kind `page_rule`: the 2020 system's switch, one Page Rule's status.

use serde_json::{Value, json};

use crate::core::{FailureKind, Observed, Position};
use crate::http::{Method, segment};
use crate::probe::BoxFuture;

use super::cloudflare::{CloudflareCall, CloudflareClient};
use super::fingerprint::{LastSeen, fingerprint};
use super::meter::Meter;
use super::{CallKind, ResourceKey, Toggle, ToggleError};

const READ: &str = "page rule: read the rule";
const WRITE: &str = "page rule: switch the rule";

/// What changes without anybody editing the rule.
const VOLATILE: [&str; 3] = ["status", "created_on", "modified_on"];

/// Which Page Rule sends visitors to the standby.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRuleSettings {
    /// The zone.
    pub zone_id: String,
    /// The rule's id.
    pub rule_id: String,
    /// Hosts that the rule redirects.
    pub hosts: Vec<String>,
}

/// The redirect.
#[derive(Debug)]
pub struct PageRule {
    key: ResourceKey,
    settings: PageRuleSettings,
    client: CloudflareClient,
    meter: Meter,
    last_seen: LastSeen,
}

impl PageRule {
    /// The redirect that these settings name.
    pub fn new(settings: PageRuleSettings, client: CloudflareClient, meter: Meter) -> Self {
        let PageRuleSettings { zone_id, rule_id, .. } = &settings;
        Self {
            key: ResourceKey {
                object: format!("page_rule/{zone_id}/{rule_id}"),
                lane: format!("cloudflare_page_rules/{zone_id}"),
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
        Ok(complaints(&self.settings, &self.read(CallKind::Read).await?.raw))
    }

    async fn call(&self, doing: &'static str, kind: CallKind, change: Option<Value>) -> Result<Rule, ToggleError> {
        let zone = segment(&self.settings.zone_id);
        let path = format!("/zones/{zone}/pagerules/{}", segment(&self.settings.rule_id));
        let call = CloudflareCall {
            doing,
            kind,
            method: if change.is_some() { Method::PATCH } else { Method::GET },
            path: &path,
            body: change,
        };
        let answer = self.client.call(&self.meter, call).await;
        let value = answer.map_err(explain_missing)?;
        let ours = Rule::parse(value).filter(|rule| rule.raw.get("id").is_some_and(|id| *id == *self.settings.rule_id));
        ours.ok_or_else(|| ToggleError::nonsense(doing, "the answer is not our page rule, or it does not forward"))
    }

    async fn read(&self, kind: CallKind) -> Result<Rule, ToggleError> {
        self.call(READ, kind, None).await
    }

    async fn write(&self, rule: &Rule, wanted: Position) -> Result<Rule, ToggleError> {
        let change = json!({ "status": status_word(wanted) });
        let written = self.call(WRITE, CallKind::Write, Some(change)).await?;
        if written.position != wanted || written.fingerprint() != rule.fingerprint() {
            let detail = "Cloudflare took the change, but its answer shows another rule than asked for";
            return Err(ToggleError::new(FailureKind::NotApplied, WRITE, detail));
        }
        Ok(written)
    }

    async fn make(&self, wanted: Position) -> Result<Observed, ToggleError> {
        let mut rule = self.read(CallKind::Read).await?;
        if rule.position != wanted {
            if wanted == Position::On && rule.status_code != Some(302) {
                let detail = "the rule forwards with another status than 302; browsers would keep the redirect for ever. Set it to 302";
                return Err(ToggleError::new(FailureKind::Refused, WRITE, detail));
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
        sight.warn(self.kind(), &complaints(&self.settings, &rule.raw));
        sight.is_edited()
    }
}

impl Toggle for PageRule {
    fn key(&self) -> &ResourceKey {
        &self.key
    }

    fn kind(&self) -> &'static str {
        "page_rule"
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

fn observed(rule: &Rule, edited: bool) -> Observed {
    Observed {
        configured: Some(rule.position),
        edited,
        ..Observed::default()
    }
}

const fn status_word(position: Position) -> &'static str {
    match position {
        Position::On => "active",
        Position::Off => "disabled",
    }
}

/// Cloudflare moves Page Rules to Single Redirects by and by; the id is then gone for good.
fn explain_missing(error: ToggleError) -> ToggleError {
    if error.kind != FailureKind::Missing {
        return error;
    }
    error
        .hint("no such page rule; if Cloudflare migrated it to a Single Redirect, configure kind = \"single_redirect\"")
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    position: Position,
    status_code: Option<u64>,
    raw: Value,
}

impl Rule {
    fn parse(raw: Value) -> Option<Self> {
        raw.get("id")?.as_str()?;
        let position = match raw.get("status")?.as_str()? {
            "active" => Position::On,
            "disabled" => Position::Off,
            _ => return None,
        };
        let actions = raw.get("actions")?.as_array()?;
        let forward = actions
            .iter()
            .find(|action| action.get("id").is_some_and(|id| id == "forwarding_url"))?;
        let status_code = forward.pointer("/value/status_code").and_then(Value::as_u64);
        Some(Self {
            position,
            status_code,
            raw,
        })
    }

    fn fingerprint(&self) -> u64 {
        fingerprint(&self.raw, &VOLATILE)
    }
}

/// Where a page rule contradicts its declaration. Best effort: patterns are searched for the declared hosts.
pub fn complaints(declared: &PageRuleSettings, rule: &Value) -> Vec<String> {
    let targets = rule.get("targets").and_then(Value::as_array).into_iter().flatten();
    let patterns: Vec<&str> = targets
        .filter_map(|target| target.pointer("/constraint/value")?.as_str())
        .collect();
    let named = |host: &String| {
        patterns
            .iter()
            .any(|pattern| pattern.contains(host.trim_start_matches("*.")))
    };
    let unnamed = declared.hosts.iter().filter(|host| !named(host));
    unnamed
        .map(|host| format!("the page rule's pattern does not name the host {host:?}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(status: &str) -> Value {
        json!({
            "id": "p1", "status": status, "priority": 1, "modified_on": "x", "created_on": "y",
            "targets": [{"target": "url", "constraint": {"operator": "matches", "value": "site.example/*"}}],
            "actions": [{"id": "forwarding_url", "value": {"url": "https://standby.example.net/$1", "status_code": 302}}],
        })
    }

    #[test]
    fn a_page_rule_is_read_and_an_edit_is_told_from_a_switch() {
        let active = Rule::parse(rule("active")).unwrap();
        let mut disabled = rule("disabled");
        disabled["modified_on"] = json!("z");
        let disabled = Rule::parse(disabled).unwrap();
        assert_eq!((active.position, disabled.position), (Position::On, Position::Off));
        assert_eq!(active.status_code, Some(302));
        assert_eq!(active.fingerprint(), disabled.fingerprint());
        let mut edited = rule("active");
        edited["priority"] = json!(2);
        assert_ne!(Rule::parse(edited).unwrap().fingerprint(), active.fingerprint());
    }

    #[test]
    fn other_shapes_are_not_page_rules() {
        for wrong in [
            json!(null),
            json!({}),
            rule("paused"),
            json!({"id": "p", "status": "active", "actions": []}),
        ] {
            assert!(Rule::parse(wrong).is_none());
        }
    }

    #[test]
    fn a_declared_host_must_be_in_a_pattern() {
        let mut declared = PageRuleSettings {
            hosts: vec!["site.example".to_owned()],
            ..PageRuleSettings::default()
        };
        assert!(complaints(&declared, &rule("active")).is_empty());
        declared.hosts.push("www.other.example".to_owned());
        assert_eq!(complaints(&declared, &rule("active")).len(), 1);
    }
}
