from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from dtmetrics._config.config import Config
from dtmetrics._core.secret import Secret
from dtmetrics._deliver.safe_exporter import PROBE
from dtmetrics._doctor.endpoint_answer import (
    answer_findings,
    send_test_line,
)
from dtmetrics._doctor.finding import Finding, Status
from tests.support.endpoint import Endpoint, Verdict, answer, partly

NOTHING = {"linesOk": 0, "linesInvalid": 0, "error": {"code": 400, "message": "empty"}}


def found(verdict: Verdict, token: str = "") -> tuple[Finding, Finding]:
    """Return what the answer to a request without lines shows of API and clock."""
    with Endpoint(verdict) as endpoint:
        config = Config(
            endpoint=endpoint.url, token=Secret(token), endpoint_from_file=False
        )
        api, clock = answer_findings(config)
    [request] = endpoint.requests
    assert request.body == b""
    return api, clock


@pytest.mark.parametrize(
    "verdict",
    [
        answer(400, NOTHING),
        answer(400, {"error": {"code": 400, "message": "empty request"}}),
        answer(202, {"linesOk": 0, "linesInvalid": 0}),
        answer(202),
    ],
)
def test_takes_the_token(verdict: Verdict) -> None:
    """An endpoint that reads a request, and finds no line, has taken the token."""
    api, _ = found(verdict, "dt0c01.ABC.CANARY")
    assert (api.status, api.text) == (
        Status.OK,
        "the metrics API answers and takes the token with its scope",
    )
    api, _ = found(verdict)
    assert api.text == "the metrics API answers without a token"


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (answer(401), "the token is missing, unknown or expired"),
        (
            answer(403, {"error": {"code": 403, "message": "needs metrics.ingest"}}),
            "the token lacks the scope metrics.ingest",
        ),
        (answer(400, "<html>"), "a page that is not Dynatrace's"),
        (answer(404), "no metrics API is served at the path /metrics/ingest"),
        (answer(503), "unavailable"),
    ],
)
def test_refuses(verdict: Verdict, words: str) -> None:
    """Any other answer is a problem, with its cause and remedy."""
    api, _ = found(verdict)
    assert api.status is Status.PROBLEM
    assert words in api.text
    assert api.remedy
    assert api.cause


@pytest.mark.parametrize(
    ("later", "status", "words"),
    [
        (None, Status.SKIPPED, "the answer has no date"),
        (0, Status.OK, "differs from that of the endpoint by "),
        (7_200, Status.PROBLEM, "2 h 0 min behind that of the endpoint"),
    ],
)
def test_clock(later: int | None, status: Status, words: str) -> None:
    """The clock is compared with the date of the answer."""
    headers = []
    if later is not None:
        headers.append(f"Date: {formatdate(time.time() + later, usegmt=True)}")
    _, clock = found(answer(202, headers=headers))
    assert clock.status is status
    assert words in clock.text


def test_test_line() -> None:
    """The test line is sent once, and its verdict is a finding."""
    with Endpoint(answer(202), partly(0, 1, [(1, "too many keys")])) as endpoint:
        config = Config(endpoint=endpoint.url, endpoint_from_file=False)
        assert send_test_line(config).status is Status.OK
        refused = send_test_line(config)
    assert endpoint.lines == [PROBE.decode()]
    assert refused.status is Status.PROBLEM
    assert "too many keys" in refused.text
