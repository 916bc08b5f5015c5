// worker/standby.js in workerd: a fake token endpoint and a fake closed standby behind it, visitors in front. Usage: worker.mjs DIRECTORY
// DIRECTORY holds standby.js and tls.key, tls.pem of `localhost`. Each check has its own runtime and its own fakes.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, createHmac, createVerify, generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

const [directory] = process.argv.slice(2);
const tls = { key: readFileSync(join(directory, "tls.key")), cert: readFileSync(join(directory, "tls.pem")) };
const serviceAccount = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});
const PUBLIC_HOST = "site.example";
const EMAIL = "invoker@project.iam.gserviceaccount.com";
const HOUR_SECS = 3600;
const CHECK_TIMEOUT_MS = 40_000;

// The runtime of the present check; it must not outlive us.
let running = null;
process.on("exit", () => running?.kill());

const checks = [];
const check = (statement, run, options = {}) => checks.push({ statement, run, options });
const seconds = () => Math.floor(Date.now() / 1000);

// --- The fakes -----------------------------------------------------------------------------------------------------------------

/** The token endpoint: takes a well-signed assertion, gives an ID token of the asked audience. */
class TokenEndpoint {
  exchanges = 0;
  faults = [];
  mode = "works";
  lifeSecs = HOUR_SECS;
  issued = [];
  release = null;

  constructor(seal) {
    this.seal = seal;
    this.server = https.createServer(tls, async (request, response) => this.#answer(response, await read(request)));
  }

  async #answer(response, body) {
    this.exchanges += 1;
    if (this.mode === "hangs") await new Promise((resolve) => (this.release = resolve));
    if (this.mode === "cut") return response.destroy();
    if (this.mode === "down") return response.writeHead(503).end("upstream is unwell");
    if (this.mode === "tokenless") return response.writeHead(200).end('{"id_token":"no.token.here"}');
    const fault = this.#fault(new URLSearchParams(body.toString()));
    if (fault) {
      this.faults.push(fault);
      return response.writeHead(400).end(JSON.stringify({ error: "invalid_grant", error_description: fault }));
    }
    return response.writeHead(200).end(JSON.stringify({ id_token: this.#issue(claimsOf(body).target_audience) }));
  }

  #fault(form) {
    if (form.get("grant_type") !== "urn:ietf:params:oauth:grant-type:jwt-bearer") return "wrong grant_type";
    const [header, claims, signature] = (form.get("assertion") ?? "").split(".");
    const signed = createVerify("RSA-SHA256").update(`${header}.${claims}`);
    if (!signed.verify(serviceAccount.publicKey, signature ?? "", "base64url")) return "wrong signature";
    const { alg, kid } = decoded(header);
    if (alg !== "RS256" || kid !== "key-1") return "wrong header";
    const { iss, aud, iat, exp, target_audience } = decoded(claims);
    if (iss !== EMAIL || aud !== "https://oauth2.googleapis.com/token" || !target_audience) return "wrong claims";
    if (iat > seconds() || exp - iat > HOUR_SECS || exp < seconds()) return "not a short-lived token in a reasonable timeframe";
    return null;
  }

  #issue(audience) {
    const token = this.seal({ aud: audience, email: EMAIL, exp: seconds() + this.lifeSecs, jti: randomBytes(6).toString("hex") });
    this.issued.push(token);
    return token;
  }
}

/** The closed standby: 403 without a token, 401 with one that is wrong, as Cloud Run; what is behind it is `routes`. */
class Standby {
  served = 0;
  refused = 0;
  revoked = new Set();
  origin = "";

  constructor(seal) {
    this.seal = seal;
    this.server = https.createServer(tls, (request, response) => this.#gate(request, response));
    this.server.on("upgrade", (request, socket) => this.#upgrade(request, socket));
  }

  #status(request) {
    const token = request.headers["x-serverless-authorization"]?.replace(/^Bearer /, "");
    if (!token) return 403;
    const claims = decoded(token.split(".")[1]);
    const good = this.seal(claims) === token && claims.aud === this.origin && claims.exp > seconds() && !this.revoked.has(token);
    return good ? 200 : 401;
  }

  #gate(request, response) {
    const status = this.#status(request);
    if (status !== 200) {
      this.refused += 1;
      return response.writeHead(status, { "content-type": "text/html" }).end(`<h1>Error ${status}</h1>`);
    }
    this.served += 1;
    response.setHeader("x-served-by", "standby");
    response.setHeader("cf-cache-status", "HIT");
    const url = new URL(request.url, this.origin);
    return (routes[url.pathname] ?? routes["*"])(request, response, url);
  }

