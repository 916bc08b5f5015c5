//! The eyes and the mirror against real servers on loopback, and the ticking task on a paused clock.

mod eyes;
mod origin;
mod references;
mod server;
mod task;
