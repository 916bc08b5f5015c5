//! strace as a second pair of hands: it watches the daemon's calls, stops it after each, kills it at one, or makes calls fail.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// The calls that change what is on the disk. An `openat` that creates nothing is passed over, unless something is done to it.
pub const WRITING: [&str; 5] = ["openat", "write", "fsync", "rename", "unlink"];
/// What writes without being used today: if it ever is, it is seen.
const WRITING_TOO: &str = "creat,open,openat2,pwrite64,writev,pwritev,fdatasync,sync_file_range,renameat,renameat2,unlinkat,mkdir,mkdirat,ftruncate,truncate,link,linkat";
/// The calls that send on a socket.
const SENDING: &str = "sendto,sendmsg,writev";
/// Places in the outbox that are watched; a life tells far fewer notices.
const PLACES: u32 = 40;
/// Attaching takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// One call as it can be found again in another run: its kind, on what, and the how-manieth of these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    pub name: String,
    pub on: String,
    pub ordinal: u32,
}

impl Call {
    /// The file in this state directory.
    fn path(&self, state: &Path) -> PathBuf {
        // strace compares paths by letter.
        if self.on == "." {
            state.to_owned()
        } else {
            state.join(&self.on)
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} #{}", self.name, self.on, self.ordinal)
    }
}

/// What strace saw.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A call of interest; it was made to fail when `injected`.
    Call { call: Call, injected: bool },
    /// All threads stand still; said once per stop.
    Stopped,
    /// It was killed on entering this call.
    Killed(Call),
}

/// Which calls are of interest.
#[derive(Clone, Debug)]
pub enum Watched {
    /// Those that write to files of this state directory.
    Disk(PathBuf),
    /// Those of this call's kind on the same file of this state directory: the daemon stands still less often.
    Call(PathBuf, Call),
    /// Those that send to these addresses, by name.
    Wire(Vec<(&'static str, SocketAddr)>),
}

/// strace at work on one process.
pub struct Tracer {
    child: Child,
    log: PathBuf,
    offset: u64,
    rest: String,
    unfinished: BTreeMap<String, String>,
    stands: bool,
    counts: BTreeMap<(String, String), u32>,
    watched: Watched,
}

/// Why this machine cannot do it, if it cannot: strace is missing, or may not attach.
pub fn why_not() -> Option<String> {
    if Command::new("strace").arg("--version").output().is_err() {
        return Some("strace is not installed".to_owned());
    }
    let mut sleeper = Command::new("sleep").arg("60").spawn().ok()?;
    let traced = Command::new("timeout")
        .args(["1", "strace", "-qq", "-o", "/dev/null", "-p", &sleeper.id().to_string()])
        .output();
    sleeper.kill().ok();
    sleeper.wait().ok();
    let complaint = String::from_utf8_lossy(&traced.ok()?.stderr).into_owned();
    complaint.contains("attach").then(|| complaint.trim().to_owned())
}

impl Tracer {
    /// Attaches to all threads of a process, with strace's own words for what to inject, and returns once it is at work.
    pub fn attach(pid: u32, watched: Watched, inject: &[String], log: PathBuf) -> Self {
        let mut command = Command::new("strace");
        command
            .args(["-f", "-yy", "-s", "1", "-p", &pid.to_string(), "-o"])
            .arg(&log);
        match &watched {
            Watched::Disk(state) => {
                command
                    .arg("-e")
                    .arg(format!("trace={},{WRITING_TOO}", WRITING.join(",")));
                for path in paths(state) {
                    command.arg("-P").arg(path);
                }
            }
            Watched::Call(state, call) => {
                command.args(["-e", &format!("trace={}", call.name)]);
                // Of a rename strace compares the old name alone, and that is a temporary one.
                if call.name != "rename" {
                    command.arg("-P").arg(call.path(state));
                }
            }
            Watched::Wire(_) => {
                command.args(["-e", &format!("trace={SENDING}")]);
            }
        }
        for words in inject {
            command.args(["-e", &format!("inject={words}")]);
        }
        let complaints = log.with_extension("complaints");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&complaints).unwrap())
            .spawn()
            .unwrap();
        let from = Instant::now();
        while !std::fs::read_to_string(&complaints)
            .unwrap_or_default()
            .contains("attached")
        {
            assert!(from.elapsed() < PATIENCE, "strace does not attach");
            std::thread::sleep(Duration::from_millis(2));
        }
        Self {
            child,
            log,
            offset: 0,
            rest: String::new(),
            unfinished: BTreeMap::new(),
            stands: false,
            counts: BTreeMap::new(),
            watched,
        }
    }

