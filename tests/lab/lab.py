"""One lab: a real web server at home, the daemon off site, the sandbox as the cloud, and visitors."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from names import NameServer
from net import Net, address, command, gateway
from visitors import Visitors

HERE = Path(__file__).parent
HOME_PORT = 443
GLANCE_SECS = 0.1
LIMIT_SECS = 90
PROVIDERS = ["run", "monitoring", "token", "metadata", "secrets", "cloudflare"]

# Larger than what a probe's handshake sends, smaller than the probe's cap.
PAGE = "<!doctype html><title>home</title>" + "<p>Served by home.\n" * 400

NGINX = """
user root; worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx-error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; default_type text/html; types {{ }}
  client_body_temp_path {dir}/temp; proxy_temp_path {dir}/temp; fastcgi_temp_path {dir}/temp;
  uwsgi_temp_path {dir}/temp; scgi_temp_path {dir}/temp;
  server {{
    listen {address}:{port} ssl; server_name site.example; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {dir}/certificate.pem; ssl_certificate_key {dir}/certificate.pem;
    # Records of one packet each, so that what has come of a body can be read.
    ssl_buffer_size 1300;
    add_header x-served-by home always;
    root {dir}/www;
  }}
}}
"""

# The demo's durations are too short for lines that lose or delay packets; these are shorter defaults, in their proportions.
CONFIG = """
[daemon]
log = "info,pilotlight=debug"
log_format = "json"
[probe]
interval = "2s"
timeout = "1800ms"
confirm_interval = "250ms"
hedge_after = "600ms"
[visitor]
interval = "2s"
timeout = "6s"
[references]
again = "2s"
[policy]
unhealthy_threshold = 3
down_for = "5s"
clear_threshold = 2
clear_for = "4s"
healthy_threshold = 3
up_for = "5s"
up_for_max = "40s"
relapse_window = "2m"
[timing]
gate_patience = "30s"
drain = "4s"
verify_every = "20s"
home_proof = "8s"
toggle_timeout = "3s"
[site.site.probe]
connect_to = "home.example:443"
[site.site.references]
targets = ["https://one-reference.example:{one}/", "https://two-reference.example:{two}/"]
"""


class Unmet(Exception):
    """An expectation that was not met."""


class Remote(http.client.HTTPConnection):
    """HTTP over a socket that somebody else opened."""

    def __init__(self, opened):
        super().__init__("localhost", timeout=10)
        self.sock = opened


def ask(opened, method, path):
    """One call over an open socket: its JSON."""
    with contextlib.closing(Remote(opened)) as remote:
        remote.request(method, path)
        answer = remote.getresponse()
        body = answer.read()
    if answer.status != 200:
        raise Unmet(f"{method} {path}: {answer.status} {body[:200]}")
    return json.loads(body)


class Lab:
    """Everything of one lab. `open` and `close` it."""

    def __init__(self, prefix, scratch, binary, config=""):
        self.dir, self.binary, self.extra = Path(scratch), binary, config
        self.net = Net(prefix)
        self.started, self.story, self.seen = [], [], {}
        self.began = time.monotonic()
        self.ending = threading.Event()
        self.watcher = None
        # How long at most one glance at the daemon took: on a machine that stands still, whatever is looked at seems dead.
        self.stutter = 0.0

    def open(self):
        """Builds it and waits until everybody is well."""
        self.dir.mkdir(parents=True)
        self.net.up()
        self.start_cloud()
        self.names = NameServer(self.net, "cloud")
        self.lay_home()
        self.start_home()
        self.start_daemon()
        hosts = {"site.example": place(self.addresses["edge"]), "site-standby.example": place(self.addresses["standbys"]["site"])}
        self.visitors = Visitors(self.net, hosts, self.cloud / "ca.pem")
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()
        self.until("the daemon has watched for a full window", lambda now: now["observed_enough"])
        self.until("home is seen up", lambda now: now["verdict"] and now["verdict"]["verdict"] == "up" and now["episode"] is None)
        self.until("visitors are served by home", lambda _: self.visitors.latest_got(3, "home"))

    def close(self):
        """Ends and removes everything."""
        self.ending.set()
        if hasattr(self, "visitors"):
            self.visitors.stop()
        if self.watcher:
            self.watcher.join()
        for process in reversed(self.started):
            process.kill()
            process.wait()
        self.net.down()

    def start(self, name, *words, output=None):
        """Starts a process whose output is kept."""
        with open(self.dir / f"{name}.log", "ab") as log:
            process = subprocess.Popen(words, stdout=output or log, stderr=log, stdin=subprocess.DEVNULL)
        self.started.append(process)
        return process

    def within(self, name, *words):
        """The command that runs another one in a place."""
        return ["ip", "netns", "exec", self.net.name(name), *words]

    def start_cloud(self):
        """The sandbox: providers, edge, standby and references."""
        self.cloud = self.dir / "cloud"
        options = ["--public", address("cloud"), "--home", f"{address('home')}:{HOME_PORT}", "--dir", str(self.cloud)]
        self.start("sandbox", *self.within("cloud", self.binary, "sandbox", "--listen", "127.0.0.1:9900", *options))
        wait_for(lambda: (self.cloud / "pilotlight.toml").exists(), "the sandbox starts")
        self.addresses = self.sandbox("GET", "/addresses")

    def sandbox(self, method, path):
        """Asks the sandbox's control endpoint."""
        opened = self.net.socket("cloud")
        opened.settimeout(10)
        opened.connect(("127.0.0.1", 9900))
        return ask(opened, method, path)

    def lay_home(self):
        """Home's pages, certificate and settings. The redirect leaves /healthz and /.well-known alone."""
        for page, text in [("index.html", PAGE), ("healthz", "ok\n"), (".well-known/page.html", PAGE)]:
            file = self.dir / "www" / page
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self.certify("home.pem")
        settings = NGINX.format(dir=self.dir, address=address("home"), port=HOME_PORT)
        (self.dir / "nginx.conf").write_text(settings)

    def certify(self, name):
        """Puts one of the certificates that the sandbox made in home's place."""
        shutil.copy(self.cloud / name, self.dir / "certificate.pem")

    def start_home(self):
        """Starts home's web server."""
        nginx = ["nginx", "-e", f"{self.dir}/nginx-error.log", "-c", f"{self.dir}/nginx.conf"]
        self.start("nginx", *self.within("home", *nginx))
        wait_for(self.home_listens, "home's web server starts")

    def home_listens(self):
        """Whether something listens at home."""
        with self.net.socket("home") as opened:
            return opened.connect_ex((address("home"), HOME_PORT)) == 0

    def signal_home(self, number):
        """A signal to all of home's web server, or to what is left of it."""
        for pid in self.net.pids("home"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def renew_certificate(self, name):
        """Another certificate, for connections from now on."""
        self.certify(name)
        os.kill(int((self.dir / "nginx.pid").read_text()), signal.SIGHUP)

    def start_daemon(self):
        """Pilotlight, off site, with a name server of its own."""
        one, two = (place(text)[1] for text in self.addresses["references"])
        (self.dir / "lab.toml").write_text(CONFIG.format(one=one, two=two))
        (self.dir / "fault.toml").write_text(self.extra)
        (self.dir / "resolv.conf").write_text("nameserver 10.77.3.2\noptions timeout:2 attempts:1\n")
        configs = [self.cloud / "pilotlight.toml", self.dir / "lab.toml", self.dir / "fault.toml"]
        run = " ".join([self.binary, "run", *(f"--config {config}" for config in configs)])
        # `ip netns exec` gives the command mounts of its own.
        inside = f"mount --bind {self.dir}/resolv.conf /etc/resolv.conf && exec {run}"
        self.daemon = self.start("daemon", *self.within("offsite", "sh", "-c", inside))
        wait_for(lambda: (self.cloud / "admin.sock").exists(), "the daemon starts")

    def status(self):
        """The daemon's picture of the site."""
        opened = socket.socket(socket.AF_UNIX)
        opened.settimeout(10)
        opened.connect(str(self.cloud / "admin.sock"))
        return ask(opened, "GET", "/api/v1/status")["sites"][0]

    def watch(self):
        """Looks at the daemon's picture again and again, and keeps what changed."""
        latest = time.monotonic()
        while not self.ending.wait(GLANCE_SECS):
            self.stutter = max(self.stutter, time.monotonic() - latest - GLANCE_SECS)
            latest = time.monotonic()
            try:
                now = self.status()
            except (OSError, http.client.HTTPException):
                continue
            self.now = now
            verdict = now["verdict"] or {"verdict": "none", "cause": "none"}
            redirect = next(toggle for toggle in now["toggles"] if toggle["role"] == "redirect")
            self.note("phase", now["phase"])
            self.note("verdict", f"{verdict['verdict']}: {verdict['cause']}")
            self.note("blind", now["blind_since"] is not None)
            self.note("visitor eye", (now["visitor"] or {"view": "none"})["view"])
            self.note("redirect", f"{redirect['configured']}, proven {redirect['verified']}")
            self.note("totals", now["totals"])

    def note(self, what, value):
        """One line of the story, if something changed."""
        if self.seen.get(what) != value:
            self.seen[what] = value
            self.story.append((time.monotonic(), what, value))

    def say(self, words):
        """Something that was done, in the story."""
        self.story.append((time.monotonic(), "lab", words))

    def since(self, moment, what):
        """What the story tells of one thing since a moment, with when."""
        return [(at, value) for at, told, value in list(self.story) if told == what and at >= moment]

    def until(self, what, holds, limit=LIMIT_SECS):
        """Waits until it holds and gives when. The limit is generous: nothing here is timed."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self.daemon.poll() is not None:
                raise Unmet(f"the daemon ended with {self.daemon.returncode}")
            if hasattr(self, "now") and holds(self.now):
                return time.monotonic()
            time.sleep(GLANCE_SECS / 2)
        raise Unmet(f"not within {limit} s: {what}; now {self.seen}")

    def linger(self, seconds, what, holds):
        """Watches that it holds for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not holds(self.now):
                raise Unmet(f"does not stay true: {what}; now {self.seen}")
            time.sleep(GLANCE_SECS / 2)

    def world(self):
        """How the providers' records are."""
        return self.sandbox("GET", "/state")["sites"]["site"]

    def notices(self):
        """The kinds of the notices that people were told, in order."""
        return [json.loads(notice["body"])["type"].removeprefix("pilotlight.") for notice in self.sandbox("GET", "/notices")]

    def writes(self):
        """How many calls changed something at a provider."""
        return sum(call["changed"] for call in self.sandbox("GET", "/journal"))

    def slow_line(self, milliseconds, jitter):
        """Home's line gets a delay each way."""
        names = [self.net.name("home"), self.net.name("net")]
        script = [sys.executable, str(HERE / "delay.py"), *names, str(milliseconds), str(jitter), "1"]
        line = self.start("delay", *script, output=subprocess.PIPE)
        if line.stdout.readline() != b"ready\n":
            raise Unmet("the line with a delay does not come up")
        for name, own in zip(names, ["10.77.9.2", "10.77.9.1"]):
            command("ip", "-n", name, "addr", "add", f"{own}/30", "dev", "slow0")
            command("ip", "-n", name, "link", "set", "slow0", "up")
        command("ip", "-n", names[0], "route", "replace", "default", "via", "10.77.9.1")
        command("ip", "-n", names[1], "route", "add", f"{address('home')}/32", "dev", "slow0")
        return line

    def fast_line(self, line):
        """Ends `slow_line`; its devices and routes go with it."""
        line.kill()
        line.wait()
        command("ip", "-n", self.net.name("home"), "route", "replace", "default", "via", gateway("home"))


def place(text):
    """`address:port` as the socket module has it."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def wait_for(holds, what, limit=30):
    """Waits for something that is not the daemon's."""
    end = time.monotonic() + limit
    while not holds():
        if time.monotonic() > end:
            raise Unmet(f"not within {limit} s: {what}")
        time.sleep(0.05)
