from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from dtmetrics._protocol.line import identify
from dtmetrics.exporters import Batch, ExportResult, LineMessage, Outcome
from tests.support.delivery_rig import ANSWERED, DROP, KEEP, MISCONFIGURED, Sending
from tests.support.recorder import MOMENT

# -- what becomes of a body -------------------------------------------------------


def test_sends_in_order() -> None:
    """Everything that waits goes out, oldest first, and then nothing waits."""
    sending = Sending()
    for key in ("a", "b", "c"):
        sending.put(key)
    assert sending.send()
    assert sending.exporter.lines == [f"{key} count,delta=1" for key in "abc"]
    assert sending.outbox.account() == (3, 3, 0, {}, 0)
    assert sending.send()
    assert len(sending.exporter.bodies) == 3


def test_refused_is_answered() -> None:
    """LineMessage lines are an answer: nothing waits, and the reason is kept."""
    refused = ExportResult(
        Outcome.ANSWERED, 1, "1 lines refused", rejected_lines=[LineMessage(0, "bad")]
    )
    sending = Sending(refused)
    sending.put()
    assert sending.send()
    assert sending.outbox.account() == (1, 0, 1, {}, 0)
    assert sending.sender.last_error == "1 lines refused"


@pytest.mark.parametrize("step", [KEEP, MISCONFIGURED])
def test_what_was_not_taken_holds_up_the_rest(step: ExportResult) -> None:
    """A body that has to wait is tried once, and those behind it not at all."""
    sending = Sending(step)
    sending.put("a")
    sending.put("b")
    assert not sending.send()
    assert len(sending.exporter.bodies) == 1
    assert sending.send()
    first, again, last = sending.exporter.bodies
    assert first is again is not last


def test_drop_goes_on() -> None:
    """A body that will never be taken does not hold up those behind it."""
    sending = Sending(KEEP, DROP)
    sending.put()
    assert not sending.send()
    sending.put()
    assert sending.send()
    assert sending.outbox.account() == (2, 1, 0, {"refused as a whole": 1}, 0)


def test_expires() -> None:
    """What could not be delivered for 55 minutes is dropped, and counted."""
    sending = Sending(KEEP)
    sending.put()
    assert not sending.send()
    sending.now_ms += 55 * 60_000 + 1
    assert sending.send()
    assert sending.outbox.account() == (1, 0, 0, {"too old": 1}, 0)
    assert len(sending.exporter.bodies) == 1


def slow(sending: Callable[[], Sending]) -> Callable[[], ExportResult]:
    """Return a step that takes four seconds."""

    def step() -> ExportResult:
        sending().now += 4.0
        return ANSWERED

    return step


def test_deadline() -> None:
    """One deadline holds for all bodies, and each attempt is told what is left."""
    sending = Sending(*[slow(lambda: sending)] * 9)
    for _ in range(9):
        sending.put()
    assert not sending.send(20.0)
    assert sending.exporter.timeouts == [15.0, 15.0, 12.0, 8.0, 4.0]
    assert sending.outbox.account() == (9, 5, 0, {}, 4)


def test_who_closes_ends_every_sending() -> None:
    """A moment to give up holds even for a sending that is under way."""

    def closing() -> ExportResult:
        sending.sender.give_up_at = 10.0
        return slow(lambda: sending)()

    sending = Sending(closing, *[slow(lambda: sending)] * 9)
    for _ in range(9):
        sending.put()
    assert not sending.send(1_000.0)
    assert sending.exporter.timeouts == [15.0, 6.0, 2.0]


# -- foreign code that misbehaves --------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("secret"), MemoryError()])
def test_exporter_raises(error: Exception, expects_errors: None) -> None:
    """An exporter that raises is survived; what became of the body is unknown."""
    sending = Sending(error)
    sending.put()
    assert not sending.send()
    assert sending.sender.last_error == "the exporter failed"
    assert sending.send()
    assert sending.outbox.account() == (1, 1, 0, {}, 0)


