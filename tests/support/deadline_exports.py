"""Exports with a deadline: who makes them, how long they take, which go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dtmetrics._core.secret import Secret
from dtmetrics._export.deadline import DeadlineExporter
from dtmetrics._export.http import HttpExporter
from tests.support.http_post import TOKEN


def punctual(url: str, **kwargs: Any) -> DeadlineExporter:
    """Return what posts there in time."""
    return DeadlineExporter(HttpExporter(url, Secret(TOKEN), local=True), **kwargs)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Look that what is done takes no longer."""
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


def exports() -> list[threading.Thread]:
    """Return the threads of exports that go on."""
    return [t for t in threading.enumerate() if t.name == "dtmetrics-export"]
