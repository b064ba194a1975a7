"""Children of multiprocessing, by each start method, send what they record."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.child_processes import (
    KINDS,
    METHODS,
    ORDERS,
    RECORDED,
    SECONDS,
    work,
)
from tests.support.endpoint import Endpoint

if sys.platform == "win32":
    pytest.skip("Windows has one of the three start methods", allow_module_level=True)


@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize(
    "method",
    # All but fork start an interpreter for each child.
    [
        each if each == "fork" else pytest.param(each, marks=pytest.mark.processes)
        for each in METHODS
    ],
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ORDERS)
def test_children(tmp_path: Path, method: str, kind: str, order: str) -> None:
    """What each child recorded arrives exactly, in one request."""
    with Endpoint() as endpoint:
        assert work(tmp_path, endpoint.url, method, kind, order) == 0
    assert endpoint.total("parents") == 1
    assert endpoint.total("jobs.run") == RECORDED
    data = [r for r in endpoint.requests if "jobs.run" in r.body.decode()]
    connections = {request.connection for request in data}
    assert len(data) == len(connections)  # each process flushed once
    assert len(data) == 8 if kind == "processes" else 1 <= len(data) <= 2
