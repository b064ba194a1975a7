"""Many processes, many faults, and what recording costs meanwhile."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.clock import Origin
from tests.faults.rig import Server

FLEET = """
configure(interval=60.0)
stop = threading.Event()

def work():
    while not stop.wait(1.0):
        counter("orders").inc(who=os.getpid())
        tally[0] += 1

thread = threading.Thread(target=work)
thread.start()
tell(ready=True)
hear()
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

def held():
    return len(os.listdir("/proc/self/fd")), threading.active_count()

time.sleep(5.0)
mark()
begin = held()
tell(ready=True)
hear()
tell(held=[begin, held()])
stop.set()
for thread in threads:
    thread.join()
tell(over=True)
hear()
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
while what := hear():
    tell(cost=cost(float(what)))
finish()
"""

#: What an endpoint may do in a soak; none of it proves that nothing was taken and lies.
FAULTS: list[dict[str, Any]] = [
    {"verdict": "accept"},
    {"verdict": "accept", "wait": 0.5},
    {"verdict": "accept", "idle": 0.01},
    {"verdict": "status", "status": 503},
    {"verdict": "status", "status": 429, "headers": ["Retry-After: 1"]},
    {"verdict": "status", "status": 500},
    {"verdict": "hang_up"},
    {"verdict": "hang_up", "reset": True},
    {"verdict": "hang_up", "reset": True, "unread": True},
    {"verdict": "hang_up", "taken": True},
    {"verdict": "flood", "of": "headers"},
    {"verdict": "flood", "of": "bomb"},
    {"verdict": "partly", "invalid": 0},
]


@scenario()
def fleet_comes_back(run: Run) -> Row:
    """20 processes come back after an outage one by one: never 8 in the same second."""
    row = Row()
    speed, fleet = 20, 20
    with ExitStack() as stack:
        server = stack.enter_context(Server(Origin.now(speed)))
        programs = [
            stack.enter_context(run.program(FLEET, server)) for _ in range(fleet)
        ]
        for program in programs:
            row.require(program.hear("ready"), f"did not start: {program.said}")
        time.sleep(60 / speed)
        server.ask("down")
        time.sleep(240 / speed)
        server.ask("up")
        time.sleep(120 / speed)
        back = server.truth()
        server.pace(1, *programs)
        row.truth = row.got = 0
        for program in programs:
            program.say("stop")
        for program in programs:
            if row.told(program, program.hear("stats", 90)):
                row.truth += program.tally()[0]
        truth = server.truth()
        row.got = truth.total("orders")
        row.exact()
    firsts: dict[int, float] = {}
    since = _return(back.journal)
    for each in back.journal:
        if each["at"] >= since:
            firsts.setdefault(each["connection"], each["at"] - since)
    seconds = Counter(int(at) for at in firsts.values())
    most = max(seconds.values(), default=0)
    row.require(len(firsts) >= fleet * 0.8, f"only {len(firsts)} came back in 2 min")
    row.require(most < 8, f"{most} of {fleet} came in the same second")
    spread = max(firsts.values(), default=0.0) + 1
    even = len(firsts) / spread
    chi2 = sum((seconds[n] - even) ** 2 / even for n in range(int(spread) + 1))
    row.note(
        f"{len(firsts)} connections over {spread:.0f} s, {most} in one, chi2 {chi2:.0f}"
    )
    return row


@scenario()
def soak(run: Run) -> Row:
    """Random faults: what did not arrive is counted, and nothing grows."""
    row = Row()
    chance = random.Random(run.seed)
    with Server() as server, run.program(SOAK, server) as program:
        if not program.hear("ready"):
            row.told(program, {})
            return row
        end = time.monotonic() + run.seconds
        while time.monotonic() < end:
            if chance.random() < 0.2:
                server.ask("down")
                time.sleep(chance.uniform(0, 3))
                server.ask("up")
            of = chance.sample(FAULTS, 4)
            server.script({"verdict": "random", "of": of})
            time.sleep(min(chance.uniform(0, 5), max(0.0, end - time.monotonic())))
            server.script()
            time.sleep(chance.uniform(0, 1))
        server.script()
        program.say("enough")
        held = program.hear("held").get("held")
        program.hear("over")
        program.say("go on")
        facts = program.hear("stats", 90)
        if not row.told(program, facts):
            return row
        truth, tally = server.truth(), program.tally()[:8]
        row.truth = sum(tally)
        row.got = truth.total("orders") + truth.total("request.duration")
        again = truth.again_of("orders") + truth.again_of("request.duration")
        lost, dropped = row.truth - (row.got - again), facts["stats"]["dropped"]
        row.require(facts["delivered"], "not delivered")
        row.require(lost >= 0, f"{-lost} more than there was")
        row.require(not lost or dropped, f"{lost} lost, and none counted")
        row.balanced(truth, facts["stats"], folded=True)
        row.require(not truth.unreadable, f"unreadable: {truth.unreadable}")
        doubt = [e for e in truth.requests_with("hang_up", "flood") if e["lines"]]
        most = sum(each["lines"] for each in doubt)
        lines = sum(lines for lines, _ in truth.again.values())
        row.require(lines <= most, f"{lines} lines came twice, {most} had no answer")
        row.require(row.memory is not None and row.memory < 10, "memory")
        (files, threads), (files_after, threads_after) = held
        row.require(files_after <= files + 3, f"{files} files, then {files_after}")
        row.require(threads_after <= threads + 1, f"{threads} threads, {threads_after}")
        row.note(
            f"{again} came twice, {lost} lost in {dropped}, {truth.requests} requests"
        )
    return row


@scenario()
def recording_while_down(run: Run) -> Row:
    """RecordingOptions costs the same while the endpoint is down: p50 +5 %, p99 +10 %."""
    row = Row()
    rounds, seconds = (4, 0.5) if run.quick else (8, 2.0)
    figures: dict[str, list[list[int]]] = {"up": [], "down": []}
    now = "up"
    with Server() as server, run.program(COST, server) as program:
        for _ in range(rounds):
            for state in ("up", "down", "down", "up"):
                if state != now:
                    server.ask(state)
                now = state
                program.say(str(seconds))
                facts = program.hear("cost")
                if not row.require(facts, f"told nothing: {program.said}"):
                    return row
                figures[state].append(facts["cost"])
        program.say()
        row.told(program, program.hear("stats"))
    for place, name, most in ((0, "p50", 1.05), (1, "p99", 1.10)):
        up, down = (sorted(each[place] for each in figures[s]) for s in ("up", "down"))
        middle = len(up) // 2
        ratio = down[middle] / up[middle]
        # The same thing measured twice differs by that much here.
        noise = up[-2] / up[1]
        row.note(
            f"{name} up {up[middle]} ns, down {down[middle]} ns: x{ratio:.2f}; "
            f"up alone spreads by x{noise:.2f}"
        )
        if noise < most:
            row.require(ratio < most, f"{name} is {ratio:.2f} times as much")
        else:
            row.note(f"{name} not judged: it is not stable enough here")
    return row


def _return(journal: list[dict[str, Any]]) -> float:
    """Return when the longest silence of *journal* ended."""
    times = [each["at"] for each in journal]
    gaps = [(b - a, b) for a, b in pairwise(times)]
    return max(gaps, default=(0.0, 0.0))[1]
