"""Functions: a process that is frozen between invocations, and killed in the end."""

from __future__ import annotations

import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Program, Server

#: Seconds that an invocation has for its flush.
DEADLINE = 2.0

#: The endpoint closes a connection after so many idle seconds.
IDLE = 1.0

FUNCTION = """
deadline = float(sys.argv[1])
configure(interval=None)
orders = counter("orders")

def handler():
    orders.inc()
    tally[0] += 1

while next_command():
    begin = time.perf_counter()
    try:
        handler()
    finally:
        delivered = flush(deadline)
        report(took=time.perf_counter() - begin, delivered=delivered, stats=account())
"""


@dataclass
class Life:
    """The reports of one function, from its start until it is killed."""

    recorded: int = 0
    took: list[float] = field(default_factory=list)
    delivered: list[bool] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


@scenario()
def frozen_between_invocations(run: Run) -> Row:
    """Functions frozen for 1 to 10 s lose nothing, though the connection was closed."""
    row = Row()
    functions, seconds, longest = (2, 6.0, 2.0) if run.quick else (8, 50.0, 10.0)
    with Server() as server:
        server.script({"action": "accept", "idle": IDLE})

        def live(seed: int) -> Life:
            chance = random.Random(f"{run.seed} {seed}")
            with run.program(FUNCTION, server, DEADLINE) as program:
                life, end = Life(), time.monotonic() + seconds
                while invoke(row, program, life) and time.monotonic() < end:
                    # Half of the time for as long as the connection stays open.
                    near = chance.uniform(IDLE - 0.1, IDLE + 0.1)
                    freeze(program, chance.choice((near, chance.uniform(1.0, longest))))
                return killed(row, program, life)

        with ThreadPoolExecutor(functions) as pool:
            lives = list(pool.map(live, range(functions)))
        check_invocations(row, server, lives)
        delivered = [each for life in lives for each in life.delivered]
        row.require(all(delivered), f"{delivered.count(False)} flushes did not deliver")
    return row


@scenario()
def frozen_while_it_is_down(run: Run) -> Row:
    """An endpoint that is down, busy or hangs costs a function's deadline, and no data."""
    row = Row()
    troubles: list[dict[str, Any] | None] = [
        {"action": "status", "status": 503},
        {"action": "silent"},
        None,
    ]
    times = 2 if run.quick else 4
    with Server() as server, run.program(FUNCTION, server, DEADLINE) as program:
        life = Life()
        for trouble in troubles:
            if trouble is None:
                server.command("down")
            else:
                server.script(trouble)
            for _ in range(times):
                if not invoke(row, program, life):
                    return row
                freeze(program, 1.0)
            if trouble is None:
                server.command("up")
            server.script()
            if not invoke(row, program, life):
                return row
            row.require(life.delivered[-1], f"not delivered after {trouble or 'down'}")
        check_invocations(row, server, [killed(row, program, life)])
        row.require(not life.delivered[0], "a busy endpoint accepted something")
    return row


def invoke(row: Row, program: Program, life: Life) -> bool:
    """Let *program* serve one order; return whether it did."""
    program.send("order")
    facts = program.receive("took", 20)
    if not row.check_account(program, facts):
        return False
    life.took.append(facts["took"])
    life.delivered.append(facts["delivered"])
    life.facts = facts
    return True


def freeze(program: Program, seconds: float) -> None:
    """Stop the program for some *seconds*."""
    program.kill(signal.SIGSTOP)
    time.sleep(seconds)
    program.kill(signal.SIGCONT)


def killed(row: Row, program: Program, life: Life) -> Life:
    """Kill the program without notice, as the platforms for functions do."""
    program.kill()
    status = program.wait(5)
    row.require(status == -signal.SIGKILL, f"ended before: {program.last_error}")
    life.recorded = program.tally()[0]
    return life


def check_invocations(row: Row, server: Server, lives: list[Life]) -> None:
    """Require that everything arrived, and that invocations kept their deadline."""
    received = server.received()
    row.expected = sum(life.recorded for life in lives)
    row.actual = received.total("orders")
    row.require_exact()
    row.require(not received.repeated, f"arrived twice: {received.repeated}")
    took = sorted(seconds for life in lives for seconds in life.took)
    if row.require(took, "nothing was invoked"):
        p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
        row.require(p99 < DEADLINE + 0.1, f"p99 is {p99:.2f} s")
        row.note(
            f"{len(took)} invocations: p50 {1000 * p50:.1f} ms, p99 {1000 * p99:.0f} ms,"
            f" longest {took[-1]:.2f} s, {received.connections} connections"
        )
