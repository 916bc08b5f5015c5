//! What must hold of the world, whatever befalls it. Each law has a name, one place where it stands in words, and is checked where the
//! world is touched: when a call leaves, when an object changes, when the loop turns, when a notice arrives, when a chapter ends.

use std::fmt;

use serde_json::{Value, json};

use super::objects::{is_ours, site_of_snooze};

/// A law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Law {
    /// A redirect is told to go on only when an eye has seen the standby serve since the gate last moved, or the gate has been wished
    /// open for `gate_patience`.
    RedirectOnlyToAnOpenGate,
    /// The gate is not told to shut while a redirect to it is on. One that somebody else (or a late write of ours) put on within the last
    /// quarter of an hour may not have been seen yet. Where sites share the gate, one that does not wish it open has no say in it: a redirect
    /// that somebody else put on there does not keep it from being shut when the other site is done with it.
    GateNotShutUnderRedirect,
    /// An open gate is not told to shut within `drain` of a redirect's really going off at the provider, whoever put it off. One that somebody
    /// else (or a late write of ours) put on and that never showed itself to this process, nor to one before that could save it, is not known
    /// to have sent anybody. The same holds of a site that has no say.
    DrainBeforeShut,
    /// The gate is not told to shut within `drain` of its really going open at the provider by a write of ours, nor of a site's wishing it open.
    /// It counts from the telling, an operation's deadline before the opening at most; a write that arrived late may have been told
    /// [`super::wire::LATEST`] earlier still. A wish that comes while an operation to shut it is under way does not call that back; it opens
    /// the gate again; one that came and went while the provider was down was told to nobody. A process that began since remembers neither where the disk had lost it.
    OpenedGateStaysOpen,
    /// No write asks for what is so already. An object that changed since we read it last excuses it: the race is the provider's.
    NoWriteWhenNothingDiffers,
    /// At most one call is in flight per object; warming a connection is none.
    OneInFlight,
    /// Visitors are sent away only while the references shine (or did so within their longest pause) or home itself answers the origin
    /// eye, and home only while home answers the origin eye or visitors, unless an operator ordered it. What is found at start is
    /// adopted, and no decision.
    NoSwitchWhileBlind,
    /// While paused nothing is written. An operation that had begun before ends as it would, within its deadline: it cannot be called back.
    PausedMeansNoWrites,
    /// At most 6 writes a minute and 80 calls an hour with one credential, in the life of one process: a new one counts anew.
    Budget,
    /// Everything in policy, rules, checks and snoozes that is not our switch is after a write of ours as it was before. Two exceptions lie
    /// with the providers: a rule that somebody edits between our read and our write (its API has no etag), and, in a process that has not
    /// seen the policy yet, an answer that is whole and current but for its bindings (nothing tells it from a policy without any).
    NothingElseChanges,
    /// A write's intent is on disk before it leaves, unless the disk takes no writes, or refused the last save and is asked again within
    /// a minute. A newer wish may overtake an operation that had begun: its write leaves, within its deadline, and the next undoes it.
    IntentFirst,
    /// Every notice is delivered under its one id, each site's in order, and says so when it is late. One that was worded in the very
    /// moment of a crash may not have come to the disk yet; nor has the intent that says it was told.
    ToldOnceInOrder,
    /// A restart or a crash changes neither route nor mode, if they had been on disk.
    RestartChangesNothing,
    /// The loop turns every second, and a verdict is never older than a round of probing takes.
    LoopNeverStalls,
    /// No task panics, and none is left when the process is gone.
    NoTaskLeaks,
    /// Once the world is calm, desired = observed = verified within [`super::plan::CALM`], at home, with nothing left to tell.
    Converges,
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A policy without `allUsers` in the unconditional invoker binding, and without that binding if nothing else is in it.
pub fn without_our_member(policy: &Value) -> Value {
    let mut policy = policy.clone();
    policy["etag"] = Value::Null;
    if let Some(bindings) = policy["bindings"].as_array_mut() {
        for members in bindings
            .iter_mut()
            .filter(|binding| is_ours(binding))
            .filter_map(|binding| binding["members"].as_array_mut())
        {
            members.retain(|member| member != "allUsers");
        }
        bindings.retain(|binding| binding["members"] != json!([]));
        if bindings.is_empty() {
            policy["bindings"] = Value::Null;
        }
    }
    policy
}

/// All rules, ours without their position and what the provider itself counts.
pub fn without_our_switch(rules: &[Value]) -> Value {
    let bare = |rule: &Value| {
        let mut rule = rule.clone();
        if rule["ref"] != "theirs" {
            for field in ["enabled", "status", "version", "last_updated"] {
                rule.as_object_mut().expect("a rule").remove(field);
            }
        }
        rule
    };
    rules.iter().map(bare).collect()
}

/// All checks without `disabled`, and everybody else's snoozes.
pub fn without_our_silence(checks: &[Value], snoozes: &[Value]) -> Value {
    let mut checks = checks.to_vec();
    for check in &mut checks {
        check.as_object_mut().expect("a check").remove("disabled");
    }
    let theirs: Vec<_> = snoozes
        .iter()
        .filter(|snooze| site_of_snooze(snooze).is_none())
        .collect();
    json!([checks, theirs])
}
