//! Cloudflare DNS records: PATCH, PUT that forgets `proxied`, and the all-or-nothing batch.

use serde_json::{Map, Value, json};

use super::cloudflare::{failure, success};
use super::lagging::Chance;
use super::serve::{Asked, Effect, Reply};
use super::world::{State, site_host};

/// Records that the free plan takes in one batch.
const MAX_BATCH: usize = 200;

/// A proxied address per site.
pub(super) fn records(sites: &[String], chance: &mut Chance) -> Vec<Value> {
    let record = |site: &String| {
        json!({
            "id": chance.hex_id(),
            "name": site_host(site),
            "type": "A",
            "content": "203.0.113.10",
            "ttl": 1,
            "proxied": true,
            "proxiable": true,
        })
    };
    sites.iter().map(record).collect()
}

/// Answers one call below `/zones/ZONE/dns_records`.
pub(super) fn answer(
    state: &mut State,
    asked: &Asked,
    rest: &[&str],
    no_route: impl Fn() -> Reply,
) -> Result<Reply, Reply> {
    let before = state.zone.records.clone();
    let mut records = before.clone();
    let result = match (asked.method.as_str(), rest) {
        ("GET", []) => json!(list(&records, asked)),
        ("POST", []) => create(&mut records, &body(asked)?, &mut state.chance)?,
        ("POST", ["batch"]) => batch(&mut records, &body(asked)?, &mut state.chance)?,
        ("GET", [id]) => find(&records, id).and_then(|place| records.get(place).cloned().ok_or_else(missing))?,
        ("PATCH", [id]) => update(&mut records, id, &body(asked)?, Change::Patch)?,
        ("PUT", [id]) => update(&mut records, id, &body(asked)?, Change::Replace)?,
        ("DELETE", [id]) => delete(&mut records, id)?,
        _ => return Err(no_route()),
    };
    let effect = match (asked.method.as_str(), records == before) {
        ("GET", _) => Effect::None,
        (_, true) => Effect::Unchanged,
        (_, false) => Effect::Changed,
    };
    state.zone.records = records;
    Ok(success(&result).did(effect))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Patch,
    Replace,
}

fn missing() -> Reply {
    failure(404, 81044, "Record does not exist.")
}

fn body(asked: &Asked) -> Result<Map<String, Value>, Reply> {
    match asked.json() {
        Ok(Value::Object(body)) => Ok(body),
        _ => Err(failure(400, 9207, "Request body is invalid.")),
    }
}

fn list<'a>(records: &'a [Value], asked: &Asked) -> Vec<&'a Value> {
    let fits = |record: &&Value, name: &str| {
        asked
            .parameter(name)
            .is_none_or(|wanted| record.get(name).is_some_and(|known| known == wanted.as_str()))
    };
    records
        .iter()
        .filter(|record| fits(record, "name") && fits(record, "type"))
        .collect()
}

fn find(records: &[Value], id: &str) -> Result<usize, Reply> {
    records
        .iter()
        .position(|record| record.get("id").is_some_and(|known| known == id))
        .ok_or_else(missing)
}

fn delete(records: &mut Vec<Value>, id: &str) -> Result<Value, Reply> {
    let place = find(records, id)?;
    records.remove(place);
    Ok(json!({"id": id}))
}

fn create(records: &mut Vec<Value>, body: &Map<String, Value>, chance: &mut Chance) -> Result<Value, Reply> {
    let record = record(&json!({"id": chance.hex_id()}), body, Change::Replace);
    check(&record, records)?;
    records.push(record.clone());
    Ok(record)
}

fn update(records: &mut [Value], id: &str, body: &Map<String, Value>, change: Change) -> Result<Value, Reply> {
    let place = find(records, id)?;
    let others: Vec<Value> = records
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != place)
        .map(|(_, record)| record.clone())
        .collect();
    let slot = records.get_mut(place).ok_or_else(missing)?;
    let next = record(slot, body, change);
    check(&next, &others)?;
    slot.clone_from(&next);
    Ok(next)
}

/// A record from a body: a patch keeps what it does not name, a replacement falls back to defaults.
fn record(current: &Value, body: &Map<String, Value>, change: Change) -> Value {
    let mut next = match change {
        Change::Patch => current.clone(),
        Change::Replace => json!({"id": current.get("id"), "ttl": 1, "proxied": false, "proxiable": true}),
    };
    if let Some(next) = next.as_object_mut() {
        for (name, value) in body.iter().filter(|(name, _)| *name != "id") {
            next.insert(name.clone(), value.clone());
        }
    }
    next
}

fn check(record: &Value, others: &[Value]) -> Result<(), Reply> {
    let text = |record: &Value, name: &str| {
        let value = record.get(name).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let ttl = record.get("ttl").and_then(Value::as_u64).unwrap_or_default();
    if ttl != 1 && !(60..=86_400).contains(&ttl) {
        return Err(failure(
            400,
            9021,
            "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.",
        ));
    }
    let (name, kind, content) = (text(record, "name"), text(record, "type"), text(record, "content"));
    if name.is_empty() || kind.is_empty() || content.is_empty() {
        return Err(failure(400, 9005, "Content, name and type are required."));
    }
    for other in others.iter().filter(|other| text(other, "name") == name) {
        let other_kind = text(other, "type");
        if other_kind == kind && text(other, "content") == content {
            return Err(failure(400, 81058, "An identical record already exists."));
        }
        if (other_kind == "CNAME") != (kind == "CNAME") {
            return Err(failure(
                400,
                81053,
                "An A, AAAA, or CNAME record with that host already exists.",
            ));
        }
        if other_kind == "CNAME" {
            return Err(failure(400, 81057, "The record already exists."));
        }
    }
    Ok(())
}

/// Deletes, patches, puts and posts in this order; the first error undoes all.
fn batch(records: &mut Vec<Value>, body: &Map<String, Value>, chance: &mut Chance) -> Result<Value, Reply> {
    let part = |name: &str| {
        let items = body.get(name).and_then(Value::as_array);
        items.map_or(&[][..], Vec::as_slice)
    };
    let parts = ["deletes", "patches", "puts", "posts"];
    if parts.iter().map(|name| part(name).len()).sum::<usize>() > MAX_BATCH {
        return Err(failure(400, 81059, "The batch is too large."));
    }
    let mut next = records.clone();
    let mut results = Map::new();
    for name in parts {
        let mut done = Vec::new();
        for item in part(name) {
            let id = item.get("id").and_then(Value::as_str).unwrap_or_default();
            let empty = Map::new();
            let item = item.as_object().unwrap_or(&empty);
            done.push(match name {
                "deletes" => delete(&mut next, id)?,
                "patches" => update(&mut next, id, item, Change::Patch)?,
                "puts" => update(&mut next, id, item, Change::Replace)?,
                _ => create(&mut next, item, chance)?,
            });
        }
        results.insert(name.to_owned(), done.into());
    }
    *records = next;
    Ok(results.into())
}
