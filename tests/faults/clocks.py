"""Wall clocks that are wrong or are set, and processes that stand still."""

from __future__ import annotations

from typing import Any

from tests.faults.accelerated_clock import Origin
from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Received, Server

#: Waits for the scenario before and after the change of its clock.
WATCHMAKER = """
wrong, step, freeze, apart = map(float, sys.argv[1:])
clock.step(wrong)
configure(interval=10.0)
orders, stop = counter("orders"), threading.Event()

def work():
    while not stop.wait(1.0):
        # Distinct series, where each single order has to be accounted for.
        orders.inc(**({"number": tally[0]} if apart else {}))
        tally[0] += 1

thread = threading.Thread(target=work)
thread.start()
time.sleep(35.0)
report(before=True)
next_command()
clock.step(step)
clock.freeze(freeze)
report(changed=True)
next_command()
time.sleep(65.0)
stop.set()
thread.join()
report(over=True)
next_command()
finish(delivered=deliver())
"""

#: Collects in quick succession, then sets the clock back into that period.
OFTEN = """
configure(interval=None)
orders = counter("orders")
for step in (0.0, -1.5):
    clock.step(step)
    end = time.monotonic() + 3.5
    while time.monotonic() < end:
        orders.inc()
        tally[0] += 1
        flush(5.0)
        time.sleep(0.001)  # timestamps are milliseconds: one collection for each
finish(delivered=deliver())
"""

HOUR = 3600.0


@scenario()
def two_hours_ahead_set_right(run: Run) -> Row:
    """After a clock 2 h ahead is set right in an outage no line lies in the future."""
    return _change(run, wrong=2 * HOUR, step=-2 * HOUR, down=True)


@scenario(fast=True)
def two_hours_behind_set_right(run: Run) -> Row:
    """After a clock 2 h behind is set right in an outage each dropped point is counted."""
    row = _change(run, wrong=-2 * HOUR, step=2 * HOUR, down=True, loses=True)
    row.note("known: lines with timestamps from before the step look too old")
    return row


@scenario()
def set_back_30_seconds(run: Run) -> Row:
    """A clock set back 30 s loses nothing, and no timestamp gets two points."""
    return _change(run, step=-30.0)


@scenario()
def set_back_among_many_collections(run: Run) -> Row:
    """Collections in quick succession, across a step back, share no timestamp."""
    row = Row()
    with Server() as server, run.program(OFTEN, server) as program:
        facts = program.receive("stats")
        if row.check_account(program, facts):
            received = server.received()
            row.expected, row.actual = program.tally()[0], received.total("orders")
            row.require_exact()
            twice = received.collisions + received.repeated.get("orders", (0, 0))[0]
            row.require(not twice, f"{twice} points with a timestamp used before")
    return row


@scenario()
def slept_for_five_minutes(run: Run) -> Row:
    """A process that stood still for 5 min sends what it recorded before, once."""
    return _change(run, freeze=300.0)


@scenario()
def slept_for_two_hours(run: Run) -> Row:
    """After standing still for 2 h a process drops and counts lines older than 60 min."""
    return _change(run, freeze=2 * HOUR, down=True, loses=True)


def _change(
    run: Run,
    wrong: float = 0.0,
    step: float = 0.0,
    freeze: float = 0.0,
    *,
    down: bool = False,
    loses: bool = False,
) -> Row:
    """Record once a second, and change the clock after about 35 s.

    It starts *wrong* by so many seconds, is set by *step*, and skips *freeze*. With
    *down* the endpoint is down until some time after the change. With *loses* the
    program may drop what is too old then.
    """
    row = Row()
    with (
        Server(Origin.now(60 if run.quick else 20)) as server,
        run.program(WATCHMAKER, server, wrong, step, freeze, int(loses)) as program,
    ):
        if down:
            server.command("down")
        if not program.receive("before"):
            row.check_account(program, {})
            return row
        program.send("go on")
        program.receive("changed")
        # The endpoint's clock is right, and the same time passes there.
        server.command("freeze", seconds=freeze)
        program.send("go on")
        program.receive("over")
        server.pace(1, program)
        if down:
            server.command("up")
        program.send("go on")
        facts = program.receive("stats", 90)
        if row.check_account(program, facts):
            row.expected = program.tally()[0]
            _check(row, server.received(), facts, loses=loses)
            # A freeze moves both clocks of a process, and so is not a step.
            seen = facts["stats"]["clock_steps"]
            row.require(seen > 0 or not step, "the step of the clock was not counted")
    return row


def _check(row: Row, received: Received, facts: dict[str, Any], *, loses: bool) -> None:
    """Require that losses are counted, and that timestamps are unique and recent."""
    row.actual = received.total("orders")
    dropped = facts["stats"]["dropped"]
    if loses:
        row.require(dropped.keys() <= {"too old"}, f"dropped {dropped}")
        row.require_counted_losses(received, facts["stats"])
        # About 60 orders are recorded after the change, and those are recent.
        row.require(row.actual >= 40, f"only {row.actual} arrived")
    else:
        row.require_exact()
        row.require(not dropped, f"dropped {dropped}")
    row.require(facts["delivered"], "not delivered")
    # Two collections with the same timestamp may even send the same text.
    twice = received.collisions + received.repeated.get("orders", (0, 0))[0]
    row.require(not twice, f"{twice} points with a timestamp used before")
    row.require(received.oldest <= HOUR, f"sent a line {received.oldest:.0f} s old")
    row.require(received.newest >= -600, f"sent a line {-received.newest:.0f} s ahead")
    row.note(
        f"lines {received.newest:.1f} to {received.oldest:.1f} s old, dropped {dropped}"
    )
