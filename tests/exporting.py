"""Exports with a deadline: who makes them, how long they take, which go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dtmetrics._deliver.http import HttpExporter
from dtmetrics._deliver.punctual import PunctualExporter
from dtmetrics._deliver.secret import Secret
from tests.posting import TOKEN


def punctual(url: str, **kwargs: Any) -> PunctualExporter:
    """Return what posts there in time."""
    return PunctualExporter(HttpExporter(url, Secret(TOKEN), local=True), **kwargs)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Look that what is done takes no longer."""
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


def exports() -> list[threading.Thread]:
    """Return the threads of exports that go on."""
    return [t for t in threading.enumerate() if t.name == "dtmetrics-export"]
