"""How programs end: by a signal, at exit, in the middle of a request."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

from tests.faults.attempts import EXIT_SECONDS, ROOM
from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import HANG_SECONDS, Program, Server

TERMINATED = """
how = sys.argv[1]
if how == "chain":
    signal.signal(signal.SIGTERM, lambda *_: (report(called=True), sys.exit(7)))
configure(interval=60.0)
if how != "default":
    dtmetrics.install_signal_handlers()
orders = counter("orders")
for _ in range(1000):
    orders.inc()
    tally[0] += 1
report(ready=True)
while True:
    time.sleep(0.01)
"""

ENDING = """
configure()
counter("orders").inc(5)
tally[0] += 5
"""

LEAVING = """
orders = counter("orders")
configure(interval=0.05)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    orders.inc()
    tally[0] += 1
report(leaving=True)
sys.exit(3)
"""


@scenario(fast=True)
def terminated_by_default(run: Run) -> Row:
    """Without install_signal_handlers() SIGTERM ends a program at once and silently."""
    row, program, took = _terminated(run, "default")
    row.require(program.process.returncode == -15, f"{program.process.returncode}")
    row.require(not program.err, f"wrote {program.last_error}")
    row.require(took < ROOM, f"took {took:.1f} s")
    row.note(
        f"lost {row.expected - row.actual} of {row.expected}: one interval, as documented"
    )
    return row


@scenario(fast=True)
def terminated_with_handlers(run: Run) -> Row:
    """With install_signal_handlers() SIGTERM loses nothing, and is the exit status."""
    row, program, took = _terminated(run, "handlers")
    row.require(
        program.process.returncode == -15,
        f"ended with {program.process.returncode}: {program.last_error}",
    )
    row.require_exact()
    row.require(took < EXIT_SECONDS, f"took {took:.1f} s")
    return row


@scenario(fast=True)
def terminated_with_a_handler_of_the_program(run: Run) -> Row:
    """A SIGTERM handler that the program installed is called, and decides the status."""
    row, program, took = _terminated(run, "chain")
    row.require(
        program.process.returncode == 7,
        f"ended with {program.process.returncode}: {program.last_error}",
    )
    row.require(program.receive("called", 1), "the program's handler was not called")
    row.require_exact()
    row.require(took < EXIT_SECONDS, f"took {took:.1f} s")
    return row


@scenario(fast=True)
def exit_meets_a_503(run: Run) -> Row:
    """One 503 at the exit of a program loses nothing: it is retried within 5 s."""
    row = Row()
    with Server() as server, run.program(ENDING, server) as program:
        server.script({"action": "status", "status": 503, "times": 1})
        row.hung = int(program.wait(30) is None)
        row.expected, row.actual = program.tally()[0], server.received().total("orders")
        row.require_exact()
        row.require(program.process.returncode == 0, f"{program.process.returncode}")
    return row


@scenario()
def exits_while_posting(run: Run) -> Row:
    """A program that exits during a request to any endpoint ends in time, and quietly."""
    row = Row()
    slow = {"action": "accept", "wait": 0.3}
    hung = {"action": "silent", "taken": True}
    rounds = 3 if run.quick else 16
    with Server() as server, ThreadPoolExecutor(4) as pool:
        for what in (slow, hung, None):
            if what is None:
                server.command("down")
            else:
                server.script(what)

            def leave(number: int) -> tuple[int | None, float, list[str]]:
                with run.program(LEAVING, server, 0.05 * number / rounds) as program:
                    program.receive("leaving")
                    begin = time.monotonic()
                    status = program.wait(30)
                    return status, time.monotonic() - begin, program.err

            for status, took, errors in pool.map(leave, range(4 * rounds)):
                row.hung += status is None
                row.require(status == 3, f"ended with {status}: {errors[-1:]}")
                # Three other interpreters start or end meanwhile.
                row.require(took < EXIT_SECONDS + ROOM, f"took {took:.1f} s")
                noise = [text for text in errors if "deliver" not in text]
                row.require(not noise, f"wrote {noise[:1]}")
                row.require(len(errors) <= 2, f"wrote {len(errors)} lines")
    row.breaches = sorted(set(row.breaches))[:5]
    return row


def _terminated(run: Run, how: str) -> tuple[Row, Program, float]:
    row = Row()
    with Server() as server, run.program(TERMINATED, server, how) as program:
        program.receive("ready")
        program.kill(signal.SIGTERM)
        begin = time.monotonic()
        row.hung = int(program.wait(HANG_SECONDS) is None)
        took = time.monotonic() - begin
        row.expected, row.actual = program.tally()[0], server.received().total("orders")
    return row, program, took
