"""What can be expected of pilotlight in a fault, step by step."""

import time
from dataclasses import dataclass

from lab import Unmet
from visitors import tally

# Long enough for a wrong decision: twice the lab's `down_for` and then some.
STAY_SECS = 13
LINGER_SECS = 3
# Home was dark for visitors for a while before; some of them still wait.
SETTLED = 3
# The lab's `up_for`.
UP_FOR_SECS = 5
# Time enough for an ill line to go out and home three times, were a relapse to cost nothing: one turn takes half a minute.
FLAP_SECS = 90
PATIENT_UP_FOR_SECS = 20


@dataclass(frozen=True)
class Result:
    """One row of the table."""

    fault: str
    decided: str
    decide_secs: float | None
    cause: str
    home: int
    standby: int
    lost: int
    errors: str
    dark_secs: float
    back_secs: float | None


def expect(holds, what):
    """Fails with these words if it does not hold."""
    if not holds:
        raise Unmet(what)


def at_standby(lab):
    """Visitors are at the standby, and that is proven."""
    return lambda now: (
        now["phase"] in ("failed_over", "recovering")
        and now["route"] == "standby"
        and now["switched"] == "verified"
        and lab.visitors.latest_got(SETTLED, "standby")
    )


def at_home(lab):
    """Visitors are at home, that is proven, and nothing is left to do."""
    return lambda now: (
        now["phase"] == "healthy"
        and now["route"] == "origin"
        and now["episode"] is None
        and now["blind_since"] is None
        and (now["verdict"] or {}).get("cause") == "home_serves"
        and lab.visitors.latest_got(SETTLED, "home")
    )


def causes(lab, since):
    """The causes that were told of failing or doubtful rounds."""
    told = [value for _, value in lab.since(since, "verdict")]
    return {value.split(": ")[1] for value in told if not value.endswith("home_serves")}


def strike(lab, fault):
    """The fault begins."""
    expect(lab.now["totals"]["episodes"] == 0, "home was suspected before the fault")
    lab.say(f"FAULT: {fault.what}")
    began = time.monotonic()
    fault.strike(lab)
    return began


def heal(lab, fault):
    """The fault ends."""
    expect(fault.bites(lab), "nobody met the fault")
    lab.say("HEALED")
    fault.heal(lab)
    return time.monotonic()


def decision(lab, since):
    """When the failover was decided."""
    return next(at for at, phase in lab.since(since, "phase") if phase == "failed_over")


def check_cause(lab, fault, since):
    """The fault was called by one of its names."""
    told = causes(lab, since)
    expect(told & fault.causes, f"told {sorted(told)}, expected one of {sorted(fault.causes)}")
    return "/".join(sorted(told & fault.causes))


def check_world_is_calm(lab):
    """The providers' records are as before the fault."""
    world = lab.world()
    expect(not world["redirect"]["configured"], "the redirect is still on")
    expect(not world["gate"]["configured"], "the gate is still open")
    expect(world["silence"]["snoozed_for"] is None, "the monitoring is still muted")


def check_told_once(lab, kinds):
    """Each of these notices goes out exactly once, the last of them last."""
    lab.until(f"people are told {kinds[-1]}", lambda _: kinds[-1] in lab.notices())
    told = lab.notices()
    for kind in kinds:
        expect(told.count(kind) == 1, f"the notice {kind} was given {told.count(kind)} times: {told}")


def result(lab, fault, decided, began, **more):
    """A row with what visitors got since the fault began."""
    got = tally(lab.visitors.between(began))
    row = {"decide_secs": None, "cause": "", "back_secs": None} | more
    return Result(
        fault=fault.name,
        decided=decided,
        home=got.home,
        standby=got.standby,
        lost=got.lost,
        errors=got.errors,
        dark_secs=got.longest_dark_secs,
        **row,
    )


def come_home(lab, healed):
    """Home again, to the end of the episode."""
    back = lab.until("visitors are home and the episode is over", at_home(lab))
    lab.until("the gate is shut", lambda _: not lab.world()["gate"]["configured"])
    check_world_is_calm(lab)
    return back - healed


def switches(lab, fault):
    """Out to the standby, and home once it is over; one way each."""
    began = strike(lab, fault)
    lab.until("visitors are proven to be at the standby", at_standby(lab))
    decided = decision(lab, began)
    cause = check_cause(lab, fault, began)
    lab.linger(LINGER_SECS, "visitors stay at the standby", lambda now: now["route"] == "standby")
    told_wrongly = "recovering" in lab.notices() and not fault.may_relapse
    expect(not told_wrongly, "people were told that home answers while it did not")
    healed = heal(lab, fault)
    back = come_home(lab, healed)
    totals = lab.now["totals"]
    expect(
        (totals["failovers"], totals["failbacks"], totals["rollbacks"]) == (1, 1, 0),
        f"one way out and one way home were due: {totals}",
    )
    check_told_once(lab, ["failover_started", "failed_over", "recovering", "failback_started", "back_home", "episode_over"])
    return result(lab, fault, "standby", began, decide_secs=decided - began, cause=cause, back_secs=back)


def stays(lab, fault):
    """Nothing is switched; visitors keep what they have."""
    began = strike(lab, fault)
    lab.linger(STAY_SECS, "the site stays at home", lambda now: now["route"] == "origin")
    cause = check_cause(lab, fault, began) if fault.causes else ""
    healed = heal(lab, fault)
    back = come_home(lab, healed)
    expect(lab.now["totals"]["failovers"] == 0, "a failover was decided")
    row = result(lab, fault, "nothing", began, cause=cause, back_secs=back)
    expect(row.standby == 0, f"{row.standby} visitors were sent to the standby")
    expect(row.lost <= fault.may_lose, f"{row.lost} visitors got nothing ({row.errors})")
    return row


