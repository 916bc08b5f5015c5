//! Google's uptime checker: it follows redirects and judges the final answer, so a failover turns it green.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use super::monitoring::{Incident, Monitoring, check_id, policy_id};
use super::visitors::{Addressbook, fetch};
use super::world::{PROJECT, State, World, site_host};

/// A shorter period would only burn the machine.
const SHORTEST_PERIOD: Duration = Duration::from_millis(100);

/// What one run of an uptime check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckRun {
    /// The check is disabled; nothing was sent.
    Skipped,
    /// A final answer of 2xx.
    Passed,
    /// Anything else.
    Failed,
}

impl World {
    /// Runs a site's uptime check once, as Google's checkers would; opens an incident when it fails.
    pub async fn run_uptime_check(self: &Arc<Self>, site: &str) -> CheckRun {
        let disabled = self.silence_of(site).check_disabled;
        let Some(addresses) = self.addresses().filter(|_| !disabled) else {
            return CheckRun::Skipped;
        };
        let book = Addressbook::of(self, addresses);
        let end = fetch(&book, &format!("https://{}/", site_host(site))).await;
        let passed = end.is_ok_and(|page| (200..300).contains(&page.status));
        let mut state = self.lock();
        let now = state.now();
        *state.monitoring.probes.entry(check_id(site)).or_default() += 1;
        if passed {
            state.monitoring.close_incident(&policy_id(site), "Check passed.", now);
            return CheckRun::Passed;
        }
        state.open_incident(&policy_id(site), now);
        CheckRun::Failed
    }

    /// How many probes the checker has sent for a site.
    pub fn uptime_probes(&self, site: &str) -> u64 {
        let state = self.lock();
        state
            .monitoring
            .probes
            .get(&check_id(site))
            .copied()
            .unwrap_or_default()
    }

    /// The messages on Google's notification channel, oldest first.
    pub fn incident_messages(&self) -> Vec<Value> {
        self.lock().monitoring.messages.clone()
    }
}

/// Runs every site's check once a period, until the world ends.
pub(super) async fn check_for_ever(world: Weak<World>, period: Duration) {
    let mut ticks = tokio::time::interval(period.max(SHORTEST_PERIOD));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let Some(world) = world.upgrade() else {
            return;
        };
        for site in world.sites() {
            world.run_uptime_check(site).await;
        }
    }
}

impl State {
    fn open_incident(&mut self, policy: &str, now: Timestamp) {
        let monitoring: &Monitoring = &self.monitoring;
        let enabled = monitoring
            .policies
            .get(policy)
            .and_then(|policy| policy.get("enabled")?.as_bool())
            .unwrap_or(true);
        let quiet = monitoring.snoozed_until(policy, now).is_some() || monitoring.incidents.contains_key(policy);
        if enabled && !quiet {
            let incident = Incident {
                id: format!("0.{}", self.chance.hex_id()),
                since: now,
            };
            let message = incident_message(policy, &incident, None, "Check failed.");
            self.monitoring.messages.push(message);
            self.monitoring.incidents.insert(policy.to_owned(), incident);
        }
    }
}

/// A message in the incident format 1.2.
pub(super) fn incident_message(policy: &str, incident: &Incident, ended: Option<Timestamp>, why: &str) -> Value {
    json!({
        "version": "1.2",
        "incident": {
            "incident_id": incident.id,
            "scoping_project_id": PROJECT,
            "scoping_project_number": 1,
            "started_at": incident.since.as_second(),
            "ended_at": ended.map(Timestamp::as_second),
            "state": if ended.is_some() { "closed" } else { "open" },
            "summary": why,
            "observed_value": why,
            "policy_name": policy,
            "condition": {"name": format!("projects/{PROJECT}/alertPolicies/{policy}/conditions/7")},
        },
    })
}
