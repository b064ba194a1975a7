"""A process that is frozen between two invocations, and killed in the end."""

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

#: After how many seconds without a request the endpoint closes a connection.
IDLE = 1.0

FUNCTION = """
deadline = float(sys.argv[1])
configure(interval=None)
orders = counter("orders")

def handler():
    orders.inc()
    tally[0] += 1

while hear():
    begin = time.perf_counter()
    try:
        handler()
    finally:
        delivered = flush(deadline)
        tell(took=time.perf_counter() - begin, delivered=delivered, stats=told())
"""


@dataclass
class Life:
    """What one function told of its invocations."""

    recorded: int = 0
    took: list[float] = field(default_factory=list)
    delivered: list[bool] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


@scenario()
def frozen_between_invocations(run: Run) -> Row:
    """Frozen for 1 to 10 s while the endpoint closes its connection: exact, and in time."""
    row = Row()
    functions, seconds, longest = (2, 6.0, 2.0) if run.quick else (8, 50.0, 10.0)
    with Server() as server:
        server.script({"verdict": "accept", "idle": IDLE})

        def live(seed: int) -> Life:
            chance = random.Random(f"{run.seed} {seed}")
            with run.program(FUNCTION, server, DEADLINE) as program:
                life, end = Life(), time.monotonic() + seconds
                while invoke(row, program, life) and time.monotonic() < end:
                    # Every other time just as the connection is closed.
                    near = chance.uniform(IDLE - 0.1, IDLE + 0.1)
                    freeze(program, chance.choice((near, chance.uniform(1.0, longest))))
                return died(row, program, life)

        with ThreadPoolExecutor(functions) as pool:
            lives = list(pool.map(live, range(functions)))
        judge(row, server, lives)
        delivered = [said for life in lives for said in life.delivered]
        row.require(all(delivered), f"{delivered.count(False)} flushes did not deliver")
    return row


@scenario()
def frozen_while_it_is_down(run: Run) -> Row:
    """An endpoint that is down, busy or hangs costs an invocation its deadline, and no data."""
    row = Row()
    troubles: list[dict[str, Any] | None] = [
        {"verdict": "status", "status": 503},
        {"verdict": "silent"},
        None,
    ]
    times = 2 if run.quick else 4
    with Server() as server, run.program(FUNCTION, server, DEADLINE) as program:
        life = Life()
        for trouble in troubles:
            if trouble is None:
                server.ask("down")
            else:
                server.script(trouble)
            for _ in range(times):
                if not invoke(row, program, life):
                    return row
                freeze(program, 1.0)
            if trouble is None:
                server.ask("up")
            server.script()
            if not invoke(row, program, life):
                return row
            row.require(life.delivered[-1], f"not delivered after {trouble or 'down'}")
        judge(row, server, [died(row, program, life)])
        row.require(not life.delivered[0], "delivered to who was busy")
    return row


def invoke(row: Row, program: Program, life: Life) -> bool:
    """Let *program* serve one order; say whether it did."""
    program.say("order")
    facts = program.hear("took", 20)
    if not row.told(program, facts):
        return False
    life.took.append(facts["took"])
    life.delivered.append(facts["delivered"])
    life.facts = facts
    return True


def freeze(program: Program, seconds: float) -> None:
    """Let it stand still, and go on."""
    program.kill(signal.SIGSTOP)
    time.sleep(seconds)
    program.kill(signal.SIGCONT)


def died(row: Row, program: Program, life: Life) -> Life:
    """Kill it, as those do who run functions: nothing is told at an end."""
    program.kill()
    row.require(program.wait(5) == -signal.SIGKILL, f"ended before: {program.said}")
    life.recorded = program.tally()[0]
    return life


def judge(row: Row, server: Server, lives: list[Life]) -> None:
    """Require that all came, and that no invocation took longer than it may."""
    truth = server.truth()
    row.truth = sum(life.recorded for life in lives)
    row.got = truth.total("orders")
    row.exact()
    row.require(not truth.again, f"came twice: {truth.again}")
    took = sorted(seconds for life in lives for seconds in life.took)
    if row.require(took, "nothing was invoked"):
        p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
        row.require(p99 < DEADLINE + 0.1, f"p99 is {p99:.2f} s")
        row.note(
            f"{len(took)} invocations: p50 {1000 * p50:.1f} ms, p99 {1000 * p99:.0f} ms,"
            f" longest {took[-1]:.2f} s, {truth.connections} connections"
        )
