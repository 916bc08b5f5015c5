/**
 * The standby behind the public URL: a Cloudflare Worker that serves visitors from a Cloud Run service that is closed to the public.
 *
 * Pilotlight attaches it to the site's route while failed over and takes it off again (`kind = "worker_route"`). It mints its own Google
 * ID token, so no gate is opened and nothing waits for one to open, and it goes on serving if pilotlight dies meanwhile.
 * How to deploy it, and its limits: docs/worker.md.
 *
 *   STANDBY_URL          variable: the service's URL, `https://standby-abc-ew.a.run.app`
 *   STANDBY_AUDIENCE     variable, optional: the token's audience, if it is not STANDBY_URL
 *   SERVICE_ACCOUNT_KEY  secret: the key file (JSON) of a service account that may invoke this one service and nothing else
 *
 * Invariants: neither token nor key is ever in an answer or a log line. At most one exchange is in flight in an isolate. A visitor's
 * request is sent twice only if it has no body and the standby refused it.
 */

// Google signs for this audience whatever the key's `token_uri` is.
const TOKEN_AUDIENCE = "https://oauth2.googleapis.com/token";
const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer";
// The clocks of the two may differ by a little.
const CLOCK_SKEW_SECS = 10;
const ASSERTION_LIFE_SECS = 3600;
// Asked for again this long before a token ends; until then the old one serves.
const RENEW_AHEAD_SECS = 300;
// A token this near its end might end on its way.
const UNUSABLE_SECS = 15;
// A refusal may be the site's own (a wrong password): only one in this time is met with a new token.
const REFUSAL_PAUSE_MS = 60_000;
const EXCHANGE_TIMEOUT_MS = 8_000;
// Longer than an exchange can take: whoever waits for another visitor's gives up, and one that never ended is forgotten.
const EXCHANGE_PATIENCE_MS = 9_000;
// After a failed exchange the endpoint is left alone for this long.
const PAUSE_MS = 2_000;
const RETRY_AFTER_SECS = 5;

// What the isolate remembers. The token: `{value, expiresAt}`, in seconds. The exchange in flight: `{token, since}`, a promise and a time in ms.
let cached = null;
let exchange = null;
let pausedUntil = 0;
let refusalsPausedUntil = 0;

export default {
  async fetch(request, env, context) {
    try {
      return await serve(request, settings(env, request), context);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      console.error(`standby: ${error.message}`);
      return new Response(`${error.forVisitors}\n`, {
        status: error.status,
        headers: {
          "content-type": "text/plain; charset=utf-8",
          "cache-control": "no-store",
          // By this the watcher knows that it is not home's.
          "x-pilotlight": "standby-unavailable",
          "retry-after": String(RETRY_AFTER_SECS),
        },
      });
    }
  },
};

/** Why a visitor cannot be served. The message is for the log and never holds anything that came from a secret. */
class Unavailable extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
    this.forVisitors =
      status === 502
        ? "The standby of this site does not answer."
        : "The standby of this site cannot be reached at the moment.";
  }
}

async function serve(request, { standby, audience, key }, context) {
  const visited = new URL(request.url);
  const headers = headersFor(request, visited);
  const ask = (token) => {
    headers.set("x-serverless-authorization", `Bearer ${token.value}`);
    return send(standby.origin + visited.pathname + visited.search, request, headers);
  };

  const credential = { key, audience, context };
  const token = await usableToken(credential);
  const answer = await ask(token);
  if (answer.status === 401 || answer.status === 403) {
    const newer = newerThan(token, credential);
    // A body is gone once it was sent: then the new token is for the next visitor.
    const fresh = request.body === null ? await newer : null;
    if (fresh !== null) {
      await answer.body?.cancel();
      return forVisitor(await ask(fresh), standby, visited);
    }
  }
  return forVisitor(answer, standby, visited);
}

/** The visitor's headers as the standby gets them; what a visitor must not say himself is replaced. */
function headersFor(request, visited) {
  const headers = new Headers(request.headers);
  headers.delete("host");
  headers.delete("forwarded");
  headers.set("x-forwarded-host", visited.host);
  headers.set("x-forwarded-proto", visited.protocol.slice(0, -1));
  return headers;
}

async function send(url, request, headers) {
  try {
    return await fetch(url, {
      method: request.method,
      headers,
      body: request.body,
      // A redirect is the visitor's to follow.
      redirect: "manual",
    });
  } catch {
    throw new Unavailable(502, "the standby does not answer");
  }
}

/** The standby's answer, except that an absolute redirect to the standby's host leads to the public one. */
function forVisitor(answer, standby, visited) {
  const headers = new Headers(answer.headers);
  // What the edge's cache says of the way to the standby would be taken for its word on the public page.
  headers.delete("cf-cache-status");
  const location = headers.get("location");
  if (location !== null) headers.set("location", publicLocation(location, standby, visited));
  return new Response(answer.body, {
    status: answer.status,
    statusText: answer.statusText,
    headers,
    webSocket: answer.webSocket,
  });
}

function publicLocation(location, standby, visited) {
  const absolute = /^([a-z][a-z0-9+.-]*:)?\/\//i.test(location);
  if (!absolute || !URL.canParse(location, standby)) return location;
  const target = new URL(location, standby);
  if (target.host !== standby.host) return location;
  return visited.origin + target.pathname + target.search + target.hash;
}

