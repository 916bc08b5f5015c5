//! Home, the standby and the references: what a request to each of them gets.

use std::sync::Arc;
use std::time::Duration;

use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::levers::{Home, References, StandbyState};
use super::serve::{Answer, Asked, PickTls, Reply};
use super::tls::{Certificates, Flaw};
use super::world::{World, service_name};

/// The header that tells who served.
pub(super) const MARKER: &str = "x-served-by";

/// What home answers for a site.
pub(super) fn home(world: &Arc<World>, site: &str) -> Answer {
    let (world, site) = (Arc::clone(world), site.to_owned());
    Arc::new(move |asked| {
        let home = world.home_of(&site).unwrap_or_default();
        Box::pin(async move {
            if let Home::Slow(millis) = home {
                tokio::time::sleep(Duration::from_millis(millis.into())).await;
            }
            home_page(home, &asked)
        })
    })
}

fn home_page(home: Home, asked: &Asked) -> Reply {
    let health = asked.path == "/healthz";
    let page = || {
        let body = if health {
            "ok\n"
        } else {
            "<!doctype html><title>home</title><p>Served by home.\n"
        };
        Reply::html(200, body)
    };
    match home {
        Home::Erroring(status) => Reply::html(status, "<p>home is in trouble\n").with(MARKER, "home"),
        Home::HealthOnly if !health => Reply::html(500, "<p>the app is broken\n").with(MARKER, "home"),
        Home::WrongPage => Reply::html(200, "<p>It works!\n"),
        Home::WrongPageHealthy if !health => Reply::html(200, "<p>It works!\n"),
        _ => page().with(MARKER, "home"),
    }
}

/// Picks home's certificate.
pub(super) fn home_tls(world: &Arc<World>, site: &str, certificates: Certificates) -> PickTls {
    let (world, site) = (Arc::clone(world), site.to_owned());
    Arc::new(move || {
        certificates.pick(match world.home_of(&site) {
            Some(Home::ExpiredCertificate) => Flaw::Expired,
            Some(Home::WrongCertificate) => Flaw::WrongName,
            _ => Flaw::None,
        })
    })
}

/// What the standby answers for a site: Google's front end first, then the container.
pub(super) fn standby(world: &Arc<World>, site: &str) -> Answer {
    let (world, site) = (Arc::clone(world), site.to_owned());
    Arc::new(move |asked| {
        let (world, site) = (Arc::clone(&world), site.clone());
        Box::pin(async move {
            match at_the_gate(&world, &site, &asked) {
                Gate::Turned(reply) => reply,
                Gate::Entered { cold } => {
                    if cold {
                        tokio::time::sleep(world.options.cold_start).await;
                    }
                    let state = world.lock().sites.get(&site).map(|site| site.standby);
                    container(state.unwrap_or_default())
                }
            }
        })
    })
}

impl World {
    /// Whether the front end of a site's closed standby takes this ID token.
    pub fn lets_in(&self, site: &str, token: &str) -> bool {
        let state = self.lock();
        let service = state.run.service(&service_name(site));
        service.is_some_and(|service| {
            state
                .identity
                .accepts_id_token(token, &service.audiences(), state.now())
        })
    }
}

enum Gate {
    /// The front end answers itself.
    Turned(Reply),
    /// The request reaches the container, which may have to be started.
    Entered { cold: bool },
}

fn at_the_gate(world: &World, site: &str, asked: &Asked) -> Gate {
    let mut state = world.lock();
    let front = state.chance.front();
    let now = state.now();
    let state = &mut *state;
    let Some(service) = state.run.service_mut(&service_name(site)) else {
        return Gate::Turned(front_end(
            404,
            "Error: Page not found",
            "The requested URL was not found on this server.",
        ));
    };
    if !service.ingress_is_open() || asked.path == "/healthz" {
        return Gate::Turned(front_end(
            404,
            "Error: Page not found",
            "The requested URL was not found on this server.",
        ));
    }
    let token = asked
        .header("x-serverless-authorization")
        .and_then(|value| value.strip_prefix("Bearer "))
        .or_else(|| asked.bearer());
    if !*service.public.seen_by(front, Instant::now()) {
        let Some(token) = token else {
            let words = "Your client does not have permission to get URL <code>/</code> from this server.";
            return Gate::Turned(front_end(403, "Error: Forbidden", words));
        };
        if !state.identity.accepts_id_token(token, &service.audiences(), now) {
            let words =
                "Your client does not have permission to the requested URL: The access token could not be verified.";
            let reply = front_end(401, "Error: Unauthorized", words);
            return Gate::Turned(reply.with("www-authenticate", "Bearer error=\"invalid_token\""));
        }
        if !service.policy.gives("run.routes.invoke") && !state.identity.rights.contains("run.routes.invoke") {
            let words = "Your client does not have permission to get URL <code>/</code> from this server.";
            return Gate::Turned(front_end(403, "Error: Forbidden", words));
        }
    }
    let cold = !service.warm;
    service.warm = true;
    Gate::Entered { cold }
}

/// A page of Google's front end.
fn front_end(status: u16, title: &str, words: &str) -> Reply {
    Reply::html(
        status,
        format!(
            "\n<html><head>\n<meta http-equiv=\"content-type\" content=\"text/html;charset=utf-8\">\n<title>{status} {title}</title>\n\
             </head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>{title}</h1>\n<h2>{words}</h2>\n<h2></h2>\n</body></html>\n"
        ),
    )
    .with("server", "Google Frontend")
}

fn container(state: StandbyState) -> Reply {
    let reply = match state {
        StandbyState::Broken(status) => Reply::html(status, "<p>the container is broken\n"),
        StandbyState::Overloaded => Reply::text(429, "Rate exceeded.").with("retry-after", "1"),
        StandbyState::NoMarker => Reply::html(200, "<p>It works!\n"),
        _ => {
            Reply::html(200, "<!doctype html><title>standby</title><p>Served by the standby.\n").with(MARKER, "standby")
        }
    };
    reply.with("server", "Google Frontend")
}

/// Picks the standby's certificate.
pub(super) fn standby_tls(world: &Arc<World>, site: &str, certificates: Certificates) -> PickTls {
    let (world, site) = (Arc::clone(world), site.to_owned());
    Arc::new(move || {
        let standby = world.lock().sites.get(&site).map(|site| site.standby);
        certificates.pick(match standby {
            Some(StandbyState::ExpiredCertificate) => Flaw::Expired,
            Some(StandbyState::WrongCertificate) => Flaw::WrongName,
            _ => Flaw::None,
        })
    })
}

/// What a reference answers: a date above all.
pub(super) fn reference(world: &Arc<World>) -> Answer {
    let world = Arc::clone(world);
    Arc::new(move |_| {
        let (references, now) = {
            let state = world.lock();
            (state.references, state.now())
        };
        let off = match references {
            References::WrongClock => SignedDuration::from_hours(5),
            References::Up | References::Dark => SignedDuration::ZERO,
        };
        let date = http_date(now.checked_add(off).unwrap_or(now));
        Box::pin(async move { Reply::text(200, "here\n").with("date", &date) })
    })
}

fn http_date(at: Timestamp) -> String {
    DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&at)
        .unwrap_or_default()
}