@pytest.mark.parametrize("answer", [None, "ok", 202])
def test_exporter_answers_nonsense(answer: Any, expects_errors: None) -> None:
    """What is no result is an error of the exporter, and survived as such."""
    sending = Sending(lambda: answer)
    sending.put()
    assert not sending.send()
    assert sending.outbox.account().waiting == 1
    assert sending.send()


@pytest.mark.parametrize("refused", [[LineMessage(-9, "x")], [None], 5])
def test_exporter_names_nonsense(refused: Any, expects_errors: None) -> None:
    """InvalidValues that name nothing harm nobody: the account is what counts."""
    sending = Sending(ExportResult(Outcome.ANSWERED, rejected_lines=refused))
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
def test_exporter_answers_with_nonsense(
    fields: dict[str, Any], expects_errors: None
) -> None:
    """A result of nonsense is an error of the exporter: no flush raises, all goes on."""
    sending = Sending(lambda: ExportResult(**{"outcome": Outcome.RETRY, **fields}))
    sending.put()
    assert not sending.send()
    assert sending.pause < 60
    assert sending.outbox.account().waiting == 1
    assert sending.send()
    assert sending.outbox.account() == (1, 1, 0, {}, 0)


@pytest.mark.parametrize(
    "refused",
    [None, 5, [None], [LineMessage("x", "")], [LineMessage(0.5, "")]],
    ids=str,
)
def test_exporter_names_nonsense_of_many(refused: Any, expects_errors: None) -> None:
    """Nor does it where a line stands for several points."""
    sending = Sending(ExportResult(Outcome.ANSWERED, 1, rejected_lines=refused))
    sending.outbox.put(Batch(b"a gauge,1", (identify("a", ()),), MOMENT, (3,)))
    assert sending.send()
    assert sending.outbox.account() == (3, 0, 3, {}, 0)


def test_interrupted_export() -> None:
    """Ctrl-C in an export reaches the program; the body is in doubt, and not lost."""
    sending = Sending(KeyboardInterrupt())
    sending.put()
    with pytest.raises(KeyboardInterrupt):
        sending.send()
    assert sending.outbox.account().waiting == 1
    assert sending.send()
    assert len(sending.exporter.bodies) == 3  # a harmless line before it is sent again
    assert sending.outbox.account() == (1, 1, 0, {}, 0)


def test_interrupted_probe() -> None:
    """Ctrl-C while it asks with a harmless line changes nothing."""
    sending = Sending(KeyboardInterrupt(), KeyboardInterrupt())
    sending.put()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            sending.send()
    assert sending.send()
    assert sending.outbox.account() == (1, 1, 0, {}, 0)


def test_close_raises(expects_errors: None) -> None:
    """An exporter that cannot even close does not keep the program from ending."""
    sending = Sending()
    sending.exporter.close = lambda: 1 / 0  # type: ignore[method-assign, assignment]
    sending.sender.close()
    assert sending.sender.last_error.startswith("ZeroDivisionError at test_sender.py:")


# -- fork -------------------------------------------------------------------------


def test_forgets_after_fork() -> None:
    """A child begins anew: nothing waits, no trouble is known, no end is set."""
    sending = Sending(KEEP, KEEP)
    sending.put()
    sending.send()
    sending.sender.give_up_at = 0.0
    sending.sender.reset_after_fork()
    sender = sending.sender
    assert (sender.last_error, sender.retry_at, sender.give_up_at) == ("", 0, math.inf)
    assert sending.outbox.account() == (0, 0, 0, {}, 0)
    assert sending.exporter.bodies == []
    sending.put()
    assert not sending.send()
    assert sending.pause == 0.5


def test_survives_an_exporter_that_cannot_fork() -> None:
    """An exporter whose reset raises does not take the child with it."""
    sending = Sending()
    sending.exporter.reset_after_fork = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    sending.sender.reset_after_fork()
    sending.put()
    assert sending.send()
