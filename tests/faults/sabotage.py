"""The library broken on purpose, to show that the campaign would see it."""

from __future__ import annotations

from typing import Any


def begin(how: str) -> None:
    """Break it: a third of all bodies is dropped, or doubled, and nobody says so."""
    from dtmetrics._export.http import HttpExporter
    from dtmetrics.exporters import ExportResult, Outcome

    deliver = HttpExporter._deliver
    calls = 0

    def broken(self: Any, body: Any, timeout: float, progress: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls % 3 == 0 and how == "drop":
            return ExportResult(Outcome.ANSWERED)
        if calls % 3 == 0 and how == "double":
            deliver(self, body, timeout, progress)
        return deliver(self, body, timeout, progress)

    HttpExporter._deliver = broken  # type: ignore[method-assign]
