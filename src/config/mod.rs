//! Config: valid by construction, all complaints at once.
//!
//! Files and fragments are layered by the `config` crate, read strictly against the shapes in `raw`, each site is merged with the
//! shared sections, and the whole is checked. Either a [`Config`] comes out that nothing is wrong with, or every complaint.

mod complaint;
mod exec;
mod inspector;
mod period;
mod raw;
mod rules;
pub mod secret;
mod settings;
mod site;
mod source;
mod strict;
mod switches;
mod table;
mod toggles;
mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use complaint::{Complaint, Complaints};
pub use inspector::Surroundings;
pub use settings::{
    Admin, CloudflareCredential, Config, Daemon, GoogleCredential, GoogleKind, HostPort, Listen, LogFormat, Marker,
    Probe, ProbePath, Reference, References, Site, Standby, Url, Visitor, Webhook,
};
pub use switches::{Coverage, Gate, GateMode, Redirect, Silence};

use inspector::{Inspector, SecretKind};
use source::{KeyPath, Sources, Step};
use table::Table;
use toggles::Credentials;

/// Reads and checks a config. A path may be a file or a directory of fragments (`*.toml`, in the order of their names); later ones win.
pub fn load(paths: &[PathBuf]) -> Result<Config, Complaints> {
    load_in(paths, &Surroundings::of_this_process())
}

/// As [`load`], in given surroundings.
pub fn load_in(paths: &[PathBuf], surroundings: &Surroundings) -> Result<Config, Complaints> {
    let (sources, unreadable) = Sources::read(paths);
    let readable = unreadable.is_empty();
    let mut inspector = Inspector::new(&sources, surroundings, unreadable);
    let raw = match sources.layered() {
        Ok(table) => shapes(&mut inspector, table),
        Err(complaint) => {
            inspector.add(complaint);
            None
        }
    };
    // With a file missing from the layers, the rest could only be guessed at.
    let config = raw.filter(|_| readable).and_then(|raw| build(&mut inspector, &raw));
    match config {
        Some(config) if inspector.is_content() => Ok(config),
        _ => Err(Complaints::new(inspector.into_complaints())),
    }
}

/// Reads only where the daemon's admin server listens, for a command that talks to it: the rest of the config may be bad,
/// and the token's file need not be readable.
pub fn load_admin(paths: &[PathBuf], surroundings: &Surroundings) -> Result<Admin, Complaints> {
    let (sources, unreadable) = Sources::read(paths);
    let mut inspector = Inspector::new(&sources, surroundings, unreadable);
    let admin = match sources.layered() {
        Ok(mut table) => {
            table.retain(|section, _| section == "admin");
            shapes(&mut inspector, table)
        }
        Err(complaint) => {
            inspector.add(complaint);
            None
        }
    };
    let admin = admin.and_then(|raw| {
        let listen = inspector.take(&KeyPath::of(&["admin", "listen"]), value::listen(&raw.admin.listen))?;
        let token_path = KeyPath::of(&["admin", "token_file"]);
        let token_file = raw.admin.token_file.as_ref();
        Some(Admin {
            listen,
            token_file: token_file.map(|name| inspector.find_secret(&token_path, name).0),
        })
    });
    match admin {
        Some(admin) if inspector.is_content() => Ok(admin),
        _ => Err(Complaints::new(inspector.into_complaints())),
    }
}

/// Reads a duration as it is written in a config: "500ms", "90s", "5m 30s", "4h". The error says what is wrong with it.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    period::Period::parse(text).map(|period| period.0)
}

/// The shapes with the shared sections merged into each site; complains of everything that does not fit them.
fn shapes(inspector: &mut Inspector<'_>, mut table: toml::Table) -> Option<raw::Raw> {
    let (whole, faults) = strict::read::<raw::Raw>(&mut table);
    note_faults(inspector, faults);
    whole?;
    merge_shared(&mut table);
    let (merged, faults) = strict::read(&mut table);
    note_faults(inspector, faults);
    merged
}

fn note_faults(inspector: &mut Inspector<'_>, faults: Vec<strict::Fault>) {
    for fault in faults {
        if fault.unknown_key {
            inspector.complain(&fault.path, fault.wrong, fault.fix);
        } else {
            inspector.note_fault(&fault.path, fault.wrong, fault.fix);
        }
        if let Some(meant) = fault.meant {
            inspector.silence(meant);
        }
    }
}

