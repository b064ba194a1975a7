"""What the garbage collector counts, and how long it stops the program."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from dtmetrics._process.garbage_collector import (
    Pauses,
    follow_pauses,
    reader_of,
    unfollow_pauses,
)
from dtmetrics._protocol.point import GaugeSummary
from tests.support.garbage_collector import no_collector
from tests.support.recorder import Recorder

if not hasattr(gc, "callbacks"):
    pytest.skip("another garbage collector", allow_module_level=True)


@pytest.fixture(autouse=True)
def _only_when_called() -> Iterator[None]:
    """Let the garbage collector run when a test calls it, and at no other time."""
    with no_collector():
        yield


@pytest.fixture
def pauses(recorder: Recorder) -> Iterator[Pauses]:
    """Return what records each pause, by a clock that a test moves by ``now``."""
    origin = recorder.meter.summary("pause").origin
    moments = iter(range(1, 100_000))
    made = Pauses(origin, lambda: float(next(moments)))
    gc.callbacks.append(made)
    yield made
    gc.callbacks.remove(made)


def test_read() -> None:
    """A field is read by generation."""
    before = reader_of("collections")()
    gc.collect(1)
    after = reader_of("collections")()
    assert before.keys() == after.keys() == {"0", "1", "2"}
    assert sum(after.values()) == sum(before.values()) + 1


def test_pauses(recorder: Recorder, pauses: Pauses) -> None:
    """The duration of a collection is recorded by generation, but for the youngest."""
    for generation in (0, 1, 2, 2, 0):
        gc.collect(generation)
    assert recorder.lines() == [
        "pause,cpython.gc.generation=1 gauge,min=1,max=1,sum=1,count=1",
        "pause,cpython.gc.generation=2 gauge,min=1,max=1,sum=2,count=2",
    ]
    assert recorder.lines() == []


def test_no_flusher(recorder: Recorder, pauses: Pauses) -> None:
    """A pause does not count as the first record of a process, which starts a thread."""
    gc.collect()
    assert recorder.wakes == 0
    assert not recorder.registry.recorded
    assert len(recorder.lines()) == 1


def test_installed_meanwhile(recorder: Recorder, pauses: Pauses) -> None:
    """The end of a collection that began before is not recorded."""
    pauses("stop", {"generation": 2})
    assert recorder.lines() == []


def test_while_not_recording(recorder: Recorder, pauses: Pauses) -> None:
    """Nothing is recorded while recording is off, and it goes on afterwards."""
    gc.collect()
    recorder.registry.stop()
    recorder.registry.clear()
    gc.collect()
    assert recorder.lines() == []
    recorder.registry.start(recorder.registry.generation.options, bool)
    gc.collect()
    assert len(recorder.lines()) == 1


def test_many(recorder: Recorder, pauses: Pauses) -> None:
    """Any number of pauses takes the memory of a few."""
    for _ in range(2_000):
        pauses("start", {"generation": 1})
        pauses("stop", {"generation": 1})
    [series] = pauses._series.values()
    assert len(series.values) <= series.limit + 1
    [point] = recorder.points()
    assert point.payload == GaugeSummary(1.0, 1.0, 2_000.0, 2_000)


def test_a_fork(recorder: Recorder, pauses: Pauses) -> None:
    """A forked child begins without the pauses of its parent."""
    gc.collect()
    recorder.registry.reset_after_fork()
    assert recorder.lines() == []
    gc.collect()
    assert len(recorder.lines()) == 1


def test_followed_once(recorder: Recorder) -> None:
    """A registry has one callback, however often it asks for it."""
    before, other = len(gc.callbacks), Recorder()
    for each in (recorder, recorder, other):
        follow_pauses(each.meter.summary("pause").origin)
    assert len(gc.callbacks) == before + 2
    gc.collect()
    assert len(recorder.lines()) == len(other.lines()) == 1
    for each in (recorder, recorder, other):
        unfollow_pauses(each.registry)
    assert len(gc.callbacks) == before
