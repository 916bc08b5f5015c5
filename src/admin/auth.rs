//! The bearer token, compared in constant time.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use ring::hmac;
use ring::rand::SystemRandom;
use secrecy::{ExposeSecret, SecretString};

/// Why a token cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing but blanks.
    #[error("the admin token is empty")]
    Empty,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes for the admin token's key")]
    NoRandom,
}

/// The token, kept as its HMAC under a random key: comparing tags in constant time tells nothing of the token, not even its length.
#[derive(Clone, Debug)]
pub struct Token {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Token {
    /// Takes over the token; blanks around it (a file's last line feed) do not count.
    pub fn new(token: &SecretString) -> Result<Self, TokenError> {
        let token = token.expose_secret().trim();
        if token.is_empty() {
            return Err(TokenError::Empty);
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| TokenError::NoRandom)?;
        let tag = hmac::sign(&key, token.as_bytes());
        Ok(Self { key, tag })
    }

    /// Whether the headers bring this token as `Authorization: Bearer TOKEN`.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_some_and(|presented| hmac::verify(&self.key, presented, self.tag.as_ref()).is_ok())
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.as_bytes().split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in(values: &[&str]) -> bool {
        let token = Token::new(&SecretString::from("s3cret\n")).unwrap();
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        token.is_in(&headers)
    }

    #[test]
    fn r17_only_the_very_token_opens() {
        assert!(is_in(&["Bearer s3cret"]));
        assert!(is_in(&["bearer  s3cret"]), "the scheme has no case");
        for wrong in [
            "Bearer s3cre",
            "Bearer s3cret2",
            "Bearer ",
            "Bearer",
            "Basic s3cret",
            "s3cret",
            "",
        ] {
            assert!(!is_in(&[wrong]), "{wrong}");
        }
        assert!(!is_in(&[]));
        assert!(
            !is_in(&["Bearer s3cret", "Bearer other"]),
            "two headers are one too many"
        );
    }

    #[test]
    fn an_empty_token_is_refused_and_debug_does_not_show_one() {
        assert_eq!(Token::new(&SecretString::from(" \n")).unwrap_err(), TokenError::Empty);
        let token = Token::new(&SecretString::from("s3cret")).unwrap();
        assert!(!format!("{token:?}").contains("s3cret"));
    }
}