/// Puts the shared sections under each site's own.
fn merge_shared(table: &mut toml::Table) {
    let shared: Vec<(&str, toml::Table)> = raw::SHARED_SECTIONS
        .iter()
        .filter_map(|section| Some((*section, table.get(*section)?.as_table()?.clone())))
        .collect();
    let Some(sites) = table.get_mut("site").and_then(toml::Value::as_table_mut) else {
        return;
    };
    for site in sites.iter_mut().filter_map(|(_, site)| site.as_table_mut()) {
        for (section, defaults) in &shared {
            let own = site.entry(*section).or_insert_with(|| toml::Table::new().into());
            if let Some(own) = own.as_table_mut() {
                for (key, value) in defaults {
                    own.entry(key.as_str()).or_insert_with(|| value.clone());
                }
            }
        }
    }
}

fn build(inspector: &mut Inspector<'_>, raw: &raw::Raw) -> Option<Config> {
    site_only(inspector, raw);
    let daemon = daemon(inspector, &raw.daemon);
    let admin = admin(inspector, &raw.admin);
    let google = named(&raw.google, |name, raw| google(inspector, name, raw));
    let cloudflare = named(&raw.cloudflare, |name, raw| cloudflare(inspector, name, raw));
    let webhooks = named(&raw.webhook, |name, one| webhook(inspector, name, one, &raw.site));
    let credentials = Credentials {
        google: &raw.google,
        cloudflare: &raw.cloudflare,
    };
    let sites = named(&raw.site, |name, raw| site::build(inspector, credentials, name, raw));
    rules::one_rule_each(inspector, &raw.site);
    rules::one_mode_each(inspector, &raw.site);
    rules::one_program_each(inspector, &raw.site);
    if raw.site.is_empty() {
        inspector.complain(
            &KeyPath(vec![Step::from("site")]),
            "is missing: there is nothing to watch",
            "add a table [site.NAME]; config/pilotlight.toml shows a whole one",
        );
    }
    Some(Config {
        daemon: daemon?,
        admin: admin?,
        google: google?,
        cloudflare: cloudflare?,
        webhooks: webhooks?,
        sites: sites?,
    })
}

/// Builds all of a named kind; `None` when one of them could not be built.
fn named<R, T>(raw: &BTreeMap<String, R>, mut build: impl FnMut(&str, &R) -> Option<T>) -> Option<BTreeMap<String, T>> {
    let all: Vec<Option<(String, T)>> = raw
        .iter()
        .map(|(name, raw)| Some((name.clone(), build(name, raw)?)))
        .collect();
    all.into_iter().collect()
}

/// Keys of a shared section that only make sense within one site.
fn site_only(inspector: &mut Inspector<'_>, raw: &raw::Raw) {
    let keys = [
        ("probe", "url", raw.probe.url.is_some()),
        ("visitor", "edge_url", raw.visitor.edge_url.is_some()),
    ];
    for (section, key, present) in keys {
        if present {
            inspector.complain(
                &KeyPath::of(&[section, key]),
                "cannot be the same for all sites",
                format!("move it to [site.NAME.{section}]"),
            );
        }
    }
}

fn daemon(inspector: &mut Inspector<'_>, raw: &raw::Daemon) -> Option<Daemon> {
    let log = inspector.take(&KeyPath::of(&["daemon", "log"]), value::log_filter(&raw.log));
    Some(Daemon {
        state_dir: inspector.beside(&KeyPath::of(&["daemon", "state_dir"]), &raw.state_dir),
        log: log?,
        log_format: raw.log_format,
        shutdown_timeout: raw.shutdown_timeout.0,
    })
}

