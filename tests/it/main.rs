//! All integration tests, in one binary.

#![expect(
    unreachable_pub,
    reason = "the modules of a test binary share helpers; nothing is exported"
)]

#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod admin;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod client;
mod config;
mod core_properties;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod notify;
mod probe;
mod rules_switching;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod scratch;
#[cfg(test)]
mod store;
#[cfg(test)]
mod systemd;
#[cfg(test)]
mod webhook;
