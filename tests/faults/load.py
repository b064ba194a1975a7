"""Load: a fleet after an outage, a soak of random faults, the cost of recording."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

from tests.faults.accelerated_clock import Origin
from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Received, Server

FLEET = """
configure(interval=60.0)
stop = threading.Event()

def work():
    while not stop.wait(1.0):
        counter("orders").inc(process=os.getpid())
        tally[0] += 1

thread = threading.Thread(target=work)
thread.start()
report(ready=True)
next_command()
stop.set()
thread.join()
finish(delivered=deliver())
"""

SOAK = """
configure(interval=0.5)
stop = threading.Event()

def request(number):
    while not stop.wait(0.05):
        with dtmetrics.timed("request.duration"):
            counter("orders").inc(3, worker=number)
        tally[2 * number] += 3
        tally[2 * number + 1] += 1

threads = [threading.Thread(target=request, args=(n,)) for n in range(4)]
for thread in threads:
    thread.start()

def resources():
    return len(os.listdir("/proc/self/fd")), threading.active_count()

time.sleep(5.0)
mark()
begin = resources()
report(ready=True)
next_command()
report(resources=[begin, resources()])
stop.set()
for thread in threads:
    thread.join()
report(over=True)
next_command()
finish(delivered=deliver())
"""

COST = """
import gc
from time import perf_counter_ns as now
configure(interval=0.2)
inc = counter("orders").inc
kinds = [counter(f"filling{n}").bind() for n in range(200)]
gc.disable()

