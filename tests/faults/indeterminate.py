"""Batches whose arrival is unknown: lost answers, resets, and races with a close."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Received, Server

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
report(over=True)
next_command()
finish(delivered=deliver())
"""


@scenario(fast=True)
def answers_lost(run: Run) -> Row:
    """When 5 % of answers are lost, each one doubles one batch at most; no data is lost."""
    row, received, stats = _stream(run, [_lost(run)], interval=0.02)
    if received is not None:
        _require_few_repeats(row, received, stats)
    return row


@scenario(fast=True)
def answers_lost_at_most_once(run: Run) -> Row:
    """With delivery="at_most_once" a lost answer doubles nothing; each loss is counted."""
    row, received, stats = _stream(run, [_lost(run)], "at_most_once", interval=0.02)
    if received is not None:
        row.require(row.difference <= 0, f"{row.difference} too many")
        row.require(not received.repeated, f"arrived twice: {received.repeated}")
        _require_counted(row, received, stats)
        unknown = stats["dropped"].get("indeterminate", 0)
        met = sum(each["lines"] for each in received.requests_with("hang_up"))
        row.require(unknown == met, f"{met} answers lost, {unknown} points unknown")
    return row


@scenario()
def reset_before_the_body(run: Run) -> Row:
    """Connections that are reset before the request is read lose and double nothing."""
    return _harmless(run, {"action": "hang_up", "reset": True, "unread": True})


@scenario()
def reset_after_the_body(run: Run) -> Row:
    """Connections that are reset after the request was read and ignored lose nothing."""
    return _harmless(run, {"action": "hang_up", "reset": True})


@scenario()
def closed_after_the_body(run: Run) -> Row:
    """Connections that are closed after the request was read and ignored lose nothing."""
    return _harmless(run, {"action": "hang_up"})


@scenario(fast=True)
def connection_closed_while_idle(run: Run) -> Row:
    """A connection that the endpoint closes just as a request is sent loses nothing."""
    return _harmless(run, {"action": "accept", "idle": 0.02}, between=0)


@scenario()
def taken_and_never_answered(run: Run) -> Row:
    """In 12 s of accepting without answers the endpoint gets one batch twice at most."""
    return _silence(run)


@scenario()
def taken_and_never_answered_at_most_once(run: Run) -> Row:
    """With delivery="at_most_once" 12 s without answers double nothing; losses count."""
    row = _silence(run, "at_most_once")
    row.require((row.difference or 0) <= 0, f"{row.difference} too many")
    return row


def _lost(run: Run) -> dict[str, Any]:
    # In a short run 5 % of the requests may be none.
    return {"action": "hang_up", "taken": True, "chance": 0.2 if run.quick else 0.05}


def _silence(run: Run, *delivery: str) -> Row:
    """Run for 20 s, in which the endpoint sends no answer from second 2 to second 14."""
    quiet = [
        {"action": "accept", "seconds": 2},
        {"action": "silent", "taken": True, "seconds": 12},
    ]
    row, received, stats = _stream(run, quiet, *delivery, interval=1.0, seconds=20)
    if received is not None:
        row.require(received.requests_with("silent"), "every request was answered")
        # One outage leaves one batch indeterminate, however many requests follow.
        batches = [each for each in received.requests_with("silent") if each["lines"]]
        lines, orders = received.repeated.get("orders", (0, 0))
        row.require(lines <= 1, f"{lines} lines arrived twice, {orders} orders")
        row.require(
            row.actual - orders <= row.expected, "more arrived than was recorded"
        )
        _require_counted(row, received, stats)
        row.note(
            f"{len(batches)} batches without an answer, {orders} orders arrived twice "
            f"({100 * orders / max(1, row.expected):.1f} %), dropped {stats['dropped']}"
        )
    return row


def _harmless(run: Run, fault: dict[str, Any], between: int = 7) -> Row:
    """Apply *fault* to one request in *between*, never to a batch twice in a row."""
    script = [{"action": "accept", "times": between}, {**fault, "times": 1}] * 300
    row, received, stats = _stream(run, script, interval=0.02)
    if received is not None:
        met = [each for each in received.journal if each["action"] == fault["action"]]
        row.require(met, "the fault never applied")
        row.require_exact()
        row.require(not stats["dropped"], f"dropped {stats['dropped']}")
    return row


def _stream(
    run: Run,
    script: Sequence[dict[str, Any]],
    *delivery: str,
    interval: float,
    seconds: float = 0.0,
) -> tuple[Row, Received | None, dict[str, Any]]:
    """Record from three threads while the endpoint follows *script*, then deliver."""
    row = Row()
    seconds = seconds or (1.0 if run.quick else 10.0)
    with (
        Server() as server,
        run.program(STREAM, server, interval, seconds, *delivery) as program,
    ):
        server.script(*script)
        over = program.receive("over", seconds + 30)
        server.script()
        program.send("go on")
        facts = program.receive("stats") if over else {}
        if not row.check_account(program, facts):
            return row, None, {}
        row.require(facts["delivered"], "not delivered")
        received = server.received()
        row.expected, row.actual = sum(program.tally()), received.total("orders")
        row.require_balance(received, facts["stats"])
        row.require(not received.unreadable, f"unreadable: {received.unreadable}")
        return row, received, facts["stats"]


def _require_few_repeats(row: Row, received: Received, stats: dict[str, Any]) -> None:
    """Require that no more lines arrived twice than answers were lost."""
    lines = received.repeated.get("orders", (0, 0))[0]
    met = sum(bool(each["lines"]) for each in received.requests_with("hang_up"))
    row.require(met, "no answer was lost")
    row.require(lines <= met, f"{met} answers lost, {lines} lines arrived twice")
    _require_counted(row, received, stats)
    row.note(f"{met} answers lost, {lines} lines arrived twice, {stats['dropped']}")


def _require_counted(row: Row, received: Received, stats: dict[str, Any]) -> None:
    """Require that the library counted a drop if anything is missing.

    A batch here is one point with the sum of several orders, so that the number of
    dropped points does not tell how many orders are missing.
    """
    once = row.actual - received.repeated_total("orders")
    dropped = sum(stats["dropped"].values())
    row.require(once <= row.expected, f"{once - row.expected} more than was recorded")
    if once < row.expected:
        row.require(dropped, f"{row.expected - once} are missing, and none is counted")
        row.note(f"{row.expected - once} orders lost in {stats['dropped']}")
