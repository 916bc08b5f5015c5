//! What every provider call goes through: the delay, the faults, the lanes, the foreign writer, the journal.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::faults::{Api, Call, FaultKind, gzip, may_write};
use super::monitoring::Quirk;
use super::run::Arrival;
use super::serve::{Answer, Asked, Effect, Reply};
use super::world::World;
use super::{cloudflare, google, monitoring, run, secrets, tokens};

/// Answers the calls to one API.
pub(super) fn answer(world: &Arc<World>, api: Api) -> Answer {
    let world = Arc::clone(world);
    Arc::new(move |asked| Box::pin(handle(Arc::clone(&world), api, asked)))
}

/// A write in flight; the second one on the same object is refused.
struct Lane {
    world: Arc<World>,
    name: String,
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(writes) = self.world.lock().lanes.get_mut(&self.name) {
            *writes = writes.saturating_sub(1);
        }
    }
}

/// Which object takes one write at a time, if this is a write to such a one.
fn lane(api: Api, asked: &Asked) -> Option<&'static str> {
    if !may_write(asked) {
        return None;
    }
    match api {
        Api::Cloudflare if asked.path.contains("/rulesets") => Some("ruleset"),
        Api::Monitoring if asked.path.contains("/alertPolicies") => Some("alert policies"),
        _ => None,
    }
}

async fn handle(world: Arc<World>, api: Api, asked: Asked) -> Reply {
    let (lane, busy) = enter(&world, api, &asked);
    let fault = world.lock().faults.take(api, &asked);
    tokio::time::sleep(world.options.api_delay).await;
    if busy {
        let reply = crowded(api, &world);
        note(&world, api, &asked, &reply, fault);
        return reply;
    }
    let Some(kind) = fault else {
        let reply = apply(&world, api, &asked, None);
        drop(lane);
        return reply;
    };
    faulty(&world, api, asked, kind).await
}

fn enter(world: &Arc<World>, api: Api, asked: &Asked) -> (Option<Lane>, bool) {
    let Some(name) = lane(api, asked) else {
        return (None, false);
    };
    let mut state = world.lock();
    let writes = state.lanes.entry(name.to_owned()).or_default();
    *writes += 1;
    let busy = *writes > 1;
    drop(state);
    let lane = Lane {
        world: Arc::clone(world),
        name: name.to_owned(),
    };
    (Some(lane), busy)
}

fn crowded(api: Api, world: &World) -> Reply {
    match api {
        Api::Cloudflare => cloudflare::headers(cloudflare::too_many(Some(1)), 1000, &mut world.lock().chance),
        _ => google::aborted(),
    }
}

/// Carries out the call and notes it.
fn apply(world: &Arc<World>, api: Api, asked: &Asked, fault: Option<FaultKind>) -> Reply {
    if may_write(asked) {
        world.let_slip(api);
    }
    let reply = carry_out(world, api, asked, fault);
    note(world, api, asked, &reply, fault);
    reply
}

fn carry_out(world: &Arc<World>, api: Api, asked: &Asked, fault: Option<FaultKind>) -> Reply {
    let arrival = |delay: Duration| Arrival {
        now: Instant::now(),
        delay,
        spread: world.spread(),
    };
    let own_uri = || {
        world
            .addresses()
            .map_or(String::new(), |all| format!("http://{}/token", all.token))
    };
    let elapsed = world.elapsed();
    let mut state = world.lock();
    let quirk = match fault {
        Some(FaultKind::IgnoreDisabled) => Quirk::IgnoresDisabled,
        _ => Quirk::None,
    };
    match api {
        Api::Run => run::answer(&mut state, asked, arrival(world.options.iam_propagation)),
        Api::Monitoring => monitoring::answer(&mut state, asked, quirk),
        Api::Token => tokens::answer(&mut state, asked, &own_uri()),
        Api::Metadata => tokens::metadata(&mut state, asked),
        Api::Secrets => secrets::answer(&state, asked),
        Api::Cloudflare => cloudflare::answer(&mut state, asked, arrival(world.options.edge_propagation)),
        Api::Webhook => super::webhook::answer(&mut state, asked, elapsed),
    }
}

fn note(world: &World, api: Api, asked: &Asked, reply: &Reply, fault: Option<FaultKind>) {
    note_call(world, api, asked, (reply.status.as_u16(), reply.effect), fault);
}

