//! Secrets: read from files when they are needed, checked before that, never part of the config.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// Why a secret's file will not do. Names the file, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It is not there, or may not be read.
    #[error("{}: cannot be read: {}", file.display(), error.kind())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// Others than its owner may read it.
    #[error("{}: can be read by others than its owner (mode {mode:04o})", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Its content cannot be the secret.
    #[error("{}: {problem}", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
        /// What to do.
        fix: &'static str,
    },
}

impl SecretError {
    /// What to do about it.
    pub fn fix(&self) -> String {
        match self {
            Self::Unreadable { .. } => {
                "create the file, readable by the daemon's user only; relative names are looked for in \
                 $CREDENTIALS_DIRECTORY, then beside this config file"
                    .to_owned()
            }
            Self::Open { file, .. } => format!("chmod 600 {}", file.display()),
            Self::Content { fix, .. } => (*fix).to_owned(),
        }
    }
}

/// Reads a one-line secret: a token or a URL. One newline at its end is taken off.
pub fn read(file: &Path) -> Result<SecretString, SecretError> {
    let text = text(file)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let problem = if line.trim().is_empty() {
        "is empty"
    } else if line.contains(['\n', '\r']) {
        "has more than one line"
    } else if line.trim() != line {
        "has blanks before or after the secret"
    } else if line.get(..7).is_some_and(|front| front.eq_ignore_ascii_case("bearer ")) {
        "begins with \"Bearer \", which pilotlight adds itself"
    } else if !line.bytes().all(|byte| byte.is_ascii_graphic()) {
        "holds characters that no token or URL has"
    } else {
        return Ok(SecretString::from(line));
    };
    Err(content(
        file,
        problem,
        "put nothing but the secret into the file, on one line",
    ))
}

/// Reads a secret of many lines as it is: a service account's key file.
pub fn read_document(file: &Path) -> Result<SecretString, SecretError> {
    text(file).map(SecretString::from)
}

/// Whether only its owner may read it.
pub(super) fn guarded(file: &Path) -> Result<(), SecretError> {
    let metadata = fs::metadata(file).map_err(|error| unreadable(file, error))?;
    let mode = metadata.mode() & 0o7777;
    let others = mode & 0o077;
    if others > 0 {
        return Err(SecretError::Open {
            file: file.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// Whether it looks like a service account's key file.
pub(super) fn is_service_account_key(file: &Path) -> Result<(), SecretError> {
    let text = text(file)?;
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let field = |key: &str| json.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
    let problem = if !json.is_object() {
        "is not JSON, so no service account's key file"
    } else if field("type") != "service_account" {
        "is not a service account's key file: its type says otherwise"
    } else if ["client_email", "private_key", "private_key_id"]
        .iter()
        .any(|key| field(key).is_empty())
    {
        "lacks client_email, private_key or private_key_id, so it is no whole key file"
    } else {
        return Ok(());
    };
    Err(content(
        file,
        problem,
        "make a key for the service account and keep the JSON file as it comes",
    ))
}

/// Whether it holds one http or https URL.
pub(super) fn is_url(file: &Path) -> Result<(), SecretError> {
    let secret = read(file)?;
    match url::Url::parse(secret.expose_secret()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(()),
        _ => Err(content(
            file,
            "holds no http or https URL",
            "put the webhook's URL into the file, on one line",
        )),
    }
}

fn text(file: &Path) -> Result<String, SecretError> {
    fs::read_to_string(file).map_err(|error| unreadable(file, error))
}

fn unreadable(file: &Path, error: std::io::Error) -> SecretError {
    SecretError::Unreadable {
        file: file.to_owned(),
        error,
    }
}

fn content(file: &Path, problem: &'static str, fix: &'static str) -> SecretError {
    SecretError::Content {
        file: file.to_owned(),
        problem,
        fix,
    }
}
