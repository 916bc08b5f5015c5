//! The network between the edges and the providers: carries calls, loses them, delays them, answers nonsense. Everything above it, from
//! the client's `send` on, is the program's own.

use std::time::Duration;

use pilotlight::core::Position;
use pilotlight::http::{Answer, Body, HttpError, Method, Request, Wire};
use pilotlight::probe::BoxFuture;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::fates::{Fate, google_error, oddly, say};
use super::laws::Law;
use super::objects::{By, Call, Object};
use super::plan::Api;
use super::planted::Plant;
use super::world::{Shared, World, lock};

/// The client's own deadline for one call.
const DEADLINE: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// The driver's deadline for one operation, and the grain of the timers.
pub const TOGGLE_TIMEOUT: Duration = Duration::from_secs(15);
/// A call that was given up arrives so long after at most.
pub const LATEST: Duration = Duration::from_secs(30);

/// The wire of one process.
#[derive(Debug)]
pub struct Cable(pub Shared);

impl Wire for Cable {
    fn exchange<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Answer, HttpError>> {
        let carried = matches!(request.method, Method::HEAD);
        let token = request.url.contains("/token");
        let call = if carried || token {
            None
        } else {
            Some(understand(&request))
        };
        Box::pin(async move {
            match call {
                Some(call) => self.carry_planted(call).await,
                None => self.attend(token).await,
            }
        })
    }
}

impl Cable {
    /// Warming a connection, or fetching a token: nothing at the providers is touched.
    async fn attend(&self, token: bool) -> Result<Answer, HttpError> {
        let (up, took) = {
            let mut world = lock(&self.0);
            let line = world.line;
            let up = if token { line && world.google != Api::Down } else { line };
            (
                up,
                world
                    .draw("attend")
                    .between(Duration::from_millis(5), Duration::from_millis(90)),
            )
        };
        sleep(took).await;
        if !up {
            return Err(HttpError::Connect("no route".to_owned()));
        }
        let mut answer = say(
            200,
            &json!({"access_token": "ya29.x", "expires_in": 3599}),
            lock(&self.0).timestamp(),
        );
        let flavor = HeaderName::from_static("metadata-flavor");
        answer.headers.insert(flavor, HeaderValue::from_static("Google"));
        Ok(answer)
    }

    /// Carries a call, with whatever wrong is planted.
    async fn carry_planted(&self, mut call: Call) -> Result<Answer, HttpError> {
        let (plant, aim, policy) = {
            let world = lock(&self.0);
            (world.kind.plant, world.objects.aim(&call), world.objects.policy.clone())
        };
        let writes = aim.is_some();
        match (plant, &mut call) {
            (Some(Plant::WritesAgain), _) if writes => {
                self.carry(call.clone()).await?;
            }
            (Some(Plant::Floods), _) if !writes => {
                for _ in 0..30 {
                    self.carry(call.clone()).await?;
                }
            }
            (Some(Plant::ReadsTwice), _) if !writes => {
                return tokio::join!(self.carry(call.clone()), self.carry(call)).0;
            }
            (Some(Plant::ShutsGateBehind), _) if matches!(aim, Some((Object::Redirect(_), Position::On))) => {
                let answer = self.carry(call).await;
                self.carry(Call::WritePolicy(json!({"policy": shut(policy)}))).await?;
                return answer;
            }
            (Some(Plant::WipesGrants), Call::WritePolicy(body)) => {
                body["policy"]["bindings"] = json!([{"role": "roles/run.invoker", "members": ["allUsers"]}]);
            }
            _ => {}
        }
        self.carry(call).await
    }

    async fn carry(&self, call: Call) -> Result<Answer, HttpError> {
        let (fate, took) = lock(&self.0).leaves(&call);
        let mut flight = Flight::begin(&self.0, call);
        if fate == Fate::NoLine {
            sleep(took).await;
            return Err(HttpError::Connect("no route".to_owned()));
        }
        if let Fate::Silence | Fate::Late(_) = fate {
            sleep(DEADLINE).await;
            if let Fate::Late(after) = fate {
                flight.arrives_late(after);
            }
            flight.over = true;
            return Err(HttpError::Timeout);
        }
        sleep(took / 2).await;
        let right = flight.arrive(fate);
        sleep(took / 2).await;
        let now = {
            let mut world = lock(&self.0);
            world.policy_seen |= fate == Fate::Done && flight.call == Call::ReadPolicy;
            world.timestamp()
        };
        match fate {
            Fate::AnswerLost => Err(HttpError::Broken("reset".to_owned())),
            Fate::Says(odd) | Fate::DoneButSays(odd) => Ok(oddly(odd, &right, now)),
            _ => Ok(say(right.0, &right.1, now)),
        }
    }
}

/// A call on its way. One that is dropped on its way there, as at a deadline or a crash, may arrive all the same.
struct Flight<'a> {
    world: &'a Shared,
    call: Call,
    objects: Vec<Object>,
    version: u64,
    over: bool,
}

impl<'a> Flight<'a> {
    fn begin(world: &'a Shared, call: Call) -> Self {
        let mut guard = lock(world);
        let aim = guard.objects.aim(&call).map(|(object, _)| object);
        let objects = aim.map_or_else(|| guard.objects.shown(&call), |object| vec![object]);
        let version = aim
            .and_then(|object| guard.read.get(&object).copied())
            .unwrap_or_default();
        let doubled: Vec<_> = objects
            .iter()
            .filter(|object| guard.flights.contains(*object))
            .copied()
            .collect();
        for object in doubled {
            guard.broken(Law::OneInFlight, &format!("{object:?}: {call:?}"));
        }
        guard.flights.extend(objects.iter().copied());
        drop(guard);
        Self {
            world,
            call,
            objects,
            version,
            over: false,
        }
    }

