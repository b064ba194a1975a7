"""Outages of the endpoint: for minutes, and for longer than lines stay valid."""

from __future__ import annotations

import time
from typing import Any

from tests.faults.accelerated_clock import Origin
from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Program, Received, Server

BY_ITSELF = """
series, seconds = int(sys.argv[1]), float(sys.argv[2])
configure(interval=10.0, max_series_per_metric=100_000)
handles = [counter("orders").bind(number=n) for n in range(series)]
stop = threading.Event()

def work(number):
    share = handles[number::2]
    while not stop.is_set():
        for handle in share:
            handle.inc()
        tally[number] += len(share)
        stop.wait(10.0)

threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
for thread in threads:
    thread.start()
while sum(tally[:2]) < series:
    time.sleep(0.01)
deliver()
mark()
report(ready=True)
next_command()
time.sleep(seconds)
stop.set()
for thread in threads:
    thread.join()
report(over=True)
next_command()
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
report(ready=True)
next_command()
for _ in range(minutes):
    minute()
    time.sleep(60.0)
report(over=True)
next_command()
begin = time.perf_counter()
delivered = deliver(120.0)
finish(drained=time.perf_counter() - begin, delivered=delivered)
"""


@scenario()
def ten_minutes_unreachable(run: Run) -> Row:
    """An outage of 10 min with 10,000 series loses nothing, and is made up for in 60 s."""
    row = Row()
    # From the start: a wait that has begun ends by the old speed.
    speed = 40 if run.quick else 20
    with (
        Server(Origin.now(speed)) as server,
        run.program(BY_ITSELF, server, 10_000, 600) as program,
    ):
        facts = _outage(row, server, program, speed)
        if not row.check_account(program, facts):
            return row
        received = server.received()
        _enter(row, received, program)
        row.require_balance(received, facts["stats"])
        row.require_exact()
        row.require(facts["delivered"], "not delivered")
        row.require(not facts["stats"]["dropped"], f"dropped {facts['stats']}")
        row.require(row.memory is not None and row.memory < 40, "memory")
        row.require(facts["drained"] < 60, "drained too slowly")
        row.note(f"drained in {facts['drained']:.1f} s")
    return row


@scenario(fast=True)
def seventy_minutes_unreachable(run: Run) -> Row:
    """An outage of 70 min drops points that are too old, and counts each of them."""
    row, received, facts = _by_hand(run, minutes=70)
    if received is None:
        return row
    dropped = facts["stats"]["dropped"]
    row.require(set(dropped) == {"too old"}, f"dropped {dropped}")
    row.require_counted_losses(received, facts["stats"])
    # Lines of up to 55 min are sent, give or take the minute between two flushes.
    row.require(
        45 <= received.oldest / 60 < 55.1, f"sent {received.oldest / 60:.0f} min"
    )
    row.require(row.memory is not None and row.memory < 80, "memory")
    return row


@scenario()
def newest_of_a_backlog_first(run: Run) -> Row:
    """After 58 min down the newest lines arrive in 5 s, and none older than 60 min."""
    row, received, facts = _by_hand(run, minutes=58, speed=500)
    if received is None:
        return row
    row.require_counted_losses(received, facts["stats"])
    row.require(received.oldest <= 3600, f"sent lines {received.oldest:.0f} s old")
    sent = [each for each in received.journal if each["lines"] > 1][1:]
    newest = max(each["stamp"] for each in sent)
    place = [each["stamp"] for each in sent].index(newest)
    took = sent[place]["at"] - sent[0]["at"]
    row.require(place <= 1, f"the newest came as number {place + 1} of {len(sent)}")
    row.require(took < 5, f"the newest came {took:.1f} s after the first")
    return row


@scenario()
def outage_fills_the_outbox(run: Run) -> Row:
    """A full outbox of 0.4 MB drops the oldest points, and counts each of them."""
    row, received, facts = _by_hand(run, minutes=50, room=400_000)
    if received is None:
        return row
    dropped = facts["stats"]["dropped"]
    row.require(dropped.keys() == {"outbox full"}, f"dropped {dropped}")
    row.require_counted_losses(received, facts["stats"])
    row.require(row.memory is not None and row.memory < 10, "memory")
    return row


def _by_hand(
    run: Run, minutes: int, *, room: int = 32 << 20, speed: float = 2000
) -> tuple[Row, Received | None, dict[str, Any]]:
    """Flush 1,000 series once a minute in an outage, so that each point is a count of 1.

    A quick run lets the clock go at *speed*.
    """
    row = Row()
    with (
        Server(Origin.now(changes=True)) as server,
        run.program(BY_HAND, server, 1000, minutes, room) as program,
    ):
        facts = _outage(row, server, program, speed if run.quick else 200)
        if not row.check_account(program, facts):
            return row, None, facts
        received = server.received()
        _enter(row, received, program)
        row.require_balance(received, facts["stats"])
        row.require(facts["delivered"], "not delivered")
        row.note(
            f"drained in {facts['drained']:.1f} s, dropped {facts['stats']['dropped']}"
        )
        return row, received, facts


def _outage(row: Row, server: Server, program: Program, speed: float) -> dict[str, Any]:
    """Take the endpoint down and up again at *speed*; return the final report."""
    if not program.receive("ready"):
        return {}
    server.command("down")
    server.pace(speed, program)
    program.send("go")
    if not program.receive("over", 200):
        return {}
    server.pace(1, program)
    server.command("up")
    begin = time.monotonic()
    program.send("back")
    facts = program.receive("stats", 200)
    row.require(time.monotonic() - begin < 180, "hung")
    return facts


def _enter(row: Row, received: Received, program: Program) -> None:
    row.expected = sum(program.tally())
    row.actual = received.total("orders")
    row.require(not received.unreadable, f"unreadable: {received.unreadable}")
    row.require(not received.repeated, f"arrived twice: {received.repeated}")
