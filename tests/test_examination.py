from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from dtmetrics._core.secret import Secret
from dtmetrics._doctor import examination
from dtmetrics._doctor.examination import examine, is_healthy
from dtmetrics._doctor.finding import Finding, Status, ok
from tests.support.endpoint import Endpoint, refusing_port


def checks(findings: list[Finding], status: Status) -> list[str]:
    """Return the checks that ended with *status*."""
    return [each.check for each in findings if each.status is status]


def test_healthy() -> None:
    """With a usable endpoint there is no problem, and a line is sent on request only."""
    with Endpoint() as endpoint:
        arguments = {"endpoint": Secret(endpoint.url)}
        findings = examine(arguments)
        assert is_healthy(findings)
        assert "test line" in checks(findings, Status.SKIPPED)
        assert [request.body for request in endpoint.requests] == [b""]
        findings = examine(arguments, send=True)
    assert "test line" in checks(findings, Status.OK)
    assert len(endpoint.requests) == 3


def test_no_connection() -> None:
    """Without a connection no request is tried."""
    url = f"http://localhost:{refusing_port()}"
    findings = examine({"endpoint": Secret(url)}, send=True)
    assert not is_healthy(findings)
    assert checks(findings, Status.PROBLEM) == ["connection"]
    assert findings[-1].text == "there is no connection"


def test_invalid_settings() -> None:
    """With settings that cannot work only the process is checked."""
    findings = examine({"endpoint": Secret("nowhere")})
    assert checks(findings, Status.PROBLEM) == ["settings"]
    assert findings[-1].text == "the settings are not valid"


def test_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks that do not end leave what was found before, and a problem."""
    over = threading.Event()

    def endless() -> Iterator[Finding]:
        yield ok("python", "first")
        over.wait()

    monkeypatch.setattr(examination, "process_findings", endless)
    findings = examine({}, seconds=0.2)
    over.set()
    assert findings[-2].text == "first"
    assert findings[-1].text == "the checks did not end in 0.2 s"
    assert not is_healthy(findings)


def test_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of a check is a finding with its class and place, without its text."""

    def fail() -> Iterator[Finding]:
        raise KeyError("CANARY")

    monkeypatch.setattr(examination, "process_findings", fail)
    finding = examine({})[-1]
    assert finding.text.startswith("KeyError at test_examination.py:")
    assert finding.status is Status.PROBLEM
