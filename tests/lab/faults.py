"""The faults, by name: what strikes, what heals, and what pilotlight has to make of it."""

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from lab import PROVIDERS, Lab, place
from scenarios import (
    LINGER_SECS,
    PATIENT_UP_FOR_SECS,
    Result,
    does_not_flap,
    goes_blind,
    is_held,
    sees_later,
    stays,
    switches,
    switches_late,
    tries_again,
)


@dataclass(frozen=True)
class Fault:
    """One fault."""

    name: str
    what: str
    strike: Callable[[Lab], None]
    heal: Callable[[Lab], None]
    play: Callable[[Lab, "Fault"], Result]
    causes: frozenset[str] = field(default=frozenset())
    config: str = ""
    may_lose: int = 0
    # Whether home may be seen to answer again while the fault lasts.
    may_relapse: bool = False
    # Whether the fault has met anybody, asked just before it ends: one that nobody notices would prove nothing.
    bites: Callable[[Lab], bool] = lambda _: True


# How faults end that are rules in the router.
RULES = {"heal": lambda lab: lab.net.pass_all(), "bites": lambda lab: lab.net.hits() > 0}


def on_the_way(*rules):
    """What the router does to packets, and an end to it."""

    def begin(lab):
        for rule in rules:
            lab.net.rule(rule)

    return {"strike": begin} | RULES


def between(one, other):
    """Two places no longer hear each other."""
    return {"strike": lambda lab: lab.net.partition(one, other)} | RULES


def cable_of(name):
    """The cable of a place is pulled."""
    return {"strike": lambda lab: lab.net.cable(name, "down"), "heal": lambda lab: lab.net.cable(name, "up")}


def certificate(name):
    """Home serves with another certificate."""
    return {"strike": lambda lab: lab.renew_certificate(name), "heal": lambda lab: lab.renew_certificate("home.pem")}


def web_server(number, revive):
    """All of home's web server gets a signal."""
    return {"strike": lambda lab: lab.signal_home(number), "heal": revive}


def stop_power(lab):
    """Everything at home ends at once."""
    lab.signal_home(signal.SIGKILL)
    lab.net.cable("home", "down")


def start_power(lab):
    """Home comes back as it boots: the line first."""
    lab.net.cable("home", "up")
    lab.start_home()


def providers_gone(lab):
    """The watcher reaches no provider; the standby, the edge and the references it does."""
    ports = ", ".join(str(place(lab.addresses[name])[1]) for name in PROVIDERS)
    lab.net.rule(f"iifname offsite tcp dport {{ {ports} }} counter drop")


def uplink(rate):
    """Home's uplink has this rate and a long queue."""
    return {
        "strike": lambda lab: lab.net.shape("home", rate),
        "heal": lambda lab: lab.net.unshape("home"),
        "bites": lambda lab: lab.net.delayed("home") > 0,
    }


def far_away(milliseconds, jitter):
    """Home's line has a delay each way."""

    def begin(lab):
        lab.line = lab.slow_line(milliseconds, jitter)

    def bites(lab):
        # A visit through the edge crosses the line three times each way.
        latest = lab.visitors.between(0)[-5:]
        return all(visit.ended - visit.began > 5 * milliseconds / 1000 for visit in latest)

    return {"strike": begin, "heal": lambda lab: lab.fast_line(lab.line), "bites": bites}


def small_mtu():
    """Behind the router the way is narrow, and the router says so."""

    def narrow(lab, size):
        for name in ["offsite", "cloud"]:
            lab.net.mtu(name, size)

    return {
        "strike": lambda lab: narrow(lab, 1000),
        "heal": lambda lab: narrow(lab, 1500),
        "bites": lambda lab: lab.net.told_unreachable() > 0,
    }


def mtu_hole():
    """Behind the router the way is narrow, and nobody says so."""
    return on_the_way("iifname home ip length > 1300 counter drop")


def forgotten(name):
    """The watcher's name server no longer knows a name."""
    return {"strike": lambda lab: lab.names.forgotten.add(name), "heal": lambda lab: lab.names.forgotten.discard(name)}


def name_server_silent():
    """The watcher's name server answers nothing."""

    def be(lab, silent):
        lab.names.silent = silent

    return {"strike": lambda lab: be(lab, True), "heal": lambda lab: be(lab, False)}


