"""How programs end: by a signal, in the middle of a post, in time."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

from tests.faults.attempts import EXIT_SECONDS, ROOM
from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import PATIENCE, Program, Server

TERMINATED = """
how = sys.argv[1]
if how == "chain":
    signal.signal(signal.SIGTERM, lambda *_: (tell(called=True), sys.exit(7)))
configure(interval=60.0)
if how != "default":
    dtmetrics.install_signal_handlers()
orders = counter("orders")
for _ in range(1000):
    orders.inc()
    tally[0] += 1
tell(ready=True)
while True:
    time.sleep(0.01)
"""

ENDING = """
configure()
counter("orders").inc(5)
tally[0] += 5
"""

LEAVING = """
counter_ = counter("orders")
configure(interval=0.05)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    counter_.inc()
    tally[0] += 1
sys.exit(3)
"""


@scenario(fast=True)
def terminated_by_default(run: Run) -> Row:
    """Nobody handles SIGTERM unless asked: the program ends by it, silently."""
    row, program, took = _terminated(run, "default")
    row.require(program.process.returncode == -15, f"{program.process.returncode}")
    row.require(not program.err, f"said {program.said}")
    row.require(took < ROOM, f"took {took:.1f} s")
    row.note(f"lost {row.truth - row.got} of {row.truth}: one interval, as documented")
    return row


@scenario(fast=True)
def terminated_with_handlers(run: Run) -> Row:
    """With install_signal_handlers() a SIGTERM loses nothing, and still ends by it."""
    row, program, took = _terminated(run, "handlers")
    row.require(
        program.process.returncode == -15,
        f"ended with {program.process.returncode}: {program.said}",
    )
    row.exact()
    row.require(took < EXIT_SECONDS, f"took {took:.1f} s")
    return row


@scenario(fast=True)
def terminated_with_the_programs_own(run: Run) -> Row:
    """A handler of the program's own is still called, and decides how it ends."""
    row, program, took = _terminated(run, "chain")
    row.require(
        program.process.returncode == 7,
        f"ended with {program.process.returncode}: {program.said}",
    )
    row.require(program.hear("called", 1), "its own handler was not called")
    row.exact()
    row.require(took < EXIT_SECONDS, f"took {took:.1f} s")
    return row


@scenario(fast=True)
def exit_meets_a_503(run: Run) -> Row:
    """One 503 at the end of a program loses nothing: there are 5 s to try again."""
    row = Row()
    with Server() as server, run.program(ENDING, server) as program:
        server.script({"verdict": "status", "status": 503, "times": 1})
        row.hung = int(program.wait(30) is None)
        row.truth, row.got = program.tally()[0], server.truth().total("orders")
        row.exact()
        row.require(program.process.returncode == 0, f"{program.process.returncode}")
    return row


@scenario()
def exits_while_posting(run: Run) -> Row:
    """Ended in the middle of a post, to a slow, dead or hung endpoint: in time, quietly."""
    row = Row()
    slow = {"verdict": "accept", "wait": 0.3}
    hung = {"verdict": "silent", "taken": True}
    rounds = 3 if run.quick else 16
    with Server() as server, ThreadPoolExecutor(4) as pool:
        for what in (slow, hung, None):
            if what is None:
                server.ask("down")
            else:
                server.script(what)

            def leave(number: int) -> tuple[int | None, float, list[str]]:
                with run.program(LEAVING, server, 0.05 * number / rounds) as program:
                    status = program.wait(30)
                    return status, time.monotonic() - program.began, program.err

            for status, took, said in pool.map(leave, range(4 * rounds)):
                row.hung += status is None
                row.require(status == 3, f"ended with {status}: {said[-1:]}")
                # 4 interpreters start at once.
                row.require(took < EXIT_SECONDS + 2 * ROOM, f"took {took:.1f} s")
                noise = [text for text in said if "deliver" not in text]
                row.require(not noise, f"said {noise[:1]}")
                row.require(len(said) <= 2, f"said {len(said)} lines")
    row.breaches = sorted(set(row.breaches))[:5]
    return row


def _terminated(run: Run, how: str) -> tuple[Row, Program, float]:
    row = Row()
    with Server() as server, run.program(TERMINATED, server, how) as program:
        program.hear("ready")
        program.kill(signal.SIGTERM)
        begin = time.monotonic()
        row.hung = int(program.wait(PATIENCE) is None)
        took = time.monotonic() - begin
        row.truth, row.got = program.tally()[0], server.truth().total("orders")
    return row, program, took
