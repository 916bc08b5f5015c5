//! Where log lines go and how they look: text on a terminal, the journal under systemd, JSON elsewhere.

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;

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

/// Whether standard error is the journal. The variable alone does not tell: children inherit it, also when their standard
/// error goes elsewhere (`systemd.exec(5)` says to compare device and inode).
fn under_journald() -> bool {
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stream(&stream, "/proc/self/fd/2"))
}

/// Whether `file` is the stream that is named as `DEVICE:INODE`.
fn is_stream(stream: &str, file: &str) -> bool {
    std::fs::metadata(file).is_ok_and(|file| stream == format!("{}:{}", file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_error_is_the_journal_only_when_device_and_inode_are() {
        let here = std::fs::metadata("/proc/self/exe").unwrap();
        let stream = format!("{}:{}", here.dev(), here.ino());
        assert!(is_stream(&stream, "/proc/self/exe"));
        assert!(!is_stream(&stream, "/dev/null"));
        assert!(!is_stream("", "/dev/null"));
        assert!(!is_stream("8:1", "/nowhere/at/all"));
    }
}
