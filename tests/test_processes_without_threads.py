"""Where no thread can be had: nothing breaks, and a flush does its work."""

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
    pytest.skip("no such limits", allow_module_level=True)


@pytest.mark.parametrize("what", LIMITS)
def test_no_thread_left(what: str) -> None:
    """With no thread to be had a program records on, and flushes as it says and ends."""
    if what == "processes" and os.getuid() != 0:
        pytest.skip("only root becomes somebody without processes")
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("no /proc here")
    with Endpoint() as endpoint:
        recorded = exhausted(what, endpoint.url)
    assert {key: endpoint.total(key) for key in recorded} == recorded


@pytest.mark.parametrize("kind", INTERPRETERS)
def test_subinterpreter(kind: str) -> None:
    """A subinterpreter delivers by itself, thread or not, and its host is left alone."""
    with Endpoint() as endpoint:
        recorded = subinterpreters(kind, endpoint.url)
    assert {key: endpoint.total(key) for key in recorded} == recorded
