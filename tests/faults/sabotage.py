"""The library broken on purpose, to show that the campaign would see it."""

from __future__ import annotations

from typing import Any


def begin(how: str) -> None:
    """Break it: a third of all bodies is dropped, or doubled, and nobody says so."""
    from dtmetrics._export.http import HttpRequest
    from dtmetrics.exporters import ExportResult, Outcome

    send = HttpRequest.send
    calls = 0

    def broken(self: Any, timeout: float) -> Any:
        nonlocal calls
        calls += 1
        if calls % 3 == 0 and how == "drop":
            return ExportResult(Outcome.ANSWERED)
        if calls % 3 == 0 and how == "double":
            send(self, timeout)
        return send(self, timeout)

    HttpRequest.send = broken  # type: ignore[method-assign]
