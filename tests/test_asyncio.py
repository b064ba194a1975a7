"""The delay of an event loop, and the record of what blocks it."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from dtmetrics._protocol.point import GaugeSummary
from dtmetrics.integrations import asyncio as ours
from dtmetrics.integrations.asyncio import EventLoopWatch, watch_event_loop
from tests.support.endpoint import PATIENCE
from tests.support.recorder import Recorder

Run = Callable[[Awaitable[Any]], Any]


class Records(logging.Handler):
    """Keeps the records of dtmetrics, and an event that one of `block_until()` sets."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.logged = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        if any("in block_until" in line for line in vars(record)["event_loop_stack"]):
            self.logged.set()


@pytest.fixture
def records() -> Iterator[Records]:
    """Return the records of the logger of dtmetrics."""
    handler, logger = Records(), logging.getLogger("dtmetrics")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Return a function that runs a coroutine in a new loop of each kind."""
    runner: Any = pytest.importorskip(request.param)
    return lambda coroutine: runner.run(asyncio.wait_for(coroutine, PATIENCE))


async def measured(watch: EventLoopWatch) -> None:
    """Wait until the loop has measured once more."""
    due = watch._due
    while watch._due == due:
        await asyncio.sleep(0.01)


async def watching(watch: EventLoopWatch) -> None:
    """Wait until the thread of *watch* runs."""
    while watch._thread is None:
        await asyncio.sleep(0.01)


def block_until(event: threading.Event) -> None:
    """Block the thread."""
    assert event.wait(PATIENCE)


def test_delay(recorder: Recorder, run: Run) -> None:
    """The delay is a summary, of what the loop calls four times a second."""

    async def main() -> None:
        with watch_event_loop(meter=recorder.meter) as watch:
            await measured(watch)
            time.sleep(0.6)  # blocks the loop
            await measured(watch)

    run(main())
    [(_, payload)] = recorder.payloads().items()
    assert isinstance(payload, GaugeSummary)
    assert payload.count >= 2
    assert payload.min >= 0.0
    assert payload.max >= 0.15


def test_blocked(
    recorder: Recorder, run: Run, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What blocks the loop is logged while it does, with its stack."""
    # A busy host may have delayed the loop before.
    monkeypatch.setattr(ours, "_PAUSE_SECONDS", 0.0)

    async def main() -> threading.Thread | None:
        with watch_event_loop(0.05, meter=recorder.meter) as watch:
            await watching(watch)
            for _ in range(2):
                records.logged.clear()
                block_until(records.logged)
                await measured(watch)
        return watch._thread

    thread = run(main())
    assert thread is not None
    thread.join(PATIENCE)
    assert not thread.is_alive()
    record = next(r for r in records.records if "in block_until" in r.getMessage())
    fields = vars(record)
    assert record.levelno == logging.WARNING
    assert fields["event_loop_delay"] >= 0.05
    assert len(fields["event_loop_stack"]) <= 30
    message = record.getMessage()
    assert message.startswith("dtmetrics: the event loop has been blocked for ")
    assert message.endswith("\n".join(fields["event_loop_stack"]))


def test_once_a_minute(recorder: Recorder, records: Records) -> None:
    """For a minute after a record nothing is logged."""

    async def main() -> None:
        with watch_event_loop(0.01, meter=recorder.meter) as watch:
            watch._logged = time.monotonic()
            await watching(watch)
            time.sleep(0.5)  # the thread looks some times meanwhile

    asyncio.run(main())
    assert records.records == []


def test_without_threshold(recorder: Recorder) -> None:
    """Without a threshold the delay is recorded, and no thread runs."""

    async def main() -> None:
        with watch_event_loop(None, meter=recorder.meter) as watch:
            await measured(watch)
            await measured(watch)
            assert watch._thread is None

    asyncio.run(main())
    assert len(recorder.lines()) == 1


