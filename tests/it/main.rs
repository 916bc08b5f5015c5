//! All integration tests, in one binary.

#![expect(
    unreachable_pub,
    reason = "the modules of a test binary share helpers; nothing is exported"
)]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod audit;
mod client;
mod config;
mod core_properties;
mod crash;
mod daemon;
mod driver;
mod many_sites;
mod metrics;
mod notify;
mod probe;
mod rules_switching;
mod sample;
mod sandbox;
mod sandbox_cloudflare;
mod sandbox_google;
mod sandbox_monitoring;
mod sandbox_rig;
mod saver;
mod scratch;
mod store;
mod systemd;
mod toggles;
mod webhook;
