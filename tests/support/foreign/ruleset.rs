//! Rulesets as others leave them, and what a switch may send: our one rule's whole definition with `enabled` moved.

use arbitrary::{Result, Unstructured};
use serde_json::{Map, Value, json};

use super::unknown_field;

/// The `ref` of our rule.
pub const REF: &str = "ours";

/// What the provider writes into a rule itself; it goes back with nothing.
const ITS_OWN: [&str; 4] = ["id", "version", "last_updated", "categories"];

/// A ruleset with our rule in it, now and then missing or there twice.
pub fn ruleset(u: &mut Unstructured<'_>) -> Result<Value> {
    let mut rules = Vec::new();
    for number in 0..u.int_in_range(0..=5)? {
        rules.push(foreign_rule(u, number)?);
    }
    let copies = match u.int_in_range(0..=15)? {
        0 => 0,
        1 => 2,
        _ => 1,
    };
    for _ in 0..copies {
        let place = u.int_in_range(0..=rules.len())?;
        rules.insert(place, our_rule(u)?);
    }
    let mut ruleset = Map::new();
    ruleset.insert("id".to_owned(), json!("2f2feab2026849078ba485f918791bdc"));
    ruleset.insert("kind".to_owned(), json!("zone"));
    ruleset.insert("phase".to_owned(), json!("http_request_dynamic_redirect"));
    ruleset.insert("version".to_owned(), json!(u.int_in_range(1..=99)?.to_string()));
    if !rules.is_empty() || u.arbitrary()? {
        ruleset.insert("rules".to_owned(), json!(rules));
    }
    if u.ratio(1, 4)? {
        let (name, value) = unknown_field(u)?;
        ruleset.insert(name.to_owned(), value);
    }
    Ok(Value::Object(ruleset))
}

fn our_rule(u: &mut Unstructured<'_>) -> Result<Value> {
    let mut from_value = json!({"preserve_query_string": u.arbitrary::<bool>()?});
    from_value["target_url"] = if u.arbitrary()? {
        json!({"value": "https://standby.example/"})
    } else {
        json!({"expression": "concat(\"https://standby.example\", http.request.uri.path)"})
    };
    if let Some(status) = u.choose(&[Some(301), Some(302), Some(303), Some(307), Some(307), Some(308), None])? {
        from_value["status_code"] = json!(status);
    }
    let mut rule = json!({
        "id": format!("r{}", u.int_in_range(0..=9)?),
        "ref": REF,
        "action": "redirect",
        "expression": "(http.host eq \"site.example\")",
        "action_parameters": {"from_value": from_value},
    });
    match u.int_in_range(0..=4)? {
        0 => {}
        1 | 2 => rule["enabled"] = json!(true),
        _ => rule["enabled"] = json!(false),
    }
    for own in ITS_OWN.iter().skip(1) {
        if u.arbitrary()? {
            rule[*own] = json!(["x"]);
        }
    }
    if u.arbitrary()? {
        rule["description"] = json!("pilotlight: do not edit");
    }
    for _ in 0..u.int_in_range(0..=2)? {
        let (name, value) = unknown_field(u)?;
        rule[name] = value;
    }
    Ok(rule)
}

/// Anything but ours: other actions, no `ref`, our words in other places.
fn foreign_rule(u: &mut Unstructured<'_>, number: usize) -> Result<Value> {
    let mut rule = json!({"id": format!("f{number}"), "enabled": u.arbitrary::<bool>()?});
    rule["action"] = json!(*u.choose(&["redirect", "block", "rewrite"])?);
    match u.int_in_range(0..=4)? {
        0 => {}
        1 => rule["ref"] = json!("ours2"),
        2 => rule["ref"] = json!("OURS"),
        3 => rule["ref"] = json!([REF]),
        _ => rule["ref"] = json!(format!("theirs{number}")),
    }
    if u.arbitrary()? {
        rule["description"] = json!(REF);
    }
    let (name, value) = unknown_field(u)?;
    rule[name] = value;
    Ok(rule)
}

/// What a switch has to do about a ruleset.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    /// Our rule is in place already: nothing is sent.
    Nothing,
    /// Nothing can be sent: our rule is not there once, is no redirect, or browsers would keep it for ever.
    Refusal,
    /// This is sent, and nothing else.
    Patch {
        /// The rule's place below the zone.
        path: String,
        /// The rule's whole definition.
        body: Value,
    },
}

/// What has to be done to bring our rule in `ruleset` into the wanted position.
pub fn due(ruleset: &Value, enabled: bool) -> Due {
    let all = ruleset["rules"].as_array().cloned().unwrap_or_default();
    let ours: Vec<Value> = all.into_iter().filter(|rule| rule["ref"] == REF).collect();
    let [rule] = ours.as_slice() else {
        return Due::Refusal;
    };
    if rule["action"] != "redirect" || !rule["action_parameters"].is_object() || !rule["expression"].is_string() {
        return Due::Refusal;
    }
    if rule.get("enabled").is_none_or(|is| *is == true) == enabled {
        return Due::Nothing;
    }
    let status = rule["action_parameters"]["from_value"]["status_code"].as_u64();
    if enabled && !matches!(status, Some(302 | 303 | 307)) {
        return Due::Refusal;
    }
    let (Some(zone_wide), Some(id)) = (ruleset["id"].as_str(), rule["id"].as_str()) else {
        return Due::Refusal;
    };
    Due::Patch {
        path: format!("rulesets/{zone_wide}/rules/{id}"),
        body: moved(rule, enabled, &ITS_OWN),
    }
}

/// The ruleset as it is once our rules are in this position.
pub fn with_ours(ruleset: &Value, enabled: bool) -> Value {
    let mut ruleset = ruleset.clone();
    for rule in ruleset["rules"].as_array_mut().into_iter().flatten() {
        if rule["ref"] == REF {
            *rule = moved(rule, enabled, &[]);
        }
    }
    ruleset
}

fn moved(rule: &Value, enabled: bool, without: &[&str]) -> Value {
    let mut rule = rule.clone();
    if let Some(fields) = rule.as_object_mut() {
        fields.retain(|name, _| !without.contains(&name.as_str()));
        fields.insert("enabled".to_owned(), json!(enabled));
    }
    rule
}
