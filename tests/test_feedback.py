from __future__ import annotations

import logging
from typing import Any

import pytest

from dtmetrics._deliver.feedback import Feedback
from dtmetrics._protocol.line import identify
from dtmetrics.exporters import Batch, ExportResult, LineMessage, Outcome
from tests.support.recorder import MOMENT, Recorder


def body_of(*keys: str) -> Batch:
    """Return a body with one line for each of *keys*."""
    text = "\n".join(f"{key} count,delta=1 {MOMENT}" for key in keys)
    return Batch(text.encode(), tuple(identify(key, ()) for key in keys), MOMENT)


def answered(
    rejected: int, *refused: tuple[int, str], warned: Any = ()
) -> ExportResult:
    """Return the answer that some lines were refused, and which."""
    return ExportResult(
        Outcome.ANSWERED,
        rejected,
        f"{rejected} lines refused",
        rejected_lines=[LineMessage(*each) for each in refused],
        warnings=[LineMessage(*each) for each in warned],
    )


class Talk:
    """A recorder with two counters, and what the endpoint says of their lines."""

    def __init__(self) -> None:
        self.recorder = Recorder(prefix="acme")
        self.good = self.recorder.meter.counter("good")
        self.bad = self.recorder.meter.counter("bad", description="refused")
        self.feedback = Feedback(self.recorder.registry)
        self.record()

    def record(self) -> list[str]:
        """Record with both; return the keys that were collected."""
        self.good.inc()
        self.bad.inc(1, a=1)
        self.bad.inc()
        return [point.identity.key for point in self.recorder.points()]

    def hears(self, result: ExportResult, *keys: str, times: int = 1) -> None:
        """Let the endpoint say so of a body with these keys."""
        for _ in range(times):
            self.feedback.take(body_of(*keys or ("acme.good", "acme.bad")), result)

    @property
    def quarantined(self) -> dict[str, str]:
        """Why which keys are set aside."""
        return self.recorder.registry.catalog.all_quarantined()


BAD = answered(1, (1, "invalid metric key"))


@pytest.fixture
def talk() -> Talk:
    """Return a talk of its own."""
    return Talk()