/** A token that the standby should take, from the cache if it can be. */
async function usableToken(credential) {
  const left = cached === null ? 0 : cached.expiresAt - now();
  if (left > RENEW_AHEAD_SECS) return cached;
  if (left > UNUSABLE_SECS) {
    // What comes of it is the next visitor's.
    if (Date.now() >= pausedUntil) exchangeInFlight(credential);
    return cached;
  }
  if (Date.now() < pausedUntil) throw new Unavailable(503, "no token: waiting after a failed exchange");
  return await withinPatience(exchangeInFlight(credential));
}

/** A newer token than the one that was refused, or null. The refused one stays: it may be good, and the refusal the site's own. */
async function newerThan(refused, credential) {
  if (cached !== refused) return cached;
  if (Date.now() < refusalsPausedUntil || Date.now() < pausedUntil) return null;
  refusalsPausedUntil = Date.now() + REFUSAL_PAUSE_MS;
  return await withinPatience(exchangeInFlight(credential)).catch(() => null);
}

/** The one exchange, begun if there is none. It outlives the visitor who caused it, because others wait for it too. */
function exchangeInFlight({ key, audience, context }) {
  if (exchange !== null && Date.now() - exchange.since < EXCHANGE_PATIENCE_MS) return exchange.token;
  const begun = { since: Date.now(), token: null };
  begun.token = mint(key, audience)
    .then((token) => (cached = token))
    .catch((error) => {
      pausedUntil = Date.now() + PAUSE_MS;
      throw error;
    })
    .finally(() => {
      if (exchange === begun) exchange = null;
    });
  exchange = begun;
  context.waitUntil(begun.token.catch((error) => console.error(`standby: ${error.message}`)));
  return begun.token;
}

async function withinPatience(exchanging) {
  let timer;
  const late = new Promise((_, reject) => {
    const giveUp = () => reject(new Unavailable(503, "no token: the exchange takes too long"));
    timer = setTimeout(giveUp, EXCHANGE_PATIENCE_MS);
  });
  try {
    return await Promise.race([exchanging, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** One exchange: a signed assertion for an ID token. Every failure is an `Unavailable` whose message tells no secret. */
async function mint(key, audience) {
  const assertion = await signedAssertion(key, audience).catch(() => {
    throw new Unavailable(503, "no token: SERVICE_ACCOUNT_KEY holds no private key that signs");
  });
  let answer;
  let text;
  try {
    answer = await fetch(key.token_uri, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ grant_type: GRANT_TYPE, assertion }),
      redirect: "manual",
      signal: AbortSignal.timeout(EXCHANGE_TIMEOUT_MS),
    });
    text = await answer.text();
  } catch {
    throw new Unavailable(503, "no token: the token endpoint does not answer");
  }
  if (answer.status !== 200) throw new Unavailable(503, `no token: the token endpoint answers ${answer.status}`);
  try {
    const value = JSON.parse(text).id_token;
    const { exp } = JSON.parse(atob(fromBase64Url(value.split(".")[1])));
    if (!(exp > now() + UNUSABLE_SECS)) throw new Error("ends too soon");
    return { value, mintedAt: now(), expiresAt: exp };
  } catch {
    throw new Unavailable(503, "no token: the token endpoint gives none that can be used");
  }
}

/** The JWT that Google exchanges for an ID token, signed RS256 with the service account's key. */
async function signedAssertion(key, audience) {
  const issuedAt = now() - CLOCK_SKEW_SECS;
  const header = { alg: "RS256", typ: "JWT", kid: key.private_key_id };
  const claims = {
    iss: key.client_email,
    aud: TOKEN_AUDIENCE,
    iat: issuedAt,
    exp: issuedAt + ASSERTION_LIFE_SECS,
    target_audience: audience,
  };
  const text = new TextEncoder();
  const signed = [header, claims].map((part) => toBase64Url(text.encode(JSON.stringify(part)))).join(".");
  const der = Uint8Array.from(atob(key.private_key.replace(/-----[^-]+-----|\s/g, "")), (c) => c.charCodeAt(0));
  const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  const signer = await crypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]);
  const signature = await crypto.subtle.sign(algorithm, signer, text.encode(signed));
  return `${signed}.${toBase64Url(new Uint8Array(signature))}`;
}

/** The bindings, read anew for each visitor: they are small, and a wrong one is told and not thrown. */
function settings(env, request) {
  const standby = httpsUrl(env.STANDBY_URL, "STANDBY_URL");
  if (standby.host === new URL(request.url).host) {
    throw new Unavailable(503, "STANDBY_URL is the public host: the standby needs its own");
  }
  let key;
  try {
    key = JSON.parse(env.SERVICE_ACCOUNT_KEY);
  } catch {
    // The parser's own message would quote the secret.
    throw new Unavailable(503, "SERVICE_ACCOUNT_KEY is not JSON");
  }
  httpsUrl(key?.token_uri, "the token_uri of SERVICE_ACCOUNT_KEY");
  return { standby, audience: env.STANDBY_AUDIENCE || standby.origin, key };
}

/** A bearer token goes over TLS or not at all. */
function httpsUrl(text, name) {
  if (!URL.canParse(text) || new URL(text).protocol !== "https:") {
    throw new Unavailable(503, `${name} is not an https URL`);
  }
  return new URL(text);
}

function now() {
  return Math.floor(Date.now() / 1000);
}

function toBase64Url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function fromBase64Url(text) {
  return text.replaceAll("-", "+").replaceAll("_", "/");
}
