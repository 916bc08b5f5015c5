//! An IAM policy, and the one member in it that is ours: pure.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::core::Position;

const ROLE: &str = "roles/run.invoker";
const MEMBER: &str = "allUsers";

/// The etag of a policy that was never set.
const NEVER_SET: &str = "ACAB";

/// An IAM policy whose shape was checked; kept as raw JSON so that everything that is not ours goes back as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy(Value);

impl Policy {
    /// Checks everything that an edit relies on. A policy without an etag would be written blindly, so it is refused; one without bindings
    /// is what a service that nobody was ever granted on answers.
    pub fn parse(value: Value) -> Result<Self, &'static str> {
        let etag = value.get("etag").and_then(Value::as_str);
        if etag.is_none_or(str::is_empty) {
            return Err("the policy has no etag, so writing it could overwrite others' changes");
        }
        let bindings = match value.get("bindings") {
            None => &[],
            Some(Value::Array(bindings)) => bindings.as_slice(),
            Some(_) => return Err("the policy's bindings are not a list"),
        };
        if !bindings.iter().all(is_binding) {
            return Err("the policy holds a binding of unknown shape");
        }
        let version = match value.get("version") {
            None => 0,
            Some(version) => version.as_i64().ok_or("the policy's version is not a number")?,
        };
        // A conditional policy that goes back with a lower version loses its conditions.
        if version < 3 && bindings.iter().any(|binding| !is_unconditional(binding)) {
            return Err("the policy has conditions but not version 3");
        }
        Ok(Self(value))
    }

    /// The policy as it goes back to the provider.
    pub fn into_json(self) -> Value {
        self.0
    }

    fn etag(&self) -> &str {
        self.0.get("etag").and_then(Value::as_str).unwrap_or_default()
    }

    fn is_blank(&self) -> bool {
        self.bindings().next().is_none()
    }

    fn grants_others(&self) -> bool {
        self.bindings()
            .any(|binding| !is_ours(binding) || members(binding).any(|member| member != MEMBER))
    }

    fn bindings(&self) -> impl Iterator<Item = &Value> {
        self.0.get("bindings").and_then(Value::as_array).into_iter().flatten()
    }

    /// Whether everyone may come in.
    pub fn position(&self) -> Position {
        let open = self
            .bindings()
            .any(|binding| is_ours(binding) && members(binding).any(|member| member == MEMBER));
        if open { Position::On } else { Position::Off }
    }

    /// The policy with our one member added or removed; `None` when nothing differs.
    pub fn moved_to(&self, wanted: Position) -> Option<Self> {
        if self.position() == wanted {
            return None;
        }
        let mut policy = self.0.clone();
        let fields = policy.as_object_mut()?;
        let bindings = fields.entry("bindings").or_insert_with(|| json!([])).as_array_mut()?;
        match wanted {
            Position::On => add_member(bindings),
            Position::Off => remove_member(bindings),
        }
        // Google leaves out empty lists; so do we.
        if bindings.is_empty() {
            fields.remove("bindings");
        }
        Some(Self(policy))
    }
}

/// A service that looks as if it were made anew, or as if everyone else's grants were gone, is believed when it has looked so this many
/// times in a row: routine reads come to that in under two hours, retries in a failover in half an hour, and no passing nonsense lasts
/// so long.
const DOUBTS: u8 = 20;

/// What the policy looked like when this process saw it last.
#[derive(Debug, Default)]
pub struct LastPolicy(Mutex<Option<Seen>>);

#[derive(Debug)]
struct Seen {
    etag: String,
    blank: bool,
    /// Whether it held anything beside our own member.
    others: bool,
    doubts: u8,
}

impl LastPolicy {
    /// Believes a policy without bindings only if nothing speaks against it: the etag of a policy that had some cannot come with none, and
    /// writing such an answer back would take everyone's grants away. Two more are doubted at first. The etag of a policy that was never
    /// set, though another was seen: a service may have been made anew, and if it was not, the provider refuses a write with that etag.
    /// And any other etag, though others had grants: our own write may have moved it unseen, its answer lost.
    pub fn accept(&self, policy: Policy) -> Result<Policy, &'static str> {
        let (etag, blank) = (policy.etag(), policy.is_blank());
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = last.as_mut().filter(|_| blank) {
            let same = etag == seen.etag;
            let made_anew = etag == NEVER_SET && !same;
            let doubtful = made_anew || (seen.others && !same);
            seen.doubts = if doubtful { seen.doubts.saturating_add(1) } else { 0 };
            if (same && !seen.blank) || (doubtful && seen.doubts < DOUBTS) {
                return Err("the policy's bindings are missing though it had some");
            }
        }
        *last = Some(Seen {
            etag: etag.to_owned(),
            blank,
            others: policy.grants_others(),
            doubts: 0,
        });
        drop(last);
        Ok(policy)
    }
}

