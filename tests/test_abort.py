from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from dtmetrics._export.abort import Progress
from dtmetrics._export.http import HttpAttempt, HttpExporter
from dtmetrics.exporters import ExportResult, Outcome
from tests.support.endpoint import Endpoint
from tests.support.exporter_contract import a_body
from tests.support.http_post import fake


class AbortedAt(Progress):
    """Aborts *attempt* just before, or after, its step of that number."""

    def __init__(self, attempt: HttpAttempt, number: int, after: int) -> None:
        super().__init__()
        self.attempt = attempt
        self.left = number
        self.after = after
        self.known: ExportResult | None = None
        attempt._progress = self

    def __call__(self, step: str, info: Mapping[str, Any]) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            self.known = self.attempt.abort()
        super().__call__(step, info)
        if self.left == 0 and self.after:
            self.known = self.attempt.abort()


def outcomes(
    kept: bool, tls: ssl.SSLContext | None = None, trusted: ssl.SSLContext | None = None
) -> Iterator[tuple[Outcome, Outcome, int]]:
    """Abort an export at each of its steps, over a new or a kept connection.

    Yields what was said then, what at its end, and how often the body was taken.
    """
    for number, after in (divmod(turn, 2) for turn in count(2)):
        with Endpoint(tls=tls) as endpoint:
            exporter = HttpExporter(endpoint.url)
            if trusted is not None:
                exporter._tls = trusted
            if kept:
                exporter.export(a_body(), 5.0)
            attempt = exporter.begin(a_body())
            aborted = AbortedAt(attempt, number, after)
            result = attempt.run(5.0)
            exporter.close()
        if aborted.known is None:
            assert result.outcome is Outcome.ANSWERED
            return
        taken = len(endpoint.requests) - kept
        yield aborted.known.outcome, result.outcome, taken


POSSIBLE = {
    # when it was aborted, at its end: how often the body may have been taken
    (Outcome.RETRY, Outcome.RETRY): {0},
    (Outcome.INDETERMINATE, Outcome.RETRY): {0},
    (Outcome.INDETERMINATE, Outcome.INDETERMINATE): {0, 1},
    (Outcome.INDETERMINATE, Outcome.ANSWERED): {1},
}


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
def test_aborted_anywhere(kept: bool) -> None:
    """An export may be aborted at any step: what is said not to have left has not.

    Nor does it leave later.
    """
    seen = list(outcomes(kept))
    for known, end, taken in seen:
        assert taken in POSSIBLE[known, end]
    assert {end for _, end, _ in seen} >= {Outcome.RETRY, Outcome.ANSWERED}


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
def test_aborted_anywhere_over_tls(
    tls: ssl.SSLContext, certificate: Path, kept: bool
) -> None:
    """So it is over https, whose connection lies over another one."""
    trusted = ssl.create_default_context(cafile=str(certificate))
    seen = list(outcomes(kept, tls, trusted))
    for known, end, taken in seen:
        assert taken in POSSIBLE[known, end]
    assert {end for _, end, _ in seen} >= {Outcome.RETRY, Outcome.ANSWERED}


def test_aborted_before() -> None:
    """What is aborted before it runs connects to nobody."""
    with Endpoint() as endpoint:
        attempt = HttpExporter(endpoint.url).begin(a_body())
        assert attempt.abort().outcome is Outcome.RETRY
        result = attempt.run(5.0)
    assert result.outcome is Outcome.RETRY
    assert result.reason == f"took too long at 127.0.0.1:{endpoint.port}"
    assert endpoint.connections == 0


def test_aborted_before_a_step_is_told() -> None:
    """Nor does it send where httpx should tell no step any more."""
    attempt = fake(lambda request: httpx.Response(202, text="")).begin(a_body())
    attempt.abort()
    assert attempt.run(5.0).outcome is Outcome.RETRY
