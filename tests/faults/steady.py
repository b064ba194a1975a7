"""A program that records once a second while the endpoint follows a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.faults.accelerated_clock import Origin
from tests.faults.campaign import Row, Run
from tests.faults.rig import Received, Server

__all__ = ["steady"]

STEADY = """
configure(interval=float(sys.argv[1]))
orders, stop = counter("orders"), threading.Event()

def work():
    while not stop.wait(1.0):
        orders.inc()
        tally[0] += 1

thread = threading.Thread(target=work)
thread.start()
time.sleep(float(sys.argv[2]))
stop.set()
thread.join()
report(over=True)
next_command()
finish(delivered=deliver())
"""


def steady(
    run: Run,
    script: Sequence[dict[str, Any]],
    seconds: float,
    speed: float = 30,
    **environ: str,
) -> tuple[Row, Received | None]:
    """Record once a second for some *seconds* while the endpoint follows *script*."""
    row = Row()
    with (
        Server(Origin.now(speed)) as server,
        run.program(STEADY, server, 10.0, seconds, **environ) as program,
    ):
        server.script(*script)
        over = program.receive("over", seconds / speed + 30)
        server.pace(1, program)
        program.send("go on")
        facts = program.receive("stats") if over else {}
        if not row.check_account(program, facts):
            return row, None
        row.stats = facts["stats"]
        received = server.received()
        row.expected, row.actual = program.tally()[0], received.total("orders")
        row.require_exact()
        row.require_balance(received, facts["stats"])
        row.require(facts["delivered"], "not delivered")
        row.require(not received.repeated, f"arrived twice: {received.repeated}")
        return row, received
