//! `pilotlight run`: the daemon.

use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::app;
use crate::config;

use super::args::Global;
use super::check::{EX_CONFIG, print_complaints};
use super::{block_on, logging};

/// Checks the config, starts everything and runs until SIGTERM or SIGINT. A bad config touches nothing and exits 78.
pub fn run(global: &Global) -> anyhow::Result<ExitCode> {
    let config = match config::load(&global.config_paths()) {
        Ok(config) => config,
        Err(complaints) => {
            print_complaints(&complaints);
            return Ok(ExitCode::from(EX_CONFIG));
        }
    };
    let level = global.log.as_deref().unwrap_or(&config.daemon.log);
    logging::start(level, global.log_format.unwrap_or(config.daemon.log_format))?;
    block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
        let running = app::start(&config).await?;
        tracing::info!(sites = config.sites.len(), admin = %config.admin.listen, "watching");
        // Cancel-safe: a signal that is not taken here stays pending, and the loop ends anyway.
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        running.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}
