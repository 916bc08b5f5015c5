//! The switch of kind `exec`: a program of the operator's moves what pilotlight does not know. For every role.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::core::{FailureKind, Observed, Position};
use crate::probe::BoxFuture;

use super::asking::{configured, effective};
use super::meter::Meter;
use super::{AskStandby, CallKind, ResourceKey, Toggle, ToggleError};

const STATUS: &str = "exec: ask for the status";
const SWITCH: &str = "exec: switch";

/// All that the program finds in its environment: nothing of ours, for ours may name files with secrets.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// So much of what it says is kept; the rest is read and forgotten.
const KEPT: usize = 4096;

/// `status` answers so when the standby is in use, and `on` and `off` when they are done.
const GOOD: i32 = 0;
/// `status` answers so when the standby is not in use.
const OFF: i32 = 3;

/// A switch moved by a program.
pub struct Exec {
    key: ResourceKey,
    command: Vec<String>,
    /// A gate's visitors; the other roles have no such side.
    ask: Option<AskStandby>,
    meter: Meter,
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Exec {
    /// A switch moved by this program with these arguments; one more is added: `on`, `off` or `status`.
    pub fn new(command: &[String], ask: Option<AskStandby>, meter: Meter) -> Self {
        let object = format!("exec/{}", command.join(" "));
        Self {
            key: ResourceKey {
                lane: object.clone(),
                object,
                credential: meter.credential().to_owned(),
            },
            command: command.to_vec(),
            ask,
            meter,
        }
    }

    async fn status(&self, kind: CallKind) -> Result<Position, ToggleError> {
        self.meter.call(kind, STATUS)?;
        let end = self.run(STATUS, "status").await?;
        match end.status.code() {
            Some(GOOD) => Ok(Position::On),
            Some(OFF) => Ok(Position::Off),
            _ => Err(end.failure(STATUS)),
        }
    }

    async fn make(&self, wanted: Position) -> Result<Observed, ToggleError> {
        if self.status(CallKind::Read).await? == wanted {
            return Ok(configured(wanted));
        }
        self.meter.call(CallKind::Write, SWITCH)?;
        let end = self.run(SWITCH, wanted.label()).await?;
        if end.status.code() != Some(GOOD) {
            return Err(end.failure(SWITCH));
        }
        if self.status(CallKind::Read).await? != wanted {
            let detail = "the program said that it was done, but its status shows the old position";
            return Err(ToggleError::new(FailureKind::NotApplied, SWITCH, detail));
        }
        Ok(configured(wanted))
    }

    async fn look(&self) -> Result<Observed, ToggleError> {
        let effective = async {
            match &self.ask {
                Some(ask) => Ok(effective(ask).await),
                None => Ok(None),
            }
        };
        let (position, effective) = tokio::try_join!(self.status(CallKind::Routine), effective)?;
        Ok(Observed {
            effective,
            ..configured(position)
        })
    }

    /// Runs it once. Whoever drops this future at its deadline ends the program with all that it started.
    async fn run(&self, doing: &'static str, word: &str) -> Result<End, ToggleError> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(ToggleError::new(FailureKind::Local, doing, "there is no program"));
        };
        let started = Command::new(program)
            .args(arguments)
            .arg(word)
            .env_clear()
            .env("PATH", PATH)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = started.map_err(|error| not_started(doing, &error))?;
        let mut group = Group::of(&child);
        // First what it says, then its end: until it is waited for, its number cannot belong to another.
        let said = match child.stderr.take() {
            Some(stderr) => first_line(stderr).await,
            None => String::new(),
        };
        let status = child.wait().await;
        group.let_go();
        let status = status.map_err(|error| not_started(doing, &error))?;
        Ok(End { status, said })
    }
}

impl Toggle for Exec {
    fn key(&self) -> &ResourceKey {
        &self.key
    }

    fn kind(&self) -> &'static str {
        "exec"
    }

    fn observe(&self) -> BoxFuture<'_, Result<Observed, ToggleError>> {
        Box::pin(self.look())
    }

    fn set(&self, position: Position) -> BoxFuture<'_, Result<Observed, ToggleError>> {
        Box::pin(self.make(position))
    }

    fn may_observe(&self) -> bool {
        self.meter.allows(CallKind::Routine)
    }
}

/// A running program and all that it started; killed when dropped.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    fn let_go(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0.take()
            && let Err(error) = kill_process_group(leader, Signal::KILL)
        {
            tracing::debug!(%error, "program of a switch not killed");
        }
    }
}

/// How a run ended.
#[derive(Debug)]
struct End {
    status: ExitStatus,
    said: String,
}

impl End {
    /// The codes of sysexits.h where they mean something here; a program that was killed may have done it.
    fn failure(&self, doing: &'static str) -> ToggleError {
        let (kind, how) = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => {
                let kind = match code {
                    64 | 78 => FailureKind::Refused,
                    77 => FailureKind::Denied,
                    _ => FailureKind::Unavailable,
                };
                (kind, format!("exit status {code}"))
            }
            (None, signal) => (
                FailureKind::NoAnswer,
                format!("killed by signal {}", signal.unwrap_or_default()),
            ),
        };
        let said = if self.said.is_empty() {
            "it said nothing"
        } else {
            &self.said
        };
        ToggleError::new(kind, doing, &format!("{how}: {said}"))
    }
}

fn not_started(doing: &'static str, error: &io::Error) -> ToggleError {
    let (kind, words) = match error.kind() {
        io::ErrorKind::NotFound => (
            FailureKind::Missing,
            "the program, or what it is to be run by, is not there",
        ),
        io::ErrorKind::PermissionDenied => (FailureKind::Denied, "the program may not be run by this user"),
        _ => (FailureKind::Local, "the program could not be run"),
    };
    ToggleError::new(kind, doing, &format!("{words} ({})", error.kind()))
}

/// The first line that says something, of the first so many bytes. Reads to the end: a program that is not listened to may stop.
async fn first_line(mut said: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(count) = said.read(&mut chunk).await {
        let Some(read) = chunk.get(..count).filter(|read| !read.is_empty()) else {
            break;
        };
        let room = KEPT.saturating_sub(kept.len());
        kept.extend(read.iter().take(room));
    }
    let text = String::from_utf8_lossy(&kept);
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_exit_status_has_its_kind() {
        let end = |raw| End {
            status: ExitStatus::from_raw(raw),
            said: "words".to_owned(),
        };
        for (code, expected) in [
            (1, FailureKind::Unavailable),
            (64, FailureKind::Refused),
            (69, FailureKind::Unavailable),
            (75, FailureKind::Unavailable),
            (77, FailureKind::Denied),
            (78, FailureKind::Refused),
        ] {
            let error = end(code << 8).failure("test");
            assert_eq!(error.kind, expected, "{code}");
            assert_eq!(error.detail, format!("exit status {code}: words"));
        }
        let killed = end(9).failure("test");
        assert_eq!(
            (killed.kind, killed.detail.as_str()),
            (FailureKind::NoAnswer, "killed by signal 9: words")
        );
    }

    #[tokio::test]
    async fn of_much_that_is_said_one_line_is_kept() {
        assert_eq!(first_line(&b""[..]).await, "");
        assert_eq!(first_line(&b"\n  \n broken pipe \nmore"[..]).await, "broken pipe");
        let long = vec![b'x'; 100_000];
        assert_eq!(first_line(&long[..]).await.len(), KEPT);
    }
}
