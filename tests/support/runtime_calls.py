"""Recording with a Runtime of a test, and what its exporter has received."""

from __future__ import annotations

import threading

from dtmetrics import MemoryExporter
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.endpoint import PATIENCE


class Down(MemoryExporter):
    """An exporter whose endpoint accepts nothing for now."""

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        return ExportResult(Outcome.RETRY, reason="status 503")


class Stuck(MemoryExporter):
    """An exporter that exports nothing until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.release = threading.Event(), threading.Event()

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        self.entered.set()
        assert self.release.wait(PATIENCE)
        return super().export(batch, timeout)


def inc(runtime: Runtime, key: str = "orders") -> None:
    """Increment the counter *key*."""
    runtime.meters.root.counter(key).inc()


def keys(exporter: MemoryExporter) -> list[str]:
    """Return the metric key of each line that was sent."""
    return [line.partition(",")[0] for line in exporter.lines]


def flusher_threads() -> list[str]:
    """Return the names of the flusher threads that run."""
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name == "dtmetrics-flusher"]
