"""What a test says to a process of its own, and what it sees of it."""

from __future__ import annotations

from dtmetrics import MemoryExporter
from dtmetrics._runtime.runtime import Process
from dtmetrics.exporters import Batch, ExportResult, Outcome


class Down(MemoryExporter):
    """Takes nothing."""

    def export(self, body: Batch, timeout: float) -> ExportResult:
        return ExportResult(Outcome.RETRY, reason="status 503")


def inc(process: Process, key: str = "orders") -> None:
    """Record something."""
    process.meters.root.counter(key).inc()


def keys(exporter: MemoryExporter) -> list[str]:
    """Return the keys of what was sent."""
    return [line.partition(",")[0] for line in exporter.lines]