def goes_blind(lab, fault):
    """It is me: time freezes, nothing is decided and nothing is written, visitors notice nothing."""
    began = strike(lab, fault)
    lab.until("the daemon knows that it is blind", lambda now: now["blind_since"] is not None)
    blind = lab.since(began, "blind")[-1][0]
    writes = lab.writes()
    lab.linger(STAY_SECS, "it stays blind and at home", lambda now: now["blind_since"] and now["route"] == "origin")
    expect(lab.writes() == writes, "something was written while blind")
    cause = check_cause(lab, fault, began)
    healed = heal(lab, fault)
    back = come_home(lab, healed)
    expect(lab.now["totals"]["failovers"] == 0, "a failover was decided")
    row = result(lab, fault, "blind", began, decide_secs=blind - began, cause=cause, back_secs=back)
    expect((row.standby, row.lost) == (0, 0), f"visitors noticed: {row}")
    return row


def tries_again(lab, fault):
    """Home looks well to the probe and is not to visitors: a try to go home does not last, and the next one is rarer."""
    began = strike(lab, fault)
    lab.until("visitors are proven to be at the standby", at_standby(lab))
    decided = decision(lab, began)
    cause = check_cause(lab, fault, began)
    lab.until("home is tried", lambda now: now["totals"]["failbacks"] > 0)
    lab.until("visitors are proven to be at the standby again", at_standby(lab))
    asked = lab.now["up_for_seconds"]
    expect(asked > UP_FOR_SECS, f"the next try asks for no more quiet than the first: {asked} s")
    healed = heal(lab, fault)
    back = come_home(lab, healed)
    check_told_once(lab, ["suspected", "episode_over"])
    return result(lab, fault, "standby, tried home", began, decide_secs=decided - began, cause=cause, back_secs=back)


def does_not_flap(lab, fault):
    """A line that is ill but not dead: staying and switching are both right, going to and fro is not."""
    began = strike(lab, fault)
    # Quiet may come by chance once; after that relapse more of it is asked for than is left of this time.
    lab.linger(FLAP_SECS, "home is tried once at most", lambda now: now["totals"]["failbacks"] <= 1)
    totals = lab.now["totals"]
    expect(totals["failovers"] <= 2, f"flapped: {totals}")
    expect(totals["failovers"] < 2 or lab.now["up_for_seconds"] > PATIENT_UP_FOR_SECS, "a relapse costs nothing")
    switched = totals["failovers"] > 0
    decided = decision(lab, began) - began if switched else None
    healed = heal(lab, fault)
    back = come_home(lab, healed)
    cause = "/".join(sorted(causes(lab, began)))
    decision_made = "standby" if switched else "nothing"
    return result(lab, fault, decision_made, began, decide_secs=decided, cause=cause, back_secs=back)


def switches_late(lab, fault):
    """The decision falls, the providers cannot be reached; as soon as they can, the switch completes."""
    began = strike(lab, fault)
    lab.until("the failover is decided", lambda now: now["phase"] == "failed_over")
    decided = decision(lab, began)
    cause = check_cause(lab, fault, began)
    lab.linger(
        STAY_SECS,
        "it stays decided and undone",
        lambda now: now["phase"] == "failed_over" and now["switched"] != "verified",
    )
    expect(not lab.world()["redirect"]["configured"], "the redirect went on through a partition")
    failing = [toggle["toggle"] for toggle in lab.now["toggles"] if toggle["failing"]]
    expect("redirect" in failing or "gate" in failing, f"no switch is shown as failing: {failing}")
    lab.say("the providers are back")
    lab.net.pass_all()
    lab.until("visitors are proven to be at the standby", at_standby(lab))
    back = come_home(lab, heal(lab, fault))
    check_told_once(lab, ["failover_started", "failed_over", "failback_started", "back_home"])
    return result(lab, fault, "standby, late", began, decide_secs=decided - began, cause=cause, back_secs=back)


def is_held(lab, fault):
    """Nobody is sent to a standby that is dead; once it lives, visitors go there."""
    began = strike(lab, fault)
    lab.until("the failover is decided", lambda now: now["phase"] == "failed_over")
    decided = decision(lab, began)
    cause = check_cause(lab, fault, began)
    lab.until("people are told", lambda _: "standby_broken" in lab.notices())
    lab.linger(STAY_SECS, "the redirect is held back", lambda _: not lab.world()["redirect"]["configured"])
    lab.say("the standby lives")
    lab.sandbox("POST", "/standby/serving")
    lab.until("visitors are proven to be at the standby", at_standby(lab))
    back = come_home(lab, heal(lab, fault))
    check_told_once(lab, ["failover_started", "standby_broken", "standby_mended", "failed_over", "back_home"])
    return result(lab, fault, "held, then standby", began, decide_secs=decided - began, cause=cause, back_secs=back)


def sees_later(lab, fault):
    """Blind, nothing is decided, whatever home does; once it sees again, home is found dark and visitors are sent out."""
    began = strike(lab, fault)
    lab.until("the daemon knows that it is blind", lambda now: now["blind_since"] is not None)
    lab.linger(STAY_SECS, "it stays blind and at home", lambda now: now["blind_since"] and now["route"] == "origin")
    lab.say("the watcher's cable is back")
    lab.net.cable("offsite", "up")
    lab.until("visitors are proven to be at the standby", at_standby(lab))
    decided = decision(lab, began)
    cause = check_cause(lab, fault, began)
    back = come_home(lab, heal(lab, fault))
    check_told_once(lab, ["failover_started", "failed_over", "failback_started", "back_home", "episode_over"])
    return result(lab, fault, "blind, then standby", began, decide_secs=decided - began, cause=cause, back_secs=back)