def cost(seconds):
    taken, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        for kind in kinds:
            kind.inc()
        for _ in range(1000):
            begin = now()
            inc()
            taken.append(now() - begin)
    taken.sort()
    return taken[len(taken) // 2], taken[len(taken) * 99 // 100]

cost(0.5)
while seconds := next_command():
    report(cost=cost(float(seconds)))
finish()
"""

#: Processes of the fleet.
PROCESSES = 20

#: The endpoint's actions in a soak. None accepts lines and then denies it.
FAULTS: list[dict[str, Any]] = [
    {"action": "accept"},
    {"action": "accept", "wait": 0.5},
    {"action": "accept", "idle": 0.01},
    {"action": "status", "status": 503},
    {"action": "status", "status": 429, "headers": ["Retry-After: 1"]},
    {"action": "status", "status": 500},
    {"action": "hang_up"},
    {"action": "hang_up", "reset": True},
    {"action": "hang_up", "reset": True, "unread": True},
    {"action": "hang_up", "taken": True},
    {"action": "flood", "of": "headers"},
    {"action": "flood", "of": "bomb"},
    {"action": "partly", "invalid": 0},
]


@scenario()
def fleet_comes_back(run: Run) -> Row:
    """After an outage a fleet of 20 returns spread out: never 8 in the same second."""
    row = Row()
    row.expected = row.actual = 0
    speed = 20
    with ExitStack() as stack:
        server = stack.enter_context(Server(Origin.now(speed)))
        programs = [
            stack.enter_context(run.program(FLEET, server)) for _ in range(PROCESSES)
        ]
        for program in programs:
            row.require(
                program.receive("ready"), f"did not start: {program.last_error}"
            )
        time.sleep(60 / speed)
        server.command("down")
        time.sleep(240 / speed)
        server.command("up")
        time.sleep(120 / speed)
        after = server.received()
        server.pace(1, *programs)
        for program in programs:
            program.send("stop")
        for program in programs:
            if row.check_account(program, program.receive("stats", 90)):
                row.expected += program.tally()[0]
        row.actual = server.received().total("orders")
        row.require_exact()
    _check_returns(row, after.journal)
    return row


def _check_returns(row: Row, journal: list[dict[str, Any]]) -> None:
    """Require that the first requests after the outage are spread out."""
    firsts: dict[int, float] = {}
    end = _end_of_outage(journal)
    for each in journal:
        if each["at"] >= end:
            firsts.setdefault(each["connection"], each["at"] - end)
    seconds = Counter(int(at) for at in firsts.values())
    most = max(seconds.values(), default=0)
    row.require(len(firsts) >= PROCESSES * 0.8, f"only {len(firsts)} returned in 2 min")
    row.require(most < 8, f"{most} of {PROCESSES} returned in the same second")
    spread = max(firsts.values(), default=0.0) + 1
    even = len(firsts) / spread
    chi2 = sum((seconds[n] - even) ** 2 / even for n in range(int(spread) + 1))
    row.note(
        f"{len(firsts)} connections over {spread:.0f} s, {most} in one, chi2 {chi2:.0f}"
    )


@scenario()
def soak(run: Run) -> Row:
    """A minute of random faults loses nothing uncounted, and nothing grows."""
    row = Row()
    with Server() as server, run.program(SOAK, server) as program:
        if not program.receive("ready"):
            row.check_account(program, {})
            return row
        _misbehave(server, run)
        program.send("enough")
        before, after = program.receive("resources").get("resources", [(0, 0)] * 2)
        program.receive("over")
        program.send("go on")
        facts = program.receive("stats", 90)
        if row.check_account(program, facts):
            row.expected = sum(program.tally()[:8])
            _check_soak(row, server.received(), facts)
            row.require(row.memory is not None and row.memory < 10, "memory")
            row.require(after[0] <= before[0] + 3, f"files: {before[0]}, {after[0]}")
            row.require(after[1] <= before[1] + 1, f"threads: {before[1]}, {after[1]}")
    return row


def _misbehave(server: Server, run: Run) -> None:
    """Change the endpoint's behaviour at random, for as long as the soak takes."""
    chance = random.Random(run.seed)
    end = time.monotonic() + run.seconds
    while time.monotonic() < end:
        if chance.random() < 0.2:
            server.command("down")
            time.sleep(chance.uniform(0, 3))
            server.command("up")
        of = chance.sample(FAULTS, 4)
        server.script({"action": "random", "of": of})
        time.sleep(min(chance.uniform(0, 5), max(0.0, end - time.monotonic())))
        server.script()
        time.sleep(chance.uniform(0, 1))
    server.script()


def _check_soak(row: Row, received: Received, facts: dict[str, Any]) -> None:
    """Require that losses are counted, and that repeats are due to missing answers."""
    row.actual = received.total("orders") + received.total("request.duration")
    again = sum(received.repeated_total(key) for key in ("orders", "request.duration"))
    lost, dropped = row.expected - (row.actual - again), facts["stats"]["dropped"]
    row.require(facts["delivered"], "not delivered")
    row.require(lost >= 0, f"{-lost} more than was recorded")
    row.require(not lost or dropped, f"{lost} are missing, and none is counted")
    row.require_balance(received, facts["stats"])
    row.require(not received.unreadable, f"unreadable: {received.unreadable}")
    unanswered = [e for e in received.requests_with("hang_up", "flood") if e["lines"]]
    most = sum(each["lines"] for each in unanswered)
    lines = sum(lines for lines, _ in received.repeated.values())
    row.require(lines <= most, f"{lines} lines arrived twice, {most} had no answer")
    row.note(
        f"{again} arrived twice, {lost} lost in {dropped}, {received.requests} requests"
    )


@scenario()
def recording_while_down(run: Run) -> Row:
    """Recording costs the same while the endpoint is down: p50 +5 %, p99 +10 % at most."""
    row = Row()
    rounds, seconds = (4, 0.5) if run.quick else (8, 2.0)
    figures: dict[str, list[list[int]]] = {"up": [], "down": []}
    now = "up"
    with Server() as server, run.program(COST, server) as program:
        for _ in range(rounds):
            for state in ("up", "down", "down", "up"):
                if state != now:
                    server.command(state)
                now = state
                program.send(str(seconds))
                facts = program.receive("cost")
                if not row.require(facts, f"no report: {program.last_error}"):
                    return row
                figures[state].append(facts["cost"])
        program.send()
        row.check_account(program, program.receive("stats"))
    for place, name, most in ((0, "p50", 1.05), (1, "p99", 1.10)):
        up, down = (sorted(each[place] for each in figures[s]) for s in ("up", "down"))
        middle = len(up) // 2
        ratio = down[middle] / up[middle]
        # The spread of the same measurement on this machine.
        noise = up[-2] / up[1]
        row.note(
            f"{name} up {up[middle]} ns, down {down[middle]} ns: x{ratio:.2f}; "
            f"up alone spreads by x{noise:.2f}"
        )
        if noise < most:
            row.require(ratio < most, f"{name} is {ratio:.2f} times as much")
        else:
            row.note(f"{name} has no verdict: the machine is too noisy")
    return row


def _end_of_outage(journal: list[dict[str, Any]]) -> float:
    """Return when the longest pause between two requests ended."""
    times = [each["at"] for each in journal]
    gaps = [(b - a, b) for a, b in pairwise(times)]
    return max(gaps, default=(0.0, 0.0))[1]
