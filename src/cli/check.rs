//! `pilotlight check`: everything that is wrong with a config, or that nothing is.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::config::{self, Complaints, Config, Surroundings};

/// The exit status for a bad config, as in `sysexits.h`.
pub const EX_CONFIG: u8 = 78;

/// What a check has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
    /// The exit status.
    pub status: u8,
}

/// Checks the config in `paths` and prints what is to be said. Changes nothing and asks nobody else.
pub fn check(paths: &[PathBuf], json: bool) -> ExitCode {
    let said = say(config::load_in(paths, &Surroundings::of_this_process()), json);
    // Whoever closed the pipe does not want to hear the rest; the status still tells.
    let _ = std::io::stdout().write_all(said.out.as_bytes());
    let _ = std::io::stderr().write_all(said.err.as_bytes());
    ExitCode::from(said.status)
}

/// What to say of a loaded config.
pub fn say(loaded: Result<Config, Complaints>, json: bool) -> Said {
    match loaded {
        Ok(config) => {
            let names: Vec<&str> = config.sites.keys().map(String::as_str).collect();
            let out = if json {
                format!("{}\n", json!({ "good": true, "sites": names, "complaints": [] }))
            } else {
                format!(
                    "config is good: {} ({})\n",
                    count(names.len(), "site"),
                    names.join(", ")
                )
            };
            Said {
                out,
                err: String::new(),
                status: 0,
            }
        }
        Err(complaints) if json => Said {
            out: format!("{}\n", json!({ "good": false, "sites": [], "complaints": complaints })),
            err: String::new(),
            status: EX_CONFIG,
        },
        Err(complaints) => Said {
            out: String::new(),
            err: format!("{complaints}\n{}\n", summary(&complaints)),
            status: EX_CONFIG,
        },
    }
}

/// Prints all complaints at a start that does not happen.
pub fn print_complaints(complaints: &Complaints) {
    // Nobody is left to be told when standard error is gone; the exit status still tells.
    let _ = writeln!(std::io::stderr(), "{complaints}\n{}", summary(complaints));
}

/// The line below all complaints.
pub fn summary(complaints: &Complaints) -> String {
    format!(
        "config is not good: {}; nothing was started or changed",
        count(complaints.iter().len(), "complaint")
    )
}

fn count(number: usize, word: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {word}{plural}")
}