  #upgrade(request, socket) {
    if (this.#status(request) !== 200) return socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n" +
        `sec-websocket-accept: ${accept.digest("base64")}\r\n\r\n`,
    );
    return socket.on("data", (frame) => socket.write(echoed(frame)));
  }
}

/** A short client text frame, sent back as the server's. */
function echoed(frame) {
  const length = frame[1] & 0x7f;
  const mask = frame.subarray(2, 6);
  const text = frame.subarray(6, 6 + length).map((byte, index) => byte ^ mask[index % 4]);
  return Buffer.concat([Buffer.from([frame[0], length]), text]);
}

// What lies behind the gate.
const routes = {
  "/seen": (request, response) => {
    const { "x-serverless-authorization": token, ...seen } = request.headers;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ url: request.url, method: request.method, hasToken: Boolean(token), ...seen }));
  },
  "/cookies": (request, response) => {
    response.setHeader("set-cookie", ["a=1; Path=/; HttpOnly", "b=2; Expires=Wed, 21 Oct 2099 07:28:00 GMT", "c=3"]);
    response.end(request.headers.cookie);
  },
  "/moved": (request, response, url) => response.writeHead(302, { location: url.searchParams.get("to") }).end(),
  "/upload": async (request, response) => {
    response.write("first");
    response.end(createHash("sha256").update(await read(request)).digest("hex"));
  },
  "/login": (request, response) => response.writeHead(401, { "www-authenticate": 'Basic realm="site"' }).end("who are you?"),
  "/packed": (request, response) => {
    response.writeHead(200, { "content-encoding": "gzip", "content-type": "text/plain" }).end(gzipSync("a packed page ".repeat(500)));
  },
  "/not-modified": (request, response) => response.writeHead(304, { etag: '"7"' }).end(),
  "/gone-quiet": (request, response) => response.destroy(),
  "*": (request, response) => response.end("the standby's page"),
};

// --- The stage -----------------------------------------------------------------------------------------------------------------

/** The runtime with the Worker in it, between the fakes; `said` is everything that visitors and the log were given. */
class Stage {
  said = [];

  static async set({ bindings = {}, key = {} }) {
    const stage = new Stage();
    const secret = randomBytes(32);
    const seal = (claims) => {
      const signed = `${encoded({ alg: "HS256" })}.${encoded(claims)}`;
      return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
    };
    stage.endpoint = new TokenEndpoint(seal);
    stage.standby = new Standby(seal);
    const [endpointOrigin, standbyOrigin] = await Promise.all([stage.endpoint, stage.standby].map(({ server }) => listening(server)));
    stage.standby.origin = standbyOrigin;
    const keyFile = {
      type: "service_account",
      private_key_id: "key-1",
      private_key: serviceAccount.privateKey,
      client_email: EMAIL,
      token_uri: `${endpointOrigin}/token`,
      ...key,
    };
    await stage.#start({ STANDBY_URL: stage.standby.origin, SERVICE_ACCOUNT_KEY: JSON.stringify(keyFile), ...bindings });
    return stage;
  }