def resume_home(lab):
    """Ends a SIGSTOP."""
    lab.signal_home(signal.SIGCONT)


def flapping(seconds):
    """Home's line is up and down by turns."""

    def begin(lab):
        lab.flapping = threading.Event()
        lab.flapper = threading.Thread(target=flap, args=[lab, seconds], daemon=True)
        lab.flapper.start()

    def end(lab):
        lab.flapping.set()
        lab.flapper.join()
        lab.net.pass_all()

    return {"strike": begin, "heal": end}


def flap(lab, seconds):
    """Down, up, down, ... until told to end."""
    while True:
        lab.net.rule("oifname home counter drop")
        if lab.flapping.wait(seconds):
            return
        lab.net.pass_all()
        if lab.flapping.wait(seconds):
            return


def providers_gone_home_dark(lab):
    """Home dies while no provider can be reached."""
    providers_gone(lab)
    lab.signal_home(signal.SIGKILL)


def blind_and_dark(lab):
    """The watcher's line dies, and then home."""
    lab.net.cable("offsite", "down")
    lab.signal_home(signal.SIGKILL)


def home_returns_unseen(lab):
    """Home comes back while the watcher sees nothing."""
    lab.net.cable("offsite", "down")
    lab.until("the daemon knows that it is blind", lambda now: now["blind_since"] is not None)
    lab.start_home()
    lab.linger(LINGER_SECS, "visitors stay at the standby", lambda now: now["route"] == "standby")
    lab.net.cable("offsite", "up")


def both_dead(lab):
    """Home dies and the standby is dead already."""
    lab.sandbox("POST", "/standby/refusing")
    lab.signal_home(signal.SIGKILL)


SILENT = frozenset({"timeout"})
UNREACHABLE = frozenset({"unreachable"})
CUT = frozenset({"refused", "reset"})
OWN_PATH = frozenset({"own_path"})
BLIND = frozenset({"own_uplink"})
SYN = "tcp flags syn / syn,ack"
# Nearer to the defaults' ten minutes of quiet: a line that is ill by chance is quiet for some seconds now and then.
PATIENT = f'[policy]\nup_for = "{PATIENT_UP_FOR_SECS}s"\nhealthy_threshold = 8\n'
# The probe and the look through the edge fetch a page as large as the one that visitors get.
WHOLE_PAGE = """
[site.site.probe]
url = "https://site.example/.well-known/page.html"
[site.site.visitor]
edge_url = "https://site.example/.well-known/page.html"
"""

