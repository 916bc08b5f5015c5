//! Secrets' files: read whole or complained of, and a complaint never quotes what is in them.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use pilotlight::config::secret;
use pilotlight::toggle::google_key::ServiceAccountKey;
use secrecy::ExposeSecret;

/// A run of this many characters from the file is no word of ours.
const TELLING: usize = 20;

thread_local! {
    static FILE: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// Runs one input: the file's content.
pub fn try_one(data: &[u8]) {
    let file = FILE.with(|file| {
        file.borrow_mut()
            .get_or_insert_with(|| crate::scratch("key_file").join("f"))
            .clone()
    });
    fs::write(&file, data).expect("the scratch directory can be written");
    check(&file, data);
}

fn check(file: &Path, data: &[u8]) {
    match ServiceAccountKey::read(file) {
        Ok(key) => {
            let signed = key.assertion("https://oauth2.googleapis.com/token", "scope", 1000);
            let signed = signed.expect("a key that was read signs");
            assert_eq!(signed.expose_secret().split('.').count(), 3);
            assert!(!format!("{key:?}").contains("PRIVATE"), "the key is shown");
        }
        Err(error) => quotes_nothing(&format!("{error} {error:?}"), file, data),
    }
    match secret::read(file) {
        Ok(secret) => {
            let secret = secret.expose_secret();
            assert!(
                !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic()),
                "{secret:?}"
            );
            let line = data.strip_suffix(b"\n").unwrap_or(data);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            assert_eq!(line, secret.as_bytes(), "another secret than the file's");
        }
        Err(error) => quotes_nothing(&format!("{error} {error:?} {}", error.fix()), file, data),
    }
    if let Ok(document) = secret::read_document(file) {
        assert_eq!(document.expose_secret().as_bytes(), data);
    }
}

fn quotes_nothing(complaint: &str, file: &Path, data: &[u8]) {
    let complaint = complaint.replace(&file.display().to_string(), "");
    let text = String::from_utf8_lossy(data);
    let runs = text.split(|c: char| !c.is_ascii_alphanumeric());
    for run in runs.filter(|run| run.len() >= TELLING) {
        assert!(!complaint.contains(run), "{run:?} is quoted in {complaint:?}");
    }
}
