//! The ready-to-use config for the sandbox, and the files that it names.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::monitoring::{check_id, policy_id};
use super::rulesets::rule_ref;
use super::tls::{Authority, Flaw};
use super::worker_routes::SCRIPT;
use super::world::{Addresses, PROJECT, REGION, World, ZONE, service_name, site_host, standby_host};
use super::{Sandbox, SandboxError};

/// How fast the daemon is told to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Durations shortened so that an outage is over in under a minute.
    #[default]
    Demo,
    /// The default durations.
    Realistic,
}

/// Which kind of redirect the config uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedirectKind {
    /// A Single Redirect.
    #[default]
    SingleRedirect,
    /// A Page Rule; the origin is then probed past the edge only.
    PageRule,
    /// A Worker's route; the standby stays closed, and there is no gate.
    WorkerRoute,
}

/// Which kind of silence the config uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SilenceKind {
    /// A snooze on the alert policy.
    #[default]
    Snooze,
    /// The uptime check is disabled.
    UptimeCheck,
    /// Both.
    Both,
}

/// Where Google credentials come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CredentialKind {
    /// A key file.
    #[default]
    KeyFile,
    /// The metadata server.
    MetadataServer,
}

/// Which of the kinds a config uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// The redirect.
    pub redirect: RedirectKind,
    /// The silence.
    pub silence: SilenceKind,
    /// Google's credentials.
    pub credentials: CredentialKind,
}

/// The files that a config names.
#[derive(Clone, Debug)]
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    /// Makes the directory, readable by its owner alone.
    pub(super) fn create(dir: &Path) -> Result<Self, SandboxError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let dir = fs::canonicalize(dir)?;
        Ok(Self { dir })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file that only its owner can read.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), SandboxError> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path(name))?;
        file.write_all(text.as_bytes())?;
        Ok(())
    }

    /// Certificates for a home of one's own, each with its key in one file.
    pub(super) fn write_home_certificates(&self, authority: &Authority, sites: &[String]) -> Result<(), SandboxError> {
        let hosts: Vec<String> = sites.iter().map(|site| site_host(site)).collect();
        for (name, flaw) in HOME_CERTIFICATES {
            self.write(name, &authority.issue_pem(&hosts, flaw)?)?;
        }
        Ok(())
    }

    fn quoted(&self, name: &str) -> String {
        quoted(&self.path(name).to_string_lossy())
    }
}

pub(super) const CA: &str = "ca.pem";
/// Certificate and key for a home of one's own: good, expired, and for another name.
const HOME_CERTIFICATES: [(&str, Flaw); 3] = [
    ("home.pem", Flaw::None),
    ("home-expired.pem", Flaw::Expired),
    ("home-wrong-name.pem", Flaw::WrongName),
];
pub(super) const KEY: &str = "google-key.json";
pub(super) const CLOUDFLARE_TOKEN: &str = "cloudflare-token";
pub(super) const ADMIN_TOKEN: &str = "admin-token";
pub(super) const WEBHOOK_URL: &str = "webhook-url";
const CONFIG: &str = "pilotlight.toml";

