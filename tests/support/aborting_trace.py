"""Aborts a request at one of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dtmetrics._export.abort import RequestTrace
from dtmetrics._export.http_request import HttpRequest
from dtmetrics.exporters import Outcome


class AbortingTrace(RequestTrace):
    """Aborts *request* just before, or just after, its step with that number."""

    def __init__(self, request: HttpRequest, number: int, *, after: bool) -> None:
        super().__init__()
        self.request = request
        self.steps_left = number
        self.after = after
        #: The step, and the outcome at the abort, once there was one.
        self.step = ""
        self.at_step: Outcome | None = None
        request._trace = self

    def __call__(self, step: str, info: Mapping[str, Any]) -> None:
        self.steps_left -= 1
        if self.steps_left == 0:
            self.step = step
            if not self.after:
                self.at_step = self.request.abort().outcome
        super().__call__(step, info)
        if self.steps_left == 0 and self.after:
            self.at_step = self.request.abort().outcome
