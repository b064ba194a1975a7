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


def collected(recorder: Recorder) -> list[Metadata]:
    """Collect metadata, sorted."""
    return sorted(recorder.registry.catalog.collect_metadata())


def test_metadata_of_a_key(recorder: Recorder) -> None:
    """The metadata of a recorded key has its kind, unit and description."""
    meter = recorder.meter
    meter.counter("c", unit="{order}", description="Orders taken").inc()
    meter.gauge("g", description="How deep").set(1)
    meter.summary("s", unit="EUR").record(1)
    meter.timed("t").record(1)
    assert collected(recorder) == [
        ("c", "counter", "{order}", "Orders taken"),
        ("g", "gauge", "", "How deep"),
        ("s", "summary", "EUR", ""),
        ("t", "summary", "s", ""),
    ]


def test_collected_once(recorder: Recorder) -> None:
    """The metadata of a key is collected once, for all its series and records."""
    counter = recorder.meter.counter("c", unit="s")
    for number in range(3):
        counter.inc(1, number=number)
        assert len(collected(recorder)) == (number == 0)


def test_only_of_what_was_recorded(recorder: Recorder) -> None:
    """The metadata of a key is collected after its first record."""
    counter = recorder.meter.counter("c", unit="s")
    recorder.meter.counter("never", unit="s")
    recorder.meter.gauge("...", unit="s").set(1)
    assert collected(recorder) == []
    counter.inc()
    assert [metadata.key for metadata in collected(recorder)] == ["c"]


def test_of_observations(recorder: Recorder) -> None:
    """The metadata of an observed key is collected after its first number."""
    recorder.meter.observe("o", unit="By", description="Memory")(lambda: 1)
    assert collected(recorder) == []
    assert recorder.lines() == ["o gauge,1"]
    assert collected(recorder) == [("o", "gauge", "By", "Memory")]


def test_key_is_that_of_the_data(recorder: Recorder) -> None:
    """Metadata has the same key as the data lines, with the prefix."""
    recorder.registry.start(RecordingOptions(prefix="my app"), lambda: True)
    recorder.meter.counter("orders placed", unit="s").inc()
    [line] = recorder.lines()
    [metadata] = collected(recorder)
    assert line.startswith(f"{metadata.key} ")


METADATA = st.lists(
    st.tuples(st.sampled_from(["", "s", "By"]), st.sampled_from(["", "a", "b"])),
    min_size=1,
    max_size=6,
)


@given(METADATA)
def test_first_metadata_counts(definitions: list[tuple[str, str]]) -> None:
    """Of several definitions of a key the first with a unit or a description counts."""
    recorder = Recorder()
    for unit, description in definitions:
        recorder.meter.counter("c", unit=unit, description=description).inc()
    wanted = [("c", "counter", *texts) for texts in definitions if any(texts)]
    assert collected(recorder) == wanted[:1]


def test_late_metadata(recorder: Recorder) -> None:
    """Metadata that is defined after the first record is collected then."""
    recorder.meter.counter("c").inc()
    assert collected(recorder) == []
    recorder.meter.counter("c", unit="s")
    assert collected(recorder) == [("c", "counter", "s", "")]
    recorder.meter.counter("c", unit="ms")
    assert collected(recorder) == []


def test_metadata_of_a_conflict(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """A definition that conflicts with the first gives no metadata."""
    recorder.meter.counter("c").inc()
    recorder.meter.gauge("c", unit="s").set(1)
    assert collected(recorder) == []
    assert "it records nothing" in caplog.text


class Lazy:
    """A text that is translated when it is used."""

    def __str__(self) -> str:
        return "Bestellungen"


@pytest.mark.parametrize(
    ("raw", "text"),
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
def test_text_of_any_kind(recorder: Recorder, kind: str, raw: Any, text: str) -> None:
    """Unit and description may be any object; one without text counts as empty."""
    make = getattr(recorder.meter, kind)
    for _ in range(2):
        made = make("name", unit=raw, description=raw)
    if kind == "observe":
        made(lambda: 1)
    for verb in ("inc", "set", "record"):
        if hasattr(made, verb):
            getattr(made, verb)(1)
            break
    assert recorder.lines()
    assert [metadata[2:] for metadata in collected(recorder)] == [(text, text)] * bool(
        text
    )


def test_after_fork(recorder: Recorder) -> None:
    """A child collects metadata again, because its parent may end before sending it."""
    counter = recorder.meter.counter("c", unit="s")
    counter.inc()
    assert len(collected(recorder)) == 1
    recorder.registry.reset_after_fork()
    counter.inc()
    assert len(collected(recorder)) == 1
    assert collected(recorder) == []


def test_after_a_restart(recorder: Recorder) -> None:
    """After a new start metadata is collected again, because the endpoint may be another."""
    counter = recorder.meter.counter("c", unit="s")
    counter.inc()
    assert len(collected(recorder)) == 1
    recorder.registry.start(RecordingOptions(prefix="new"), lambda: True)
    assert collected(recorder) == []
    counter.inc()
    assert collected(recorder) == [("new.c", "counter", "s", "")]


def test_below_the_level(recorder: Recorder) -> None:
    """An instrument below the level has no metadata."""
    recorder.meter.counter("c", unit="s", level=logging.DEBUG).inc()
    assert collected(recorder) == []
