//! The toggles over real HTTP: against a provider that answers what the test says, and against the sandbox.

mod bench;
mod budget;
mod client;
mod cloudflare;
mod credentials;
mod exec;
mod generated;
mod google;
mod modes;
mod provider;
mod sandbox;
mod support;
