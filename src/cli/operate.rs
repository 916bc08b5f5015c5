//! `pilotlight status|failover|failback|pause|resume`: asks the daemon and prints what it says.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::admin::command::Request;
use crate::config::{self, Surroundings};
use crate::core::Order;

use super::args::{AdminArgs, AuditArgs, Global, OrderArgs};
use super::block_on;
use super::check::{EX_CONFIG, print_complaints};
use super::client::{Client, Endpoint, Output};

/// Prints who serves visitors now.
pub fn status(global: &Global, site: Option<&str>, admin: &AdminArgs) -> anyhow::Result<ExitCode> {
    talk(global, admin, async |client, output| client.status(site, output).await)
}

/// Forces a route, or stops all writes.
pub fn order(global: &Global, order: Order, args: &OrderArgs) -> anyhow::Result<ExitCode> {
    let request = Request::new(&args.audit.reason, Some(author(&args.audit)), Some(args.lasts));
    talk(global, &args.admin, async |client, output| {
        client.order(order, &args.site, &request, output).await
    })
}

/// Gives command back to pilotlight.
pub fn resume(global: &Global, site: &str, audit: &AuditArgs, admin: &AdminArgs) -> anyhow::Result<ExitCode> {
    let request = Request::new(&audit.reason, Some(author(audit)), None);
    talk(global, admin, async |client, output| {
        client.order(Order::Resume, site, &request, output).await
    })
}

/// Who gives the order: as told, or the name of the user.
fn author(audit: &AuditArgs) -> String {
    let user = || {
        ["SUDO_USER", "USER", "LOGNAME"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok())
    };
    audit
        .author
        .clone()
        .or_else(user)
        .unwrap_or_else(|| "unknown".to_owned())
}

fn talk<F>(global: &Global, args: &AdminArgs, ask: F) -> anyhow::Result<ExitCode>
where
    F: AsyncFnOnce(&Client, Output) -> Result<String, super::client::ClientError>,
{
    let Some((endpoint, token_file)) = way(global, args)? else {
        return Ok(ExitCode::from(EX_CONFIG));
    };
    let token = token_file.map(|file| config::secret::read(&file)).transpose()?;
    let client = Client::new(endpoint, token);
    let output = if args.json { Output::Json } else { Output::Human };
    let text = block_on(async { Ok(ask(&client, output).await?) })?;
    // Whoever closed the pipe does not want to hear the rest.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Where the daemon listens and where its token lies: as told, else as the config says. `None`: the config is bad, and that was printed.
fn way(global: &Global, args: &AdminArgs) -> anyhow::Result<Option<(Endpoint, Option<PathBuf>)>> {
    if let Some(address) = &args.admin {
        return Ok(Some((address.parse()?, args.token_file.clone())));
    }
    match config::load_admin(&global.config_paths(), &Surroundings::of_this_process()) {
        Ok(admin) => {
            let endpoint = match admin.listen {
                config::Listen::Tcp(address) => Endpoint::Tcp(address.to_string()),
                config::Listen::Unix(path) => Endpoint::Unix(path),
            };
            Ok(Some((endpoint, args.token_file.clone().or(admin.token_file))))
        }
        Err(complaints) => {
            print_complaints(&complaints);
            Ok(None)
        }
    }
}