fn note_call(world: &World, api: Api, asked: &Asked, (status, effect): (u16, Effect), fault: Option<FaultKind>) {
    // The webhook's path is its secret.
    let path = match (api, asked.query.is_empty()) {
        (Api::Webhook, _) => "/...".to_owned(),
        (_, true) => asked.path.clone(),
        (_, false) => format!("{}?{}", asked.path, asked.query),
    };
    let call = Call {
        at: world.elapsed(),
        api,
        method: asked.method.to_string(),
        path,
        status,
        wrote: effect != Effect::None,
        changed: effect == Effect::Changed,
        fault,
    };
    world.lock().journal.note(call);
}

/// A call that a fault hits.
async fn faulty(world: &Arc<World>, api: Api, asked: Asked, kind: FaultKind) -> Reply {
    if let Some(reply) = refusal(api, kind) {
        let reply = match api {
            Api::Cloudflare => cloudflare::headers(reply, 1000, &mut world.lock().chance),
            _ => reply,
        };
        note(world, api, &asked, &reply, Some(kind));
        return reply;
    }
    match kind {
        FaultKind::Hang | FaultKind::Reset => {
            note_call(world, api, &asked, (0, Effect::None), Some(kind));
            if kind == FaultKind::Reset {
                asked.wire.cut();
            }
            std::future::pending().await
        }
        FaultKind::LostReply => {
            apply(world, api, &asked, Some(kind));
            asked.wire.cut();
            std::future::pending().await
        }
        FaultKind::LateReply(millis) => late(world, api, asked, kind, Duration::from_millis(millis.into())).await,
        FaultKind::HalfBody => apply(world, api, &asked, Some(kind)).halved(),
        FaultKind::Gzip
            if asked
                .header("accept-encoding")
                .is_some_and(|known| known.contains("gzip")) =>
        {
            gzip(apply(world, api, &asked, Some(kind)))
        }
        _ => apply(world, api, &asked, Some(kind)),
    }
}

/// Carried out late, also when the caller has gone by then.
async fn late(world: &Arc<World>, api: Api, asked: Asked, kind: FaultKind, delay: Duration) -> Reply {
    let (send, receive) = tokio::sync::oneshot::channel();
    let apart = Arc::clone(world);
    world.spawn(async move {
        tokio::time::sleep(delay).await;
        // A caller that has gone does not want the answer.
        send.send(apply(&apart, api, &asked, Some(kind))).ok();
    });
    match receive.await {
        Ok(reply) => reply,
        Err(_) => std::future::pending().await,
    }
}

/// The answer of a fault under which nothing is carried out.
fn refusal(api: Api, kind: FaultKind) -> Option<Reply> {
    let cloudflare = api == Api::Cloudflare;
    let reply = match kind {
        FaultKind::Unauthorized if cloudflare => cloudflare::failure(401, 10000, "Authentication error"),
        FaultKind::Unauthorized => google::unauthenticated(),
        FaultKind::Forbidden if cloudflare => cloudflare::failure(403, 10000, "Authentication error"),
        FaultKind::Forbidden => google::denied("sandbox.fault", "sandbox"),
        FaultKind::NotFound if cloudflare => cloudflare::failure(404, 10003, "could not find it"),
        FaultKind::NotFound => google::not_found("RESOURCE", "sandbox"),
        FaultKind::Aborted if cloudflare => cloudflare::failure(409, 10000, "conflict"),
        FaultKind::Aborted => google::aborted(),
        FaultKind::TooMany(secs) if cloudflare => cloudflare::too_many(secs),
        FaultKind::TooMany(secs) => google::exhausted(secs),
        FaultKind::ServerError(status) if cloudflare => cloudflare::failure(status, 10001, "internal error"),
        FaultKind::ServerError(status) => google::trouble(status),
        FaultKind::ServerErrorHtml(status) => Reply::html(
            status,
            "<html><head><title>Error</title></head><body>Please try again in 30 seconds.</body></html>",
        ),
        FaultKind::TruncatedJson => Reply::new(
            200,
            "application/json",
            "{\"success\": true, \"result\": {\"rules\": [{\"id\": \"0",
        ),
        FaultKind::SuccessFalse => Reply::json(
            200,
            &json!({"success": false, "errors": [{"code": 10001, "message": "something went wrong"}], "messages": [], "result": null}),
        ),
        FaultKind::OkHtml => Reply::html(200, "<html><body>Sign in to continue</body></html>"),
        FaultKind::PolicyWithoutBindings => Reply::json(200, &json!({"etag": "ACAB"})),
        FaultKind::LostReply
        | FaultKind::LateReply(_)
        | FaultKind::Hang
        | FaultKind::Reset
        | FaultKind::HalfBody
        | FaultKind::IgnoreDisabled
        | FaultKind::Gzip => return None,
    };
    Some(reply)
}
