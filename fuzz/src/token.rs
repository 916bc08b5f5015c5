//! The tokens: what a token endpoint or a metadata server answers is a whole token or a failure, and never shown.

use std::sync::Arc;
use std::time::Duration;

use pilotlight::toggle::ToggleError;
use pilotlight::toggle::google_token::TokenSource;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::provider::{Call, TOKEN_PATH};
use crate::rig::{self, NOW, Rig};
use crate::script::{Ask, Script};

/// Runs one input: `+` asks the token endpoint, `-` and `?` the metadata server.
pub fn try_one(data: &[u8]) {
    rig::with(|rig| {
        let script = Script::read(data);
        let by_key = script.ask == Ask::On;
        rig.provider.play(script.answers);
        let (tokens, waits) = rig.runtime.block_on(ask(rig, by_key));
        check(&rig.provider.calls(), by_key, &tokens, waits);
    });
}

type Asked = Result<SecretString, ToggleError>;

/// Two questions for a token and one renewal ahead of need.
async fn ask(rig: &Rig, by_key: bool) -> ([Asked; 2], Result<Duration, ToggleError>) {
    let source = if by_key {
        rig::key_tokens(&rig.http, &format!("{}{TOKEN_PATH}", rig.base_url))
    } else {
        TokenSource::from_metadata_server(rig.base_url.clone(), rig.http.clone(), Arc::new(|| NOW))
    };
    let refused = SecretString::from("refused");
    let first = source.renew(&refused).await;
    let second = source.renew(first.as_ref().unwrap_or(&refused)).await;
    source.prefer_fetched("https://run.googleapis.com/");
    ([first, second], source.refresh().await)
}

fn check(calls: &[Call], by_key: bool, tokens: &[Asked], waits: Result<Duration, ToggleError>) {
    for call in calls {
        let expected = if by_key { "POST" } else { "GET" };
        assert_eq!(call.method.as_str(), expected);
    }
    for token in tokens {
        match token {
            Ok(token) => {
                let token = token.expose_secret();
                let given = calls.iter().filter(|call| call.answered.is_success());
                // What is not text in a field that nobody reads does no harm.
                let mut given = given.filter_map(|call| {
                    let text = String::from_utf8_lossy(&call.answered.body);
                    serde_json::from_str::<Value>(&text).ok()
                });
                assert!(
                    !token.is_empty() && given.any(|given| given["access_token"] == token),
                    "{calls:?}"
                );
            }
            Err(error) => rig::fit_for_a_log(&format!("{error} {error:?}")),
        }
    }
    match waits {
        Ok(wait) => assert!(wait >= Duration::from_secs(10), "asked again too soon: {wait:?}"),
        Err(error) => rig::fit_for_a_log(&format!("{error} {error:?}")),
    }
}