def test_before_configure(recorder: Recorder) -> None:
    """While nothing is recorded no thread runs; it starts when recording does."""
    recorder.registry.stop()

    async def main() -> None:
        with watch_event_loop(meter=recorder.meter) as watch:
            await measured(watch)
            assert watch._thread is None
            recorder.registry.start(recorder.registry.generation.options, bool)
            await watching(watch)

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_waiting(recorder: Recorder, run: Run, records: Records) -> None:
    """A loop that waits for events is late because of its host, which is not logged."""

    async def main() -> None:
        with watch_event_loop(meter=recorder.meter) as watch:
            await watching(watch)
            # The loop waits for the end of this thread, and the thread for that.
            await asyncio.to_thread(look_while_it_waits, watch)

    run(main())
    assert records.records == []


def look_while_it_waits(watch: EventLoopWatch) -> None:
    """Look at what the loop of *watch* does until it waits, and then look for the log."""
    watch.stop()  # what it has planned is called a last time
    while not ours._is_waiting(sys._current_frames()[watch._thread_id]):
        time.sleep(0.01)
    watch._log(1.0)


def test_ends_with_the_loop(recorder: Recorder) -> None:
    """The thread ends when the loop is closed."""
    threads: list[threading.Thread | None] = []

    async def main() -> None:
        watch = watch_event_loop(meter=recorder.meter)
        await watching(watch)
        threads.append(watch._thread)

    asyncio.run(main())
    [thread] = threads
    assert thread is not None
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_ends_without_the_loop(recorder: Recorder) -> None:
    """A watch does not keep its loop, and does nothing once that is gone."""
    loop: Any = asyncio.new_event_loop()

    async def watch_it() -> EventLoopWatch:
        return watch_event_loop(meter=recorder.meter)

    watch = loop.run_until_complete(watch_it())
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
    watch._measure()
    watch._watch(0.01)
    assert recorder.lines() == []


def test_between_runs(recorder: Recorder) -> None:
    """The time in which a loop does not run does not count as a delay."""
    loop = asyncio.new_event_loop()

    async def begin() -> EventLoopWatch:
        watch = watch_event_loop(0.05, meter=recorder.meter)
        await watching(watch)
        return watch

    watch = loop.run_until_complete(begin())
    while not watch._paused:
        time.sleep(0.01)
    recorder.lines()
    loop.run_until_complete(measured(watch))
    assert recorder.lines() == []
    loop.run_until_complete(measured(watch))
    assert len(recorder.lines()) == 1
    loop.close()


def test_second_call(recorder: Recorder) -> None:
    """A second call in a loop replaces the first."""

    async def main() -> None:
        first = watch_event_loop(meter=recorder.meter)
        second = watch_event_loop(None, meter=recorder.meter)
        assert first._stopped.is_set()
        await measured(second)
        due = first._due
        await measured(second)
        assert first._due == due
        second.stop()
        second.stop()

    asyncio.run(main())


def test_context(recorder: Recorder) -> None:
    """The dimensions of a context in which it is called are not those of the loop."""

    async def main() -> None:
        with (
            recorder.registry.context(tenant="acme"),
            watch_event_loop(meter=recorder.meter) as watch,
        ):
            await measured(watch)

    asyncio.run(main())
    [line] = recorder.lines()
    assert line.startswith("cpython.eventloop.delay gauge,")


def test_without_a_frame(recorder: Recorder, records: Records) -> None:
    """The stack of a thread that has ended is not logged."""

    async def main() -> None:
        with watch_event_loop(meter=recorder.meter) as watch:
            watch._thread_id = -1
            watch._log(1.0)

    asyncio.run(main())
    assert records.records == []


def test_wrong_calls() -> None:
    """A threshold that is too short raises, and so does a call outside of a loop."""
    with pytest.raises(ValueError, match=r"threshold must be at least 0\.01 seconds"):
        watch_event_loop(0.001)
    with pytest.raises(RuntimeError, match="no running event loop"):
        watch_event_loop()
