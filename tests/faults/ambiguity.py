"""Nobody knows whether it arrived: lost answers, resets, and the races in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server, Truth

STREAM = """
interval, seconds, settings = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
more = {"delivery": settings[0]} if settings else {}
configure(interval=interval, **more)
orders, stop = counter("orders"), threading.Event()

def work(number):
    while not stop.wait(0.002):
        orders.inc()
        tally[number] += 1

threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
for thread in threads:
    thread.start()
time.sleep(seconds)
stop.set()
for thread in threads:
    thread.join()
tell(over=True)
hear()
finish(delivered=deliver())
"""


@scenario(fast=True)
def answers_lost(run: Run) -> Row:
    """5 % of answers are lost: nothing is, and each loss doubles one body at most."""
    row, truth, stats = _stream(run, [_lost(run)], interval=0.02)
    if truth is not None:
        _bounded(row, truth, stats)
    return row


@scenario(fast=True)
def answers_lost_at_most_once(run: Run) -> Row:
    """With delivery="at_most_once" nothing comes twice; what may be lost is counted."""
    row, truth, stats = _stream(run, [_lost(run)], "at_most_once", interval=0.02)
    if truth is not None:
        row.require(row.difference <= 0, f"{row.difference} too many")
        row.require(not truth.again, f"came twice: {truth.again}")
        _counted(row, truth, stats)
        unknown = stats["dropped"].get("indeterminate", 0)
        met = sum(each["lines"] for each in truth.requests_with("hang_up"))
        row.require(unknown == met, f"{met} answers lost, {unknown} points unknown")
    return row


@scenario()
def reset_before_the_body(run: Run) -> Row:
    """Connections reset before anything is read: nothing is lost or doubled."""
    return _harmless(run, {"verdict": "hang_up", "reset": True, "unread": True})


@scenario()
def reset_after_the_body(run: Run) -> Row:
    """Connections reset once all is read, and nothing taken: nothing is lost."""
    return _harmless(run, {"verdict": "hang_up", "reset": True})


@scenario()
def closed_after_the_body(run: Run) -> Row:
    """Connections closed once all is read, and nothing taken: nothing is lost."""
    return _harmless(run, {"verdict": "hang_up"})


@scenario(fast=True)
def connection_closed_while_idle(run: Run) -> Row:
    """A connection that the other side closes just as more is sent loses nothing."""
    return _harmless(run, {"verdict": "accept", "idle": 0.02}, between=0)


@scenario()
def taken_and_never_answered(run: Run) -> Row:
    """12 s in which all is taken and nothing answered: one body too many at most."""
    return _silence(run)


@scenario()
def taken_and_never_answered_at_most_once(run: Run) -> Row:
    """With delivery="at_most_once" none comes twice; what may be lost is counted."""
    row = _silence(run, "at_most_once")
    row.require((row.difference or 0) <= 0, f"{row.difference} too many")
    return row


def _lost(run: Run) -> dict[str, Any]:
    # In a short run 5 % may be none at all.
    return {"verdict": "hang_up", "taken": True, "chance": 0.2 if run.quick else 0.05}


def _silence(run: Run, *delivery: str) -> Row:
    """Let an outage of 12 s begin after 2 s, in a life of 20."""
    quiet = [
        {"verdict": "accept", "seconds": 2},
        {"verdict": "silent", "taken": True, "seconds": 12},
    ]
    row, truth, stats = _stream(run, quiet, *delivery, interval=1.0, seconds=20)
    if truth is not None:
        row.require(truth.requests_with("silent"), "no silence was met")
        # However often it was asked, it is one outage and one body.
        bodies = [each for each in truth.requests_with("silent") if each["lines"]]
        again = truth.again.get("orders", (0, 0))
        row.require(again[0] <= 1, f"{again[0]} lines came twice, {again[1]} orders")
        row.require(row.got - again[1] <= row.truth, "more arrived than there was")
        _counted(row, truth, stats)
        row.note(
            f"{len(bodies)} bodies met the silence, {again[1]} orders came twice "
            f"({100 * again[1] / max(1, row.truth):.1f} %), dropped {stats['dropped']}"
        )
    return row


def _harmless(run: Run, fault: dict[str, Any], between: int = 7) -> Row:
    """Let one request in some meet *fault*, never the same body twice in a row."""
    script = [{"verdict": "accept", "times": between}, {**fault, "times": 1}] * 300
    row, truth, stats = _stream(run, script, interval=0.02)
    if truth is not None:
        met = [each for each in truth.journal if each["verdict"] == fault["verdict"]]
        row.require(met, "the fault was never met")
        row.exact()
        row.require(not stats["dropped"], f"dropped {stats['dropped']}")
    return row


def _stream(
    run: Run,
    script: Sequence[dict[str, Any]],
    *delivery: str,
    interval: float,
    seconds: float = 0.0,
) -> tuple[Row, Truth | None, dict[str, Any]]:
    """Record from three threads while the endpoint goes by *script*, then heal it."""
    row = Row()
    seconds = seconds or (1.0 if run.quick else 10.0)
    with (
        Server() as server,
        run.program(STREAM, server, interval, seconds, *delivery) as program,
    ):
        server.script(*script)
        over = program.hear("over", seconds + 30)
        server.script()
        program.say("go on")
        facts = program.hear("stats") if over else {}
        if not row.told(program, facts):
            return row, None, {}
        row.require(facts["delivered"], "not delivered")
        truth = server.truth()
        row.truth, row.got = sum(program.tally()), truth.total("orders")
        row.balanced(truth, facts["stats"])
        row.require(not truth.unreadable, f"unreadable: {truth.unreadable}")
        return row, truth, facts["stats"]


def _bounded(row: Row, truth: Truth, stats: dict[str, Any]) -> None:
    """Require that as much came twice at most as answers were lost."""
    lines = truth.again.get("orders", (0, 0))[0]
    met = sum(bool(each["lines"]) for each in truth.requests_with("hang_up"))
    row.require(met, "no answer was lost")
    row.require(lines <= met, f"{met} answers lost, {lines} lines came twice")
    _counted(row, truth, stats)
    row.note(f"{met} answers lost, {lines} lines came twice, {stats['dropped']}")


def _counted(row: Row, truth: Truth, stats: dict[str, Any]) -> None:
    """Require that what did not arrive was counted.

    A body here is one point and holds some orders: what is missing can only be told
    to be counted or not.
    """
    once = row.got - truth.again_of("orders")
    dropped = sum(stats["dropped"].values())
    row.require(once <= row.truth, f"{once - row.truth} more than there was")
    if once < row.truth:
        row.require(dropped, f"{row.truth - once} lost, and none counted")
        row.note(f"{row.truth - once} orders lost in {stats['dropped']}")