FAULTS = [
    # Home's line.
    Fault("cable-out", "home's cable is pulled", **cable_of("home"), play=switches, causes=UNREACHABLE | SILENT),
    Fault("silent-drop", "packets to home vanish", **on_the_way("oifname home counter drop"), play=switches, causes=SILENT),
    Fault("replies-lost", "home's answers vanish", **on_the_way("iifname home counter drop"), play=switches, causes=SILENT),
    Fault(
        "reject",
        "home's line says host unreachable",
        **on_the_way("oifname home counter reject with icmp type host-unreachable"),
        play=switches,
        causes=UNREACHABLE,
    ),
    Fault(
        "reset",
        "connections to home are reset",
        **on_the_way("oifname home tcp dport 443 counter reject with tcp reset"),
        play=switches,
        causes=CUT,
    ),
    Fault(
        "syn-lost",
        "no new connection to home comes about",
        **on_the_way(f"oifname home {SYN} counter drop"),
        play=switches,
        causes=SILENT,
    ),
    Fault(
        "syn-loss-half",
        "every second attempt to connect to home is lost",
        **on_the_way(f"oifname home {SYN} numgen random mod 100 < 50 counter drop"),
        play=does_not_flap,
        config=PATIENT,
    ),
    Fault(
        "loss-30",
        "30 % of the packets to home are lost",
        **on_the_way("oifname home numgen random mod 100 < 30 counter drop"),
        play=does_not_flap,
        config=PATIENT,
    ),
    Fault("uplink-slow", "home's uplink is slow, and enough", **uplink("400kbit"), play=stays),
    Fault("uplink-choked", "home's uplink is too slow for a handshake", **uplink("6kbit"), play=switches, causes=SILENT),
    Fault("latency", "home is 240 ms away", **far_away(120, 30), play=stays, may_lose=3),
    Fault("mtu-hole", "large packets from home vanish", **mtu_hole(), play=switches, causes=SILENT, config=WHOLE_PAGE),
    Fault("mtu-told", "the way has a smaller MTU, and says so", **small_mtu(), play=stays),
    Fault(
        "body-silent",
        "home falls silent after a page's first bytes",
        **on_the_way("iifname home ct reply bytes > 5000 counter drop"),
        play=switches,
        causes=SILENT,
        config=WHOLE_PAGE,
    ),
    Fault(
        "body-reset",
        "home's connections are reset after a page's first bytes",
        **on_the_way("iifname home ct reply bytes > 5000 counter reject with tcp reset"),
        play=switches,
        causes=CUT | SILENT,
        config=WHOLE_PAGE,
    ),
    Fault(
        "body-unprobed",
        "as body-silent, but the probe's page is small",
        **on_the_way("iifname home ct reply bytes > 5000 counter drop"),
        play=tries_again,
        causes=frozenset({"edge_lost_home"}),
    ),
    Fault(
        "flapping",
        "home's line is 5 s up and 5 s down",
        **flapping(5),
        may_relapse=True,
        play=switches,
        causes=SILENT,
        config='[policy]\nclear_for = "10s"\ndown_for = "10s"\nup_for = "12s"\n',
    ),
    # Home's server.
    Fault(
        "stopped",
        "home's web server is stopped (SIGSTOP)",
        **web_server(signal.SIGSTOP, resume_home),
        play=switches,
        causes=SILENT,
    ),
    Fault("killed", "home's web server is killed", **web_server(signal.SIGKILL, Lab.start_home), play=switches, causes=CUT),
    Fault("power-cut", "home has no power", strike=stop_power, heal=start_power, play=switches, causes=UNREACHABLE | SILENT),
    Fault(
        "expired",
        "home's certificate is expired",
        **certificate("home-expired.pem"),
        play=switches,
        causes=frozenset({"certificate"}),
    ),
    Fault(
        "wrong-name",
        "home's certificate is for another name",
        **certificate("home-wrong-name.pem"),
        play=switches,
        causes=frozenset({"certificate"}),
    ),
    # The watcher's own.
    Fault("own-path", "the watcher and home do not hear each other", **between("offsite", "home"), play=stays, causes=OWN_PATH),
    Fault("own-line", "the watcher's cable is pulled", **cable_of("offsite"), play=goes_blind, causes=BLIND),
    Fault(
        "own-line-silent",
        "the watcher's packets vanish",
        **on_the_way("iifname offsite counter drop"),
        play=goes_blind,
        causes=BLIND,
    ),
    Fault(
        "dns-home",
        "home's name is gone from the watcher's name server",
        **forgotten("home.example"),
        play=stays,
        causes=OWN_PATH,
    ),
    Fault("dns-dead", "the watcher's name server is silent", **name_server_silent(), play=goes_blind, causes=BLIND),
    Fault(
        "blind-and-dark",
        "the watcher's cable is pulled, and home is killed meanwhile",
        strike=blind_and_dark,
        heal=Lab.start_home,
        play=sees_later,
        causes=CUT,
    ),
    Fault(
        "blind-while-out",
        "home is killed, and comes back while the watcher's cable is pulled",
        **web_server(signal.SIGKILL, home_returns_unseen),
        play=switches,
        causes=CUT,
    ),
    # The cloud.
    Fault(
        "edge-lost-home",
        "the edge and home do not hear each other",
        **between("cloud", "home"),
        play=switches,
        causes=frozenset({"edge_lost_home"}),
    ),
    Fault(
        "providers-well",
        "the watcher reaches no provider; home is well",
        strike=providers_gone,
        **RULES,
        play=stays,
        config='[timing]\nverify_every = "4s"\n',
    ),
    Fault(
        "providers-dark",
        "the watcher reaches no provider; home is killed",
        strike=providers_gone_home_dark,
        heal=Lab.start_home,
        play=switches_late,
        causes=CUT,
    ),
    Fault(
        "standby-dead",
        "the standby is dead; home is killed",
        strike=both_dead,
        heal=Lab.start_home,
        play=is_held,
        causes=CUT,
    ),
]
