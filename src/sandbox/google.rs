//! What Google's APIs have in common: the error envelope, the bearer check, update masks.

use serde_json::{Map, Value, json};

use super::identity::Bearer;
use super::serve::{Asked, Reply};
use super::world::State;

/// An error in Google's envelope.
pub(super) fn error(code: u16, status: &str, message: &str, details: &Value) -> Reply {
    let mut error = json!({"code": code, "message": message, "status": status});
    if let (Some(error), Some(true)) = (error.as_object_mut(), details.as_array().map(|all| !all.is_empty())) {
        error.insert("details".to_owned(), details.clone());
    }
    Reply::json(code, &json!({"error": error}))
}

pub(super) fn unauthenticated() -> Reply {
    let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other \
                   valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.";
    let details = json!([{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "ACCESS_TOKEN_TYPE_UNSUPPORTED",
        "domain": "googleapis.com",
    }]);
    error(401, "UNAUTHENTICATED", message, &details)
        .with("www-authenticate", "Bearer realm=\"https://accounts.google.com/\"")
}

pub(super) fn denied(permission: &str, resource: &str) -> Reply {
    let message = format!("Permission '{permission}' denied on resource '{resource}' (or resource may not exist).");
    let details = json!([{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "IAM_PERMISSION_DENIED",
        "domain": "iam.googleapis.com",
        "metadata": {"permission": permission, "resource": resource},
    }]);
    error(403, "PERMISSION_DENIED", &message, &details)
}

pub(super) fn not_found(kind: &str, name: &str) -> Reply {
    let message = format!("Resource '{name}' of kind '{kind}' does not exist.");
    error(404, "NOT_FOUND", &message, &Value::Null)
}

/// What Google's front end says to a path that no API has.
pub(super) fn no_route(path: &str) -> Reply {
    let path = path.replace(['<', '>', '&'], "");
    Reply::html(
        404,
        format!(
            "<!DOCTYPE html>\n<html lang=en>\n<title>Error 404 (Not Found)!!1</title>\n<p><b>404.</b> <ins>That\u{2019}s an error.</ins>\n\
             <p>The requested URL <code>{path}</code> was not found on this server. <ins>That\u{2019}s all we know.</ins>\n"
        ),
    )
}

/// 400 with the field that is wrong.
pub(super) fn invalid(field: &str, description: &str) -> Reply {
    let message = format!("Invalid value at '{field}': {description}");
    let details = json!([{
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": field, "description": description}],
    }]);
    error(400, "INVALID_ARGUMENT", &message, &details)
}

pub(super) fn failed_precondition(message: &str) -> Reply {
    error(400, "FAILED_PRECONDITION", message, &Value::Null)
}

pub(super) fn aborted() -> Reply {
    let message =
        "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.";
    error(409, "ABORTED", message, &Value::Null)
}

/// 429, with the wait in the header and in `RetryInfo` when it is known.
pub(super) fn exhausted(retry_after_secs: Option<u32>) -> Reply {
    let message = "Quota exceeded for quota metric 'Write requests' and limit 'Write requests per minute per region' \
                   of service 'run.googleapis.com'.";
    match retry_after_secs {
        None => error(429, "RESOURCE_EXHAUSTED", message, &Value::Null),
        Some(secs) => {
            let details =
                json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{secs}s")}]);
            error(429, "RESOURCE_EXHAUSTED", message, &details).with("retry-after", &secs.to_string())
        }
    }
}

/// A 5xx in the envelope.
pub(super) fn trouble(code: u16) -> Reply {
    let status = match code {
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    };
    error(code, status, "The service is currently unavailable.", &Value::Null)
}

/// 401 unless the bearer is known, then 403 unless it holds `permission` in the project or by `granted_here`.
pub(super) fn authorize(
    state: &State,
    asked: &Asked,
    api_host: &str,
    permission: &str,
    resource: &str,
    granted_here: bool,
) -> Result<(), Reply> {
    let token = asked.bearer().ok_or_else(unauthenticated)?;
    match state.identity.bearer(token, api_host, state.now()) {
        Bearer::Unknown => Err(unauthenticated()),
        Bearer::Known(rights) if granted_here || rights.contains(permission) => Ok(()),
        Bearer::Known(_) => Err(denied(permission, resource)),
    }
}