    /// It has come to the provider, which does it or not; gives the right answer.
    fn arrive(&mut self, fate: Fate) -> (u16, Value) {
        self.over = true;
        let mut world = lock(self.world);
        world.settle_late();
        for object in world.objects.shown(&self.call) {
            // A list of snoozes with none in it is a good answer in its shape: what was read in an odd one was not seen.
            let seen = if fate == Fate::Done {
                world.objects.moved(object).version
            } else {
                0
            };
            world.read.insert(object, seen);
        }
        if let Fate::Says(_) = fate {
            return (200, json!({}));
        }
        let google = is_google(&self.call);
        let result = world.carry_out(&self.call, By::Us, self.version);
        if let (Ok(_), Some((object, _))) = (&result, world.objects.aim(&self.call)) {
            let version = world.objects.moved(object).version;
            world.read.insert(object, version);
        }
        match result {
            Ok(document) if google => (200, document),
            Ok(document) => (
                200,
                json!({"success": true, "errors": [], "messages": [], "result": document}),
            ),
            Err((status, word, message)) => (status, google_error(status, word, message)),
        }
    }

    fn arrives_late(&self, after: Duration) {
        let mut world = lock(self.world);
        if world.objects.aim(&self.call).is_some() {
            world.note(&format!("  still under way: {}", name(&self.call)));
            world
                .late
                .push((Instant::now() + after, self.call.clone(), self.version));
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let after = {
            let mut world = lock(self.world);
            for object in &self.objects {
                world.flights.remove(object);
            }
            let mut dice = world.draw("dropped");
            dice.in_a_thousand(500)
                .then(|| dice.between(Duration::ZERO, Duration::from_secs(20)))
        };
        if let (false, Some(after)) = (self.over, after) {
            self.arrives_late(after);
        }
    }
}

impl World {
    /// A call leaves: it is counted, held against the laws, and its fate drawn.
    fn leaves(&mut self, call: &Call) -> (Fate, Duration) {
        self.settle_late();
        self.tally.calls += 1;
        let (name, api, credential) = if is_google(call) {
            ("google", self.google, "google/main")
        } else {
            ("cloudflare", self.cloudflare, "cloudflare/main")
        };
        let aim = self.objects.aim(call);
        self.count(credential, aim.is_some());
        if let Some((object, position)) = aim {
            self.tally.writes += 1;
            self.note(&format!("  -> {object:?} {}", position.label()));
            self.check_write(call, object, position);
        }
        self.fate(call, name, api)
    }

    fn count(&mut self, credential: &'static str, write: bool) {
        let now = Instant::now();
        let spent = self.spent.entry(credential).or_default();
        spent.push_back((now, write));
        while spent.front().is_some_and(|(at, _)| now - *at >= HOUR) {
            spent.pop_front();
        }
        let writes = spent
            .iter()
            .rev()
            .take_while(|(at, _)| now - *at < MINUTE)
            .filter(|(_, write)| *write)
            .count();
        let calls = spent.len();
        if writes > 6 || calls > 80 {
            self.broken(
                Law::Budget,
                &format!("{credential}: {writes} writes a minute, {calls} calls an hour"),
            );
        }
    }
}

/// The policy without anybody.
fn shut(mut policy: Value) -> Value {
    policy["bindings"] = json!([]);
    policy
}

fn understand(request: &Request<'_>) -> Call {
    let url = request.url;
    let body = match &request.body {
        Body::Json(value) => value.clone(),
        Body::None | Body::Form(_) => Value::Null,
    };
    let last = url
        .split('?')
        .next()
        .and_then(|path| path.rsplit('/').next())
        .unwrap_or_default();
    let site = || {
        last.trim_start_matches(|c: char| c.is_ascii_alphabetic())
            .parse()
            .expect("a site's object")
    };
    let reads = request.method == Method::GET;
    match () {
        () if url.contains(":getIamPolicy") => Call::ReadPolicy,
        () if url.ends_with(":setIamPolicy") => Call::WritePolicy(body),
        () if url.ends_with("/entrypoint") => Call::ReadRuleset,
        () if url.contains("/rulesets/rs/rules/") => Call::PatchRule(site(), body),
        () if url.contains("/pagerules/") && reads => Call::ReadPageRule(site()),
        () if url.contains("/pagerules/") => Call::PatchPageRule(site(), body),
        () if url.contains("/uptimeCheckConfigs/") && reads => Call::ReadCheck(site()),
        () if url.contains("/uptimeCheckConfigs/") => Call::PatchCheck(site(), body),
        () if url.contains("/snoozes?") && reads => Call::ListSnoozes,
        () if url.ends_with("/snoozes") => Call::CreateSnooze(body),
        () if url.contains("/snoozes/") => Call::MoveSnooze(format!("projects/p/snoozes/{last}"), body),
        () => panic!("nobody serves {} {url}", request.method),
    }
}

const fn is_google(call: &Call) -> bool {
    !matches!(
        call,
        Call::ReadRuleset | Call::PatchRule(..) | Call::ReadPageRule(_) | Call::PatchPageRule(..)
    )
}

fn name(call: &Call) -> String {
    let text = format!("{call:?}");
    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
}
