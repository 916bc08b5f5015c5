//! Who may import whom, as in the design's table, with the reason of each row.

/// A room of the house: files that share one right to import.
#[derive(Debug)]
pub struct Room {
    /// Its name in the other rows.
    pub name: &'static str,
    /// Files and folders under `src/`; the longest that fits a file decides.
    pub holds: &'static [&'static str],
    /// The rooms it may import beside itself.
    pub may: &'static [&'static str],
    /// Why just these.
    pub why: &'static str,
}

/// The house.
pub const ROOMS: &[Room] = &[
    Room {
        name: "core",
        holds: &["core/"],
        may: &[],
        why: "decisions are pure: nothing of ours, of others only std, and of std nothing that waits, fails or tells the time",
    },
    Room {
        name: "clock",
        holds: &["clock.rs"],
        may: &["core"],
        why: "gives core's instants and wall times; the only file that asks the machine for the time",
    },
    Room {
        name: "store",
        holds: &["store/", "saver.rs"],
        may: &["core", "clock"],
        why: "a port: writes core's snapshots and knows nothing of who asked for it",
    },
    Room {
        name: "probe port",
        holds: &["probe/mod.rs", "probe/task.rs", "probe/schedule.rs"],
        may: &["core"],
        why: "a port: the trait, its ticking task and the schedule, whatever the probe speaks",
    },
    Room {
        name: "probes",
        holds: &["probe/"],
        may: &["core", "probe port", "tls"],
        why: "edges: the eyes and what they are made of; they switch nothing and know no provider",
    },
    Room {
        name: "toggle port",
        holds: &["toggle/mod.rs"],
        may: &["core", "probe port"],
        why: "a port: the trait and its errors; futures are boxed as the probe port does it",
    },
    Room {
        name: "toggle basics",
        holds: &[
            "toggle/asking.rs",
            "toggle/budget.rs",
            "toggle/claims.rs",
            "toggle/failure.rs",
            "toggle/fingerprint.rs",
            "toggle/meter.rs",
            "toggle/shared.rs",
        ],
        may: &["core", "clock", "probe port", "toggle port", "http"],
        why: "what every vendor's calls go through: budgets, shared resources, typed failures; no vendor in it",
    },
    Room {
        name: "programs",
        holds: &["toggle/exec.rs"],
        may: &["core", "probe port", "toggle port", "toggle basics"],
        why: "runs a program of the operator's, and knows no vendor",
    },
    Room {
        name: "google",
        holds: &[
            "toggle/cloud_run.rs",
            "toggle/google.rs",
            "toggle/google_id_token.rs",
            "toggle/google_key.rs",
            "toggle/google_token.rs",
            "toggle/iam_policy.rs",
            "toggle/invoker_check.rs",
            "toggle/monitoring.rs",
            "toggle/open_gate.rs",
            "toggle/uptime_check.rs",
        ],
        may: &["core", "clock", "probe port", "toggle port", "toggle basics", "http"],
        why: "a vendor: its own port, the one client, and never another vendor",
    },
    Room {
        name: "cloudflare",
        holds: &[
            "toggle/cloudflare.rs",
            "toggle/page_rule.rs",
            "toggle/single_redirect.rs",
            "toggle/worker_route.rs",
        ],
        may: &["core", "clock", "probe port", "toggle port", "toggle basics", "http"],
        why: "a vendor: its own port, the one client, and never another vendor",
    },
    Room {
        name: "notify port",
        holds: &["notify/"],
        may: &["words", "core", "clock", "probe port", "store"],
        why: "a port: the trait, the words, the outbox on disk and its delivery task",
    },
    Room {
        name: "words",
        holds: &["notify/words.rs", "notify/glance.rs", "notify/facts.rs"],
        may: &["core", "clock"],
        why: "core's pictures and notices in plain words, the same for notices, status line, API and terminal",
    },
    Room {
        name: "senders",
        holds: &["notify/webhook.rs"],
        may: &["words", "core", "clock", "probe port", "notify port", "http"],
        why: "edges: one file per sender, none knows another or the outbox's disk",
    },
    Room {
        name: "tls",
        holds: &["tls.rs"],
        may: &[],
        why: "one client configuration for all; nothing of ours in it",
    },
    Room {
        name: "http",
        holds: &["http.rs"],
        may: &["core", "tls"],
        why: "the one client factory; it does not know who calls",
    },
    Room {
        name: "metrics",
        holds: &["metrics/"],
        may: &["core", "clock", "probe port", "toggle port", "notify port"],
        why: "counts what core and the ports tell; is never asked for a decision",
    },
    Room {
        name: "driver",
        holds: &["driver.rs", "limbs.rs", "pending.rs"],
        may: &[
            "core",
            "clock",
            "store",
            "probe port",
            "toggle port",
            "notify port",
            "metrics",
            "systemd",
        ],
        why: "one loop over traits: no concrete edge, or the next vendor would mean a change here",
    },
    Room {
        name: "admin",
        holds: &["admin/"],
        may: &["words", "core", "clock", "metrics"],
        why: "reads pictures and sends commands; cannot reach a provider",
    },
    Room {
        name: "systemd",
        holds: &["systemd.rs"],
        may: &["words", "core", "clock"],
        why: "tells the service manager what core's picture says",
    },
    Room {
        name: "config",
        holds: &["config/"],
        may: &["core"],
        why: "settings valid by construction; app maps them to what the edges want",
    },
    Room {
        name: "app",
        holds: &["app/"],
        may: &[
            "words",
            "core",
            "clock",
            "store",
            "probe port",
            "probes",
            "toggle port",
            "toggle basics",
            "programs",
            "google",
            "cloudflare",
            "notify port",
            "senders",
            "tls",
            "http",
            "metrics",
            "driver",
            "admin",
            "systemd",
            "config",
        ],
        why: "the composition root: the only place that names everything; but not the sandbox, which can be left out",
    },
    Room {
        name: "cli",
        holds: &["cli/"],
        may: &[
            "words",
            "core",
            "clock",
            "store",
            "toggle port",
            "toggle basics",
            "http",
            "tls",
            "metrics",
            "admin",
            "systemd",
            "config",
            "app",
            "sandbox",
        ],
        why: "argv in, exit code out; builds through app and names no vendor",
    },
    Room {
        name: "sandbox",
        holds: &["sandbox/"],
        may: &["http", "tls"],
        why: "a stand-in that shares code with the daemon would share its mistakes",
    },
    Room {
        name: "map",
        holds: &["lib.rs"],
        may: &[],
        why: "only `mod` lines: whoever reads it has no code to read",
    },
    Room {
        name: "main",
        holds: &["main.rs"],
        may: &["cli"],
        why: "no logic",
    },
];

/// What core may name of std: nothing of it waits, fails for the world's sake, or tells the time.
pub const PURE_STD: &[&str] = &[
    "array",
    "borrow",
    "cmp",
    "collections",
    "convert",
    "default",
    "fmt",
    "hash",
    "iter",
    "marker",
    "matches",
    "mem",
    "num",
    "ops",
    "option",
    "result",
    "slice",
    "str",
    "string",
    "vec",
];

/// The one exception in it, by name: a length of time is a number.
pub const PURE_PATHS: &[&str] = &["std::time::Duration"];
