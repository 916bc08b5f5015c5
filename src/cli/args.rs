//! What can be written on the command line.

#[cfg(feature = "sandbox")]
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::config::{self, LogFormat};

/// Where the config is looked for when none is named.
pub const DEFAULT_CONFIG: &str = "/etc/pilotlight/pilotlight.toml";
/// Where fragments of it are looked for beside.
pub const DEFAULT_FRAGMENTS: &str = "/etc/pilotlight/conf.d";

const EVERYWHERE: &str = "For every command";
const LOG_HELP: &str = "What to log: off, error, warn, info, debug, trace, or \"info,pilotlight::driver=debug\" \
    [default: the config's]";
const ADMIN_HELP: &str = "The daemon's admin server: http://127.0.0.1:9911 or unix:/run/pilotlight/admin.sock \
    [default: the config's]";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "pilotlight",
    version,
    about = "Watches a site hosted at home from outside, and lights its cloud standby when home goes dark",
    after_help = "Examples:\n  \
        pilotlight check                        is the config good?\n  \
        pilotlight run                          watch, and switch when it has to be\n  \
        pilotlight status                       who serves visitors now?\n  \
        pilotlight pause blog --reason \"new router\" --for 30m",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// A config file, or a directory of *.toml fragments; can be given several times, later ones win
    /// [default: /etc/pilotlight/pilotlight.toml and /etc/pilotlight/conf.d]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "PATH")]
    pub config: Vec<PathBuf>,
    /// What to log, instead of what the config says.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "LEVEL", help = LOG_HELP)]
    pub log: Option<String>,
    /// How to log; auto means text on a terminal, journald under systemd, JSON otherwise [default: the config's]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FORMAT", value_parser = log_format())]
    pub log_format: Option<LogFormat>,
}

