//! Helpers that several test modules share.

#[cfg(feature = "sandbox")]
pub mod daemon;
pub mod disk;
pub mod foreign;
pub mod model;
