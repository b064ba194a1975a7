"""Exports with a deadline: an exporter, a stopwatch, and the threads still running."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dtmetrics._core.secret import Secret
from dtmetrics._export.deadline import DeadlineExporter
from dtmetrics._export.http import HttpExporter
from tests.support.http_post import TOKEN


def deadline_exporter(
    url: str, while_waiting: Callable[[], float] | None = None
) -> DeadlineExporter:
    """Return an exporter that posts to *url* as to a OneAgent, with a deadline."""
    return DeadlineExporter(HttpExporter(url, Secret(TOKEN), local=True), while_waiting)


#: Seconds that a busy machine may add to what a test measures.
LOAD_SECONDS = 0.5


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Assert that the block takes less than *seconds*, and what load may add."""
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds + LOAD_SECONDS


def export_threads() -> list[threading.Thread]:
    """Return the threads of exports that have not returned."""
    return [t for t in threading.enumerate() if t.name == "dtmetrics-export"]