  async #start(bindings) {
    const config = join(directory, "config.capnp");
    writeFileSync(config, workerdConfig(Object.keys(bindings)));
    this.runtime = running = spawn(process.env.WORKERD, ["serve", config, "--control-fd=3"], {
      env: { ...process.env, ...bindings },
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    });
    for (const stream of [this.runtime.stdout, this.runtime.stderr]) stream.on("data", (line) => this.said.push(line.toString()));
    const ended = once(this.runtime, "exit").then(() => assert.fail(`workerd ended: ${this.said.join("")}`));
    ended.catch(() => {});
    const [line] = await Promise.race([once(this.runtime.stdio[3], "data"), ended]);
    this.port = JSON.parse(line.toString().split("\n")[0]).port;
  }

  /** One visit, over a connection of its own. `body` may be a function that writes the request itself. */
  visit(path, { method = "GET", headers = {}, body, whole = true } = {}) {
    return new Promise((resolve, reject) => {
      const options = { host: "127.0.0.1", port: this.port, path, method, headers: { host: PUBLIC_HOST, ...headers }, agent: false };
      const request = http.request(options, async (response) => {
        if (!whole) return resolve(response);
        const answer = { status: response.statusCode, headers: response.headers, raw: await read(response) };
        answer.text = answer.raw.toString();
        this.said.push(response.rawHeaders.join("\n"), answer.text);
        resolve(answer);
      });
      request.on("error", reject);
      if (typeof body === "function") body(request);
      else request.end(body);
    });
  }

  /** Neither the key nor a token, nor a part of one, may be in what was said. */
  assertNothingLeaked() {
    const secrets = [
      ...serviceAccount.privateKey.split("\n").filter((line) => line.length > 30),
      ...this.endpoint.issued.flatMap((token) => token.split(".").slice(1)),
    ];
    const said = this.said.join("\n");
    for (const secret of secrets) assert(!said.includes(secret), "a secret was said");
  }

  strike() {
    this.runtime.kill();
    for (const { server } of [this.endpoint, this.standby]) {
      server.closeAllConnections();
      server.close();
    }
  }
}

/** One worker, its bindings from the environment, and an internet that trusts the fakes' certificate. */
function workerdConfig(names) {
  const bindings = names.map((name) => `(name = "${name}", fromEnvironment = "${name}")`).join(", ");
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "standby", worker = (
      modules = [(name = "standby.js", esModule = embed "standby.js")],
      compatibilityDate = "2025-11-01",
      bindings = [${bindings}],
    )),
    (name = "internet", network = (allow = ["local"], tlsOptions = (trustedCertificates = [embed "tls.pem"]))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "standby")],
);
`;
}

/** Listens, and says as what. */
async function listening(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `https://localhost:${server.address().port}`;
}

async function read(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

function decoded(part) {
  try {
    return JSON.parse(Buffer.from(part ?? "", "base64url").toString());
  } catch {
    return {};
  }
}

const claimsOf = (body) => decoded(new URLSearchParams(body.toString()).get("assertion").split(".")[1]);

/** Asks again until it is so; gives up after 20 s. */
async function eventually(what, isSo) {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await isSo()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(`never: ${what}`);
}

// --- The checks ----------------------------------------------------------------------------------------------------------------

check("fifty visits cost one exchange, and its assertion is well signed", async ({ visit, endpoint, standby }) => {
  for (let round = 0; round < 50; round += 1) {
    const answer = await visit(`/page/${round}`);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers["x-served-by"], "standby");
    assert.equal(answer.headers["cf-cache-status"], undefined, "the cache's word on the way to the standby");
  }
  assert.deepEqual(endpoint.faults, []);
  assert.equal(endpoint.exchanges, 1);
  assert.equal(standby.served, 50);
  assert.equal(standby.refused, 0);
});

check("fifty visitors at once wait for one exchange", async ({ visit, endpoint }) => {
  endpoint.mode = "hangs";
  const visits = Array.from({ length: 50 }, () => visit("/"));
  await eventually("the exchange begins", () => endpoint.release !== null);
  endpoint.mode = "works";
  endpoint.release();
  for (const { status } of await Promise.all(visits)) assert.equal(status, 200);
  assert.equal(endpoint.exchanges, 1);
});

check("an exchange outlives the visitor who caused it", async ({ visit, endpoint }) => {
  endpoint.mode = "hangs";
  let impatient;
  const gone = assert.rejects(visit("/", { body: (request) => (impatient = request).end() }));
  await eventually("the exchange begins", () => endpoint.release !== null);
  const patient = visit("/");
  impatient.destroy();
  await gone;
  endpoint.mode = "works";
  endpoint.release();
  assert.equal((await patient).status, 200);
  assert.equal(endpoint.exchanges, 1);
});

