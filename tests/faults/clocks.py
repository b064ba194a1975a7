"""Clocks that are wrong, are set, or stand still."""

from __future__ import annotations

from tests.faults.campaign import Row, Run, scenario
from tests.faults.clock import Origin
from tests.faults.rig import Server

#: Waits for the scenario between its three parts: before, in and after the change.
WATCHMAKER = """
wrong, step, freeze, apart = map(float, sys.argv[1:])
clock.step(wrong)
configure(interval=10.0)
orders, stop = counter("orders"), threading.Event()

def work():
    while not stop.wait(1.0):
        # Each is a point of its own, where each has to be accounted for.
        orders.inc(**({"number": tally[0]} if apart else {}))
        tally[0] += 1

thread = threading.Thread(target=work)
thread.start()
time.sleep(35.0)
tell(before=True)
hear()
clock.step(step)
clock.freeze(freeze)
tell(changed=True)
hear()
time.sleep(65.0)
stop.set()
thread.join()
tell(over=True)
hear()
finish(delivered=deliver())
"""

#: Cuts one after the other, and goes back into a time that is full of cuts.
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
        time.sleep(0.001)  # a moment is a millisecond: more cuts than those find none
finish(delivered=deliver())
"""

HOUR = 3600.0


@scenario()
def two_hours_ahead_set_right(run: Run) -> Row:
    """A clock 2 h ahead is set right during an outage: nothing sent is of the future."""
    return _watch(run, wrong=2 * HOUR, step=-2 * HOUR, down=True)


@scenario(fast=True)
def two_hours_behind_set_right(run: Run) -> Row:
    """A clock 2 h behind is set right during an outage: what that costs is counted."""
    row = _watch(run, wrong=-2 * HOUR, step=2 * HOUR, down=True, loses=True)
    row.note("known: what was stamped before the step looks too old, fresh as it is")
    return row


@scenario()
def set_back_30_seconds(run: Run) -> Row:
    """A clock that goes back 30 s costs nothing, and no moment gets a second point."""
    return _watch(run, step=-30.0)


@scenario()
def set_back_among_many_cuts(run: Run) -> Row:
    """However fast cuts follow each other, and back 1.5 s: one point for each moment."""
    row = Row()
    with Server() as server, run.program(OFTEN, server) as program:
        facts = program.hear("stats")
        if row.told(program, facts):
            truth = server.truth()
            row.truth, row.got = program.tally()[0], truth.total("orders")
            row.exact()
            twice = truth.collisions + truth.again.get("orders", (0, 0))[0]
            row.require(not twice, f"{twice} points of a moment that had one already")
    return row


@scenario()
def slept_for_five_minutes(run: Run) -> Row:
    """A process that stood still for 5 min sends what it had recorded before, once."""
    return _watch(run, freeze=300.0)


@scenario()
def slept_for_two_hours(run: Run) -> Row:
    """After 2 h that it stood still nothing older than 60 min is sent; it is counted."""
    return _watch(run, freeze=2 * HOUR, down=True, loses=True)


def _watch(
    run: Run,
    wrong: float = 0.0,
    step: float = 0.0,
    freeze: float = 0.0,
    *,
    down: bool = False,
    loses: bool = False,
) -> Row:
    """Record each second; the clock is *wrong* and is changed after some 35 s.

    With *down* there is nobody to send to until some time after the change. It may
    *lose* what is too old then.
    """
    row = Row()
    with (
        Server(Origin.now(60 if run.quick else 20)) as server,
        run.program(WATCHMAKER, server, wrong, step, freeze, int(loses)) as program,
    ):
        if down:
            server.ask("down")
        if not program.hear("before"):
            row.told(program, {})
            return row
        program.say("go on")
        program.hear("changed")
        # The endpoint's clock is right, and time passes there as well.
        server.ask("freeze", seconds=freeze)
        program.say("go on")
        program.hear("over")
        server.pace(1, program)
        if down:
            server.ask("up")
        program.say("go on")
        facts = program.hear("stats", 90)
        if not row.told(program, facts):
            return row
        truth = server.truth()
        row.truth, row.got = program.tally()[0], truth.total("orders")
        dropped = facts["stats"]["dropped"]
        if loses:
            row.require(dropped.keys() <= {"too old"}, f"dropped {dropped}")
            row.counted(truth, facts["stats"])
            # An interval has some 10 orders, and those after the change are fresh.
            row.require(row.got >= 40, f"{row.got} came, of some 60 after the change")
        else:
            row.exact()
            row.require(not dropped, f"dropped {dropped}")
        # Of who stood still both clocks have gone on, as for who is stopped.
        seen = facts["stats"]["clock_steps"]
        row.require(seen > 0 or not step, "no step of the clock was seen")
        row.require(facts["delivered"], "not delivered")
        # Two cuts with the same stamp may even look the same, to the letter.
        twice = truth.collisions + truth.again.get("orders", (0, 0))[0]
        row.require(not twice, f"{twice} points of a moment that had one already")
        row.require(truth.oldest <= HOUR, f"sent a line {truth.oldest:.0f} s old")
        row.require(truth.newest >= -600, f"sent a line {-truth.newest:.0f} s ahead")
        row.note(
            f"lines {truth.newest:.1f} to {truth.oldest:.1f} s old, dropped {dropped}"
        )
    return row
