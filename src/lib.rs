//! Pilotlight: watches a site hosted at home and lights its cloud standby when home goes dark.

pub mod core;

pub mod clock;
pub mod driver;
pub mod saver;
pub mod store;

pub mod notify;
pub mod probe;
pub mod toggle;

pub mod http;
pub mod tls;

pub mod admin;
pub mod metrics;
pub mod systemd;

pub mod app;
pub mod cli;
pub mod config;

#[cfg(feature = "sandbox")]
pub mod sandbox;
