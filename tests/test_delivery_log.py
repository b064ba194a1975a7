"""What is logged about delivery."""

from __future__ import annotations

import logging

import pytest

from dtmetrics._deliver.account import Account
from dtmetrics._deliver.delivery_log import DeliveryLog
from dtmetrics.exporters import ExportResult, LineMessage, Outcome
from tests.support.delivery_rig import (
    ANSWERED,
    MALFORMED,
    MISCONFIGURED,
    REJECTED,
    RETRY,
    TOO_LARGE,
    Sending,
)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged, without the prefix that every record has."""
    texts = [record.getMessage() for record in caplog.records]
    assert all(text.startswith("dtmetrics: ") for text in texts)
    return [text.removeprefix("dtmetrics: ") for text in texts]


def test_exporter_errors_are_logged_once(
    caplog: pytest.LogCaptureFixture, expects_errors: None
) -> None:
    """An exporter that raises again and again is one record, with class and place."""
    sending = Sending(*[ValueError("secret")] * 6)
    sending.put()
    for _ in range(6):
        sending.send()
    [record] = messages(caplog)
    assert record.startswith(
        "cannot deliver, will retry: the exporter Script raised ValueError at "
        "delivery_rig.py:"
    )
    assert "secret" not in record


def test_error_without_a_place(expects_errors: None) -> None:
    """An error that was never raised is named by its class alone."""
    sending = Sending()
    sending.sender.log.survived(ValueError("secret"))
    assert sending.sender.log.last_error == "ValueError"


def test_no_reason(caplog: pytest.LogCaptureFixture) -> None:
    """If an exporter gives no reason for a failure, the log and the statistics say so."""
    sending = Sending(ExportResult(Outcome.RETRY))
    sending.put()
    assert not sending.send()
    assert messages(caplog) == [
        "cannot deliver, will retry: the exporter gave no reason"
    ]
    assert sending.sender.log.last_error == "the exporter gave no reason"


def test_changes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Each outage is logged once for each reason, and so is its end."""
    other = ExportResult(Outcome.RETRY, reason="status 401")
    sending = Sending(RETRY, RETRY, other, RETRY, other, ANSWERED, ANSWERED, RETRY)
    for _ in range(8):
        sending.put()
        sending.send()
    assert messages(caplog) == [
        "cannot deliver, will retry: status 503",
        "cannot deliver, will retry: status 401",
        "delivering again",
        "cannot deliver, will retry: status 503",
        "delivering again",
    ]


@pytest.mark.parametrize("step", [RETRY, MISCONFIGURED])
def test_cost_of_an_outage(
    step: ExportResult, caplog: pytest.LogCaptureFixture
) -> None:
    """The end of an outage is logged with the points that were dropped meanwhile."""
    sending = Sending(step, step, step)
    sending.put("a", "b")
    assert not sending.send()
    sending.now_ms += 56 * 60_000
    sending.put("c")
    assert not sending.send()
    assert not sending.send()
    assert sending.send()
    assert messages(caplog) == [
        f"cannot deliver, will retry: {step.reason}",
        "delivering again; data points dropped meanwhile: 2 too old",
    ]