/// The body as a JSON object with known fields only.
pub(super) fn object(asked: &Asked, known: &[&str]) -> Result<Map<String, Value>, Reply> {
    let body = match asked.json() {
        Ok(Value::Object(body)) => body,
        Ok(Value::Null) => Map::new(),
        Ok(_) => return Err(invalid("body", "Root element must be a message.")),
        Err(problem) => {
            let message = format!("Invalid JSON payload received. {problem}");
            return Err(error(400, "INVALID_ARGUMENT", &message, &Value::Null));
        }
    };
    let mut fields = Map::new();
    for (name, value) in body {
        let name = camel(&name);
        if !known.contains(&name.as_str()) {
            return Err(invalid(
                &name,
                &format!("Invalid JSON payload received. Unknown name \"{name}\": Cannot find field."),
            ));
        }
        fields.insert(name, value);
    }
    Ok(fields)
}

/// `interval.end_time` -> `interval.endTime`; both spellings are taken.
pub(super) fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.chars() {
        if letter == '_' {
            upper = true;
        } else if upper {
            out.push(letter.to_ascii_uppercase());
            upper = false;
        } else {
            out.push(letter);
        }
    }
    out
}

/// The paths of the update mask in camel case; none means "replace everything".
pub(super) fn mask(asked: &Asked) -> Vec<String> {
    let mask = asked
        .parameter("updateMask")
        .or_else(|| asked.parameter("update_mask"))
        .unwrap_or_default();
    mask.split(',').filter(|path| !path.is_empty()).map(camel).collect()
}

/// `current` with the masked paths taken from `body`; an empty mask replaces every field that is not in `fixed`.
pub(super) fn masked(
    current: &Value,
    body: &Map<String, Value>,
    mask: &[String],
    known: &[&str],
    fixed: &[&str],
) -> Result<Value, Reply> {
    let mut next = current.clone();
    if mask.is_empty() {
        if let Some(next) = next.as_object_mut() {
            next.retain(|name, _| fixed.contains(&name.as_str()));
            for (name, value) in body {
                if !fixed.contains(&name.as_str()) {
                    next.insert(name.clone(), value.clone());
                }
            }
        }
        return Ok(next);
    }
    let body = Value::Object(body.clone());
    for path in mask {
        let parts: Vec<&str> = path.split('.').collect();
        let top = parts.first().copied().unwrap_or_default();
        if !known.contains(&top) || fixed.contains(&top) {
            return Err(invalid("update_mask", &format!("Invalid field mask path: {path}")));
        }
        let pointer = format!("/{}", parts.join("/"));
        put(&mut next, &parts, body.pointer(&pointer).cloned());
    }
    Ok(next)
}

/// Sets a value at a JSON pointer such as `/template/revision`; null removes it.
pub(super) fn set_at(target: &mut Value, pointer: &str, value: Value) {
    let path: Vec<&str> = pointer.trim_start_matches('/').split('/').collect();
    put(target, &path, Some(value).filter(|value| !value.is_null()));
}

/// Sets or removes a value at a path, making objects on the way.
fn put(target: &mut Value, path: &[&str], value: Option<Value>) {
    let Some((name, rest)) = path.split_first() else {
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(object) = target.as_object_mut() else {
        return;
    };
    if rest.is_empty() {
        match value {
            Some(value) => object.insert((*name).to_owned(), value),
            None => object.remove(*name),
        };
    } else {
        put(object.entry(*name).or_insert_with(|| json!({})), rest, value);
    }
}

/// ProtoJSON: defaults (false, 0, "", [], {}) are left out, except the names in `always`.
pub(super) fn without_defaults(value: &Value, always: &[&str]) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, value)| always.contains(&name.as_str()) || !is_default(value))
            .map(|(name, value)| (name.clone(), without_defaults(value, always)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(true) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_takes_the_masked_paths_only_and_in_both_spellings() {
        let current = json!({"name": "n", "interval": {"startTime": "a", "endTime": "b"}, "displayName": "x"});
        let body = json!({"interval": {"endTime": "c"}, "displayName": "y"});
        let body = body.as_object().expect("an object");
        let known = ["interval", "displayName"];
        let next = masked(&current, body, &[camel("interval.end_time")], &known, &["name"]).expect("a known path");
        assert_eq!(
            next,
            json!({"name": "n", "interval": {"startTime": "a", "endTime": "c"}, "displayName": "x"})
        );
        let replaced = masked(&current, body, &[], &known, &["name"]).expect("no mask");
        assert_eq!(
            replaced,
            json!({"name": "n", "interval": {"endTime": "c"}, "displayName": "y"})
        );
        assert!(masked(&current, body, &["colour".to_owned()], &known, &["name"]).is_err());
    }

    #[test]
    fn defaults_are_left_out() {
        let value = json!({"a": false, "b": {"c": 0, "d": "x"}, "e": [], "enabled": false});
        assert_eq!(
            without_defaults(&value, &["enabled"]),
            json!({"b": {"d": "x"}, "enabled": false})
        );
    }
}