fn add_member(bindings: &mut Vec<Value>) {
    let ours = bindings.iter_mut().find(|binding| is_ours(binding));
    let list = ours.and_then(|binding| binding.get_mut("members")?.as_array_mut());
    match list {
        Some(list) => list.push(json!(MEMBER)),
        None => bindings.push(json!({"role": ROLE, "members": [MEMBER]})),
    }
}

/// A binding must hold at least one member, so an empty one is dropped.
fn remove_member(bindings: &mut Vec<Value>) {
    bindings.retain_mut(|binding| {
        if !is_ours(binding) {
            return true;
        }
        let Some(list) = binding.get_mut("members").and_then(Value::as_array_mut) else {
            return true;
        };
        let before = list.len();
        list.retain(|member| member != MEMBER);
        !list.is_empty() || before == 0
    });
}

fn is_binding(binding: &Value) -> bool {
    let members = match binding.get("members") {
        None => true,
        Some(members) => members.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
    };
    members && binding.get("role").is_some_and(Value::is_string)
}

fn is_ours(binding: &Value) -> bool {
    is_unconditional(binding) && binding.get("role").is_some_and(|role| role == ROLE)
}

fn is_unconditional(binding: &Value) -> bool {
    binding.get("condition").is_none_or(Value::is_null)
}

