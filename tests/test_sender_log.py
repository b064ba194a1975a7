from __future__ import annotations

import logging

import pytest

from dtmetrics.exporters import ExportResult, LineMessage, Outcome
from tests.support.delivery_rig import ANSWERED, DROP, KEEP, Sending


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged, without the prefix that every record has."""
    texts = [record.getMessage() for record in caplog.records]
    assert all(text.startswith("dtmetrics: ") for text in texts)
    return [text.removeprefix("dtmetrics: ") for text in texts]


def test_errors_are_said_once(
    caplog: pytest.LogCaptureFixture, expects_errors: None
) -> None:
    """An exporter that always raises is one error in the log, with its place."""
    sending = Sending(*[ValueError("secret")] * 6)
    sending.put()
    for _ in range(6):
        sending.send()
    error, trouble = messages(caplog)
    assert error.startswith("an error in the flusher: ValueError at delivery_rig.py:")
    assert trouble == "cannot deliver, will go on trying: the exporter failed"


def test_error_without_a_place(expects_errors: None) -> None:
    """An error that was never raised is told by its kind alone."""
    sending = Sending()
    sending.sender.failed(ValueError("secret"))
    assert sending.sender.last_error == "ValueError"


def test_says_what_changes(caplog: pytest.LogCaptureFixture) -> None:
    """The log says once that it went down, why, and that it is back."""
    other = ExportResult(Outcome.RETRY, reason="status 401")
    sending = Sending(KEEP, KEEP, other, KEEP, other, ANSWERED, ANSWERED, KEEP)
    for _ in range(8):
        sending.put()
        sending.send()
    assert messages(caplog) == [
        "cannot deliver, will go on trying: status 503",
        "cannot deliver, will go on trying: status 401",
        "delivering again",
        "cannot deliver, will go on trying: status 503",
        "delivering again",
    ]


def test_says_each_refusal_once(caplog: pytest.LogCaptureFixture) -> None:
    """A line that is refused again and again is said once, by key and message."""

    def refusing(*lines: int) -> ExportResult:
        refused = [LineMessage(line, f"bad {line}") for line in lines]
        return ExportResult(Outcome.ANSWERED, len(lines), rejected_lines=refused)

    sending = Sending(refusing(0), refusing(0), refusing(0, 1), refusing(1))
    for _ in range(3):
        sending.put("a", "b")
    sending.put("a", "b", points=False)
    assert sending.send()
    assert messages(caplog) == [
        "the endpoint refused a: bad 0",
        "the endpoint refused b: bad 1",
        "the endpoint refused the metadata of b: bad 1",
    ]


def test_says_a_bounded_number(caplog: pytest.LogCaptureFixture) -> None:
    """However many refusals differ, the log ends at a thousand lines."""
    refused = [LineMessage(0, "bad" + "!" * number) for number in range(3_000)]
    sending = Sending(ExportResult(Outcome.ANSWERED, rejected_lines=refused))
    sending.put()
    assert sending.send()
    assert len(caplog.records) == 1_000


def test_says_drops_once(caplog: pytest.LogCaptureFixture) -> None:
    """Bodies that are dropped one after another are one line of the log."""
    sending = Sending(DROP, ANSWERED, DROP, ANSWERED)
    for _ in range(4):
        sending.put()
    assert sending.send()
    assert messages(caplog) == ["dropped a body: status 406"]


def test_quiet_when_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    """What is delivered is logged at no level."""
    sending = Sending()
    with caplog.at_level(logging.DEBUG, "dtmetrics"):
        sending.put()
        assert sending.send()
        sending.sender.close()
    assert caplog.records == []
    assert sending.exporter.closed == 1
