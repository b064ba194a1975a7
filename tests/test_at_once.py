from __future__ import annotations

import threading
import time

import pytest

from dtmetrics._deliver.at_once import at_once


def test_all_at_the_same_time() -> None:
    """The calls run at the same time, each in a thread of its own."""
    together = threading.Barrier(3)
    seen: list[str] = []

    def call(seconds: float) -> bool:
        together.wait(seconds)
        seen.append(threading.current_thread().name)
        return True

    assert at_once([call] * 3, 30.0)
    assert seen == ["dtmetrics-sender"] * 3


@pytest.mark.parametrize("answers", [(True, True), (True, False), (False, False), ()])
def test_result(answers: tuple[bool, ...]) -> None:
    """It returns whether each call returned True."""
    calls = [lambda _, each=answer: each for answer in answers]
    assert at_once(calls, 30.0) is all(answers)


def test_slow_call() -> None:
    """A call that takes longer is left behind, and counts as failed."""
    release = threading.Event()
    done: list[float] = []
    begun = time.monotonic()
    assert not at_once([lambda _: release.wait(), lambda s: not done.append(s)], 0.05)
    assert time.monotonic() - begun < 10
    assert done == [0.05]
    release.set()


def test_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without threads the calls come one after the other, each with a share of time."""

    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    seconds: list[float] = []

    def call(given: float) -> bool:
        seconds.append(round(given, 1))
        return True

    assert at_once([call] * 4, 100.0)
    assert seconds == [25.0, 33.3, 50.0, 100.0]