impl Global {
    /// The config's files and directories, in the order in which they are layered.
    pub fn config_paths(&self) -> Vec<PathBuf> {
        if !self.config.is_empty() {
            return self.config.clone();
        }
        let fragments = PathBuf::from(DEFAULT_FRAGMENTS);
        let fragments = fragments.is_dir().then_some(fragments);
        [PathBuf::from(DEFAULT_CONFIG)].into_iter().chain(fragments).collect()
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch the sites of the config and switch when it has to be
    Run,
    /// Check the config and name everything that is wrong with it; changes nothing
    #[command(after_help = "Exit status: 0 when the config is good, 78 when it is not.")]
    Check {
        /// Print JSON for machines
        #[arg(long)]
        json: bool,
    },
    /// Show who serves visitors now, and why
    Status {
        /// Only this site
        site: Option<String>,
        /// How to reach the daemon.
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Send visitors to the standby, whatever the probes say
    #[command(
        after_help = "Example:\n  pilotlight failover blog --reason \"moving the rack\" --for 2h\n\n\
        Ends by itself: pilotlight decides again after --for, or after `pilotlight resume`."
    )]
    Failover(OrderArgs),
    /// Send visitors home, whatever the probes say
    #[command(after_help = "Example:\n  pilotlight failback blog --reason \"power is back, checked by hand\"")]
    Failback(OrderArgs),
    /// Stop all writes: watch and report, but switch nothing
    #[command(after_help = "Example:\n  pilotlight pause blog --reason \"new router\" --for 30m")]
    Pause(OrderArgs),
    /// Give command back to pilotlight
    #[command(after_help = "Example:\n  pilotlight resume blog --reason \"router works\"")]
    Resume {
        /// The site
        site: String,
        /// Who says so and why, for the log.
        #[command(flatten)]
        audit: AuditArgs,
        /// How to reach the daemon.
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Play a whole outage on this machine: home loses power, the standby takes over, home comes back
    #[cfg(feature = "sandbox")]
    #[command(after_help = "Needs no config and no network; touches nothing outside this machine.")]
    Demo(DemoArgs),
    /// Run stand-ins for home, the standby and the providers on this machine, and print a config for them
    #[cfg(feature = "sandbox")]
    Sandbox(SandboxArgs),
}

/// An operator's order that ends by itself.
#[derive(Args, Clone, Debug)]
pub struct OrderArgs {
    /// The site
    pub site: String,
    /// How long it holds
    #[arg(long = "for", value_name = "DURATION", default_value = "4h", value_parser = duration)]
    pub lasts: Duration,
    /// Who says so and why, for the log.
    #[command(flatten)]
    pub audit: AuditArgs,
    /// How to reach the daemon.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// Who gives an order and why; it stands in the log.
#[derive(Args, Clone, Debug)]
pub struct AuditArgs {
    /// Why; it is logged and shown in the status
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
    /// Who [default: the user's name]
    #[arg(long, value_name = "NAME")]
    pub author: Option<String>,
}

/// How to reach the daemon, and how to print its answer.
#[derive(Args, Clone, Debug)]
pub struct AdminArgs {
    /// Where the daemon's admin server listens, if not where the config says.
    #[arg(long, value_name = "ADDRESS", help = ADMIN_HELP)]
    pub admin: Option<String>,
    /// The file with the admin token [default: the config's]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Print JSON for machines
    #[arg(long)]
    pub json: bool,
}

/// How to play the demo.
#[cfg(feature = "sandbox")]
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Use the default durations and the providers' real delays; takes about half an hour
    #[arg(long)]
    pub realistic: bool,
    /// The seed of all chance in it
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Keep the config, the state and the logs in this directory
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// How to run the sandbox.
#[cfg(feature = "sandbox")]
#[derive(Args, Clone, Debug)]
pub struct SandboxArgs {
    /// Where its control endpoint listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// On which address of this machine everything else listens
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub public: IpAddr,
    /// A home of your own in place of the built-in one: the edge goes there. Certificates for it lie in the directory:
    /// home.pem, home-expired.pem and home-wrong-name.pem, each with its key
    #[arg(long, value_name = "ADDRESS")]
    pub home: Option<SocketAddr>,
    /// Where it writes its authority, keys, tokens and config [default: a new directory for this run]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Which durations the printed config has
    #[arg(long, value_enum, default_value_t = SandboxProfile::Demo)]
    pub profile: SandboxProfile,
}

/// Which durations the sandbox's config has.
#[cfg(feature = "sandbox")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SandboxProfile {
    /// Short ones, to watch
    Demo,
    /// The defaults
    Realistic,
}

fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    let names = LogFormat::ALL.map(|(name, _)| name);
    PossibleValuesParser::new(names).map(|given| {
        let known = LogFormat::ALL.into_iter().find(|(name, _)| *name == given);
        known.map_or(LogFormat::Auto, |(_, format)| format)
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|wrong| format!("{wrong}; write it as in 30m, \"1h 30m\" or 4h"))
}

fn reason(text: &str) -> Result<String, &'static str> {
    match text.trim() {
        "" => Err("it is empty; say why, for whoever reads the log later"),
        reason => Ok(reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split('|'))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_help_line() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
    }

    #[test]
    fn an_order_needs_a_reason_and_ends_after_four_hours() {
        let cli = parse("pilotlight|pause|blog|--reason|new router").unwrap();
        let Command::Pause(order) = cli.command else {
            panic!("not a pause")
        };
        assert_eq!(order.lasts, Duration::from_secs(4 * 3600));
        assert_eq!(order.audit.reason, "new router");
        assert!(parse("pilotlight|pause|blog").is_err());
        assert!(parse("pilotlight|pause|blog|--reason|  ").is_err());
        assert!(parse("pilotlight|pause|blog|--reason|x|--for|soon").is_err());
    }

    #[test]
    fn the_config_may_be_named_after_the_command_and_several_times() {
        let cli = parse("pilotlight|check|--config|a.toml|--config|conf.d").unwrap();
        assert_eq!(cli.global.config_paths(), ["a.toml", "conf.d"].map(PathBuf::from));
    }

    #[test]
    fn a_log_format_is_one_of_those_in_the_config() {
        let cli = parse("pilotlight|--log-format|journald|run").unwrap();
        assert_eq!(cli.global.log_format, Some(LogFormat::Journald));
        assert!(parse("pilotlight|--log-format|xml|run").is_err());
    }
}