    /// Stops the process after every call of interest; [`Seen::Stopped`] is to be answered with SIGCONT.
    pub fn stepping(watched: &Watched) -> Vec<String> {
        let calls = match watched {
            Watched::Disk(_) => WRITING.join(","),
            Watched::Call(_, call) => call.name.clone(),
            Watched::Wire(_) => SENDING.to_owned(),
        };
        vec![format!("{calls}:signal=STOP")]
    }

    /// What was seen since the last time.
    pub fn seen(&mut self) -> Vec<Seen> {
        let mut text = std::mem::take(&mut self.rest);
        if let Ok(mut file) = File::open(&self.log) {
            file.seek(SeekFrom::Start(self.offset)).unwrap();
            let mut new = Vec::new();
            self.offset += file.read_to_end(&mut new).unwrap() as u64;
            text += &String::from_utf8_lossy(&new);
        }
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.rest = text.split_off(whole);
        text.lines().filter_map(|line| self.read(line)).collect()
    }

    fn read(&mut self, line: &str) -> Option<Seen> {
        let (pid, what) = line.split_once(' ')?;
        let what = what.trim_start();
        if what.starts_with("--- stopped by SIGSTOP") {
            // Each thread says so. A second SIGCONT would take away the next call's SIGSTOP.
            let stood = std::mem::replace(&mut self.stands, true);
            return (!stood).then_some(Seen::Stopped);
        }
        if what.starts_with("--- SIGCONT") {
            self.stands = false;
            return None;
        }
        if what.starts_with("+++ killed by SIGKILL") {
            let entered = self.unfinished.remove(pid)?;
            return self.call(&entered).map(Seen::Killed);
        }
        if let Some(begun) = what.strip_suffix(" <unfinished ...>") {
            self.unfinished.insert(pid.to_owned(), begun.to_owned());
            return None;
        }
        let whole = match what.strip_prefix("<... ") {
            Some(resumed) => self.unfinished.remove(pid)? + resumed,
            None => what.to_owned(),
        };
        if whole.ends_with("= ?") {
            // Killed in it; the next line of this thread says so.
            self.unfinished.insert(pid.to_owned(), whole);
            return None;
        }
        let injected = whole.contains("(INJECTED");
        let call = self.call(&whole)?;
        if call.name == "openat" && !injected && !whole.contains("O_CREAT") {
            return None;
        }
        Some(Seen::Call { call, injected })
    }

    /// The call in a line, if it is one of interest.
    fn call(&mut self, line: &str) -> Option<Call> {
        let (name, arguments) = line.split_once('(')?;
        let on = match &self.watched {
            Watched::Disk(state) | Watched::Call(state, _) => {
                let state = state.to_str()?;
                let (_, path) = arguments.rsplit_once(state)?;
                let end = path.find(['"', '>'])?;
                let file = path.get(..end)?.trim_start_matches('/');
                if file.is_empty() { "." } else { file }.to_owned()
            }
            Watched::Wire(peers) => {
                let peer = peers.iter().find(|(_, at)| arguments.contains(&format!("->{at}]")))?;
                peer.0.to_owned()
            }
        };
        let count = self.counts.entry((name.to_owned(), on.clone())).or_default();
        *count += 1;
        Some(Call {
            name: name.to_owned(),
            on,
            ordinal: *count,
        })
    }

    /// The rest, of a process that was killed.
    pub fn end(&mut self) -> Vec<Seen> {
        self.child.wait().unwrap();
        self.seen()
    }

    /// Lets the process go, or ends with it.
    pub fn detach(mut self) -> Vec<Seen> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().ok();
        self.child.wait().unwrap();
        self.seen()
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // A run that failed half-way leaves no strace behind.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Every file of the state directory that a life may write: strace asks for each by name.
fn paths(state: &Path) -> Vec<PathBuf> {
    let outbox = state.join("outbox").join("sandbox");
    let mut paths = vec![state.join("site.json"), state.join(".site.json.tmp"), state.to_owned()];
    for place in 1..=PLACES {
        let name = format!("{place:020}.json");
        paths.push(outbox.join(format!(".{name}.tmp")));
        paths.push(outbox.join(name));
    }
    paths.push(outbox);
    paths
}
