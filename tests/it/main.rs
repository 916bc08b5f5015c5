//! All integration tests, in one binary.

#![expect(
    unreachable_pub,
    reason = "the modules of a test binary share helpers; nothing is exported"
)]

#[path = "../support/mod.rs"]
mod support;

mod config;
mod core_properties;
mod probe;
mod rules_switching;
mod sandbox;
mod sandbox_cloudflare;
mod sandbox_google;
mod sandbox_rig;
mod toggles;
