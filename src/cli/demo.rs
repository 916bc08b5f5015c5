//! `pilotlight demo` and `pilotlight sandbox`: the real daemon, through its real edges, before a world that lives in this process.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::app::{self, Running};
use crate::config::{self, Config};
use crate::core::Status;
use crate::sandbox::{Crowd, Home, Kinds, Options, Profile, Sandbox, Tally, Visitors};

use super::args::{DemoArgs, SandboxArgs, SandboxProfile};
use super::playbill::{self, Faults, Figure};
use super::stage::{Mark, Stage};

/// The site's name in the sandbox.
const SITE: &str = "site";
/// How long the real edge takes to say that a silent home does not answer.
const REAL_EDGE_TIMEOUT: Duration = Duration::from_secs(17);
/// How long Google says that a grant may take, about; people measured 32 to 120 s.
const REAL_PROPAGATION: Duration = Duration::from_secs(90);

/// Plays one outage, out and home again, and tells what was seen. Success only when every step was.
pub async fn demo(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let (dir, temporary) = match args.keep {
        Some(dir) => (dir, false),
        None => (
            std::env::temp_dir().join(format!("pilotlight-demo-{}", std::process::id())),
            true,
        ),
    };
    let pace = if args.realistic {
        Pace::realistic()
    } else {
        Pace::short()
    };
    let sandbox = Sandbox::start(pace.options(&dir, args.seed)).await?;
    let file = sandbox.write_config(pace.profile, Kinds::default())?;
    let config = config::load(&[file]).context("the sandbox's own config")?;
    let running = app::start(&config).await?;
    // Cancel-safe: whatever plays is dropped with its visitors, and then everything is stopped in order all the same.
    let told = tokio::select! {
        told = play(&sandbox, &running, &config, &pace) => told,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("it was interrupted")),
    };
    running.stop().await;
    sandbox.stop().await;
    if temporary {
        // What is left behind in the temporary directory harms nobody.
        std::fs::remove_dir_all(&dir).unwrap_or_default();
    }
    match told {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error.context("the demo did not go as it must")),
    }
}

/// How fast the world of a demo turns.
struct Pace {
    profile: Profile,
    realistic: bool,
    /// No single step takes longer than this.
    limit: Duration,
    /// How long a state is shown before something else happens.
    linger: Duration,
    /// How long the flap lasts.
    flap: Duration,
    crowd: Crowd,
}

impl Pace {
    fn short() -> Self {
        Self {
            profile: Profile::Demo,
            realistic: false,
            limit: Duration::from_secs(40),
            linger: Duration::from_secs(2),
            flap: Duration::from_millis(1500),
            crowd: Crowd::default(),
        }
    }

    fn realistic() -> Self {
        Self {
            profile: Profile::Realistic,
            realistic: true,
            limit: Duration::from_secs(25 * 60),
            linger: Duration::from_secs(60),
            flap: Duration::from_secs(12),
            crowd: Crowd {
                every: Duration::from_millis(500),
                patience: Duration::from_secs(30),
                ..Crowd::default()
            },
        }
    }

    fn options(&self, dir: &Path, seed: u64) -> Options {
        let quick = Options {
            seed,
            ..Options::new(dir)
        };
        if self.realistic {
            let (iam_propagation, edge_timeout) = (REAL_PROPAGATION, REAL_EDGE_TIMEOUT);
            return Options {
                iam_propagation,
                edge_timeout,
                flapping: true,
                ..quick
            };
        }
        quick
    }
}

async fn play(sandbox: &Sandbox, running: &Running, config: &Config, pace: &Pace) -> anyhow::Result<()> {
    let site = running.sites.first().context("no site")?;
    let policy = &config.sites.get(SITE).context("no site")?.policy;
    let mut stage = Stage::new(sandbox.world(), site.status.clone());
    let visitors = Visitors::start(&stage.world, SITE, pace.crowd);
    stage.print(&opening(policy, pace));
    ensure!(
        stage.until(Mark::Ready, pace.limit).await,
        "the daemon did not get ready"
    );
    let mut figures = go_out(&mut stage, pace).await?;
    let power_cut = stage.fault(Mark::StandbyVerified);
    stage.linger(pace.linger).await;
    come_home(&mut stage, pace).await?;
    figures.extend(web_server_restarts(&mut stage, pace).await?);
    let restart = stage.fault(Mark::Revived);
    stage.linger(Duration::from_millis(500)).await;
    let tally = visitors.stop().await;
    let faults = Faults { power_cut, restart };
    let mut out = format!("\nTimeline\n{}", playbill::timeline(stage.timeline()));
    out += "\nFigures\n";
    out += &playbill::table(&figures);
    out += &playbill::visitors(&tally, &faults);
    out += &playbill::calls(&running.resources.calls());
    stage.print(&out);
    verify(sandbox, &stage.status(), &tally, &faults)?;
    stage.print("\nEvery step was seen and verified.\n");
    Ok(())
}

fn opening(policy: &crate::core::Policy, pace: &Pace) -> String {
    let minutes = (policy.up_for + policy.drain + REAL_PROPAGATION * 3)
        .as_secs()
        .div_ceil(60)
        + 4;
    let length = if pace.realistic {
        format!(
            "Default durations, {} s of IAM propagation: takes about {minutes} minutes.\n",
            REAL_PROPAGATION.as_secs()
        )
    } else {
        "Shortened durations: takes less than a minute (--realistic: the defaults).\n".to_owned()
    };
    format!(
        "A whole outage, out and home again: the real daemon before a local sandbox.\n{length}\
         A probe every {} s; out after {} s of darkness, home after {} s of quiet.\n\n\
         time (UTC)   since    what\n",
        policy.interval.as_secs(),
        policy.down_for.as_secs(),
        policy.up_for.as_secs()
    )
}

