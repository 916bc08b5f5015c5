//! Secret Manager: access to versions of a secret.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::faults::checksum;
use super::google;
use super::serve::{Asked, Reply};
use super::world::{PROJECT, State};

pub(super) const HOST: &str = "secretmanager.googleapis.com";
/// The reflected Castagnoli polynomial of CRC-32C.
const CASTAGNOLI: u32 = 0x82f6_3b78;

/// The secrets with their versions, oldest first.
#[derive(Default)]
pub(super) struct Secrets {
    versions: BTreeMap<String, Vec<Version>>,
}

struct Version {
    payload: Vec<u8>,
    condition: SecretVersion,
}

/// How a version of a secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretVersion {
    /// As it should be.
    Enabled,
    /// Disabled: an access is refused.
    Disabled,
    /// The checksum that comes with it is wrong.
    WrongChecksum,
}

impl Secrets {
    /// Adds a version; the secret is made if it is new. Returns the version's number.
    pub(super) fn add(&mut self, secret: &str, payload: &[u8], condition: SecretVersion) -> usize {
        let versions = self.versions.entry(secret.to_owned()).or_default();
        versions.push(Version {
            payload: payload.to_vec(),
            condition,
        });
        versions.len()
    }
}

/// Answers one call to the API.
pub(super) fn answer(state: &State, asked: &Asked) -> Reply {
    match (asked.method.as_str(), asked.segments().as_slice()) {
        ("GET", ["v1", "projects", project, "secrets", secret, "versions", version]) => {
            let Some(version) = version.strip_suffix(":access") else {
                return google::no_route(&asked.path);
            };
            access(state, asked, project, secret, version).unwrap_or_else(|refusal| refusal)
        }
        _ => google::no_route(&asked.path),
    }
}

fn access(state: &State, asked: &Asked, project: &str, secret: &str, version: &str) -> Result<Reply, Reply> {
    let resource = format!("projects/{project}/secrets/{secret}/versions/{version}");
    google::authorize(state, asked, HOST, "secretmanager.versions.access", &resource, false)?;
    let missing = || google::not_found("SecretVersion", &resource);
    let versions = state.secrets.versions.get(secret).filter(|_| project == PROJECT);
    let versions = versions.ok_or_else(missing)?;
    let number: usize = match version {
        "latest" => versions.len(),
        number => number.parse().map_err(|_| missing())?,
    };
    let found = number
        .checked_sub(1)
        .and_then(|place| versions.get(place))
        .ok_or_else(missing)?;
    let sum = checksum(&found.payload, CASTAGNOLI);
    let sum = match found.condition {
        SecretVersion::Enabled => sum,
        SecretVersion::WrongChecksum => !sum,
        SecretVersion::Disabled => {
            let message = format!("Secret Version [{resource}] is in DISABLED state.");
            return Err(google::failed_precondition(&message));
        }
    };
    let reply: Value = json!({
        "name": format!("projects/{project}/secrets/{secret}/versions/{number}"),
        "payload": {"data": STANDARD.encode(&found.payload), "dataCrc32c": sum.to_string()},
    });
    Ok(Reply::json(200, &reply))
}
