//! The real binary before the sandbox: started, killed, started again.

use std::fs::File;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pilotlight::sandbox::{Kinds, Options, Profile, Sandbox, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;

/// Nothing here is timed; a condition that does not come true for this long never will.
pub const LIMIT: Duration = Duration::from_secs(120);
/// How often the world is looked at.
const GLANCE: Duration = Duration::from_millis(4);

/// Durations short enough for a test, in the proportions of the defaults.
const QUICK: &str = r#"
[daemon]
log = "trace"
log_format = "json"
[probe]
interval = "250ms"
timeout = "200ms"
confirm_interval = "50ms"
hedge_after = "100ms"
[visitor]
interval = "500ms"
timeout = "2s"
[references]
again = "500ms"
[policy]
unhealthy_threshold = 2
down_for = "1s"
clear_for = "500ms"
healthy_threshold = 2
up_for = "1s"
up_for_max = "4s"
relapse_window = "3s"
[timing]
gate_patience = "20s"
drain = "1s"
verify_every = "15s"
toggle_timeout = "900ms"
home_proof = "5s"
"#;

/// A sandbox with its own directory, and the config of a daemon before it.
#[derive(Debug)]
pub struct Lab {
    pub sandbox: Sandbox,
    pub dir: PathBuf,
    config: PathBuf,
    /// Settings laid over it, the last ones on top.
    over: Vec<PathBuf>,
    runs: u32,
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Lab {
    /// A fresh world for the test of this name.
    pub async fn new(name: &str) -> Self {
        Self::with(name, Kinds::default()).await
    }

    /// The same with these sites.
    pub async fn of_sites(name: &str, sites: &[&str]) -> Self {
        Self::build(name, Kinds::default(), sites).await
    }

    /// The same with other kinds of toggles or credentials.
    pub async fn with(name: &str, kinds: Kinds) -> Self {
        Self::build(name, kinds, &["site"]).await
    }

    /// The same where a change of the gate never reaches a visitor.
    pub async fn with_slow_grants(name: &str, kinds: Kinds) -> Self {
        Self::build_with(name, kinds, &["site"], Duration::from_secs(3600)).await
    }

    async fn build(name: &str, kinds: Kinds, sites: &[&str]) -> Self {
        Self::build_with(name, kinds, sites, Duration::from_millis(400)).await
    }

    async fn build_with(name: &str, kinds: Kinds, sites: &[&str], iam_propagation: Duration) -> Self {
        let dir = std::env::temp_dir().join(format!("pl-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let options = Options {
            api_delay: Duration::from_millis(20),
            iam_propagation,
            edge_propagation: Duration::from_millis(100),
            edge_timeout: Duration::from_millis(800),
            cold_start: Duration::from_millis(50),
            sites: sites.iter().map(ToString::to_string).collect(),
            ..Options::new(&dir)
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        let config = sandbox.write_config(Profile::Demo, kinds).unwrap();
        let mut lab = Self {
            sandbox,
            dir,
            config,
            over: Vec::new(),
            runs: 0,
        };
        lab.lay_over("quick.toml", QUICK);
        lab
    }

    /// Lays settings over those that there are.
    pub fn lay_over(&mut self, file: &str, settings: &str) {
        let path = self.dir.join(file);
        std::fs::write(&path, settings).unwrap();
        self.over.push(path);
    }

    pub fn world(&self) -> Arc<World> {
        self.sandbox.world()
    }

    /// The daemon's log of run `number`, from 1.
    pub fn log(&self, number: u32) -> PathBuf {
        self.dir.join(format!("run-{number}.log"))
    }

    /// All that the daemon ever printed.
    pub fn printed(&self) -> String {
        (1..=self.runs)
            .map(|number| std::fs::read_to_string(self.log(number)).unwrap_or_default())
            .collect()
    }

    /// The command line for `pilotlight` with this world's config.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pilotlight"));
        command.args(words);
        for config in iter::once(&self.config).chain(&self.over) {
            command.arg("--config").arg(config);
        }
        command
    }

    /// Starts the daemon.
    pub fn start(&mut self) -> Daemon {
        self.runs += 1;
        let path = self.log(self.runs);
        let log = File::create(&path).unwrap();
        let child = self
            .command(&["run"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Daemon { child, log: path }
    }

    /// The file in which the only site's intent is kept.
    pub fn state_file(&self) -> PathBuf {
        self.dir.join("state").join("site.json")
    }

    /// GETs a path of the daemon's admin server.
    pub async fn get(&self, path: &str) -> String {
        let mut stream = UnixStream::connect(self.dir.join("admin.sock")).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: pilotlight\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Changes the config before the daemon is started.
    pub fn rewrite_config(&self, rewrite: impl FnOnce(String) -> String) {
        std::fs::write(&self.config, rewrite(text(&self.config))).unwrap();
    }

    /// Whether this value stands in the state file, at this JSON pointer.
    pub fn saved(&self, place: &str, value: &str) -> bool {
        self.saved_of("site", place, value)
    }

    /// The same for a site of this name.
    pub fn saved_of(&self, site: &str, place: &str, value: &str) -> bool {
        let file = self.dir.join("state").join(format!("{site}.json"));
        let state: serde_json::Value = serde_json::from_str(&text(&file)).unwrap_or_default();
        match state.pointer(place) {
            Some(serde_json::Value::String(found)) => found == value,
            Some(found) => serde_json::from_str(value).is_ok_and(|wanted: serde_json::Value| *found == wanted),
            None => false,
        }
    }

    /// Waits until visitors are at the standby, and this is proven.
    pub async fn reaches_the_standby(&self) -> Result<(), String> {
        let world = self.world();
        until("gate, redirect and silence", || {
            world.gate().effective && world.redirect().effective && world.silence().snoozed_for.is_some()
        })
        .await?;
        until("the proof", || self.saved("/episode/failed_over", "true")).await
    }

    /// Waits until everything is off and the episode over.
    pub async fn is_home(&self) -> Result<(), String> {
        let world = self.world();
        until("all toggles off", || {
            !world.gate().configured && !world.redirect().configured && world.silence().snoozed_for.is_none()
        })
        .await?;
        until("the episode's end", || self.saved("/episode", "null")).await
    }

    /// Waits until the daemon has looked at everything and its intent is on disk.
    pub async fn has_looked(&self) -> Result<(), String> {
        let world = self.world();
        let file = self.state_file();
        until("the first reads", || world.journal().len() >= 6 && file.exists()).await
    }

    /// Ends the world and removes what it wrote.
    pub async fn finish(self) {
        self.sandbox.stop().await;
        std::fs::remove_dir_all(&self.dir).unwrap();
    }
}

impl Daemon {
    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until everything is started.
    pub async fn watches(&self) {
        eventually("the start", || text(&self.log).contains("\"watching\"")).await;
    }

    /// SIGTERM once it is up, and the exit status.
    pub async fn terminate(mut self) -> std::process::ExitStatus {
        self.watches().await;
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        eventually("the daemon to stop", || self.child.try_wait().unwrap().is_some()).await;
        self.child.wait().unwrap()
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A test that failed half-way leaves no daemon behind.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Waits until something is true; the daemon's world runs on this thread meanwhile.
pub async fn eventually(what: &str, condition: impl FnMut() -> bool) {
    until(what, condition).await.expect("it comes true");
}

/// The same; what never came is an error.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) -> Result<(), String> {
    let from = Instant::now();
    while !condition() {
        if from.elapsed() > LIMIT {
            return Err(format!("never came: {what}"));
        }
        tokio::time::sleep(GLANCE).await;
    }
    Ok(())
}

/// Reads a small file; empty when it is not there.
pub fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}
