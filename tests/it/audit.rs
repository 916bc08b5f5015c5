//! Every command leaves a line in the log that says who, what, where and why, and no line shows a token.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use crate::admin::{Daemon, command};

const CANARY: &str = "canary-a0d1";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn r17_every_command_leaves_an_audit_line_without_the_token() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    // With one subscriber only, tracing asks whichever thread comes to a log line first, and none listens on that of another test.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);
    let address = Daemon::start(Some(CANARY)).await.obey();
    let body = r#"{"reason":"new router","author":"ann"}"#;
    for (path, token) in [
        ("home/failover", CANARY),
        ("home/pause", "canary-a0d2"),
        ("nowhere/pause", CANARY),
    ] {
        command(address, path, token, body).await;
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("pilotlight::audit")).collect();
    let [accepted, unauthorized, no_site] = lines[..] else {
        panic!("{text}")
    };
    for part in [
        "INFO",
        "command accepted",
        r#"command="failover""#,
        r#"site="home""#,
        r#"author="ann""#,
        r#"reason="new router""#,
        r#"until="2026-01-01T04:00:00Z""#,
        "from=127.0.0.1:",
        "in_force=true",
    ] {
        assert!(accepted.contains(part), "{part} is not in {accepted}");
    }
    for (line, refused) in [(unauthorized, "unauthorized"), (no_site, "no_such_site")] {
        assert!(
            line.contains("WARN") && line.contains(&format!("refused=\"{refused}\"")),
            "{line}"
        );
    }
    assert!(!text.contains("canary-a0d"), "a token shows: {text}");
}
