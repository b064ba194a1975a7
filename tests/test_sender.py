"""The sender: order, deadlines, exporters that misbehave, forks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from dtmetrics._deliver.batch_state import State
from dtmetrics.exporters import ExportResult, LineMessage, Outcome
from tests.support.delivery_rig import (
    ANSWERED,
    MISCONFIGURED,
    REJECTED,
    RETRY,
    Sending,
)

# -- what becomes of a batch -------------------------------------------------------


def test_sends_in_order() -> None:
    """Everything that waits is sent, oldest first, and then nothing waits."""
    sending = Sending()
    for key in ("a", "b", "c"):
        sending.put(key)
    assert sending.send()
    assert sending.exporter.lines == [f"{key} count,delta=1" for key in "abc"]
    assert sending.outbox.account() == (3, 3, 0, {}, 0)
    assert sending.send()
    assert len(sending.exporter.batches) == 3


def test_rejected_lines_are_an_answer() -> None:
    """After rejected lines nothing waits, and the reason is the last error."""
    result = ExportResult(
        Outcome.ANSWERED, 1, "1 lines rejected", rejected_lines=[LineMessage(0, "bad")]
    )
    sending = Sending(result)
    sending.put()
    assert sending.send()
    assert sending.outbox.account() == (1, 0, 1, {}, 0)
    assert sending.sender.log.last_error == "1 lines rejected"


@pytest.mark.parametrize("step", [RETRY, MISCONFIGURED])
def test_a_failure_holds_up_the_rest(step: ExportResult) -> None:
    """A batch that was not taken is tried once, and the batches behind it not at all."""
    sending = Sending(step)
    sending.put("a")
    sending.put("b")
    assert not sending.send()
    assert len(sending.exporter.batches) == 1
    assert sending.send()
    first, again, last = sending.exporter.batches
    assert first is again is not last


def test_a_rejected_batch_holds_up_nothing() -> None:
    """After a batch that will never be accepted the next one is sent at once."""
    sending = Sending(RETRY, REJECTED)
    sending.put()
    assert not sending.send()
    sending.put()
    assert sending.send()
    assert sending.outbox.account() == (2, 1, 0, {"rejected batch": 1}, 0)


def slow(sending: Callable[[], Sending]) -> Callable[[], ExportResult]:
    """Return a step that takes four seconds."""

    def step() -> ExportResult:
        sending().now += 4.0
        return ANSWERED

    return step


def test_deadline() -> None:
    """All batches share one deadline, and each attempt gets what is left of it."""
    sending = Sending(*[slow(lambda: sending)] * 9)
    for _ in range(9):
        sending.put()
    assert not sending.send(20.0)
    assert sending.exporter.timeouts == [15.0, 15.0, 12.0, 8.0, 4.0]
    assert sending.outbox.account() == (9, 5, 0, {}, 4)


def test_closing_ends_every_sending() -> None:
    """``give_up_at`` bounds a sending that is under way already."""

    def closing() -> ExportResult:
        sending.sender.give_up_at = 10.0
        return slow(lambda: sending)()

    sending = Sending(closing, *[slow(lambda: sending)] * 9)
    for _ in range(9):
        sending.put()
    assert not sending.send(1_000.0)
    assert sending.exporter.timeouts == [15.0, 6.0, 2.0]


# -- exporters that misbehave ------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("secret"), MemoryError()])
def test_exporter_raises(error: Exception, expects_errors: None) -> None:
    """An exporter that raises leaves its batch indeterminate, and is named."""
    sending = Sending(error)
    sending.put()
    assert not sending.send()
    [(_, state)] = [(each.batch, each.state) for each in sending.outbox._queue]
    assert state is State.INDETERMINATE
    last_error = sending.sender.log.last_error
    kind = type(error).__name__
    assert last_error.startswith(f"the exporter Script raised {kind} at ")
    assert "delivery_rig.py:" in last_error
    assert sending.send()
    assert sending.outbox.account() == (1, 1, 0, {}, 0)


@pytest.mark.parametrize(
    ("answer", "named"), [(None, "None"), ("ok", "str"), (202, "int")]
)
def test_exporter_returns_no_result(
    answer: Any, named: str, expects_errors: None
) -> None:
    """An exporter that returns anything else is named, with what it must return."""
    sending = Sending(lambda: answer)
    sending.put()
    assert not sending.send()
    assert sending.sender.log.last_error == (
        f"the exporter Script returned {named}, it must return an ExportResult"
    )
    assert sending.outbox.account().waiting == 1
    assert sending.send()


@pytest.mark.parametrize(
    "rejected", [[LineMessage(-9, "x")], [None], 5, [LineMessage("x", "")]], ids=str
)
def test_exporter_names_impossible_lines(rejected: Any, expects_errors: None) -> None:
    """Messages about lines that do not exist leave the account as it is."""
    sending = Sending(ExportResult(Outcome.ANSWERED, rejected_lines=rejected))
    sending.put()
    assert sending.send()
    assert sending.outbox.account() == (1, 1, 0, {}, 0)


@pytest.mark.parametrize(
    "fields",
    [
        *(
            {"outcome": Outcome.ANSWERED, "rejected": value}
            for value in ("2", None, 1.5, math.nan, [])
        ),
        *({"retry_after": value} for value in ("7", math.nan, math.inf, -1, 1e9, [])),
        *({"outcome": value} for value in ("answered", None, 5)),
        *({"reason": value} for value in (None, b"", [])),
    ],
    ids=str,
)
def test_exporter_makes_an_impossible_result(
    fields: dict[str, Any], expects_errors: None
) -> None:
    """An `ExportResult` that cannot be made is an error of the exporter, survived."""
    sending = Sending(lambda: ExportResult(**{"outcome": Outcome.RETRY, **fields}))
    sending.put()
    assert not sending.send()
    # The place is the exporter's line, not the check in dtmetrics.
    assert " at test_sender.py:" in sending.sender.log.last_error
    assert sending.pause < 60
    assert sending.outbox.account().waiting == 1
    assert sending.send()
    assert sending.outbox.account() == (1, 1, 0, {}, 0)


def test_interrupted_export() -> None:
    """Ctrl-C in an export reaches the program; the batch is indeterminate and waits."""
    sending = Sending(KeyboardInterrupt())
    sending.put()
    with pytest.raises(KeyboardInterrupt):
        sending.send()
    assert sending.outbox.account().waiting == 1
    assert sending.send()
    assert len(sending.exporter.batches) == 3  # a probe goes before the second attempt
    assert sending.outbox.account() == (1, 1, 0, {}, 0)


def test_interrupted_probe() -> None:
    """Ctrl-C during a probe uses up no attempt of the batch."""
    sending = Sending(KeyboardInterrupt(), KeyboardInterrupt())
    sending.put()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            sending.send()
    assert sending.send()
    assert sending.outbox.account() == (1, 1, 0, {}, 0)


def test_close_raises(expects_errors: None) -> None:
    """An exporter that cannot be closed is named, and does not hold up the end."""
    sending = Sending()
    sending.exporter.close = lambda: 1 / 0  # type: ignore[method-assign, assignment]
    sending.sender.close()
    assert sending.sender.log.last_error.startswith(
        "the exporter Script raised ZeroDivisionError at test_sender.py:"
    )


# -- fork -------------------------------------------------------------------------


def test_starts_anew_after_a_fork() -> None:
    """In a forked child nothing waits, no failure is known, no end is set."""
    sending = Sending(RETRY, RETRY)
    sending.put()
    sending.send()
    sending.sender.give_up_at = 0.0
    sending.sender.reset_after_fork()
    sender = sending.sender
    assert (sender.log.last_error, sender.backoff.retry_at) == ("", 0.0)
    assert sender.give_up_at == math.inf
    assert sending.outbox.account() == (0, 0, 0, {}, 0)
    assert sending.exporter.batches == []
    sending.put()
    assert not sending.send()
    assert sending.pause == 0.5


def test_exporter_that_cannot_reset() -> None:
    """An exporter whose reset raises does not stop delivery in the child."""
    sending = Sending()
    sending.exporter.reset_after_fork = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    sending.sender.reset_after_fork()
    sending.put()
    assert sending.send()
