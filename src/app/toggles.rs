//! The toggles of a site, from its settings.

use std::sync::Arc;

use anyhow::Context;

use crate::config::{Gate, GateMode, Redirect, Silence, Site};
use crate::core::{Role, ToggleKey};
use crate::probe::Look;
use crate::toggle::cloud_run::{CloudRunGate, CloudRunSettings};
use crate::toggle::cloudflare::CloudflareClient;
use crate::toggle::exec::Exec;
use crate::toggle::google::GoogleClient;
use crate::toggle::invoker_check::InvokerCheckGate;
use crate::toggle::monitoring::{Snooze, SnoozeSettings};
use crate::toggle::open_gate::OpenGate;
use crate::toggle::page_rule::{PageRule, PageRuleSettings};
use crate::toggle::single_redirect::{SingleRedirect, SingleRedirectSettings};
use crate::toggle::uptime_check::{UptimeCheck, UptimeCheckSettings};
use crate::toggle::worker_route::{WorkerRoute, WorkerRouteSettings};
use crate::toggle::{AskStandby, Meter, Toggle};

use super::Shared;
use super::credentials::{cloudflare_label, google_label, wall};

pub(super) type Toggles = Vec<(ToggleKey, Arc<dyn Toggle>)>;

pub(super) fn build_toggles(site: &Site, shared: &Shared, standby: Arc<dyn Look>) -> anyhow::Result<Toggles> {
    let mut toggles: Toggles = Vec::new();
    let mut add = |role, index, toggle: Arc<dyn Toggle>| {
        let handle = shared.resources.handle(&site.name, toggle, site.toggle_timeout);
        toggles.push((ToggleKey { role, index }, handle));
    };
    if let Some(gate) = &site.gate {
        add(Role::Gate, 0, build_gate(gate, site, shared, standby)?);
    }
    if let Some(redirect) = &site.redirect {
        add(Role::Redirect, 0, build_redirect(redirect, site, shared)?);
    }
    for (index, silence) in (0_u8..).zip(&site.silences) {
        add(Role::Silence, index, build_silence(silence, index, site, shared)?);
    }
    Ok(toggles)
}

/// A program has calls to spend as a credential has.
fn exec_meter(site: &Site, role: Role, index: u8, shared: &Shared) -> Meter {
    let key = ToggleKey { role, index };
    shared.resources.meter(&format!("exec/{}/{key}", site.name))
}

pub(super) fn build_gate(
    gate: &Gate,
    site: &Site,
    shared: &Shared,
    standby: Arc<dyn Look>,
) -> anyhow::Result<Arc<dyn Toggle>> {
    let ask: AskStandby = Arc::new(move || {
        let standby = Arc::clone(&standby);
        Box::pin(async move { standby.look().await })
    });
    let (mode, google, project, region, service) = match gate {
        Gate::CloudRun {
            mode,
            google,
            project,
            region,
            service,
        } => (mode, google, project, region, service),
        Gate::Exec { command } => {
            let meter = exec_meter(site, Role::Gate, 0, shared);
            return Ok(Arc::new(Exec::new(command, Some(ask), meter)));
        }
    };
    let (client, credential) = shared.google.get(google).context("google credential")?;
    let settings = CloudRunSettings {
        base_url: credential.run_url.to_string(),
        project: project.clone(),
        region: region.clone(),
        service: service.clone(),
    };
    let (client, meter) = (client.clone(), shared.resources.meter(&google_label(google)));
    Ok(match mode {
        GateMode::Iam => Arc::new(CloudRunGate::new(&settings, client, ask, meter)),
        GateMode::InvokerCheck => Arc::new(InvokerCheckGate::new(&settings, client, ask, meter)),
        GateMode::Open => Arc::new(OpenGate::new(&settings, client, ask, meter)),
    })
}

pub(super) fn build_redirect(redirect: &Redirect, site: &Site, shared: &Shared) -> anyhow::Result<Arc<dyn Toggle>> {
    Ok(match redirect {
        Redirect::SingleRedirect {
            cloudflare,
            zone_id,
            rule_ref,
            status_code,
            coverage,
            ..
        } => {
            let (client, meter) = by_cloudflare(cloudflare, shared)?;
            Arc::new(SingleRedirect::new(
                SingleRedirectSettings {
                    zone_id: zone_id.clone(),
                    rule_ref: rule_ref.clone(),
                    status_code: Some(*status_code),
                    hosts: coverage.hosts.clone(),
                    excluded_paths: coverage.excluded_paths.clone(),
                },
                client,
                meter,
            ))
        }
        Redirect::PageRule {
            cloudflare,
            zone_id,
            rule_id,
            coverage,
            ..
        } => {
            let (client, meter) = by_cloudflare(cloudflare, shared)?;
            Arc::new(PageRule::new(
                PageRuleSettings {
                    zone_id: zone_id.clone(),
                    rule_id: rule_id.clone(),
                    hosts: coverage.hosts.clone(),
                },
                client,
                meter,
            ))
        }
        Redirect::WorkerRoute {
            cloudflare,
            zone_id,
            pattern,
            script,
            coverage,
            ..
        } => {
            let (client, meter) = by_cloudflare(cloudflare, shared)?;
            Arc::new(WorkerRoute::new(
                WorkerRouteSettings {
                    zone_id: zone_id.clone(),
                    pattern: pattern.clone(),
                    script: script.clone(),
                    excluded_paths: coverage.excluded_paths.clone(),
                },
                client,
                meter,
            ))
        }
        Redirect::Exec { command, .. } => {
            Arc::new(Exec::new(command, None, exec_meter(site, Role::Redirect, 0, shared)))
        }
    })
}

fn by_cloudflare(name: &str, shared: &Shared) -> anyhow::Result<(CloudflareClient, Meter)> {
    let client = shared.cloudflare.get(name).context("cloudflare credential")?;
    Ok((client.clone(), shared.resources.meter(&cloudflare_label(name))))
}

/// The client, the base URL of Google Monitoring, and the meter.
fn by_google(name: &str, shared: &Shared) -> anyhow::Result<(GoogleClient, String, Meter)> {
    let (client, credential) = shared.google.get(name).context("google credential")?;
    let meter = shared.resources.meter(&google_label(name));
    Ok((client.clone(), credential.monitoring_url.to_string(), meter))
}

pub(super) fn build_silence(
    silence: &Silence,
    index: u8,
    site: &Site,
    shared: &Shared,
) -> anyhow::Result<Arc<dyn Toggle>> {
    Ok(match silence {
        Silence::Snooze {
            google,
            project,
            alert_policy,
        } => {
            let (client, base_url, meter) = by_google(google, shared)?;
            Arc::new(Snooze::new(
                SnoozeSettings {
                    base_url,
                    project: project.clone(),
                    alert_policy: alert_policy.clone(),
                    instance: site.name.clone(),
                    length: SnoozeSettings::LENGTH,
                },
                client,
                meter,
                wall(&shared.clock),
            ))
        }
        Silence::UptimeCheck {
            google,
            project,
            check_id,
        } => {
            let (client, base_url, meter) = by_google(google, shared)?;
            let settings = UptimeCheckSettings {
                base_url,
                project: project.clone(),
                check_id: check_id.clone(),
            };
            Arc::new(UptimeCheck::new(&settings, client, meter))
        }
        Silence::Exec { command } => Arc::new(Exec::new(command, None, exec_meter(site, Role::Silence, index, shared))),
    })
}