check("the standby refuses whoever has no token, or one that is wrong or has ended", async ({ standby }) => {
  const ask = (headers) =>
    new Promise((resolve, reject) => {
      const options = { host: "127.0.0.1", port: standby.server.address().port, ca: tls.cert, servername: "localhost", headers };
      https.get(options, ({ statusCode }) => resolve(statusCode)).on("error", reject);
    });
  assert.equal(await ask({}), 403);
  const bearing = (token) => ask({ "x-serverless-authorization": `Bearer ${token}` });
  assert.equal(await bearing("a.b.c"), 401);
  assert.equal(await bearing(standby.seal({ aud: "https://other.example", exp: seconds() + 60 })), 401);
  assert.equal(await bearing(standby.seal({ aud: standby.origin, exp: seconds() - 1 })), 401);
  assert.equal(await bearing(standby.seal({ aud: standby.origin, exp: seconds() + 60 })), 200);
});

check("method, path, query and headers arrive; what a visitor may not say is replaced", async ({ visit, standby }) => {
  const headers = {
    authorization: "Bearer of-the-visitor",
    "x-serverless-authorization": "Bearer forged",
    "x-forwarded-host": "elsewhere.example",
    "x-forwarded-proto": "gopher",
    forwarded: "host=elsewhere.example",
    "x-own": "kept",
  };
  const seen = JSON.parse((await visit("/seen?q=a%20b&q=%2F#", { method: "DELETE", headers })).text);
  assert.equal(seen.method, "DELETE");
  assert.equal(seen.url, "/seen?q=a%20b&q=%2F");
  assert.equal(seen.host, new URL(standby.origin).host);
  assert.equal(seen.authorization, "Bearer of-the-visitor");
  assert.equal(seen.hasToken, true);
  assert.equal(seen["x-forwarded-host"], PUBLIC_HOST);
  assert.equal(seen["x-forwarded-proto"], "http");
  assert.equal(seen.forwarded, undefined);
  assert.equal(seen["x-own"], "kept");
});

check("cookies go both ways, each Set-Cookie for itself", async ({ visit }) => {
  const { text, headers } = await visit("/cookies", { headers: { cookie: "s=1; t=2" } });
  assert.equal(text, "s=1; t=2");
  assert.deepEqual(headers["set-cookie"], ["a=1; Path=/; HttpOnly", "b=2; Expires=Wed, 21 Oct 2099 07:28:00 GMT", "c=3"]);
});

check("an absolute redirect to the standby's host leads to the public one, any other is the visitor's", async ({ visit, standby }) => {
  const { host, port } = new URL(standby.origin);
  const untouched = ["/relative?x=1", "relative", "../up", "https://elsewhere.example/page", `https://localhost.example:${port}/`, "mailto:a@b"];
  const redirects = [
    [`${standby.origin}/page?x=1#part`, `http://${PUBLIC_HOST}/page?x=1#part`],
    [`HTTP://${host}/plain`, `http://${PUBLIC_HOST}/plain`],
    [`//${host}/either`, `http://${PUBLIC_HOST}/either`],
    ...untouched.map((location) => [location, location]),
  ];
  for (const [said, told] of redirects) {
    const { status, headers } = await visit(`/moved?to=${encodeURIComponent(said)}`);
    assert.equal(status, 302);
    assert.equal(headers.location, told);
  }
});

check("a body streams to the standby while the visitor still writes it", async ({ visit }) => {
  const body = randomBytes(3_000_000);
  let sending;
  const begin = (request) => {
    sending = request;
    request.write(body.subarray(0, 1_000_000));
  };
  const answer = await visit("/upload", { method: "POST", body: begin, whole: false });
  const parts = answer[Symbol.asyncIterator]();
  // The standby answers before the visitor has said the rest.
  assert.equal((await parts.next()).value.toString(), "first");
  sending.end(body.subarray(1_000_000));
  const { value } = await parts.next();
  assert.equal(value.toString(), createHash("sha256").update(body).digest("hex"));
});

check("a large answer streams: its first bytes are here before its last are sent", async ({ visit, standby }) => {
  let finish;
  routes["/large"] = (request, response) => {
    response.write("a".repeat(100_000));
    finish = () => response.end("b".repeat(5_000_000));
  };
  const answer = await visit("/large", { whole: false });
  const parts = answer[Symbol.asyncIterator]();
  let length = (await parts.next()).value.length;
  finish();
  for await (const part of { [Symbol.asyncIterator]: () => parts }) length += part.length;
  assert.equal(length, 5_100_000);
  assert.equal(standby.served, 1);
});