fn admin(inspector: &mut Inspector<'_>, raw: &raw::Admin) -> Option<Admin> {
    let path = KeyPath::of(&["admin", "listen"]);
    let token_path = KeyPath::of(&["admin", "token_file"]);
    let listen = inspector.take(&path, value::listen(&raw.listen));
    let token_file = match &raw.token_file {
        Some(name) => inspector.secret_file(&token_path, name, SecretKind::Token).map(Some),
        None => Some(None),
    };
    if raw.token_file.is_none()
        && let Some(Listen::Tcp(address)) = &listen
        && !address.ip().is_loopback()
    {
        inspector.complain_together(
            &[&path, &token_path],
            "is reachable from other machines, and no token is asked for",
            "set admin.token_file, or listen on 127.0.0.1, [::1] or a Unix socket",
        );
    }
    Some(Admin {
        listen: listen?,
        token_file: token_file?,
    })
}

fn google(inspector: &mut Inspector<'_>, name: &str, raw: &raw::Google) -> Option<GoogleCredential> {
    let path = KeyPath::of(&["google", name]);
    inspector.name(&path, name);
    let kind_fix = "write kind = \"service_account_key\" or kind = \"metadata_server\"";
    let kind = inspector.required(&path.join("kind"), raw.kind.as_ref(), kind_fix);
    let key_path = path.join("key_file");
    let kind = kind.and_then(|kind| match kind {
        raw::GoogleKind::ServiceAccountKey => {
            let key_file = inspector.required(&key_path, raw.key_file.as_ref(), "name the key's file")?;
            let key_file = inspector.secret_file(&key_path, &key_file, SecretKind::ServiceAccountKey)?;
            Some(GoogleKind::ServiceAccountKey { key_file })
        }
        raw::GoogleKind::MetadataServer => {
            if raw.key_file.is_some() {
                let fix = "take it out, or write kind = \"service_account_key\"";
                inspector.complain(&key_path, "does not belong to kind \"metadata_server\"", fix);
            }
            Some(GoogleKind::MetadataServer)
        }
    });
    let run_url = inspector.url(&path.join("run_url"), &raw.run_url);
    let monitoring_url = inspector.url(&path.join("monitoring_url"), &raw.monitoring_url);
    let token_url = inspector.url(&path.join("token_url"), &raw.token_url);
    let metadata_url = inspector.url(&path.join("metadata_url"), &raw.metadata_url);
    let ca_file = inspector.ca_file(&path.join("ca_file"), raw.ca_file.as_ref());
    Some(GoogleCredential {
        name: name.to_owned(),
        kind: kind?,
        run_url: run_url?,
        monitoring_url: monitoring_url?,
        token_url: token_url?,
        metadata_url: metadata_url?,
        ca_file: ca_file?,
    })
}

fn cloudflare(inspector: &mut Inspector<'_>, name: &str, raw: &raw::Cloudflare) -> Option<CloudflareCredential> {
    let path = KeyPath::of(&["cloudflare", name]);
    inspector.name(&path, name);
    let token_path = path.join("token_file");
    let token_file = inspector
        .required(&token_path, raw.token_file.as_ref(), "name the file with the API token")
        .and_then(|name| inspector.secret_file(&token_path, &name, SecretKind::Token));
    let api_url = inspector.url(&path.join("api_url"), &raw.api_url);
    let ca_file = inspector.ca_file(&path.join("ca_file"), raw.ca_file.as_ref());
    Some(CloudflareCredential {
        name: name.to_owned(),
        token_file: token_file?,
        api_url: api_url?,
        ca_file: ca_file?,
    })
}

fn webhook(
    inspector: &mut Inspector<'_>,
    name: &str,
    raw: &raw::Webhook,
    sites: &BTreeMap<String, Table<raw::Site>>,
) -> Option<Webhook> {
    let path = KeyPath::of(&["webhook", name]);
    inspector.name(&path, name);
    let url_path = path.join("url_file");
    let url_file = inspector
        .required(&url_path, raw.url_file.as_ref(), "name the file with the webhook's URL")
        .and_then(|name| inspector.secret_file(&url_path, &name, SecretKind::Url));
    let ca_file = inspector.ca_file(&path.join("ca_file"), raw.ca_file.as_ref());
    for (index, site) in raw.sites.iter().enumerate() {
        inspector.known_name(&path.join("sites").join(index), site, "site", sites.keys());
    }
    Some(Webhook {
        name: name.to_owned(),
        url_file: url_file?,
        ca_file: ca_file?,
        sites: raw.sites.clone(),
    })
}
