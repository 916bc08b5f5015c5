//! The control endpoint: plain HTTP and JSON for people, scripts and the system suite.

use std::sync::Arc;

use jiff::SignedDuration;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::faults::Fault;
use super::serve::{Answer, Asked, Reply};
use super::world::World;

const HELP: &str = "\
The sandbox's control endpoint.

GET    /                  this text
GET    /state             what everything is like now
GET    /addresses         where everything listens
GET    /journal           the calls to the providers, oldest first (no tokens)
DELETE /journal           empties it
GET    /notices           what the webhook receiver got
GET    /visitors          what visitors got so far (when a stream of them runs)
GET    /faults            the faults that are still to come
POST   /faults            injects one: {\"api\":\"run\",\"calls\":\"writes\",\"kind\":\"lost_reply\",\"times\":1}
                          api: run monitoring token metadata secrets cloudflare webhook; calls: any reads writes
                          kind: unauthorized forbidden not_found aborted truncated_json success_false ok_html
                          policy_without_bindings lost_reply hang reset half_body ignore_disabled gzip
                          {\"too_many\":30} {\"server_error\":503} {\"server_error_html\":502} {\"late_reply\":2000}
DELETE /faults            ends them
POST   /home/WHAT         serving silent refusing wrong_page wrong_page_healthy health_only expired_certificate
                          wrong_certificate, or with a number: erroring/503 slow/700
POST   /standby/WHAT      serving refusing silent expired_certificate wrong_certificate no_marker overloaded broken/500
POST   /edge/WHAT         working caching challenging silent refusing expired_certificate looping lost_home/530 broken/500
POST   /worker/WHAT       serving tokenless used_up: the Worker at the edge, where a route runs it
POST   /references/WHAT   up dark wrong_clock
POST   /self_signed/WHAT  accepted refused: whether the APIs take JWTs that the caller signed
POST   /org_policy/WHAT   free domain_restricted require_invoker_iam
POST   /rights            what the service account may do in the project: a JSON list of permissions
POST   /clock/SECONDS     moves the providers' wall clock on
GET    /records/SITE      the providers' records of a site, as another writer sees them
POST   /checker/SITE      runs the site's uptime check once
Add ?site=NAME to /home and /standby for one site; otherwise all are meant. A home of your own (--home) is broken by you.
";

/// Answers the control endpoint.
pub(super) fn answer(world: &Arc<World>) -> Answer {
    let world = Arc::clone(world);
    Arc::new(move |asked| {
        let world = Arc::clone(&world);
        Box::pin(async move { respond(&world, &asked).await })
    })
}

async fn respond(world: &Arc<World>, asked: &Asked) -> Reply {
    let segments = asked.segments();
    match (asked.method.as_str(), segments.as_slice()) {
        ("GET", [""]) => Reply::text(200, HELP),
        ("GET", ["state"]) => Reply::json(200, &world.summary()),
        ("GET", ["addresses"]) => Reply::json(200, &json!(world.addresses())),
        ("GET", ["journal"]) => Reply::json(200, &json!(world.journal())),
        ("GET", ["notices"]) => Reply::json(200, &json!(world.notices())),
        ("GET", ["visitors"]) => Reply::json(200, &json!(world.visitors())),
        ("GET", ["faults"]) => Reply::json(200, &json!(world.faults())),
        ("POST", ["faults"]) => inject(world, asked),
        ("DELETE", ["faults"]) => {
            world.clear_faults();
            done(world)
        }
        ("DELETE", ["journal"]) => {
            world.clear_journal();
            done(world)
        }
        ("GET", ["records", site]) => Reply::json(200, &world.records_of(site)),
        ("POST", ["rights"]) => rights(world, asked),
        ("POST", ["clock", secs]) => match secs.parse().map(SignedDuration::from_secs) {
            Ok(by) => {
                world.advance_clock(by);
                done(world)
            }
            Err(_) => Reply::json(422, &json!({"error": "seconds are needed"})),
        },
        ("POST", ["checker", site]) => {
            let run = world.run_uptime_check(site).await;
            Reply::json(200, &json!({"run": format!("{run:?}").to_lowercase()}))
        }
        ("POST", [lever, what @ ..]) if !what.is_empty() => pull(world, asked, lever, what),
        _ => Reply::json(404, &json!({"error": "no such thing; GET / tells what there is"})),
    }
}

fn done(world: &World) -> Reply {
    Reply::json(200, &world.summary())
}

fn inject(world: &World, asked: &Asked) -> Reply {
    match serde_json::from_slice::<Fault>(&asked.body) {
        Ok(fault) => {
            world.inject(fault);
            done(world)
        }
        Err(problem) => Reply::json(422, &json!({"error": problem.to_string()})),
    }
}

fn rights(world: &World, asked: &Asked) -> Reply {
    match serde_json::from_slice::<Vec<String>>(&asked.body) {
        Ok(rights) => {
            world.set_rights(rights.iter().map(String::as_str));
            done(world)
        }
        Err(problem) => Reply::json(422, &json!({"error": problem.to_string()})),
    }
}

fn pull(world: &World, asked: &Asked, lever: &str, what: &[&str]) -> Reply {
    let site = asked.parameter("site");
    let site = site.as_deref();
    if site.is_some_and(|site| world.home_of(site).is_none()) {
        return Reply::json(404, &json!({"error": "no such site"}));
    }
    let pulled = match lever {
        "home" if world.options.home.is_some() => {
            return Reply::json(409, &json!({"error": "home is your own; break it yourself"}));
        }
        "home" => parse(what).map(|home| match site {
            Some(site) => world.set_home_of(site, home),
            None => world.set_home(home),
        }),
        "standby" => parse(what).map(|standby| match site {
            Some(site) => world.set_standby_of(site, standby),
            None => world.set_standby(standby),
        }),
        "edge" => parse(what).map(|edge| world.set_edge(edge)),
        "worker" => parse(what).map(|worker| world.set_worker(worker)),
        "references" => parse(what).map(|references| world.set_references(references)),
        "org_policy" => parse(what).map(|policy| world.set_org_policy(policy)),
        "self_signed" => parse(what).map(|answer| world.set_self_signed(answer)),
        _ => None,
    };
    match pulled {
        Some(()) => done(world),
        None => Reply::json(422, &json!({"error": "no such state; GET / tells which there are"})),
    }
}

/// `silent` or `erroring/503`.
fn parse<T: DeserializeOwned>(what: &[&str]) -> Option<T> {
    let value: Value = match what {
        [name] => json!(name),
        [name, number] => json!({*name: number.parse::<u32>().ok()?}),
        _ => return None,
    };
    serde_json::from_value(value).ok()
}