check("packed, empty and unmodified answers stay as they are", async ({ visit }) => {
  const packed = await visit("/packed", { headers: { "accept-encoding": "gzip" } });
  assert.equal(packed.headers["content-encoding"], "gzip");
  assert.equal(gunzipSync(packed.raw).toString(), "a packed page ".repeat(500));
  const unmodified = await visit("/not-modified", { headers: { "if-none-match": '"7"' } });
  assert.equal(unmodified.status, 304);
  assert.equal(unmodified.headers.etag, '"7"');
  const head = await visit("/seen", { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(head.text, "");
});

check("a WebSocket reaches the standby and comes back", async ({ port }) => {
  const request = http.request({
    host: "127.0.0.1",
    port,
    path: "/socket",
    headers: {
      host: PUBLIC_HOST,
      upgrade: "websocket",
      connection: "Upgrade",
      "sec-websocket-version": "13",
      "sec-websocket-key": randomBytes(16).toString("base64"),
    },
  });
  request.end();
  const [answer, socket] = await once(request, "upgrade");
  assert.equal(answer.statusCode, 101);
  const mask = Buffer.from([1, 2, 3, 4]);
  const text = Buffer.from("hello").map((byte, index) => byte ^ mask[index % 4]);
  socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length]), mask, text]));
  const [frame] = await once(socket, "data");
  assert.equal(frame.subarray(2).toString(), "hello");
  socket.destroy();
});

check("a refused token is exchanged once, and the visitor does not notice", async ({ visit, endpoint, standby }) => {
  assert.equal((await visit("/")).status, 200);
  standby.revoked.add(endpoint.issued[0]);
  assert.equal((await visit("/")).status, 200);
  assert.equal(endpoint.exchanges, 2);
  assert.equal(standby.refused, 1);
});

check("a body is not sent twice: its refusal is told, and the next visitor has a new token", async ({ visit, endpoint, standby }) => {
  assert.equal((await visit("/")).status, 200);
  standby.revoked.add(endpoint.issued[0]);
  assert.equal((await visit("/upload", { method: "POST", body: "form" })).status, 401);
  await eventually("the new token comes", () => endpoint.issued.length === 2);
  await eventually("it is used", async () => (await visit("/")).status === 200);
  assert.equal(endpoint.exchanges, 2);
});

check("the site's own refusals pass, and do not wear out the token endpoint", async ({ visit, endpoint }) => {
  for (let round = 0; round < 20; round += 1) {
    const { status, headers, text } = await visit("/login");
    assert.equal(status, 401);
    assert.equal(headers["www-authenticate"], 'Basic realm="site"');
    assert.equal(text, "who are you?");
  }
  assert.equal(endpoint.exchanges, 2);
});

check("a token near its end is renewed ahead, and serves meanwhile", async ({ visit, endpoint, standby }) => {
  endpoint.lifeSecs = 120;
  assert.equal((await visit("/")).status, 200);
  endpoint.mode = "hangs";
  endpoint.lifeSecs = HOUR_SECS;
  assert.equal((await visit("/")).status, 200);
  await eventually("the renewal begins", () => endpoint.release !== null);
  assert.equal((await visit("/")).status, 200);
  endpoint.mode = "works";
  endpoint.release();
  await eventually("the new one comes", () => endpoint.issued.length === 2);
  standby.revoked.add(endpoint.issued[0]);
  await eventually("it is used", async () => (await visit("/")).status === 200);
  assert.equal(endpoint.exchanges, 2);
});