/// A TOML string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Sandbox {
    /// A config for this sandbox with the default kinds of toggles: ready to use, all files that it names exist.
    pub fn config_toml(&self, profile: Profile) -> String {
        self.config_toml_with(profile, Kinds::default())
    }

    /// The same with other kinds of toggles or credentials.
    pub fn config_toml_with(&self, profile: Profile, kinds: Kinds) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.compose(&mut out, profile, kinds);
        out
    }

    /// Writes the config into the sandbox's directory and tells where.
    pub fn write_config(&self, profile: Profile, kinds: Kinds) -> Result<PathBuf, SandboxError> {
        self.files.write(CONFIG, &self.config_toml_with(profile, kinds))?;
        Ok(self.files.path(CONFIG))
    }

    /// The file with the admin token that the config names.
    pub fn admin_token_file(&self) -> PathBuf {
        self.files.path(ADMIN_TOKEN)
    }

    /// The certificate of the sandbox's authority.
    pub fn ca_file(&self) -> PathBuf {
        self.files.path(CA)
    }

    /// The service-account key file.
    pub fn key_file(&self) -> PathBuf {
        self.files.path(KEY)
    }

    /// The file with the Cloudflare token.
    pub fn cloudflare_token_file(&self) -> PathBuf {
        self.files.path(CLOUDFLARE_TOKEN)
    }

    fn compose(&self, out: &mut String, profile: Profile, kinds: Kinds) -> std::fmt::Result {
        let (files, at) = (&self.files, self.addresses());
        let listen = self.world.options.admin_listen.clone();
        let listen = listen.unwrap_or_else(|| format!("unix:{}", files.path("admin.sock").display()));
        writeln!(out, "# For the sandbox in {}\n", files.dir.display())?;
        writeln!(out, "[daemon]\nstate_dir = {}\n", files.quoted("state"))?;
        writeln!(
            out,
            "[admin]\nlisten = {}\ntoken_file = {}\n",
            quoted(&listen),
            files.quoted(ADMIN_TOKEN)
        )?;
        out.push_str(match profile {
            Profile::Demo => DEMO,
            Profile::Realistic => "",
        });
        let credentials = match kinds.credentials {
            CredentialKind::KeyFile => format!("kind = \"service_account_key\"\nkey_file = {}", files.quoted(KEY)),
            CredentialKind::MetadataServer => "kind = \"metadata_server\"".to_owned(),
        };
        writeln!(
            out,
            "[google.sandbox]\n{credentials}\nrun_url = \"http://{}\"\nmonitoring_url = \"http://{}\"\n\
             token_url = \"http://{}/token\"\nmetadata_url = \"http://{}\"\n",
            at.run, at.monitoring, at.token, at.metadata
        )?;
        writeln!(
            out,
            "[cloudflare.sandbox]\ntoken_file = {}\napi_url = \"http://{}/client/v4\"\n",
            files.quoted(CLOUDFLARE_TOKEN),
            at.cloudflare
        )?;
        writeln!(out, "[webhook.sandbox]\nurl_file = {}", files.quoted(WEBHOOK_URL))?;
        for site in self.world.sites() {
            self.compose_site(out, site, kinds)?;
        }
        Ok(())
    }

    fn compose_site(&self, out: &mut String, site: &str, kinds: Kinds) -> std::fmt::Result {
        let (at, ca) = (self.addresses(), self.files.quoted(CA));
        let (host, standby) = (site_host(site), standby_host(site));
        let unknown = || self.world.options.listen;
        let home_at = at.homes.get(site).copied().unwrap_or_else(unknown);
        let standby_at = at.standbys.get(site).copied().unwrap_or_else(unknown);
        writeln!(out, "\n[site.{site}]\nurl = \"https://{host}/\"")?;
        writeln!(out, "[site.{site}.home]\nheader = \"x-served-by: home\"")?;
        writeln!(
            out,
            "[site.{site}.standby]\nurl = \"https://{standby}/\"\nheader = \"x-served-by: standby\"\n\
             connect_to = \"{standby_at}\"\nca_file = {ca}"
        )?;
        if kinds.redirect == RedirectKind::WorkerRoute {
            writeln!(out, "google = \"sandbox\"")?;
        }
        writeln!(
            out,
            "[site.{site}.probe]\nurl = \"https://{host}/healthz\"\npath = \"direct\"\nconnect_to = \"{home_at}\"\nca_file = {ca}"
        )?;
        writeln!(
            out,
            "[site.{site}.visitor]\nconnect_to = \"{}\"\nca_file = {ca}",
            at.edge
        )?;
        if kinds.redirect != RedirectKind::PageRule {
            writeln!(out, "edge_url = \"https://{host}/healthz\"")?;
        }
        let [first, second] = at.references;
        writeln!(
            out,
            "[site.{site}.references]\ntargets = [\"https://{first}/\", \"https://{second}/\"]\nca_file = {ca}"
        )?;
        if kinds.redirect != RedirectKind::WorkerRoute {
            writeln!(
                out,
                "[site.{site}.gate]\nkind = \"cloud_run\"\ngoogle = \"sandbox\"\nproject = \"{PROJECT}\"\nregion = \"{REGION}\"\n\
                 service = \"{}\"",
                service_name(site)
            )?;
        }
        self.compose_redirect(out, site, kinds.redirect)?;
        compose_silence(out, site, kinds.silence)
    }

    fn compose_redirect(&self, out: &mut String, site: &str, kind: RedirectKind) -> std::fmt::Result {
        let host = site_host(site);
        writeln!(
            out,
            "[site.{site}.redirect]\ncloudflare = \"sandbox\"\nzone_id = \"{ZONE}\"\nhosts = [\"{host}\"]"
        )?;
        match kind {
            RedirectKind::SingleRedirect => writeln!(
                out,
                "kind = \"single_redirect\"\nref = \"{}\"\nstatus_code = 307\nexcluded_paths = [\"/healthz\", \"/.well-known/\"]",
                rule_ref(site)
            ),
            RedirectKind::PageRule => {
                let rule = self.world.page_rule_id(site).unwrap_or_default();
                writeln!(out, "kind = \"page_rule\"\nrule_id = \"{rule}\"")
            }
            RedirectKind::WorkerRoute => writeln!(
                out,
                "kind = \"worker_route\"\npattern = \"{host}/*\"\nscript = \"{SCRIPT}\"\nexcluded_paths = [\"/healthz\", \"/.well-known/\"]"
            ),
        }
    }
}

