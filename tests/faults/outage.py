"""The endpoint is not there, for minutes or for longer than anything is kept."""

from __future__ import annotations

import time
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.clock import Origin
from tests.faults.rig import Program, Server, Truth

BY_ITSELF = """
series, seconds = int(sys.argv[1]), float(sys.argv[2])
configure(interval=10.0, max_series_per_metric=100_000)
handles = [counter("orders").bind(number=n) for n in range(series)]
stop = threading.Event()

def work(number):
    own = handles[number::2]
    while not stop.is_set():
        for handle in own:
            handle.inc()
        tally[number] += len(own)
        stop.wait(10.0)

threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
for thread in threads:
    thread.start()
while sum(tally[:2]) < series:
    time.sleep(0.01)
deliver()
mark()
tell(ready=True)
hear()
time.sleep(seconds)
stop.set()
for thread in threads:
    thread.join()
tell(over=True)
hear()
begin = time.perf_counter()
delivered = deliver(120.0)
finish(drained=time.perf_counter() - begin, delivered=delivered)
"""

BY_HAND = """
series, minutes, room = map(int, sys.argv[1:])
configure(interval=None, max_series_per_metric=100_000, max_outbox_bytes=room)
handles = [counter("orders").bind(number=n) for n in range(series)]

def minute():
    for handle in handles:
        handle.inc()
    tally[0] += series
    flush(1.0)

minute()
mark()
tell(ready=True)
hear()
for _ in range(minutes):
    minute()
    time.sleep(60.0)
tell(over=True)
hear()
begin = time.perf_counter()
delivered = deliver(120.0)
finish(drained=time.perf_counter() - begin, delivered=delivered)
"""


@scenario()
def ten_minutes_refused(run: Run) -> Row:
    """10 min refused, 10,000 series each 10 s: 0 lost, < 40 MB more, drained in 60 s."""
    row = Row()
    # From the start: a wait that has begun goes on at the old pace.
    speed = 40 if run.quick else 20
    with (
        Server(Origin.now(speed)) as server,
        run.program(BY_ITSELF, server, 10_000, 600) as program,
    ):
        facts = _outage(row, server, program, speed)
        if not row.told(program, facts):
            return row
        truth = server.truth()
        _enter(row, truth, program)
        row.balanced(truth, facts["stats"], folded=True)
        row.exact()
        row.require(facts["delivered"], "not delivered")
        row.require(not facts["stats"]["dropped"], f"dropped {facts['stats']}")
        row.require(row.memory is not None and row.memory < 40, "memory")
        row.require(facts["drained"] < 60, "drained too slowly")
        row.note(f"drained in {facts['drained']:.1f} s")
    return row


@scenario(fast=True)
def seventy_minutes_refused(run: Run) -> Row:
    """70 min refused: what is lost is too old, to the point, and counted; < 80 MB."""
    row, truth, facts = _by_hand(run, minutes=70)
    if truth is None:
        return row
    dropped = facts["stats"]["dropped"]
    row.require(set(dropped) == {"too old"}, f"dropped {dropped}")
    row.counted(truth, facts["stats"])
    # What is kept for 55 min is sent, as far as a flush each minute or so reaches.
    row.require(45 <= truth.oldest / 60 < 55.1, f"sent {truth.oldest / 60:.0f} min")
    row.require(row.memory is not None and row.memory < 80, "memory")
    return row


@scenario()
def old_head_of_a_backlog(run: Run) -> Row:
    """After 58 min the newest is seen in 5 s, and nothing older than 60 min is sent."""
    row, truth, facts = _by_hand(run, minutes=58)
    if truth is None:
        return row
    row.counted(truth, facts["stats"])
    row.require(truth.oldest <= 3600, f"sent lines {truth.oldest:.0f} s old")
    sent = [each for each in truth.journal if each["lines"] > 1][1:]
    newest = max(each["stamp"] for each in sent)
    place = [each["stamp"] for each in sent].index(newest)
    took = sent[place]["at"] - sent[0]["at"]
    row.require(place <= 1, f"the newest came as number {place + 1} of {len(sent)}")
    row.require(took < 5, f"the newest came {took:.1f} s after the first")
    return row


@scenario()
def outage_fills_the_outbox(run: Run) -> Row:
    """With room for 0.4 MB what is lost is the oldest, counted to the point; < 10 MB."""
    row, truth, facts = _by_hand(run, minutes=50, room=400_000)
    if truth is None:
        return row
    dropped = facts["stats"]["dropped"]
    row.require(dropped.keys() == {"outbox full"}, f"dropped {dropped}")
    row.counted(truth, facts["stats"])
    row.require(row.memory is not None and row.memory < 10, "memory")
    return row


def _by_hand(
    run: Run, minutes: int, room: int = 32 << 20
) -> tuple[Row, Truth | None, dict[str, Any]]:
    """Flush 1,000 series each minute of an outage; each point then is a count of 1."""
    row = Row()
    with (
        Server(Origin.now(changes=True)) as server,
        run.program(BY_HAND, server, 1000, minutes, room) as program,
    ):
        facts = _outage(row, server, program, 2000 if run.quick else 200)
        if not row.told(program, facts):
            return row, None, facts
        truth = server.truth()
        _enter(row, truth, program)
        row.balanced(truth, facts["stats"])
        row.require(facts["delivered"], "not delivered")
        row.note(
            f"drained in {facts['drained']:.1f} s, dropped {facts['stats']['dropped']}"
        )
        return row, truth, facts


def _outage(row: Row, server: Server, program: Program, speed: float) -> dict[str, Any]:
    """Go down, for a life at some *speed*, and come back; return what is told then."""
    if not program.hear("ready"):
        return {}
    server.ask("down")
    server.pace(speed, program)
    program.say("go")
    if not program.hear("over", 200):
        return {}
    server.pace(1, program)
    server.ask("up")
    begin = time.monotonic()
    program.say("back")
    facts = program.hear("stats", 200)
    row.require(time.monotonic() - begin < 180, "hung")
    return facts


def _enter(row: Row, truth: Truth, program: Program) -> None:
    row.truth = sum(program.tally())
    row.got = truth.total("orders")
    row.require(not truth.unreadable, f"unreadable: {truth.unreadable}")
    row.require(not truth.again, f"came twice: {truth.again}")
