"""Children of multiprocessing, by each start method and each kind of parent."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server
from tests.support.child_processes import KINDS, METHODS, ORDERS, RECORDED, work


@scenario()
def multiprocessing_children(run: Run) -> Row:
    """Forked, spawned or served, in processes or pools: each flushes once, and exactly."""
    return _children(run, KINDS, posts=1)


@scenario()
def terminated_pool(run: Run) -> Row:
    """Workers that end by SIGTERM lose nothing if their tasks flush, as documented."""
    return _children(run, ["terminated_pool"], posts=8)


def _children(run: Run, kinds: list[str], posts: int) -> Row:
    """Let all kinds of children record; a process may post so often."""
    row, orders = Row(truth=0, got=0), ORDERS[:1] if run.quick else ORDERS
    for method, kind, order in [
        (method, kind, order)
        for method in METHODS
        for kind in kinds
        for order in orders
    ]:
        what = f"{method}, {kind}, {order}"
        with tempfile.TemporaryDirectory(prefix="faults-") as place, Server() as server:
            collected = work(Path(place), server.url, method, kind, order)
            truth = server.truth()
        got = truth.total("jobs.run") + truth.total("parents")
        row.truth, row.got = row.truth + RECORDED + 1, row.got + got
        row.require(got == RECORDED + 1, f"{what}: {got - RECORDED - 1}")
        row.require(collected == 0, f"{what}: the parent was flushed early")
        # A process has a connection of its own, and keeps it.
        made = Counter(each["connection"] for each in truth.journal)
        row.require(max(made.values()) <= posts, f"{what}: posts {[*made.values()]}")
    return row
