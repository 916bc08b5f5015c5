//! The command line: picks the command, the runtime and the log, and turns every error into one printed line and an exit code.

pub mod args;
pub mod check;
pub mod client;
pub mod logging;
pub mod operate;
pub mod render;
pub mod run;

#[cfg(feature = "sandbox")]
pub mod demo;
#[cfg(feature = "sandbox")]
pub mod playbill;
#[cfg(feature = "sandbox")]
pub mod stage;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

use crate::core::{Order, Route};

/// Runs the command that argv names.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let paths = cli.global.config_paths();
    let result = match cli.command {
        Command::Check { json } => return check::check(&paths, json),
        Command::Run => run::run(&cli.global),
        Command::Status { site, admin } => operate::status(&cli.global, site.as_deref(), &admin),
        Command::Failover(args) => operate::order(&cli.global, Order::Force(Route::Standby), &args),
        Command::Failback(args) => operate::order(&cli.global, Order::Force(Route::Origin), &args),
        Command::Pause(args) => operate::order(&cli.global, Order::Pause, &args),
        Command::Resume { site, audit, admin } => operate::resume(&cli.global, &site, &audit, &admin),
        #[cfg(feature = "sandbox")]
        Command::Demo(args) => on_runtime(&cli.global, demo::demo(args)),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => on_runtime(&cli.global, demo::sandbox(args)),
    };
    result.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

/// The whole chain of an error, once, on one line.
fn complain(error: &anyhow::Error) {
    // Nobody is left to be told when standard error is gone; the exit code still tells.
    let _ = writeln!(std::io::stderr(), "pilotlight: {error:#}");
}

/// Runs `work` on a fresh runtime; one thread is enough for a watcher.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // A name look-up may hang in its thread; nobody waits for it.
    runtime.shutdown_background();
    result
}

#[cfg(feature = "sandbox")]
fn on_runtime(global: &args::Global, work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let level = global.log.as_deref().unwrap_or("off");
    logging::start(level, global.log_format.unwrap_or_default())?;
    block_on(work)
}
