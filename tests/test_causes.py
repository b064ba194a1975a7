from __future__ import annotations

import pytest

from dtmetrics._export import causes
from dtmetrics._export.causes import (
    CAUSES,
    Cause,
    Destination,
    explain,
    explain_clock,
    recognize,
)

AT = Destination("ag.example:9999", "/{path}")


def test_unique() -> None:
    """Each cause has an id and a sentence of its own."""
    assert len({each.id for each in CAUSES}) == len(CAUSES) > 30
    assert len({each.sentence for each in CAUSES}) == len(CAUSES)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.id)
def test_form(cause: Cause) -> None:
    """A cause is one sentence and a remedy, which stand on one line of a log."""
    for part in (cause.sentence, cause.remedy):
        assert part.isprintable()
        assert not part.endswith(".")
        assert part[0].islower() or part.startswith("TLS")
    text = cause.text(path="/x", scope="s", difference="d")
    assert "{" not in text


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.id)
def test_recognize(cause: Cause) -> None:
    """The cause of a reason is recognized by its text."""
    if cause is not causes.CLOCK:  # not the reason of a failed attempt
        assert recognize(explain("status 403", AT, cause, "metrics.ingest")) is cause


@pytest.mark.parametrize("reason", ["", "KeyError at x", "a; it is retried"])
def test_unknown_reason(reason: str) -> None:
    """A reason without a known cause has none."""
    assert recognize(reason) is None


def test_token_in_a_path() -> None:
    """A token that was pasted into the URL is not shown with the path."""
    at = Destination("ag", "/e/dt0c01.ABC.CANARY/api")
    assert "at the path /e/***/api; " in explain("status 404", at, causes.PATH)


def test_explain() -> None:
    """A reason has what was seen, where, why, and what helps."""
    assert explain("status 404", AT, causes.PATH).startswith(
        "status 404 at ag.example:9999: no metrics API is served at the path /{path}; "
    )
    assert explain("KeyError", AT, None) == "KeyError at ag.example:9999"


def test_no_oneagent() -> None:
    """Where a OneAgent is missing, the remedy is the receiver for development."""
    assert causes.NO_ONEAGENT.text() == (
        "no OneAgent listens here; for development run `dtmetrics dev`"
    )


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (0.0, ""),
        (300.0, ""),
        (-300.0, ""),
        (301.0, "is 5 min ahead of that"),
        (-1_800.0, "is 30 min behind that"),
        (7_199.7, "is 2 h 0 min ahead of that"),
    ],
)
def test_clock(ahead: float, words: str) -> None:
    """A clock that differs by more than five minutes is named with the difference."""
    text = explain_clock(ahead)
    assert words in text
    assert bool(words) is bool(text)
