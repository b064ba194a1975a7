"""What a test says to a process of its own, and what it sees of it."""

from __future__ import annotations

from dtmetrics import MemoryExporter
from dtmetrics._deliver.exporter import Body, ExportResult, Outcome
from dtmetrics._setup.default import Process


class Down(MemoryExporter):
    """Takes nothing."""

    def export(self, body: Body, timeout: float) -> ExportResult:
        return ExportResult(Outcome.KEEP, reason="status 503")


def inc(process: Process, key: str = "orders") -> None:
    """Record something."""
    process.meters.root.counter(key).inc()


def keys(exporter: MemoryExporter) -> list[str]:
    """Return the keys of what was sent."""
    return [line.partition(",")[0] for line in exporter.lines]
