"""The library broken on purpose, to show that the campaign would see it."""

from __future__ import annotations

from typing import Any


def begin(how: str) -> None:
    """Break it: a third of all bodies is dropped, or doubled, and nobody says so."""
    from dtmetrics._deliver.exporter import ExportResult, Outcome
    from dtmetrics._deliver.http import HttpExporter

    export = HttpExporter.export
    calls = 0

    def broken(self: Any, body: Any, timeout: float) -> Any:
        nonlocal calls
        calls += 1
        if calls % 3 == 0 and how == "drop":
            return ExportResult(Outcome.ANSWERED)
        if calls % 3 == 0 and how == "double":
            export(self, body, timeout)
        return export(self, body, timeout)

    HttpExporter.export = broken  # type: ignore[method-assign]
