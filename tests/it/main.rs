//! All integration tests, in one binary.

#![cfg(test)]
#![expect(
    unreachable_pub,
    reason = "the modules of a test binary share helpers; nothing is exported"
)]

#[expect(dead_code, reason = "the proof uses the rest of what the tests share")]
#[path = "../support/mod.rs"]
mod support;

mod admin;
mod audit;
mod client;
mod config;
mod core_corners;
mod core_judge;
mod core_looks;
mod core_machine;
mod core_parts;
mod core_planted;
mod core_properties;
mod core_standby;
mod core_status;
mod core_switch;
mod core_switch_runs;
mod core_words;
mod crash;
mod daemon;
mod documents;
mod driver;
mod driver_rig;
mod exec;
mod faults;
mod gate_modes;
mod house;
mod layering;
mod many_sites;
mod metrics;
mod notify;
mod outbox;
mod probe;
mod rules_deciding;
mod rules_guarding;
mod rules_layouts;
mod rules_proving;
mod rules_starting;
mod rules_switching;
mod sample;
mod sandbox;
mod sandbox_cloudflare;
mod sandbox_google;
mod sandbox_monitoring;
mod sandbox_places;
mod sandbox_rig;
mod saver;
mod scratch;
mod store;
mod systemd;
mod toggles;
mod webhook;
mod worker_route;
