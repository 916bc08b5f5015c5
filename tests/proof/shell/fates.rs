//! What becomes of a call on the network, drawn by how the provider fares, and the answers that are not the right one.

use std::time::Duration;

use pilotlight::http::Answer;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

use super::objects::Call;
use super::plan::Api;
use super::wire::LATEST;
use super::world::World;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// No connection comes about.
    NoLine,
    /// Nothing is heard until the deadline; never carried out.
    Silence,
    /// Carried out, and the answer is lost.
    AnswerLost,
    /// Given up at the deadline, and carried out so long after.
    Late(Duration),
    /// Not carried out, and answered with this.
    Says(Odd),
    /// Carried out, and answered with this.
    DoneButSays(Odd),
}

/// Answers other than the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    Unauthenticated,
    Denied,
    Conflict,
    Limited(u64),
    Unavailable,
    HtmlError,
    /// A login page or a captive portal, with status 200.
    Html,
    /// The right answer, cut off.
    Truncated,
    /// JSON, of no known shape.
    OtherJson,
    /// The right shape with what matters left out.
    Hollow,
}

impl World {
    /// Draws what becomes of a call, and how long it takes.
    pub fn fate(&mut self, call: &Call, name: &'static str, api: Api) -> (Fate, Duration) {
        let mut dice = self.draw(name);
        let quick = dice.between(Duration::from_millis(40), Duration::from_millis(400));
        if !self.line {
            return (Fate::NoLine, dice.pick(&[quick, Duration::from_secs(5)]));
        }
        let took = if api == Api::Slow {
            dice.between(Duration::from_secs(2), Duration::from_millis(9_500))
        } else {
            quick
        };
        let late = Fate::Late(dice.between(Duration::ZERO, LATEST));
        let limited = Odd::Limited(dice.pick(&[1, 7, 60, 600]));
        let fate = match api {
            Api::Well | Api::Slow => Fate::Done,
            Api::Down => dice.pick(&[
                Fate::Silence,
                Fate::Says(Odd::Unavailable),
                Fate::Says(Odd::HtmlError),
                Fate::NoLine,
            ]),
            Api::Denies => Fate::Says(dice.pick(&[Odd::Unauthenticated, Odd::Denied])),
            Api::Limits => Fate::Says(limited),
            Api::Loses => dice.pick(&[
                Fate::Done,
                Fate::AnswerLost,
                late,
                Fate::Silence,
                Fate::DoneButSays(Odd::HtmlError),
            ]),
            Api::Raves => {
                let odd = dice.pick(&[Odd::Html, Odd::Truncated, Odd::OtherJson, Odd::Hollow]);
                let unknown = odd == Odd::Hollow && *call == Call::ReadPolicy && !self.policy_seen;
                let odd = if unknown { Odd::OtherJson } else { odd };
                dice.pick(&[Fate::Says(odd), Fate::DoneButSays(odd), Fate::Done])
            }
            Api::Shaky => dice.pick(&[
                Fate::Done,
                Fate::Done,
                Fate::Says(Odd::Conflict),
                Fate::Says(Odd::Unauthenticated),
                Fate::DoneButSays(Odd::Unavailable),
                Fate::Says(Odd::Unavailable),
                Fate::Silence,
                Fate::AnswerLost,
                Fate::Says(limited),
                late,
            ]),
        };
        (fate, took)
    }
}

pub fn say(status: u16, document: &Value, now: jiff::Timestamp) -> Answer {
    let mut headers = HeaderMap::new();
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&now)
        .expect("a date");
    headers.insert(DATE, date.parse().expect("a header's value"));
    Answer {
        status,
        headers,
        body: document.to_string().into_bytes(),
    }
}

pub fn google_error(status: u16, word: &str, message: &str) -> Value {
    json!({"error": {"code": status, "status": word, "message": message}})
}

pub fn oddly(odd: Odd, right: &(u16, Value), now: jiff::Timestamp) -> Answer {
    let text = |status, text: &str| Answer {
        body: text.as_bytes().to_vec(),
        ..say(status, &Value::Null, now)
    };
    match odd {
        Odd::Unauthenticated => say(401, &google_error(401, "UNAUTHENTICATED", "invalid credentials"), now),
        Odd::Denied => say(403, &google_error(403, "PERMISSION_DENIED", "denied"), now),
        Odd::Conflict => say(409, &google_error(409, "ABORTED", "concurrent changes"), now),
        Odd::Limited(secs) => {
            let mut answer = say(429, &google_error(429, "RESOURCE_EXHAUSTED", "quota"), now);
            answer.headers.insert(RETRY_AFTER, HeaderValue::from(secs));
            answer
        }
        Odd::Unavailable => say(503, &google_error(503, "UNAVAILABLE", "try later"), now),
        Odd::HtmlError => text(502, "<html><title>502</title></html>"),
        Odd::Html => text(200, "<html><form>Sign in to the hotel's network</form></html>"),
        Odd::OtherJson => say(200, &json!({"status": "ok", "data": [1, 2, 3]}), now),
        Odd::Truncated => {
            let mut answer = say(right.0, &right.1, now);
            answer.body.truncate(answer.body.len() / 2);
            answer
        }
        Odd::Hollow => {
            let mut hollow = right.1.clone();
            for place in ["/bindings", "/rules", "/result/rules", "/snoozes", "/result", "/name"] {
                let (parent, field) = place.rsplit_once('/').expect("a pointer");
                if let Some(fields) = hollow.pointer_mut(parent).and_then(Value::as_object_mut)
                    && fields.remove(field).is_some()
                {
                    break;
                }
            }
            say(right.0, &hollow, now)
        }
    }
}
