//! A toggle's input: what is asked of it, and the provider's answers in order.
//!
//! ```text
//! +200                      + on, - off, ? observe; then the first answer: its status (200 when left out) and headers, ...
//! date: Sun, 22 Nov 2026 10:00:00 GMT
//!
//! {"etag": "E1"}            ... an empty line, and its body. A part without an empty line is a body alone
//! ----
//! {"error": {"status": "ABORTED"}}
//! ```
//!
//! When no answer is left, the provider goes on as an honest one: it takes writes and shows what it holds.

use arbitrary::Unstructured;
use serde_json::Value;

/// What is asked of a toggle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Read the position.
    Observe,
    /// Make it `On`.
    On,
    /// Make it `Off`.
    Off,
}

/// One answer of a provider.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Header lines; those that HTTP does not allow are left out when it is sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status is 2xx.
    pub const fn is_success(&self) -> bool {
        self.status / 100 == 2
    }
}

/// What is asked, and the answers.
#[derive(Clone, Debug)]
pub struct Script {
    /// What is asked.
    pub ask: Ask,
    /// The answers.
    pub answers: Vec<Answer>,
}

/// The line between two parts.
const SEAM: &[u8] = b"\n----\n";
/// More parts than this are left out: no operation makes so many calls.
const MOST_PARTS: usize = 12;

impl Script {
    /// Reads an input; every input is one.
    pub fn read(data: &[u8]) -> Self {
        let (ask, rest) = match data.split_first() {
            Some((b'?', rest)) => (Ask::Observe, rest),
            Some((b'-', rest)) => (Ask::Off, rest),
            Some((b'+', rest)) => (Ask::On, rest),
            _ => (Ask::On, data),
        };
        Self {
            ask,
            answers: parts(rest).into_iter().map(answer).collect(),
        }
    }
}

/// The script of an input that begins with `=`: behind it what is asked, then bytes that the first answer is made from.
pub fn made(data: &[u8], make: impl FnOnce(&mut Unstructured<'_>) -> Option<Value>) -> Option<Vec<u8>> {
    let (ask, bytes) = data.strip_prefix(b"=")?.split_first()?;
    let answer = make(&mut Unstructured::new(bytes))?;
    let mut script = vec![*ask];
    script.extend(answer.to_string().into_bytes());
    Some(script)
}

/// The parts of an input.
pub fn parts(data: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = data;
    while let Some(at) = find(rest, SEAM).filter(|_| parts.len() + 1 < MOST_PARTS) {
        parts.push(&rest[..at]);
        rest = &rest[at + SEAM.len()..];
    }
    parts.push(rest);
    parts
}

/// Where `text` stands in `within`.
pub fn find(within: &[u8], text: &[u8]) -> Option<usize> {
    within.windows(text.len()).position(|window| window == text)
}

fn answer(part: &[u8]) -> Answer {
    let Some(at) = find(part, b"\n\n") else {
        return Answer {
            status: 200,
            headers: Vec::new(),
            body: part.to_vec(),
        };
    };
    let head = String::from_utf8_lossy(&part[..at]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.trim().parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": "));
    Answer {
        status: status.filter(|status| (200..=599).contains(status)).unwrap_or(200),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: part[at + 2..].to_vec(),
    }
}