// How an exchange can fail: HTTP 503, no answer, an answer without a token.
for (const mode of ["down", "cut", "tokenless"]) {
  check(`while the token endpoint is ${mode}, the token that is there goes on serving`, async ({ visit, endpoint }) => {
    endpoint.lifeSecs = 120;
    assert.equal((await visit("/")).status, 200);
    endpoint.mode = mode;
    for (let round = 0; round < 10; round += 1) assert.equal((await visit("/")).status, 200);
    await eventually("a renewal is tried", () => endpoint.exchanges === 2);
    // The site's own refusal passes too: that no newer token can be had is no reason to serve nobody.
    assert.equal((await visit("/login")).status, 401);
    assert.equal((await visit("/")).status, 200);
    assert.equal(endpoint.issued.length, 1);
  });

  check(`no token and an endpoint that is ${mode}: a short 503 that says when to come again, and it ends by itself`, async (stage) => {
    const { visit, endpoint, standby } = stage;
    endpoint.mode = mode;
    const { status, headers, text } = await visit("/");
    assert.equal(status, 503);
    assert.equal(headers["retry-after"], "5");
    assert.equal(headers["cache-control"], "no-store");
    assert.equal(headers["x-pilotlight"], "standby-unavailable");
    assert.equal(text, "The standby of this site cannot be reached at the moment.\n");
    assert.equal(standby.served + standby.refused, 0);
    endpoint.mode = "works";
    await eventually("the pause ends", async () => (await visit("/")).status === 200);
  });
}

check("a token that has ended is not used", async ({ visit, endpoint, standby }) => {
  endpoint.lifeSecs = -1;
  assert.equal((await visit("/")).status, 503);
  assert.equal(standby.refused, 0);
});

check("a failed exchange is not tried again by every visitor", async ({ visit, endpoint }) => {
  endpoint.mode = "down";
  const began = Date.now();
  for (let round = 0; round < 30; round += 1) assert.equal((await visit("/")).status, 503);
  const pauses = Math.floor((Date.now() - began) / 2_000);
  assert(endpoint.exchanges <= 1 + pauses, `${endpoint.exchanges} exchanges`);
});

check("a standby that does not answer is a short 502", async ({ visit, standby }) => {
  const { status, headers, text } = await visit("/gone-quiet");
  assert.equal(status, 502);
  assert.equal(headers["retry-after"], "5");
  assert.equal(text, "The standby of this site does not answer.\n");
  assert.equal(headers["x-pilotlight"], "standby-unavailable");
  standby.server.closeAllConnections();
  standby.server.close();
  assert.equal((await visit("/")).status, 502);
});

const says = (part) => async (stage) => {
  const { status, text } = await stage.visit("/");
  assert.equal(status, 503);
  assert.equal(text, "The standby of this site cannot be reached at the moment.\n");
  await eventually(`the log says: ${part}`, () => stage.said.join("").includes(part));
};
const broken = serviceAccount.privateKey.replace(/[A-Za-z0-9]{20}/, "");
check("a key that is no JSON is told, and not quoted", says("SERVICE_ACCOUNT_KEY is not JSON"), {
  bindings: { SERVICE_ACCOUNT_KEY: serviceAccount.privateKey },
});
check("a key that cannot sign is told, and not quoted", says("no private key that signs"), { key: { private_key: broken } });
check("a token goes over TLS or not at all", says("STANDBY_URL is not an https URL"), { bindings: { STANDBY_URL: "http://localhost:1" } });
check("no token endpoint is told", says("the token_uri of SERVICE_ACCOUNT_KEY is not an https URL"), { key: { token_uri: null } });
check("a standby that is the public host itself is told", says("STANDBY_URL is the public host"), {
  bindings: { STANDBY_URL: `https://${PUBLIC_HOST}` },
});
check("another audience is asked for when it is set", async ({ visit, standby }) => {
  assert.equal((await visit("/")).status, 401);
  assert.equal(standby.served, 0);
}, { bindings: { STANDBY_AUDIENCE: "https://custom.example" } });

// -------------------------------------------------------------------------------------------------------------------------------

let failures = 0;
for (const { statement, run, options } of checks) {
  const stage = await Stage.set(options);
  stage.visit = stage.visit.bind(stage);
  try {
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error("does not end")), CHECK_TIMEOUT_MS).unref());
    await Promise.race([run(stage), late]);
    stage.assertNothingLeaked();
    console.log(`ok      ${statement}`);
  } catch (error) {
    failures += 1;
    console.log(`FAILED  ${statement}\n${error.stack}\n${stage.said.slice(-6).join("\n")}`);
  } finally {
    stage.strike();
  }
}
console.log(`${checks.length - failures} of ${checks.length} checks hold`);
process.exit(failures === 0 ? 0 : 1);
