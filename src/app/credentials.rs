//! Credentials and the clients that use them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::{self, Config, GoogleCredential, GoogleKind};
use crate::http::{Http, HttpSettings};
use crate::toggle::TellWall;
use crate::toggle::cloudflare::CloudflareClient;
use crate::toggle::google::GoogleClient;
use crate::toggle::google_token::{TokenSource, metadata_base};

/// What a credential is called in metrics and budgets.
pub(super) fn google_label(name: &str) -> String {
    format!("google/{name}")
}

/// What a credential is called in metrics and budgets.
pub(super) fn cloudflare_label(name: &str) -> String {
    format!("cloudflare/{name}")
}

pub(super) fn http_settings(ca_file: Option<&Path>) -> HttpSettings {
    HttpSettings {
        ca_file: ca_file.map(Path::to_owned),
        ..HttpSettings::default()
    }
}

fn client(ca_file: Option<&Path>) -> anyhow::Result<Http> {
    Ok(Http::new(&http_settings(ca_file))?)
}

pub(super) fn wall(clock: &Clock) -> TellWall {
    let clock = clock.clone();
    Arc::new(move || clock.wall())
}

pub(super) fn google_clients(
    config: &Config,
    clock: &Clock,
    helpers: &mut Vec<JoinHandle<()>>,
) -> anyhow::Result<BTreeMap<String, (GoogleClient, GoogleCredential)>> {
    let mut clients = BTreeMap::new();
    for (name, credential) in &config.google {
        let http = client(credential.ca_file.as_deref())?;
        let tokens = match &credential.kind {
            GoogleKind::ServiceAccountKey { key_file } => {
                let endpoint = credential.token_url.to_string();
                TokenSource::from_key_file(key_file, Some(endpoint), http.clone(), wall(clock))?
            }
            GoogleKind::MetadataServer => {
                let base = metadata_base(credential.metadata_url.as_str());
                TokenSource::from_metadata_server(base, http.clone(), wall(clock))
            }
        };
        helpers.push(tokio::spawn(tokens.clone().keep_fresh()));
        clients.insert(name.clone(), (GoogleClient::new(http, tokens), credential.clone()));
    }
    Ok(clients)
}

pub(super) fn cloudflare_clients(config: &Config) -> anyhow::Result<BTreeMap<String, CloudflareClient>> {
    let mut clients = BTreeMap::new();
    for (name, credential) in &config.cloudflare {
        let token = config::secret::read(&credential.token_file)?;
        let base = credential.api_url.as_str().trim_end_matches('/');
        clients.insert(
            name.clone(),
            CloudflareClient::new(client(credential.ca_file.as_deref())?, &token, base)?,
        );
    }
    Ok(clients)
}
