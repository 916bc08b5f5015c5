//! The command line.

pub mod args;
pub mod check;
pub mod client;
pub mod render;
