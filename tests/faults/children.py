"""Children of multiprocessing, by start method and by the way they end."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server
from tests.support.child_processes import KINDS, METHODS, ORDERS, RECORDED, work


@scenario()
def multiprocessing_children(run: Run) -> Row:
    """Processes and pools of each start method flush once each, and lose nothing."""
    return _children(run, KINDS, posts=1)


@scenario()
def terminated_pool(run: Run) -> Row:
    """Pool workers that end by SIGTERM lose nothing if their tasks call flush()."""
    return _children(run, ["terminated_pool"], posts=8)


def _children(run: Run, kinds: list[str], posts: int) -> Row:
    """Let children of all *kinds* record, with at most *posts* requests per process."""
    row, orders = Row(expected=0, actual=0), ORDERS[:1] if run.quick else ORDERS
    for method, kind, order in [
        (method, kind, order)
        for method in METHODS
        for kind in kinds
        for order in orders
    ]:
        what = f"{method}, {kind}, {order}"
        with tempfile.TemporaryDirectory(prefix="faults-") as place, Server() as server:
            collected = work(Path(place), server.url, method, kind, order)
            received = server.received()
        actual = received.total("jobs.run") + received.total("parents")
        row.expected, row.actual = row.expected + RECORDED + 1, row.actual + actual
        row.require(actual == RECORDED + 1, f"{what}: {actual - RECORDED - 1}")
        row.require(collected == 0, f"{what}: the parent was flushed early")
        # Each process has one connection of its own.
        requests = Counter(each["connection"] for each in received.journal)
        most = max(requests.values())
        row.require(most <= posts, f"{what}: {most} requests of one process")
    return row
