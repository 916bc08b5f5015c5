"""Network namespaces of one lab: four places, each with a line to a router that can break."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess

PLACES = {"home": 1, "offsite": 2, "cloud": 3, "visitor": 4}
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

RULES = """
table inet faults {
  chain forward { type filter hook forward priority 0; policy accept; }
}
"""


def command(*words, check=True, text=None):
    """Runs a command to its end and gives what it printed."""
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def address(place):
    """The address of a place; each lab has the same ones, in namespaces of its own."""
    return f"10.77.{PLACES[place]}.2"


def gateway(place):
    """The router's address on the line to a place."""
    return f"10.77.{PLACES[place]}.1"


class Net:
    """The namespaces `PREFIX-home`, `-offsite`, `-cloud`, `-visitor`, and the router `-net`."""

    def __init__(self, prefix):
        self.prefix = prefix

    def name(self, place):
        """The namespace of a place."""
        return f"{self.prefix}-{place}"

    def up(self):
        """Makes everything."""
        router = self.name("net")
        command("ip", "netns", "add", router)
        command("ip", "-n", router, "link", "set", "lo", "up")
        settings = ["ipv4.ip_forward=1", "ipv4.icmp_ratelimit=0", "ipv4.conf.all.rp_filter=0", "ipv4.conf.default.rp_filter=0"]
        for place in PLACES:
            self.connect(place)
        self.nft("-f", "-", text=RULES)
        # Bytes of a connection are counted, so that it can die after some of them. Known only once the rules loaded conntrack.
        self.nft("add", "rule", "inet", "faults", "forward", "ct", "state", "invalid", "counter")
        for setting in [*settings, "netfilter.nf_conntrack_acct=1"]:
            command("ip", "netns", "exec", router, "sysctl", "-qw", f"net.{setting}")
        self.pass_all()

    def connect(self, place):
        """Makes a place and its line to the router."""
        name, router = self.name(place), self.name("net")
        command("ip", "netns", "add", name)
        command("ip", "-n", name, "link", "set", "lo", "up")
        command("ip", "link", "add", "name", "eth0", "netns", name, "type", "veth", "peer", "name", place, "netns", router)
        command("ip", "-n", name, "addr", "add", f"{address(place)}/30", "dev", "eth0")
        command("ip", "-n", name, "link", "set", "eth0", "up")
        command("ip", "-n", router, "addr", "add", f"{gateway(place)}/30", "dev", place)
        command("ip", "-n", router, "link", "set", place, "up")
        command("ip", "-n", name, "route", "add", "default", "via", gateway(place))
        for scope in ["all", "default", "eth0"]:
            command("ip", "netns", "exec", name, "sysctl", "-qw", f"net.ipv4.conf.{scope}.rp_filter=0")

    def down(self):
        """Ends whatever runs in the namespaces and removes them."""
        for place in [*PLACES, "net"]:
            for pid in self.pids(place):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            command("ip", "netns", "delete", self.name(place), check=False)

    def pids(self, place):
        """The processes in a place."""
        return [int(pid) for pid in command("ip", "netns", "pids", self.name(place), check=False).split()]

    def nft(self, *words, text=None):
        """Runs `nft` in the router."""
        command("ip", "netns", "exec", self.name("net"), "nft", *words, text=text)

    def rule(self, rule):
        """Adds a rule for what passes the router. Its devices are named as the places are."""
        self.nft("add", "rule", "inet", "faults", "forward", *rule.split())

    def pass_all(self):
        """Ends all rules."""
        self.nft("flush", "chain", "inet", "faults", "forward")

    def hits(self):
        """How many packets met the rules."""
        router = self.name("net")
        rules = command("ip", "netns", "exec", router, "nft", "--json", "list", "chain", "inet", "faults", "forward")
        parts = [part for entry in json.loads(rules)["nftables"] for part in entry.get("rule", {}).get("expr", [])]
        return sum(part["counter"]["packets"] for part in parts if "counter" in part)

    def delayed(self, place):
        """How many packets of a place had to wait for `shape`."""
        shapers = json.loads(command("tc", "-n", self.name(place), "-j", "-s", "qdisc", "show", "dev", "eth0"))
        return sum(shaper["overlimits"] for shaper in shapers)

    def told_unreachable(self):
        """How often the router said that a packet cannot pass."""
        with self.inside("net"), open("/proc/thread-self/net/snmp") as statistics:
            names, values = (line.split() for line in statistics if line.startswith("Icmp: "))
        return int(values[names.index("OutDestUnreachs")])

    def partition(self, one, other):
        """Two places no longer hear each other."""
        self.rule(f"iifname {one} oifname {other} counter drop")
        self.rule(f"iifname {other} oifname {one} counter drop")

    def cable(self, place, state):
        """Pulls (`down`) or plugs in (`up`) the cable of a place."""
        command("ip", "-n", self.name("net"), "link", "set", place, state)

    def mtu(self, place, size):
        """What the router sends to a place is at most this large."""
        command("ip", "-n", self.name("net"), "link", "set", place, "mtu", str(size))

    def shape(self, place, rate):
        """What a place sends leaves at this rate at most and queues before."""
        shaper = ["root", "tbf", "rate", rate, "burst", "3kb", "latency", "4s"]
        command("tc", "-n", self.name(place), "qdisc", "replace", "dev", "eth0", *shaper)

    def unshape(self, place):
        """Ends `shape`."""
        command("tc", "-n", self.name(place), "qdisc", "delete", "dev", "eth0", "root")

    @contextlib.contextmanager
    def inside(self, place):
        """This thread, for a moment, in a place. What is opened meanwhile stays there."""
        with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{self.name(place)}") as there:
            enter(there)
            try:
                yield
            finally:
                enter(before)

    def socket(self, place, kind=socket.SOCK_STREAM):
        """A socket in a place."""
        with self.inside(place):
            return socket.socket(socket.AF_INET, kind)


def enter(namespace):
    """Moves this thread into an open namespace."""
    if LIBC.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