def test_end_of_an_outage_that_emptied_the_outbox(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An outage ends with the next answer, although its batches were dropped before."""
    sending = Sending(RETRY)
    sending.put("a")
    assert not sending.send()
    sending.now_ms += 56 * 60_000
    assert sending.send()
    sending.put("b")
    assert sending.send()
    assert messages(caplog)[1:] == [
        "delivering again; data points dropped meanwhile: 1 too old"
    ]


def test_each_rejection_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A line that is rejected again and again is one record for its key and message."""

    def rejecting(*lines: int) -> ExportResult:
        rejected = [LineMessage(line, f"bad {line}") for line in lines]
        return ExportResult(Outcome.ANSWERED, len(lines), rejected_lines=rejected)

    sending = Sending(rejecting(0), rejecting(0), rejecting(0, 1), rejecting(1))
    for _ in range(3):
        sending.put("a", "b")
    sending.put("a", "b", points=False)
    assert sending.send()
    assert messages(caplog) == [
        "the endpoint rejected a: bad 0",
        "the endpoint rejected b: bad 1",
        "the endpoint rejected the metadata of b: bad 1",
    ]


def test_records_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """However many rejections differ, the log ends at a thousand records."""
    rejected = [LineMessage(0, "bad" + "!" * number) for number in range(3_000)]
    sending = Sending(ExportResult(Outcome.ANSWERED, rejected_lines=rejected))
    sending.put()
    assert sending.send()
    assert len(caplog.records) == 1_000


def test_reasons_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """An exporter with a new reason each time fills neither the log nor the memory."""
    sending = Sending(
        *[ExportResult(Outcome.RETRY, reason=f"failure {n}") for n in range(1_100)]
    )
    sending.put()
    for _ in range(1_100):
        assert not sending.send()
    assert len(caplog.records) == 1_000
    assert sending.sender.log.last_error == "failure 1099"


def test_rejected_batches_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Batches that are dropped or halved for one reason are one record."""
    sending = Sending(REJECTED, TOO_LARGE, REJECTED, MALFORMED, ANSWERED, MALFORMED)
    for _ in range(4):
        sending.put()
    assert sending.send()
    assert messages(caplog) == [
        "the endpoint rejected a batch for good: status 406",
        "the endpoint rejected a batch unread: status 413",
        "the endpoint rejected a batch unread: status 400",
    ]


def test_no_warning_when_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    """What is delivered causes no record of a level that is shown by default."""
    sending = Sending()
    sending.put()
    assert sending.send()
    sending.sender.close()
    assert caplog.records == []
    assert sending.exporter.closed == 1


def test_first_delivery_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The first accepted batch is logged at INFO with the destination, and no other."""
    caplog.set_level(logging.INFO, "dtmetrics")
    sending = Sending(RETRY, REJECTED)
    for _ in range(4):
        sending.put()
        sending.send()
    records = [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]
    assert records == ["dtmetrics: delivering to Script at each flush"]


@pytest.mark.parametrize(
    ("interval", "when"), [(60.0, "every 60 s"), (0.5, "every 0.5 s")]
)
def test_interval_of_delivery(
    caplog: pytest.LogCaptureFixture, interval: float, when: str
) -> None:
    """The record of the first delivery names the interval."""
    caplog.set_level(logging.INFO, "dtmetrics")
    record = DeliveryLog(lambda: Account(1, 1, 0, {}, 0), interval=interval)
    record.sent("abc.example")
    assert messages(caplog) == [f"delivering to abc.example {when}"]


def test_each_flush_is_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """Each flush is logged at DEBUG with the counts since the start."""
    sending = Sending(ANSWERED, RETRY)
    with caplog.at_level(logging.DEBUG, "dtmetrics"):
        for _ in range(2):
            sending.put()
            sending.send()
    records = [r.getMessage() for r in caplog.records if r.levelno == logging.DEBUG]
    assert records == [
        "dtmetrics: sent to Script; so far 1 collected, 1 accepted, 0 rejected, "
        "0 dropped, 0 waiting",
        "dtmetrics: sent to Script; so far 2 collected, 1 accepted, 0 rejected, "
        "0 dropped, 1 waiting",
    ]


def test_wrong_clock(caplog: pytest.LogCaptureFixture) -> None:
    """A clock that is wrong is logged once, until it is right again."""
    ahead = [ExportResult(Outcome.ANSWERED, clock_ahead=n) for n in (600.0, 610.0)]
    right = ExportResult(Outcome.ANSWERED, clock_ahead=2.0)
    rejected = ExportResult(
        Outcome.ANSWERED, 1, "1 lines rejected", clock_ahead=-3_600.0
    )
    sending = Sending(*ahead, ANSWERED, ahead[0], right, rejected)
    last_errors = []
    for _ in range(6):
        sending.put()
        sending.send()
        last_errors.append(sending.sender.log.last_error.partition(" that of")[0])
    of_10_minutes = "the clock of this host is 10 min ahead of"
    of_an_hour = "the clock of this host is 1 h 0 min behind"
    assert [text.partition(" that of")[0] for text in messages(caplog)] == [
        of_10_minutes,
        of_an_hour,
    ]
    assert last_errors == [*[of_10_minutes] * 5, f"1 lines rejected; {of_an_hour}"]


def test_wrong_clock_in_the_answer_to_a_probe(caplog: pytest.LogCaptureFixture) -> None:
    """The answer to a probe shows a wrong clock as well."""
    refused = ExportResult(Outcome.THROTTLED, reason="status 429", clock_ahead=600.0)
    sending = Sending(
        ExportResult(Outcome.INDETERMINATE, reason="ReadTimeout"), refused
    )
    sending.put()
    sending.send()
    sending.send()
    assert sending.sender.log.last_error.startswith(
        "status 429; the clock of this host"
    )
    assert "10 min ahead of" in messages(caplog)[-1]
