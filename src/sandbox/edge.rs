//! The edge: applies the redirect rules, passes the rest on to home, and says in Cloudflare's way when home is gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::client::{NoPage, Page, get, get_with};
use super::edge_rules::EdgeRules;
use super::expression::Request;
use super::levers::{EdgeState, WorkerState};
use super::serve::{Answer, Asked, PickTls, Reply};
use super::tls::{Certificates, Flaw};
use super::world::{World, standby_host};

/// How old the pages are that the edge serves from its cache.
const CACHED_AGE_SECS: &str = "3600";

/// What the edge answers.
pub(super) fn answer(world: &Arc<World>, tls: &TlsConnector) -> Answer {
    let (world, tls) = (Arc::clone(world), tls.clone());
    Arc::new(move |asked| {
        let (world, tls) = (Arc::clone(&world), tls.clone());
        Box::pin(async move {
            let reply = respond(&world, &tls, &asked).await;
            let ray = world.lock().chance.next();
            reply
                .with("server", "cloudflare")
                .with("cf-ray", &format!("{ray:016x}-FRA"))
        })
    })
}

/// Picks the edge's certificate.
pub(super) fn tls(world: &Arc<World>, certificates: Certificates) -> PickTls {
    let world = Arc::clone(world);
    Arc::new(move || {
        let edge = world.lock().edge;
        certificates.pick(match edge {
            EdgeState::ExpiredCertificate => Flaw::Expired,
            _ => Flaw::None,
        })
    })
}

async fn respond(world: &World, tls: &TlsConnector, asked: &Asked) -> Reply {
    let edge = world.lock().edge;
    if let EdgeState::Broken(status) = edge {
        return Reply::html(status, "<html><center><h1>cloudflare</h1></center></html>");
    }
    if asked.path == "/cdn-cgi/trace" {
        return trace(world, asked);
    }
    if edge == EdgeState::Looping {
        let location = format!("https://{}{}", asked.host(), asked.path);
        return Reply::html(307, "").with("location", &location);
    }
    let rules = rules(world);
    if let Some(reply) = redirected(&rules, asked) {
        return reply;
    }
    let worker = world.lock().worker;
    if worker != WorkerState::UsedUp && rules.runs_worker(request(asked)) {
        return from_worker(world, tls, asked, worker).await;
    }
    match edge {
        EdgeState::Challenging => Reply::html(403, "<title>Just a moment...</title>").with("cf-mitigated", "challenge"),
        EdgeState::LostHome(status) => {
            if matches!(status, 522 | 524) {
                tokio::time::sleep(world.options.edge_timeout).await;
            }
            lost(status)
        }
        EdgeState::Caching => Reply::html(200, "<!doctype html><title>home</title><p>Served by home.\n")
            .with(super::hosts::MARKER, "home")
            .with("cf-cache-status", "HIT")
            .with("age", CACHED_AGE_SECS),
        _ => from_home(world, tls, asked).await,
    }
}

fn trace(world: &World, asked: &Asked) -> Reply {
    let at = world.lock().now().as_millisecond();
    Reply::text(
        200,
        format!(
            "fl=1f1\nh={}\nip=127.0.0.1\nts={}.{:03}\nvisit_scheme=https\nuag=-\ncolo=FRA\nsliver=none\nhttp=http/1.1\nloc=DE\n\
             tls=TLSv1.3\nsni=plaintext\nwarp=off\ngateway=off\n",
            asked.host(),
            at / 1000,
            at % 1000
        ),
    )
}

/// The rules as the city knows them that the request came to.
fn rules(world: &World) -> Arc<EdgeRules> {
    let mut state = world.lock();
    let city = state.chance.front();
    Arc::clone(state.zone.edge.seen_by(city, Instant::now()))
}

fn request(asked: &Asked) -> Request<'_> {
    Request {
        host: asked.host(),
        path: &asked.path,
        query: &asked.query,
        method: asked.method.as_str(),
    }
}

fn redirected(rules: &EdgeRules, asked: &Asked) -> Option<Reply> {
    let redirect = rules.redirect(request(asked))?;
    Some(
        Reply::html(redirect.status, "")
            .with("location", &redirect.location)
            .with("cache-control", "private, max-age=0, no-store"),
    )
}

/// What `worker/standby.js` does: asks the closed standby with an ID token, and says so itself when it cannot.
async fn from_worker(world: &World, tls: &TlsConnector, asked: &Asked, worker: WorkerState) -> Reply {
    let unavailable = |status| {
        Reply::text(status, "The standby of this site cannot be reached at the moment.\n")
            .with("x-pilotlight", "standby-unavailable")
            .with("retry-after", "5")
    };
    let site = world.site_of_host(asked.host());
    let standby = site.and_then(|site| Some((site, world.addresses()?.standbys.get(site).copied()?)));
    let Some((site, address)) = standby.filter(|_| worker != WorkerState::Tokenless) else {
        return unavailable(503);
    };
    let host = standby_host(site);
    let token = {
        let state = world.lock();
        state.identity.id_token(&format!("https://{host}"), state.now())
    };
    let path = full_path(asked);
    let page = get_with(tls, address, &host, &path, token.as_deref(), world.options.edge_timeout).await;
    page.map_or_else(|_| unavailable(502), |page| passed_on(page, None))
}

fn full_path(asked: &Asked) -> String {
    if asked.query.is_empty() {
        asked.path.clone()
    } else {
        format!("{}?{}", asked.path, asked.query)
    }
}

async fn from_home(world: &World, tls: &TlsConnector, asked: &Asked) -> Reply {
    let home = world
        .site_of_host(asked.host())
        .and_then(|site| world.addresses()?.homes.get(site).copied());
    let Some(home) = home else {
        return Reply::html(409, "<p>error code: 1001\n");
    };
    let path = full_path(asked);
    let patience: Duration = world.options.edge_timeout;
    match get(tls, home, asked.host(), &path, patience).await {
        Ok(page) => passed_on(page, Some("DYNAMIC")),
        Err(NoPage::Refused) => lost(521),
        Err(NoPage::Silent) => lost(522),
        Err(NoPage::Unreachable) => lost(523),
        Err(NoPage::Certificate) => lost(526),
        Err(NoPage::Tls) => lost(525),
        Err(NoPage::Cut | NoPage::Loop | NoPage::NoHost) => lost(520),
    }
}

fn passed_on(page: Page, cache: Option<&str>) -> Reply {
    let mut reply = Reply::new(page.status, "", page.body);
    *reply.headers = page.headers;
    for hop in ["connection", "transfer-encoding", "content-length", "keep-alive"] {
        reply.headers.remove(hop);
    }
    match cache {
        Some(status) => reply.with("cf-cache-status", status),
        None => reply,
    }
}

/// The edge's own page about home.
fn lost(status: u16) -> Reply {
    let words = match status {
        520 => "Web server is returning an unknown error",
        521 => "Web server is down",
        522 => "Connection timed out",
        523 => "Origin is unreachable",
        524 => "A timeout occurred",
        525 => "SSL handshake failed",
        526 => "Invalid SSL certificate",
        _ => "Argo Tunnel error: error code 1033",
    };
    Reply::html(
        status,
        format!("<!doctype html><title>{status}: {words}</title><p>{words}\n"),
    )
    .with("cache-control", "private, max-age=0, no-store")
}
