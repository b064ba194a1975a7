from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._protocol.metadata import Metadata
from dtmetrics._record.options import RecordingOptions
from tests.support.caller_values import Lies, Raises
from tests.support.recorder import Recorder


def told(recorder: Recorder) -> list[Metadata]:
    """Collect what keys mean, sorted."""
    return sorted(recorder.registry.catalog.collect_metadata())


def test_says_what_a_key_means(recorder: Recorder) -> None:
    """A key that was recorded is explained by kind, unit and description."""
    meter = recorder.meter
    meter.counter("c", unit="{order}", description="Orders taken").inc()
    meter.gauge("g", description="How deep").set(1)
    meter.summary("s", unit="EUR").record(1)
    meter.timed("t").record(1)
    assert told(recorder) == [
        ("c", "counter", "{order}", "Orders taken"),
        ("g", "gauge", "", "How deep"),
        ("s", "summary", "EUR", ""),
        ("t", "summary", "s", ""),
    ]


def test_says_it_once(recorder: Recorder) -> None:
    """However often a key is recorded, in however many series, it is explained once."""
    counter = recorder.meter.counter("c", unit="s")
    for number in range(3):
        counter.inc(1, number=number)
        assert len(told(recorder)) == (number == 0)


def test_only_of_what_was_recorded(recorder: Recorder) -> None:
    """A key that nobody has recorded is not explained before somebody does."""
    counter = recorder.meter.counter("c", unit="s")
    recorder.meter.counter("never", unit="s")
    recorder.meter.gauge("...", unit="s").set(1)
    assert told(recorder) == []
    counter.inc()
    assert [metadata.key for metadata in told(recorder)] == ["c"]


def test_of_observations(recorder: Recorder) -> None:
    """What is observed is explained once it was asked for."""
    recorder.meter.observe("o", unit="By", description="Memory")(lambda: 1)
    assert told(recorder) == []
    assert recorder.lines() == ["o gauge,1"]
    assert told(recorder) == [("o", "gauge", "By", "Memory")]


def test_key_is_that_of_the_data(recorder: Recorder) -> None:
    """A key is cleaned and prefixed as in the lines that it explains."""
    recorder.registry.start(RecordingOptions(prefix="my app"), lambda: True)
    recorder.meter.counter("orders placed", unit="s").inc()
    [line] = recorder.lines()
    [metadata] = told(recorder)
    assert line.startswith(f"{metadata.key} ")


MEANINGS = st.lists(
    st.tuples(st.sampled_from(["", "s", "By"]), st.sampled_from(["", "a", "b"])),
    min_size=1,
    max_size=6,
)


@given(MEANINGS)
def test_first_meaning_counts(meanings: list[tuple[str, str]]) -> None:
    """Of many definitions of a key the first with a unit or a description counts."""
    recorder = Recorder()
    for unit, description in meanings:
        recorder.meter.counter("c", unit=unit, description=description).inc()
    wanted = [("c", "counter", *meaning) for meaning in meanings if any(meaning)]
    assert told(recorder) == wanted[:1]


def test_meaning_that_comes_late(recorder: Recorder) -> None:
    """A key that was recorded before anybody explained it is explained when it is."""
    recorder.meter.counter("c").inc()
    assert told(recorder) == []
    recorder.meter.counter("c", unit="s")
    assert told(recorder) == [("c", "counter", "s", "")]
    recorder.meter.counter("c", unit="ms")
    assert told(recorder) == []


def test_conflict_explains_nothing(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """A definition that conflicts with the first does not say what its key means."""
    recorder.meter.counter("c").inc()
    recorder.meter.gauge("c", unit="s").set(1)
    assert told(recorder) == []
    assert "it records nothing" in caplog.text


class Lazy:
    """A text that is translated when it is asked for."""

    def __str__(self) -> str:
        return "Bestellungen"


@pytest.mark.parametrize(
    ("given_text", "text"),
    [
        (None, ""),
        (Lazy(), "Bestellungen"),
        (b"orders", "orders"),
        (5, "5"),
        (["a"], "['a']"),
        (Raises(), ""),
        (Lies(), ""),
    ],
    ids=range(7),
)
@pytest.mark.parametrize("kind", ["counter", "gauge", "summary", "timed", "observe"])
def test_text_of_any_kind(
    recorder: Recorder, kind: str, given_text: Any, text: str
) -> None:
    """Unit and description may be None, a lazy text or anything: nothing raises."""
    make = getattr(recorder.meter, kind)
    for _ in range(2):
        made = make("name", unit=given_text, description=given_text)
    if kind == "observe":
        made(lambda: 1)
    for verb in ("inc", "set", "record"):
        if hasattr(made, verb):
            getattr(made, verb)(1)
            break
    assert recorder.lines()
    assert [metadata[2:] for metadata in told(recorder)] == [(text, text)] * bool(text)


def test_after_fork(recorder: Recorder) -> None:
    """A child explains its keys anew: its parent may have ended before it could."""
    counter = recorder.meter.counter("c", unit="s")
    counter.inc()
    assert len(told(recorder)) == 1
    recorder.registry.reset_after_fork()
    counter.inc()
    assert len(told(recorder)) == 1
    assert told(recorder) == []


def test_after_a_restart(recorder: Recorder) -> None:
    """A new start() may be for another endpoint, which knows of no key yet."""
    counter = recorder.meter.counter("c", unit="s")
    counter.inc()
    assert len(told(recorder)) == 1
    recorder.registry.start(RecordingOptions(prefix="new"), lambda: True)
    assert told(recorder) == []
    counter.inc()
    assert told(recorder) == [("new.c", "counter", "s", "")]


def test_below_the_level(recorder: Recorder) -> None:
    """What is not recorded for its level is not explained either."""
    recorder.meter.counter("c", unit="s", level=logging.DEBUG).inc()
    assert told(recorder) == []
