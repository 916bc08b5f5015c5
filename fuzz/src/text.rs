//! Short texts of others: header values, a provider's words, names, and the settings that eyes read.

use std::time::Duration;

use hyper::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use pilotlight::http::{Answer, redact, retry_after, segment};
use pilotlight::probe::references::Question;
use pilotlight::probe::{HostPort, Marker, StatusSet, Target};

use crate::rig::FETCHED_TOKEN;
use crate::script::parts;

/// Runs one input: parts as in [`crate::script`], each read as everything that a text can be.
pub fn try_one(data: &[u8]) {
    let texts: Vec<_> = parts(data).into_iter().map(String::from_utf8_lossy).collect();
    for text in &texts {
        words(text);
        place(text);
    }
    if let [wait, date, ..] = texts.as_slice() {
        waiting(wait, date);
    }
}

/// A wait is at most an hour, whatever is asked for.
fn waiting(wait: &str, date: &str) {
    let mut headers = HeaderMap::new();
    for (name, value) in [(RETRY_AFTER, wait), (DATE, date)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    let answer = Answer {
        status: 503,
        headers,
        body: Vec::new(),
    };
    let hour = Duration::from_secs(3600);
    assert!(
        answer.retry_after().is_none_or(|wait| wait <= hour),
        "{wait:?} {date:?}"
    );
    if let Ok(secs) = wait.trim().parse::<u64>() {
        let asked = Duration::from_secs(secs).min(hour);
        assert_eq!(retry_after(wait, answer.date_secs()), Some(asked), "{wait:?}");
    }
    assert_eq!(answer.json(), None);
}

/// What goes into a log is short, one line, and shows neither a URL nor a token, wherever one stands.
fn words(text: &str) {
    for text in [
        text.to_owned(),
        format!("{text}{FETCHED_TOKEN}{text}"),
        format!("{FETCHED_TOKEN} {text}"),
    ] {
        let clean = redact(&text);
        assert!(clean.chars().count() <= 200, "{clean:?}");
        assert!(!clean.contains(char::is_control) && !clean.contains("://"), "{clean:?}");
        assert!(!clean.contains(FETCHED_TOKEN), "{clean:?}");
    }
    let name = segment(text);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:%".contains(&byte);
    assert!(name.bytes().all(plain), "{name:?}");
    assert_eq!(decoded(&name), text.as_bytes(), "{name:?}");
}

fn decoded(name: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |digit: Option<u8>| digit.and_then(|digit| char::from(digit).to_digit(16)).unwrap_or(99);
        decoded.push(if byte == b'%' {
            let (high, low) = (hex(bytes.next()), hex(bytes.next()));
            u8::try_from(high * 16 + low).expect("two hexadecimal digits")
        } else {
            byte
        });
    }
    decoded
}

/// What is read as a place is printed so that it reads as the same place.
fn place(text: &str) {
    if let Ok(place) = HostPort::parse(text) {
        assert_eq!(HostPort::parse(&place.to_string()), Ok(place), "{text:?}");
    }
    if let Ok(target) = Target::parse(text) {
        assert_eq!(Target::parse(&target.to_string()), Ok(target.clone()), "{text:?}");
        assert!(target.same_site(&target), "{text:?}");
    }
    let home = Target::parse("https://home.example/a/b?c").expect("a URL");
    if let Ok(there) = home.join(text) {
        assert_eq!(Target::parse(&there.to_string()), Ok(there), "{text:?}");
    }
    if let Ok(Question::Http(target)) = Question::parse(text) {
        assert_eq!(Target::parse(text), Ok(target));
    }
    if let Ok(Marker::Header { name, value }) = Marker::header(text) {
        assert_eq!(
            Marker::header(&format!("{name}: {value}")),
            Ok(Marker::Header { name, value })
        );
    }
    if let Ok(set) = StatusSet::parse(text.split(',')) {
        assert!((100..=599).any(|status| set.contains(status)), "{text:?}");
        assert!(!set.contains(99) && !set.contains(600), "{text:?}");
    }
    if let Ok(lasts) = pilotlight::config::duration(text) {
        assert!(lasts < Duration::MAX, "{text:?}");
    }
}
