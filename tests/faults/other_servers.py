"""Answers that are not Dynatrace's: proxies, balancers, servers at the same address."""

from __future__ import annotations

from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.steady import steady

PAGE = "<html><title>Error</title><body>nginx</body></html>"

# None of these is a verdict on lines.
STATUSES = (402, *range(404, 412), 414, 415, 418, 421, 423, 426, 431, 451, 499)


@scenario(fast=True)
def page_with_400(run: Run) -> Row:
    """A page with status 400, as nginx has for plain HTTP on a TLS port, loses nothing."""
    page = {"action": "status", "status": 400, "body": PAGE, "seconds": 60}
    row, received = steady(run, [page], 120)
    if received is not None:
        made = len(received.requests_with(400))
        row.require(0 < made <= 2, f"{made} requests in 60 s")
    return row


@scenario()
def statuses_of_other_servers(run: Run) -> Row:
    """400 s of statuses that no metrics API answers with lose nothing."""
    of: list[dict[str, Any]] = [
        {"action": "status", "status": status, "body": body}
        for status in STATUSES
        for body in (PAGE, "")
    ]
    row, received = steady(run, [{"action": "random", "of": of, "seconds": 400}], 800)
    if received is not None:
        row.require(received.requests_with(*STATUSES), "no status was answered")
    return row


@scenario()
def one_bad_server_of_two(run: Run) -> Row:
    """Where a balancer leads every other connection to a bad server, all is delivered."""
    row, received = steady(run, [{"action": "balanced", "seconds": 300}], 320)
    if received is not None:
        bad = [each["connection"] for each in received.requests_with(502)]
        row.require(bad, "the bad server was never met")
        row.require(len(bad) == len(set(bad)), "a connection was used after a 502")
    return row


@scenario(fast=True)
def clock_of_another_day(run: Run) -> Row:
    """An endpoint whose clock is two hours later is named with the difference."""
    dated = {"action": "accept", "date": 7_200}
    row, received = steady(run, [dated], 30)
    if received is not None:
        problem = row.stats["last_error"]
        row.require("2 h 0 min behind" in problem, f"last_error: {problem}")
    return row
