"""Processes in which no thread can be started: recording and flush() work."""

from __future__ import annotations

import os
import sys

import pytest

from tests.support.endpoint import Endpoint
from tests.support.threadless_programs import (
    INTERPRETERS,
    LIMITS,
    exhausted,
    subinterpreters,
)

if sys.platform == "win32":
    pytest.skip("Windows has no such limits", allow_module_level=True)


@pytest.mark.parametrize("what", LIMITS)
def test_no_thread_left(what: str) -> None:
    """Without a thread, data is sent by flush() and at exit."""
    if what == "processes" and os.getuid() != 0:
        pytest.skip("only root can become a user without processes")
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("this system has no /proc")
    with Endpoint() as endpoint:
        recorded = exhausted(what, endpoint.url)
    assert {key: endpoint.total(key) for key in recorded} == recorded


@pytest.mark.parametrize("kind", INTERPRETERS)
def test_subinterpreter(kind: str) -> None:
    """A subinterpreter delivers what it records, and so does the main interpreter."""
    with Endpoint() as endpoint:
        recorded = subinterpreters(kind, endpoint.url)
    assert {key: endpoint.total(key) for key in recorded} == recorded
