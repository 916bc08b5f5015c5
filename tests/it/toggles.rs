//! The toggles over real HTTP: against a provider that answers what the test says, and against the sandbox.
#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only test functions as tests, and their helpers stand here too"
)]

mod bench;
mod client;
mod cloudflare;
mod credentials;
mod google;
mod provider;
mod sandbox;
mod support;
