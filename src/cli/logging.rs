//! Where log lines go and how they look: text on a terminal, the journal under systemd, JSON elsewhere.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;

/// Starts logging. `level` is `info` or `info,pilotlight::driver=debug`.
pub fn start(level: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter: Targets = level
        .parse()
        .with_context(|| format!("log level {level:?}: write it like info or info,pilotlight::driver=debug"))?;
    let registry = tracing_subscriber::registry().with(filter);
    let terminal = std::io::stderr().is_terminal();
    match format {
        LogFormat::Auto if terminal => registry.with(text(true)).try_init()?,
        LogFormat::Auto if under_journald() => match tracing_journald::layer() {
            Ok(journal) => registry.with(journal).try_init()?,
            Err(_) => registry.with(json()).try_init()?,
        },
        LogFormat::Auto | LogFormat::Json => registry.with(json()).try_init()?,
        LogFormat::Text => registry.with(text(terminal)).try_init()?,
        LogFormat::Journald => {
            let journal = tracing_journald::layer().context("the journal's socket cannot be reached")?;
            registry.with(journal).try_init()?;
        }
    }
    Ok(())
}

fn text<S>(colour: bool) -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .with_ansi(colour)
        .with_writer(std::io::stderr)
}

fn json<S>() -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr)
}

/// systemd connects standard error to the journal and says so.
fn under_journald() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some()
}