/// Home loses power: silence, not refusal.
async fn go_out(stage: &mut Stage, pace: &Pace) -> anyhow::Result<Vec<Figure>> {
    stage.world.set_home(Home::Silent);
    stage.act(
        Mark::Fault,
        "power cut",
        "POWER CUT at home: packets arrive and nothing answers",
    );
    for (mark, what) in [
        (Mark::Suspect, "the power cut was not noticed"),
        (Mark::FailedOver, "no failover was decided"),
        (Mark::StandbyVerified, "visitors were not proven to reach the standby"),
    ] {
        ensure!(stage.until(mark, pace.limit).await, "{what}");
    }
    Ok(playbill::way_out(stage, !pace.realistic))
}

/// Power is back, flaps once, and stays.
async fn come_home(stage: &mut Stage, pace: &Pace) -> anyhow::Result<()> {
    stage.world.set_home(Home::Serving);
    stage.act(Mark::Revived, "power back", "POWER IS BACK at home");
    ensure!(
        stage.until(Mark::Recovering, pace.limit).await,
        "home's return was not noticed"
    );
    stage.linger(pace.linger).await;
    stage.world.set_home(Home::Refusing);
    stage.say("home flaps", "home FLAPS: its web server goes down again for a moment");
    ensure!(
        stage.until(Mark::Relapsed, pace.limit).await,
        "the flap was not noticed"
    );
    stage.linger(pace.flap).await;
    stage.world.set_home(Home::Serving);
    stage.act(
        Mark::Revived,
        "home back",
        "home is back again; the countdown starts anew",
    );
    for (mark, what) in [
        (Mark::Recovering, "home's second return was not noticed"),
        (Mark::Home, "going home was not decided"),
        (Mark::RedirectOff, "the redirect did not go off"),
        (Mark::HomeVerified, "visitors were not proven to be at home"),
    ] {
        ensure!(stage.until(mark, pace.limit).await, "{what}");
    }
    Ok(())
}

/// A web server that restarts is a suspicion and no failover; then the drain ends and all is as it was.
async fn web_server_restarts(stage: &mut Stage, pace: &Pace) -> anyhow::Result<Vec<Figure>> {
    stage.world.set_home(Home::Refusing);
    stage.act(
        Mark::Fault,
        "web server restarts",
        "home's web server restarts: connections are refused for a moment",
    );
    ensure!(
        stage.until(Mark::Suspect, pace.limit).await,
        "the restart was not noticed"
    );
    let aim = (!pace.realistic).then_some(Duration::from_millis(1200));
    let figure = Figure::new(
        "refused connections to suspect",
        stage.between(Mark::Fault, Mark::Suspect),
        aim,
    );
    stage.linger(pace.flap).await;
    stage.world.set_home(Home::Serving);
    stage.act(Mark::Revived, "web server up", "the web server is up again");
    for (mark, what) in [
        (Mark::Cleared, "the suspicion was not cleared"),
        (Mark::GateOff, "the gate did not shut"),
        (Mark::Over, "the episode did not end"),
    ] {
        ensure!(stage.until(mark, pace.limit).await, "{what}");
    }
    Ok(vec![figure])
}

/// The world itself has to agree, not only what the daemon says of it.
fn verify(sandbox: &Sandbox, status: &Status, tally: &Tally, faults: &Faults) -> anyhow::Result<()> {
    let world = sandbox.world();
    ensure!(!world.gate().configured, "the gate is still open");
    ensure!(!world.redirect().configured, "the redirect is still on");
    ensure!(world.silence().snoozed_for.is_none(), "the monitoring is still muted");
    ensure!(tally.home > 0 && tally.standby > 0, "visitors were not served by both");
    let switched = (
        status.totals.failovers,
        status.totals.failbacks,
        status.totals.rollbacks,
    );
    ensure!(
        switched == (1, 1, 0),
        "one way out and one way home were due; failovers, failbacks and rollbacks were {switched:?}"
    );
    let unexplained = playbill::unexplained(tally, faults);
    ensure!(
        unexplained == 0,
        "{unexplained} visitors were lost without a fault that explains it"
    );
    Ok(())
}

/// Runs the sandbox alone until it is interrupted.
pub async fn sandbox(args: SandboxArgs) -> anyhow::Result<ExitCode> {
    let dir = args
        .dir
        .unwrap_or_else(|| std::env::temp_dir().join(format!("pilotlight-sandbox-{}", std::process::id())));
    let options = Options {
        listen: args.listen,
        public: args.public,
        home: args.home,
        ..Options::new(&dir)
    };
    let sandbox = Sandbox::start(options).await?;
    let profile = match args.profile {
        SandboxProfile::Demo => Profile::Demo,
        SandboxProfile::Realistic => Profile::Realistic,
    };
    let file = sandbox.write_config(profile, Kinds::default())?;
    announce(&sandbox, &file, profile).context("standard output")?;
    tokio::signal::ctrl_c().await?;
    sandbox.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// The config on standard output, so that it can be piped into a file; what to do with it on standard error.
fn announce(sandbox: &Sandbox, file: &Path, profile: Profile) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(sandbox.config_toml(profile).as_bytes())?;
    out.flush()?;
    writeln!(
        std::io::stderr(),
        "\nsandbox: the config above also lies in {}\n\
         sandbox: try   pilotlight run --config {}\n\
         sandbox: cut the power   curl -X POST http://{}/home/silent   (GET / lists everything)\n\
         sandbox: stop with ctrl-c",
        file.display(),
        file.display(),
        sandbox.control_addr()
    )
}
