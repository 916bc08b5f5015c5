//! IAM policies as others leave them, and what a switch may change in one: our one member in our one binding.

use arbitrary::{Result, Unstructured};
use serde_json::{Map, Value, json};

use super::unknown_field;

/// The role of our binding.
pub const ROLE: &str = "roles/run.invoker";
/// Our member.
pub const MEMBER: &str = "allUsers";

/// A policy, nearly always one that may be edited.
pub fn policy(u: &mut Unstructured<'_>) -> Result<Value> {
    let mut policy = Map::new();
    let etag = if u.ratio(1, 16)? {
        "ACAB".to_owned()
    } else {
        format!("BwY{:06x}=", u.int_in_range(0..=0xff_ffff)?)
    };
    policy.insert("etag".to_owned(), json!(etag));
    let mut bindings = Vec::new();
    for _ in 0..u.int_in_range(0..=6)? {
        bindings.push(binding(u)?);
    }
    let conditional = bindings.iter().any(|binding| !is_unconditional(binding));
    let version = match u.int_in_range(0..=7)? {
        0 => None,
        1 => Some(1),
        _ if conditional => Some(3),
        2 => Some(0),
        _ => Some(1),
    };
    if let Some(version) = version {
        policy.insert("version".to_owned(), json!(version));
    }
    if !bindings.is_empty() || u.ratio(1, 4)? {
        policy.insert("bindings".to_owned(), json!(bindings));
    }
    for _ in 0..u.int_in_range(0..=2)? {
        let (name, value) = unknown_field(u)?;
        policy.insert(name.to_owned(), value);
    }
    Ok(Value::Object(policy))
}

fn binding(u: &mut Unstructured<'_>) -> Result<Value> {
    let mut binding = Map::new();
    let role = match u.int_in_range(0..=9)? {
        0..=4 => ROLE,
        5 => "roles/run.Invoker",
        6 => "roles/run.admin",
        7 => "projects/p/roles/pilotlightGate",
        8 => "roles/viewer",
        _ => "",
    };
    binding.insert("role".to_owned(), json!(role));
    if !u.ratio(1, 16)? {
        let mut members = Vec::new();
        for _ in 0..u.int_in_range(0..=4)? {
            members.push(member(u)?);
        }
        binding.insert("members".to_owned(), json!(members));
    }
    match u.int_in_range(0..=7)? {
        0 | 1 => {
            let until = u.int_in_range(2020..=2099)?;
            let expression = format!("request.time < timestamp(\"{until}-01-01T00:00:00Z\")");
            binding.insert(
                "condition".to_owned(),
                json!({"title": "expires", "expression": expression}),
            );
        }
        2 => {
            binding.insert("condition".to_owned(), Value::Null);
        }
        3 => {
            let (name, value) = unknown_field(u)?;
            binding.insert(name.to_owned(), value);
        }
        _ => {}
    }
    Ok(Value::Object(binding))
}

fn member(u: &mut Unstructured<'_>) -> Result<String> {
    let number = u.int_in_range(0..=9)?;
    Ok(match u.int_in_range(0..=11)? {
        0..=3 => MEMBER.to_owned(),
        4 => "allAuthenticatedUsers".to_owned(),
        5 => format!("user:a{number}@example.com"),
        6 => format!("serviceAccount:s{number}@p.iam.gserviceaccount.com"),
        7 => format!("deleted:serviceAccount:s{number}@p.iam.gserviceaccount.com?uid=10{number}"),
        8 => "deleted:user:allUsers?uid=1".to_owned(),
        9 => "allusers".to_owned(),
        10 => "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/*".to_owned(),
        _ => format!("domain:example{number}.com"),
    })
}

/// Whether a policy may be edited at all: it has an etag, its bindings are of the known shape, and conditions come with version 3.
pub fn may_be_edited(policy: &Value) -> bool {
    let has_etag = policy["etag"].as_str().is_some_and(|etag| !etag.is_empty());
    let shapes = match policy.get("bindings") {
        None => true,
        Some(Value::Array(bindings)) => bindings.iter().all(|binding| {
            let members = binding.get("members");
            binding["role"].is_string()
                && members.is_none_or(|members| members.as_array().is_some_and(|all| all.iter().all(Value::is_string)))
        }),
        Some(_) => false,
    };
    let version = policy.get("version").map_or(Some(0), Value::as_i64);
    let conditional = shapes && bindings(policy).iter().any(|binding| !is_unconditional(binding));
    has_etag && shapes && version.is_some_and(|version| version >= 3 || !conditional)
}

/// Whether everyone may come in.
pub fn is_open(policy: &Value) -> bool {
    bindings(policy)
        .iter()
        .any(|binding| is_ours(binding) && members(binding).contains(&MEMBER))
}

/// What `after`, which is about to replace `before`, changes that is not ours, or changes wrongly. `Ok` when it is one member's difference.
///
/// A binding that holds nothing but our member goes with it: the provider keeps no empty ones.
pub fn one_members_difference(before: &Value, after: &Value, open: bool) -> std::result::Result<(), String> {
    if without_bindings(before) != without_bindings(after) {
        return Err("something beside the bindings differs: etag, version or an unknown field".to_owned());
    }
    let foreign = |policy| -> Vec<Value> {
        let all = bindings(policy);
        all.into_iter().filter(|binding| !is_ours(binding)).collect()
    };
    if foreign(before) != foreign(after) {
        return Err("a binding that is not ours differs, or their order does".to_owned());
    }
    let (was, is) = (granted(before), granted(after));
    let expected: Vec<String> = if open {
        let mut more = was.clone();
        more.push(MEMBER.to_owned());
        more.sort();
        more
    } else {
        was.iter().filter(|member| *member != MEMBER).cloned().collect()
    };
    if is != expected || was == is {
        return Err(format!("our members were {was:?} and become {is:?}"));
    }
    let before = bindings(before);
    for binding in bindings(after).iter().filter(|binding| is_ours(binding)) {
        let made = *binding == json!({"role": ROLE, "members": [MEMBER]});
        let kept = before
            .iter()
            .any(|old| is_ours(old) && without_members(old) == without_members(binding));
        let right = kept || (open && made);
        if !right {
            return Err(format!("our binding became another one: {binding}"));
        }
        if members(binding).is_empty() && !before.contains(binding) {
            return Err(format!("an empty binding is left: {binding}"));
        }
    }
    Ok(())
}

fn bindings(policy: &Value) -> Vec<Value> {
    policy
        .get("bindings")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

fn members(binding: &Value) -> Vec<&str> {
    let list = binding.get("members").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn is_unconditional(binding: &Value) -> bool {
    matches!(binding.get("condition"), None | Some(Value::Null))
}

fn is_ours(binding: &Value) -> bool {
    binding["role"] == ROLE && is_unconditional(binding)
}

/// The members of all our bindings, sorted.
fn granted(policy: &Value) -> Vec<String> {
    let bindings = bindings(policy);
    let ours = bindings.iter().filter(|binding| is_ours(binding));
    let mut all: Vec<String> = ours.flat_map(members).map(str::to_owned).collect();
    all.sort();
    all
}

fn without_bindings(policy: &Value) -> Value {
    without(policy, "bindings")
}

fn without_members(binding: &Value) -> Value {
    without(binding, "members")
}

fn without(object: &Value, field: &str) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
    object
}
