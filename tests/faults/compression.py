"""Compressed requests to an endpoint that does not take them, or no longer."""

from __future__ import annotations

from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server

# Only another host gets compressed lines: its name leads to this one.
COMPRESSED = """
import socket

resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **named: resolve("127.0.0.1", *more, **named)
configure(interval=None, compression="gzip", allow_plain_http=True)
for _ in range(5):
    for number in range(200):
        counter("orders").inc(number=number)
        tally[0] += 1
    deliver()
finish()
"""


@scenario(fast=True)
def compression_refused(run: Run) -> Row:
    """An endpoint that answers compressed lines with 415 gets each line once, plain."""
    return _compressed(run, {"action": "uncompressed", "status": 415})


@scenario(fast=True)
def compression_ignored(run: Run) -> Row:
    """An endpoint that takes compressed bytes for lines gets each line once, plain."""
    return _compressed(run, {"action": "uncompressed", "status": 400})


@scenario(fast=True)
def compression_refused_later(run: Run) -> Row:
    """An endpoint that takes compressed lines for a while gets each line once."""
    refused = {"action": "uncompressed", "status": 415}
    return _compressed(run, {"action": "accept", "times": 3}, refused)


def _compressed(run: Run, *script: dict[str, Any]) -> Row:
    row = Row()
    with Server() as server:
        url = f"http://metrics.faults.test:{server.port}/metrics/ingest"
        where = {"DTMETRICS_ENDPOINT": url, "DTMETRICS_TOKEN": "dt0c01.A.canary"}
        with run.program(COMPRESSED, server, **where) as program:
            server.script(*script)
            facts = program.receive("stats")
            if not row.check_account(program, facts):
                return row
            received = server.received()
            row.expected, row.actual = program.tally()[0], received.total("orders")
            row.require_exact()
            row.require_balance(received, facts["stats"])
            row.require(not received.repeated, f"arrived twice: {received.repeated}")
            refused = len(received.requests_with("refused"))
            row.require(refused == 1, f"refused {refused} requests")
            row.require(received.headers.get("content-encoding"), "never compressed")
    return row