fn compose_silence(out: &mut String, site: &str, kind: SilenceKind) -> std::fmt::Result {
    let google = format!("[[site.{site}.silence]]\ngoogle = \"sandbox\"\nproject = \"{PROJECT}\"");
    if kind != SilenceKind::UptimeCheck {
        writeln!(
            out,
            "{google}\nkind = \"snooze\"\nalert_policy = \"{}\"",
            policy_id(site)
        )?;
    }
    if kind != SilenceKind::Snooze {
        writeln!(
            out,
            "{google}\nkind = \"uptime_check\"\ncheck_id = \"{}\"",
            check_id(site)
        )?;
    }
    Ok(())
}

/// The demo's shortened durations.
const DEMO: &str = r#"[probe]
interval = "1s"
timeout = "800ms"
confirm_interval = "200ms"
hedge_after = "400ms"

[visitor]
interval = "2s"
timeout = "4s"

[references]
again = "2s"

[policy]
unhealthy_threshold = 3
down_for = "6s"
clear_threshold = 2
clear_for = "2s"
healthy_threshold = 3
up_for = "5s"
up_for_max = "10s"
relapse_window = "30s"

[timing]
gate_patience = "20s"
drain = "4s"
verify_every = "5m"
home_proof = "5s"
toggle_timeout = "3s"

"#;

impl World {
    /// The id of a site's Page Rule.
    pub fn page_rule_id(&self, site: &str) -> Option<String> {
        let pattern = format!("{}/*", site_host(site));
        let state = self.lock();
        let rule = state.zone.page_rules.iter().find(|rule| {
            let value = rule.pointer("/targets/0/constraint/value");
            value.is_some_and(|value| *value == pattern.as_str())
        });
        rule.and_then(|rule| Some(rule.get("id")?.as_str()?.to_owned()))
    }
}

/// Where the files of a sandbox with these addresses lead.
pub(super) fn webhook_url(addresses: &Addresses) -> String {
    format!("http://{}{}\n", addresses.webhook, super::webhook::PATH)
}
