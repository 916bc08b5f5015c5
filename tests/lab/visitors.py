"""Visitors: someone opens the public URL twice a second, as a browser does, and what each of them got is kept."""

import http.client
import ssl
import threading
import time
from dataclasses import dataclass

EVERY_SECS = 0.5
PATIENCE_SECS = 6.0
MOST_HOPS = 5
MARKER = "x-served-by"


@dataclass(frozen=True)
class Visit:
    """What one visitor got: `home`, `standby`, or an error in a word."""

    began: float
    ended: float
    got: str

    @property
    def served(self):
        """Whether there was a page."""
        return self.got in ("home", "standby")


class Visitors:
    """A visitor each half second, whatever became of those before."""

    def __init__(self, net, hosts, ca_file):
        self.net, self.hosts = net, hosts
        self.tls = ssl.create_default_context(cafile=ca_file)
        self.visits, self.lock = [], threading.Lock()
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.keep_coming, daemon=True)
        self.thread.start()

    def keep_coming(self):
        """Sends visitors until told to end."""
        due = time.monotonic()
        while not self.ending.wait(max(0.0, due - time.monotonic())):
            due += EVERY_SECS
            threading.Thread(target=self.visit, daemon=True).start()

    def stop(self):
        """No more visitors."""
        self.ending.set()
        self.thread.join()

    def visit(self):
        """One visitor."""
        began = time.monotonic()
        try:
            got = self.browse("site.example", "/", began + PATIENCE_SECS)
        except ssl.SSLCertVerificationError:
            got = "certificate"
        except TimeoutError:
            got = "silence"
        except ConnectionRefusedError:
            got = "refused"
        except (OSError, http.client.HTTPException) as error:
            got = type(error).__name__
        with self.lock:
            self.visits.append(Visit(began, time.monotonic(), got))

    def browse(self, host, path, until):
        """Follows redirects to the end and tells whose page it was."""
        for _ in range(MOST_HOPS):
            status, headers = self.get(host, path, until)
            if status not in (301, 302, 303, 307, 308):
                return headers.get(MARKER, "unknown page") if status == 200 else str(status)
            host, _, path = headers["location"].removeprefix("https://").partition("/")
            path = "/" + path
        return "redirects without end"

    def get(self, host, path, until):
        """One page, read to its end."""
        raw = self.net.socket("visitor")
        with raw:
            raw.settimeout(max(0.1, until - time.monotonic()))
            raw.connect(self.hosts[host])
            with self.tls.wrap_socket(raw, server_hostname=host) as stream:
                stream.settimeout(max(0.1, until - time.monotonic()))
                stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                answer = http.client.HTTPResponse(stream)
                answer.begin()
                answer.read()
                return answer.status, {name.lower(): value for name, value in answer.getheaders()}

    def between(self, since, until=float("inf")):
        """Visits that began in this time, in order."""
        with self.lock:
            found = [visit for visit in self.visits if since <= visit.began <= until]
        return sorted(found, key=lambda visit: visit.began)

    def latest_got(self, count, what):
        """Whether the last so many visits all got this."""
        latest = self.between(0)[-count:]
        return len(latest) == count and all(visit.got == what for visit in latest)


@dataclass(frozen=True)
class Tally:
    """What visitors got in some time."""

    home: int
    standby: int
    lost: int
    errors: str
    longest_dark_secs: float


def tally(visits):
    """Counts, and the longest time between a visitor who got nothing and the next one who was served."""
    counts, dark_since, longest = {}, None, 0.0
    for visit in visits:
        counts[visit.got] = counts.get(visit.got, 0) + 1
        if visit.served:
            dark_since = None
        else:
            dark_since = visit.began if dark_since is None else dark_since
            longest = max(longest, visit.began - dark_since + EVERY_SECS)
    home, standby = counts.pop("home", 0), counts.pop("standby", 0)
    errors = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    return Tally(home, standby, sum(counts.values()), errors, longest)