def test_refusals_are_brought_home(
    talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    """Each reason is said once for each instrument, with the place of its definition."""
    talk.hears(BAD, times=3)
    talk.hears(answered(1, (0, "invalid metric key")))
    said = [record.getMessage() for record in caplog.records]
    assert [text.partition(" (defined at ")[0] for text in said] == [
        "dtmetrics: the endpoint refused counter 'bad'",
        "dtmetrics: the endpoint refused counter 'good'",
    ]
    assert all(f"{__file__}:" in text for text in said)


@pytest.mark.parametrize(
    "text",
    [
        "timestamp out of range: 170000000000{} is not between 1 hour ago and now",
        "failed to parse metric key of message 'bad{} count,delta=1'; error at 'b'",
        "invalid metric type in message 'bad gauge,{0}" + "x{0}" * 100,
        "inconsistent gauge fields: min <= avg <= max doesn't hold: -{0}.5 <= {0}",
    ],
    ids=["time", "quoted", "cut", "numbers"],
)
def test_a_reason_is_the_same_whatever_it_quotes(
    talk: Talk, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """Numbers and parts of a line, new in each answer, make no new reason."""
    for number in range(4):
        talk.hears(answered(1, (1, text.format(number)[:200])))
    assert len(caplog.records) == 1


def test_refused_always(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    """An instrument whose lines are all refused five times in a row is set aside."""
    talk.hears(BAD, times=4)
    assert talk.quarantined == {}
    assert sorted(talk.record()) == ["acme.bad", "acme.bad", "acme.good"]
    talk.hears(BAD)
    assert talk.quarantined == {"acme.bad": "invalid metric key"}
    assert talk.record() == ["acme.good"]
    assert talk.recorder.registry.series_count == 1
    assert "is quarantined: invalid metric key" in caplog.text


def test_set_aside_costs_nothing(talk: Talk) -> None:
    """Handles of an instrument that is set aside keep nothing, whatever they record."""
    kept = talk.bad.bind(b=1)
    kept.inc()
    talk.hears(BAD, times=5)
    for number in range(100):
        kept.inc()
        talk.bad.inc(1, n=number)
        talk.bad.bind(n=number).inc()
    assert talk.recorder.registry.series_count == 1
    assert talk.record() == ["acme.good"]


def test_observed_and_set_aside(talk: Talk) -> None:
    """A function that is observed in vain is asked no more."""
    asked: list[int] = []

    @talk.recorder.meter.observe("seen")
    def seen() -> int:
        asked.append(1)
        return 1

    talk.recorder.points()
    talk.hears(answered(1, (0, "no")), "acme.seen", times=5)
    before = len(asked)
    talk.recorder.points()
    assert len(asked) == before


def test_once_accepted(talk: Talk) -> None:
    """One line that is taken in between starts the count anew."""
    talk.hears(BAD, times=4)
    talk.hears(answered(0))
    talk.hears(BAD, times=4)
    assert talk.quarantined == {}


def test_no_answer_in_between(talk: Talk) -> None:
    """An endpoint that is away for a while has taken nothing, and forgets nothing."""
    for outcome in (Outcome.RETRY, Outcome.INDETERMINATE, Outcome.REJECTED):
        talk.hears(BAD)
        talk.hears(ExportResult(outcome, reason="status 503"))
    talk.hears(BAD, times=2)
    assert talk.quarantined == {"acme.bad": "invalid metric key"}


def test_some_of_its_lines(talk: Talk) -> None:
    """An instrument of which only some lines are refused is not set aside."""
    keys = "acme.bad", "acme.bad"
    talk.hears(answered(1, (1, "bad value")), *keys, times=9)
    talk.hears(answered(1, (1, "bad value"), (1, "bad time")), *keys, times=9)
    assert talk.quarantined == {}


def test_cut_list(talk: Talk) -> None:
    """Where all are refused and only some are listed, all count as refused."""
    talk.hears(answered(2, (0, "invalid")), times=5)
    assert talk.quarantined == {"acme.good": "invalid", "acme.bad": "2 lines refused"}


BAD_LINES = ["acme.bad"] * 30
FIRST_TEN = [(line, "invalid") for line in range(10)]


@pytest.mark.parametrize(
    ("rejected", "keys", "quarantined"),
    [
        (30, [*BAD_LINES, "acme.good"], ["acme.bad"]),
        (30, [*BAD_LINES, *["acme.good"] * 30], ["acme.bad"]),
        (29, [*BAD_LINES, "acme.good"], []),  # one of its lines was taken
        (10, [*BAD_LINES, "acme.good"], []),
    ],
)
def test_list_of_the_first_ten(
    talk: Talk, rejected: int, keys: list[str], quarantined: list[str]
) -> None:
    """Many lines refused are enough, even if the list of them is cut at ten."""
    talk.hears(answered(rejected, *FIRST_TEN), *keys, times=5)
    assert [*talk.quarantined] == quarantined


def test_behind_the_end_of_the_list(talk: Talk) -> None:
    """Of lines behind the last that is listed nobody knows: they prove nothing."""
    talk.hears(BAD, times=4)
    talk.hears(answered(29, *FIRST_TEN), *["acme.good"] * 30, "acme.bad", times=9)
    assert talk.quarantined == {}
    talk.hears(BAD)
    assert [*talk.quarantined] == ["acme.bad"]


def test_taken_before_the_end_of_the_list(talk: Talk) -> None:
    """A line that is passed over in a list that is cut was taken."""
    first = [(line + 1, "invalid") for line in range(10)]
    talk.hears(answered(29, *first), *BAD_LINES, "acme.good", times=9)
    assert talk.quarantined == {}


def test_record_that_was_under_way(
    talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    """What a thread records while its instrument is set aside is ended as well."""
    talk.hears(BAD, times=5)
    registry, family = talk.recorder.registry, talk.bad.origin.family
    registry.series(family, ((("late", 1),),))  # it had asked before
    talk.hears(BAD)
    assert family.series == {}
    assert registry.series_count == 1
    assert caplog.text.count("is quarantined") == 1


def test_wrong_clock(talk: Talk) -> None:
    """A clock that is wrong is no fault of any instrument, listed or not."""
    late = "timestamp out of range: 17 is not between"
    talk.hears(answered(2, (0, late), (1, late)), times=9)
    talk.hears(answered(2, (0, late)), times=9)
    assert talk.quarantined == {}
    named = answered(1, (1, "invalid metric key 'timestamp'"))
    talk.hears(named, times=5)
    assert [*talk.quarantined] == ["acme.bad"]


def test_metadata_is_not_counted(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    """Refused metadata is brought home as well, and sets nothing aside."""
    for _ in range(9):
        body = Batch(b"#acme.bad count dt.meta.unit=s", (), MOMENT)
        talk.feedback.take(body, answered(0, (0, "invalid metadata")))
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith(
        f"dtmetrics: the endpoint refused the metadata of counter 'bad' (defined at {__file__}:"
    )
    assert said.endswith("): invalid metadata")
    assert talk.quarantined == {}


def test_start_again(talk: Talk) -> None:
    """With the next start everything is tried again."""
    talk.hears(BAD, times=5)
    registry = talk.recorder.registry
    registry.start(registry.generation.options, bool)
    assert talk.quarantined == {}
    talk.bad.inc()
    assert [point.identity.key for point in talk.recorder.points()] == ["acme.bad"]


def test_warnings(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    """A remark on lines that were taken is kept by key, and said once."""
    caplog.set_level(logging.INFO, "dtmetrics")
    text = "metric key 'acme.bad' changed to 'acme.bad.count'"
    for _ in range(3):
        talk.hears(answered(0, warned=[(1, text)]))
    assert talk.feedback.warnings == {"acme.bad": text}
    meaning = Batch(b"#acme.good count dt.meta.unit=s\n#acme.bad count", (), MOMENT)
    talk.feedback.take(meaning, answered(0, warned=[(1, "known already")]))
    assert talk.feedback.warnings == {"acme.bad": text, "#acme.bad": "known already"}
    assert [record.levelno for record in caplog.records] == [logging.INFO] * 2


def test_bounded(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    """An endpoint that says something new each time does not fill the memory."""
    for number in range(1_100):
        key = f"k{number}"
        talk.hears(answered(0, (0, f"r{number}"), warned=[(0, "w")]), key)
    assert len(talk.feedback.warnings) == len(caplog.records) == 1_000


def test_forked(talk: Talk) -> None:
    """A forked child begins to listen anew."""
    talk.hears(BAD, times=4)
    talk.hears(answered(0, warned=[(0, "w")]))
    talk.hears(BAD, times=4)
    talk.feedback.reset_after_fork()
    assert talk.feedback.warnings == {}
    talk.hears(BAD)
    assert talk.quarantined == {}