fn members(binding: &Value) -> impl Iterator<Item = &Value> {
    binding.get("members").and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bindings_that_cannot_have_vanished_are_missed() {
        let seen = LastPolicy::default();
        let never_set = || policy(json!({"etag": "ACAB"}));
        let granted = || policy(json!({"etag": "E1", "bindings": [{"role": ROLE, "members": ["allUsers"]}]}));
        assert!(seen.accept(never_set()).is_ok(), "nobody was granted yet");
        assert!(seen.accept(granted()).is_ok());
        assert!(
            seen.accept(policy(json!({"etag": "E1"}))).is_err(),
            "the same etag had bindings"
        );
        assert!(seen.accept(never_set()).is_err(), "something was set already");
        assert!(
            seen.accept(policy(json!({"etag": "E2", "version": 1}))).is_ok(),
            "the last one was removed"
        );
        assert!(seen.accept(never_set()).is_err());
    }

    #[test]
    fn r09_the_grants_of_others_cannot_have_vanished_with_a_write_whose_answer_was_lost() {
        let seen = LastPolicy::default();
        let others = json!({"role": "roles/run.viewer", "members": ["user:owner@site.example"]});
        let shared = |etag: &str| policy(json!({"etag": etag, "bindings": [others]}));
        assert!(seen.accept(shared("E1")).is_ok());
        let hollow = || policy(json!({"etag": "E2"}));
        assert!(
            seen.accept(hollow()).is_err(),
            "written back it would take the owner's grant away"
        );
        assert!(seen.accept(shared("E2")).is_ok(), "it was an answer gone wrong");
        for _ in 1..DOUBTS {
            assert!(seen.accept(policy(json!({"etag": "E3"}))).is_err());
        }
        assert!(
            seen.accept(policy(json!({"etag": "E3"}))).is_ok(),
            "somebody did take them away"
        );
    }

    #[test]
    fn a_service_that_was_made_anew_is_believed_in_the_end() {
        let seen = LastPolicy::default();
        let granted = || policy(json!({"etag": "E1", "bindings": [{"role": ROLE, "members": ["allUsers"]}]}));
        let never_set = || policy(json!({"etag": "ACAB"}));
        assert!(seen.accept(granted()).is_ok());
        for _ in 1..DOUBTS {
            assert!(seen.accept(never_set()).is_err());
        }
        assert!(seen.accept(granted()).is_ok(), "it was an answer gone wrong");
        for _ in 1..DOUBTS {
            assert!(seen.accept(never_set()).is_err());
        }
        assert!(seen.accept(never_set()).is_ok());
        for _ in 0..2 * DOUBTS {
            assert!(seen.accept(granted()).is_ok());
            assert!(
                seen.accept(policy(json!({"etag": "E1"}))).is_err(),
                "the same etag had bindings"
            );
        }
    }

    fn policy(value: Value) -> Policy {
        Policy::parse(value).unwrap()
    }

    #[test]
    fn opening_a_service_nobody_was_granted_on_makes_the_binding() {
        let opened = policy(json!({"etag": "ACAB"})).moved_to(Position::On).unwrap();
        assert_eq!(
            opened.0,
            json!({"etag": "ACAB", "bindings": [{"role": ROLE, "members": ["allUsers"]}]})
        );
        assert_eq!(opened.moved_to(Position::Off).unwrap().0, json!({"etag": "ACAB"}));
        assert_eq!(
            opened.moved_to(Position::On),
            None,
            "nothing to change means nothing is sent"
        );
    }

    #[test]
    fn a_conditional_binding_of_the_same_role_is_not_ours() {
        let condition = json!({"title": "t", "expression": "true"});
        let before = policy(json!({
            "etag": "E", "version": 3,
            "bindings": [{"role": ROLE, "members": ["allUsers"], "condition": condition}],
        }));
        assert_eq!(before.position(), Position::Off);
        let after = before.moved_to(Position::On).unwrap();
        assert_eq!(after.0["bindings"][0], before.0["bindings"][0]);
        assert_eq!(after.0["bindings"][1], json!({"role": ROLE, "members": ["allUsers"]}));
    }

    #[test]
    fn a_policy_of_the_wrong_shape_is_never_edited() {
        for wrong in [
            json!({}),
            json!({"bindings": []}),
            json!({"etag": ""}),
            json!({"etag": 5}),
            json!({"etag": "E", "bindings": null}),
            json!({"etag": "E", "bindings": {}}),
            json!({"etag": "E", "bindings": ["roles/run.invoker"]}),
            json!({"etag": "E", "bindings": [{"members": []}]}),
            json!({"etag": "E", "bindings": [{"role": ROLE, "members": "allUsers"}]}),
            json!({"etag": "E", "bindings": [{"role": ROLE, "members": [1]}]}),
            json!({"etag": "E", "version": "3"}),
            json!({"etag": "E", "version": 1, "bindings": [{"role": ROLE, "members": [], "condition": {"title": "t"}}]}),
        ] {
            assert!(Policy::parse(wrong.clone()).is_err(), "{wrong}");
        }
    }

    fn any_member() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(json!("allUsers")),
            Just(json!("allAuthenticatedUsers")),
            "user:[a-z]{1,4}@example\\.com".prop_map(Value::from),
            "deleted:serviceAccount:[a-z]{1,4}\\?uid=[0-9]{1,4}".prop_map(Value::from),
        ]
    }

    fn any_binding() -> impl Strategy<Value = Value> {
        let role = prop_oneof![
            Just(ROLE),
            Just("roles/viewer"),
            Just("projects/p/roles/pilotlightGate")
        ];
        let members = prop::collection::vec(any_member(), 0..3);
        (role, members, any::<bool>(), "[a-z]{0,3}").prop_map(|(role, members, conditional, extra)| {
            let mut binding = json!({"role": role, "members": members, "foreign": extra});
            if conditional {
                binding["condition"] = json!({"title": extra, "expression": "request.time < timestamp(\"x\")"});
            }
            binding
        })
    }

    fn any_policy() -> impl Strategy<Value = Value> {
        (prop::collection::vec(any_binding(), 0..5), any::<u32>()).prop_map(|(bindings, number)| {
            json!({"etag": format!("E{number}"), "version": 3, "bindings": bindings, "auditConfigs": [{"service": number}]})
        })
    }

    /// The policy without our member in our binding, and without what only holds that member.
    fn without_ours(policy: &Value) -> Value {
        let mut policy = policy.clone();
        if let Some(bindings) = policy.get_mut("bindings").and_then(Value::as_array_mut) {
            for binding in bindings.iter_mut() {
                let ours = binding["role"] == ROLE && binding.get("condition").is_none();
                if let Some(members) = binding["members"].as_array_mut().filter(|_| ours) {
                    members.retain(|member| member != "allUsers");
                }
            }
            bindings.retain(|binding| binding["role"] != ROLE || binding["members"] != json!([]));
        }
        if policy.get("bindings") == Some(&json!([])) {
            policy.as_object_mut().unwrap().remove("bindings");
        }
        policy
    }

    proptest! {
        #[test]
        fn r09_exactly_our_one_member_differs(value in any_policy(), on in any::<bool>()) {
            let before = policy(value.clone());
            let wanted = if on { Position::On } else { Position::Off };
            match before.moved_to(wanted) {
                None => prop_assert_eq!(before.position(), wanted),
                Some(after) => {
                    prop_assert_eq!(after.position(), wanted);
                    prop_assert_eq!(without_ours(&after.0), without_ours(&value));
                    prop_assert!(after.moved_to(wanted).is_none());
                    prop_assert!(Policy::parse(after.0).is_ok());
                }
            }
        }
    }
}
