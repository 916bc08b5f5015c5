//! The switch of kind `exec`: what is run, with what, and what becomes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pilotlight::core::{FailureKind, Position};
use pilotlight::toggle::exec::Exec;
use pilotlight::toggle::{Meter, Resources, Toggle};

/// A folder of the test's own.
fn room(name: &str) -> PathBuf {
    let room = Path::new(env!("CARGO_TARGET_TMPDIR")).join("exec").join(name);
    fs::remove_dir_all(&room).ok();
    fs::create_dir_all(&room).unwrap();
    room
}

/// A switch that is on while the file `on` is there; `before` is run first, with the word in `$1`, and the words are kept.
fn switch(room: &Path, before: &str) -> Exec {
    let script = format!(
        "cd '{}' && echo \"$1\" >> words; {before}\n\
         case \"$1\" in on) : > on;; off) rm -f on;; status) [ -e on ] || exit 3;; *) exit 64;; esac",
        room.display()
    );
    exec(&["/bin/sh", "-c", &script, "switch"])
}

fn exec(command: &[&str]) -> Exec {
    let command: Vec<String> = command.iter().map(ToString::to_string).collect();
    Exec::new(&command, None, Meter::new("exec/site/silence"))
}

fn words(room: &Path) -> Vec<String> {
    let words = fs::read_to_string(room.join("words")).unwrap_or_default();
    words.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn r09_a_program_is_asked_moved_and_asked_again_and_left_alone_when_it_is_right() {
    let room = room("on-and-off");
    let switch = switch(&room, "");
    assert_eq!(switch.observe().await.unwrap().configured, Some(Position::Off));
    for position in [Position::On, Position::On, Position::Off] {
        assert_eq!(switch.set(position).await.unwrap().configured, Some(position));
    }
    assert_eq!(
        words(&room),
        ["status", "status", "on", "status", "status", "status", "off", "status"]
    );
}

#[tokio::test]
async fn what_a_program_fails_with_is_a_typed_error_with_its_first_words() {
    let said = "echo >&2; printf 'no \\033[31mright\\n at https://user:secret@host.example/x\\nmore\\n' >&2";
    for (code, expected) in [
        (1, FailureKind::Unavailable),
        (75, FailureKind::Unavailable),
        (77, FailureKind::Denied),
        (78, FailureKind::Refused),
    ] {
        let room = room(&format!("fails-{code}"));
        let before = format!("if [ \"$1\" = on ]; then {said}; exit {code}; fi");
        let error = switch(&room, &before).set(Position::On).await.unwrap_err();
        assert_eq!(error.kind, expected, "{code}");
        assert_eq!(error.detail, format!("exit status {code}: no [31mright"));
        assert_eq!(words(&room), ["status", "on"]);
    }
    let error = exec(&["/bin/sh", "-c", "exit 5"]).observe().await.unwrap_err();
    assert_eq!(
        (error.kind, error.detail.as_str()),
        (FailureKind::Unavailable, "exit status 5: it said nothing")
    );
    let error = exec(&["/bin/sh", "-c", "kill -9 $$"]).observe().await.unwrap_err();
    assert_eq!(error.kind, FailureKind::NoAnswer);
    let error = exec(&["/nowhere/switch"]).observe().await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Missing);
    let error = exec(&["/etc/passwd"]).observe().await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Denied);
}

#[tokio::test]
async fn a_program_that_says_done_and_did_nothing_is_not_believed() {
    let room = room("lies");
    let switch = switch(&room, "if [ \"$1\" = on ]; then exit 0; fi");
    let error = switch.set(Position::On).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::NotApplied);
}

#[tokio::test]
async fn r16_a_program_finds_nothing_of_ours_in_its_environment_and_its_first_line_shows_no_secret() {
    let room = room("environment");
    let before = "tr '\\0' '\\n' < /proc/$$/environ > environment";
    switch(&room, before).observe().await.unwrap();
    let environment = fs::read_to_string(room.join("environment")).unwrap();
    assert_eq!(
        environment,
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    );
    let error = exec(&["/bin/sh", "-c", "echo 'https://x.example/?key=abc' >&2; exit 1"])
        .observe()
        .await
        .unwrap_err();
    assert!(!error.detail.contains("abc"), "{error}");
}

#[tokio::test]
async fn a_program_that_says_much_is_listened_to_and_its_words_are_cut_off() {
    let much = "i=0; while [ $i -lt 3000 ]; do echo 'word after word after word after word after word' >&2; i=$((i+1)); done; exit 1";
    let error = exec(&["/bin/sh", "-c", much]).observe().await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unavailable);
    assert!(error.detail.len() <= 200, "{error}");
    let endless = "tr '\\0' 'x' < /dev/zero | head -c 1000000 >&2; exit 1";
    let error = exec(&["/bin/sh", "-c", endless]).observe().await.unwrap_err();
    assert!(error.detail.len() <= 200, "{error}");
}

/// Whether the process is gone, or dead and not yet buried.
fn is_dead(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

#[tokio::test]
async fn a_program_that_hangs_is_ended_at_the_deadline_with_all_that_it_started() {
    let room = room("hangs");
    let before = "if [ \"$1\" = on ]; then sleep 1000 & echo $! > child.new; mv child.new child; wait; fi";
    let switch = Arc::new(switch(&room, before));
    let running = {
        let switch = Arc::clone(&switch);
        tokio::spawn(async move { switch.set(Position::On).await })
    };
    let child = loop {
        match fs::read_to_string(room.join("child")) {
            Ok(child) => break child.trim().to_owned(),
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    };
    assert!(!is_dead(&child));
    running.abort();
    running.await.unwrap_err();
    while !is_dead(&child) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let handle = Resources::new().handle("site", switch, Duration::from_millis(300));
    let error = handle.set(Position::On).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::NoAnswer);
}
