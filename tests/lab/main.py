"""Plays the faults, several labs side by side, and prints the table."""

import argparse
import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faults import FAULTS
from lab import Lab, Unmet
from scenarios import Result

COLUMNS = ["fault", "decided", "after", "cause", "home", "standby", "lost", "dark", "back home"]
# A lab that takes longer than all of its limits together hangs.
LAB_LIMIT_SECS = 400


def arguments():
    """What stands on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--prefix", default="pl")
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--binary")
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--one", help="play this fault here and write its row")
    parser.add_argument("faults", nargs="*")
    return parser.parse_args()


def play_one(options, name):
    """One fault in one lab, in this process. The row and the story are left in the scratch directory."""
    fault = next(fault for fault in FAULTS if fault.name == name)
    lab = Lab(options.prefix, options.scratch, options.binary, fault.config)
    problem = None
    try:
        lab.open()
        row = fault.play(lab, fault)
        (options.scratch / "row.json").write_text(json.dumps(dataclasses.asdict(row)))
    except (Unmet, RuntimeError, OSError) as unmet:
        problem = f"{type(unmet).__name__}: {unmet} (this machine stood still for up to {lab.stutter:.1f} s)"
    finally:
        lab.close()
    told = [f"{at - lab.began:7.1f} s  {what}: {value}" for at, what, value in lab.story]
    (options.scratch / "story.txt").write_text("\n".join([*told, f"UNMET {problem}" if problem else "met", ""]))
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0


class Pool:
    """The labs that stand now; they end when this process is told to end."""

    def __init__(self, options):
        self.options, self.running, self.ended = options, set(), False

    def play(self, numbered):
        """One fault in a process of its own: its name, row and complaint."""
        number, fault = numbered
        if self.ended:
            return fault, None, "not played"
        scratch = self.options.scratch / fault.name
        prefix = f"{self.options.prefix}-{number}"
        words = [sys.executable, "-B", __file__, "--one", fault.name, "--prefix", prefix, "--scratch", str(scratch)]
        lab = subprocess.Popen([*words, "--binary", self.options.binary], stderr=subprocess.PIPE, text=True)
        self.running.add(lab)
        try:
            _, complaint = lab.communicate(timeout=LAB_LIMIT_SECS)
        except subprocess.TimeoutExpired:
            lab.terminate()
            _, complaint = lab.communicate()
            complaint += "the lab hangs"
        self.running.discard(lab)
        row = scratch / "row.json"
        found = Result(**json.loads(row.read_text())) if row.exists() and lab.returncode == 0 else None
        line = "ok" if found else "UNMET: " + (complaint.strip() or f"ended with {lab.returncode}")
        print(f"{fault.name:<24} {line}", flush=True)
        return fault, found, complaint

    def end(self, *_):
        """Ends all labs and starts no more."""
        self.ended = True
        for lab in list(self.running):
            lab.terminate()
        sys.exit(143)


def seconds(value):
    """Seconds for the table."""
    return "-" if value is None else f"{value:.1f} s"


def cells(row):
    """One line of the table."""
    counts = [str(row.home), str(row.standby), str(row.lost)]
    return [row.fault, row.decided, seconds(row.decide_secs), row.cause, *counts, seconds(row.dark_secs), seconds(row.back_secs)]


def table(played):
    """All rows under each other."""
    lines = [COLUMNS]
    for fault, row, _ in played:
        lines.append(cells(row) if row else [fault.name, "UNMET", *["-"] * 7])
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def keep(options, played, text):
    """Leaves the table, and of labs that failed everything that tells why."""
    shutil.rmtree(options.keep, ignore_errors=True)
    options.keep.mkdir(parents=True)
    (options.keep / "table.txt").write_text(text + "\n")
    for fault, row, _ in played:
        source, target = options.scratch / fault.name, options.keep / fault.name
        logs = ["story.txt"] if row else ["story.txt", "daemon.log", "sandbox.log", "nginx-error.log"]
        target.mkdir()
        for log in logs:
            if (source / log).exists():
                shutil.copy(source / log, target)


def main():
    """Plays what was asked for."""
    options = arguments()
    if options.list:
        print("\n".join(f"{fault.name:<24} {fault.what}" for fault in FAULTS))
        return 0
    if options.one:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return play_one(options, options.one)
    unknown = set(options.faults) - {fault.name for fault in FAULTS}
    if unknown:
        sys.exit(f"no such fault: {', '.join(sorted(unknown))}; --list names them")
    chosen = [fault for fault in FAULTS if not options.faults or fault.name in options.faults]
    began = time.monotonic()
    pool = Pool(options)
    signal.signal(signal.SIGTERM, pool.end)
    with ThreadPoolExecutor(options.jobs) as threads:
        played = list(threads.map(pool.play, enumerate(chosen)))
    text = table(played)
    print(f"\n{text}\n")
    keep(options, played, text)
    unmet = [fault.name for fault, row, _ in played if row is None]
    took = time.monotonic() - began
    print(f"lab: {len(chosen)} faults in {took:.0f} s, {len(unmet)} unmet ({options.keep}/table.txt)")
    return 1 if unmet else 0


sys.exit(main())
