//! The admin server: whatever comes over a connection, a command needs POST and the token, a command is a sensible one, and every answer
//! is whole HTTP.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pilotlight::admin::command::{LONGEST_AUTHOR, LONGEST_FOR, LONGEST_REASON};
use pilotlight::admin::{AdminState, Listen, Listener, SiteHandle, Token, VERDICT_STALE_AFTER, serve};
use pilotlight::clock::Clock;
use pilotlight::core::{
    Command, Controller, Duration as CoreDuration, Instant, Layout, Mode, Now, Order, Status, Wall,
};
use pilotlight::metrics::{Labels, Metrics};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::script::find;

/// The token.
const TOKEN: &str = "s3cret";
/// When all this happens.
const WALL: Wall = Wall(1_790_000_000_000);
/// No connection lives longer than this, by DESIGN and then some.
const LONGEST: Duration = Duration::from_secs(310);

/// The commands that came through.
type Given = Arc<Mutex<Vec<Command>>>;

/// The server, which outlives the inputs.
struct Rig {
    runtime: Runtime,
    listen: PathBuf,
    given: Given,
    clock: Clock,
}

thread_local! {
    static RIG: Rig = Rig::new();
}

/// Runs one input: what a client sends.
pub fn try_one(data: &[u8]) {
    RIG.with(|rig| {
        let (answers, now) = rig.runtime.block_on(async {
            let answers = converse(rig, data).await;
            (answers, rig.clock.wall())
        });
        let commands = std::mem::take(&mut *rig.given.lock().unwrap_or_else(PoisonError::into_inner));
        check(data, &answers, &commands, now);
    });
}

/// Sends it all and reads until the server closes.
async fn converse(rig: &Rig, data: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(&rig.listen).await.expect("the server listens");
    let (mut from, mut to) = stream.split();
    let send = async {
        // A server that has heard enough closes before all was sent.
        let _ = to.write_all(data).await;
    };
    let mut answers = Vec::new();
    let read = async {
        let _ = from.read_to_end(&mut answers).await;
    };
    let both = async { tokio::join!(send, read) };
    let ended = tokio::time::timeout(LONGEST, both).await;
    assert!(ended.is_ok(), "the connection outlives its time");
    answers
}

fn check(data: &[u8], answers: &[u8], commands: &[Command], now: Wall) {
    let lower = data.to_ascii_lowercase();
    let count = |text: &[u8]| lower.windows(text.len()).filter(|window| *window == text).count();
    assert!(
        answers.is_empty() || answers.starts_with(b"HTTP/1."),
        "no HTTP: {}",
        String::from_utf8_lossy(answers)
    );
    // Each command has its own request, and each request with one brings the token.
    assert!(commands.len() <= count(b"post "), "{commands:?}");
    assert!(
        commands.len() <= count(b"bearer ").min(count(TOKEN.as_bytes())),
        "a command without the token: {commands:?}"
    );
    assert!(commands.is_empty() || find(data, b"POST ").is_some(), "{commands:?}");
    for Command { order, pin } in commands {
        assert!(
            sensible(&pin.author, LONGEST_AUTHOR) && sensible(&pin.reason, LONGEST_REASON),
            "{pin:?}"
        );
        let lasts = CoreDuration::from_millis(pin.until.0.saturating_sub(now.0));
        assert!(pin.until > WALL, "{pin:?}");
        assert!(lasts <= LONGEST_FOR, "{order:?}: {pin:?}");
    }
}

fn sensible(words: &str, longest: usize) -> bool {
    !words.is_empty() && words.chars().count() <= longest && !words.contains(char::is_control)
}

impl Rig {
    fn new() -> Self {
        let runtime = crate::rig::paused();
        let listen = crate::scratch("admin").join("socket");
        let given = Given::default();
        let (commands, orders) = mpsc::channel(4);
        let (status, seen) = watch::channel(Arc::new(picture()));
        let clock = runtime.block_on(async {
            let listener = Listener::bind(&Listen::Unix(listen.clone())).await;
            let (clock, _) = Clock::settable(WALL);
            let state = AdminState {
                sites: vec![SiteHandle {
                    name: "home".to_owned(),
                    status: seen,
                    commands,
                }],
                metrics: metrics(),
                token: Token::new(&SecretString::from(TOKEN)).ok(),
                clock: clock.clone(),
                verdict_stale_after: VERDICT_STALE_AFTER,
            };
            let listener = listener.expect("a socket can be made");
            tokio::spawn(serve(listener, state, std::future::pending()));
            clock
        });
        runtime.spawn(obey(orders, status, Arc::clone(&given)));
        Self {
            runtime,
            listen,
            given,
            clock,
        }
    }
}

/// Obeys commands as core would, and tells of each.
async fn obey(mut orders: mpsc::Receiver<Command>, status: watch::Sender<Arc<Status>>, given: Given) {
    while let Some(command) = orders.recv().await {
        let pin = command.pin.clone();
        let mode = match command.order {
            Order::Force(route) => Mode::Pinned { route, pin },
            Order::Pause => Mode::Paused { pin },
            Order::Resume => Mode::Auto,
        };
        status.send_modify(|status| Arc::make_mut(status).mode = mode);
        given.lock().unwrap_or_else(PoisonError::into_inner).push(command);
    }
}

/// The picture of a site that was just begun.
fn picture() -> Status {
    let now = Now {
        at: Instant::ZERO,
        wall: WALL,
    };
    let layout = Layout {
        toggles: Vec::new(),
        edge_eye: false,
    };
    Controller::new(crate::state::policy(), layout, None, 7, now).status(now)
}

fn metrics() -> Arc<Metrics> {
    let labels = Labels {
        sites: [("home".to_owned(), Vec::new())].into(),
        targets: Vec::new(),
        credentials: Vec::new(),
    };
    Arc::new(Metrics::new(&labels, WALL).expect("the names are good"))
}
