from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._record.timer import Block, Timer
from tests.support.recorder import Recorder
from tests.support.timer_clock import Timing


def nothing_open(kept: Timer) -> bool:
    """Say whether *kept* remembers no block, and no frame."""
    return not kept._alone and not kept._by_frame


def test_block(timing: Timing) -> None:
    """A block takes what passes inside it, and tells so while it runs and after."""
    with timing.timer() as t:
        timing.pass_(2)
        assert t.elapsed == 2
        timing.pass_(1)
    timing.pass_(10)
    assert t.elapsed == 3
    assert timing.took() == {"": [1, 3, 3]}


def test_blocks_are_folded(timing: Timing) -> None:
    """However many blocks and calls there are, what is kept of them is bounded."""
    kept = timing.timer()
    call = kept(timing.pass_)
    for _ in range(2000):
        with kept:
            call(1)
    series = kept._summary._series
    assert len(series.values) <= series.limit
    assert timing.took() == {"": [4000, 1, 1]}


def test_block_sets_dimensions(timing: Timing) -> None:
    """What is decided inside becomes dimensions; the last word counts."""
    with timing.timer() as t:
        t.set(kind="page", size=1)
        t.set(kind="image")
        timing.pass_(1)
    assert timing.took() == {"kind=image,size=1": [1, 1, 1]}


def test_block_cancels(timing: Timing) -> None:
    """A cancelled block records nothing, however it ends, and still says its time."""
    with timing.timer() as t:
        timing.pass_(1)
        t.cancel()
    with contextlib.suppress(KeyError), timing.timer() as failed:
        failed.cancel()
        failed.set(too="late")
        raise KeyError
    assert t.elapsed == 1
    assert timing.took() == {}


def test_elapsed_of_a_block_not_entered(timing: Timing) -> None:
    """A block that was never entered took no time."""
    assert timing.timer()().elapsed == 0


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError()],
    ids=lambda error: type(error).__name__,
)
def test_block_fails(timing: Timing, error: BaseException) -> None:
    """Whatever leaves a block is recorded with its class, and goes on."""
    raised = None
    try:
        with timing.timer():
            timing.pass_(1)
            raise error
    except BaseException as caught:
        raised = caught
    assert raised is error
    name = type(error).__name__
    full = f"asyncio.exceptions.{name}" if name == "CancelledError" else name
    assert timing.took() == {f"error.type={full}": [1, 1, 1]}


def test_what_is_set_inside_outweighs_the_failure(timing: Timing) -> None:
    """A block may say itself how it failed."""
    with contextlib.suppress(ValueError), timing.timer() as t:
        t.set(**{"error.type": "timeout"})
        raise ValueError
    assert [*timing.took()] == ["error.type=timeout"]


def test_block_in_a_generator_that_is_given_up(timing: Timing) -> None:
    """That a consumer has had enough is no failure."""

    def items() -> Iterator[int]:
        with timing.timer():
            yield 1

    next(iterator := items())
    iterator.close()  # type: ignore[attr-defined]
    assert timing.took() == {"": [1, 0, 0]}


def test_async_block(timing: Timing) -> None:
    """``async with`` does the same, failures included."""

    async def run() -> None:
        async with timing.timer() as t:
            t.set(a=1)
            timing.pass_(1)
            await asyncio.sleep(0)
        async with timing.timer()() as t:
            timing.pass_(2)
        with contextlib.suppress(KeyError):
            async with timing.timer():
                raise KeyError

    asyncio.run(run())
    assert timing.took() == {"a=1": [1, 1, 1], "": [1, 2, 2], "error.type=KeyError": [1, 0, 0]}  # fmt: skip


def test_kept_timer_inside_itself(timing: Timing) -> None:
    """A kept timer may be entered again inside, in the same frame and in another."""
    kept = timing.timer()

    def inner() -> None:
        with kept:
            timing.pass_(1)

    with kept as outer:
        with kept as middle:
            inner()
            timing.pass_(1)
        middle.set(late=1)
        timing.pass_(1)
    assert (outer.elapsed, middle.elapsed) == (3, 2)
    assert timing.took() == {"": [3, 1, 3]}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_kept_timer_in_interleaved_frames(order: list[int]) -> None:
    """However blocks of one timer are interleaved, each ends its own."""
    timing = Timing()
    kept = timing.timer()

    def block(number: int) -> Iterator[float]:
        with kept as t:
            t.set(number=number)
            while True:
                yield t.elapsed

    running: dict[int, tuple[Any, float]] = {}
    expected: dict[str, list[float]] = {}
    for number in [*order, *range(4)]:
        timing.pass_(1)
        if number in running and number in (0, 2):
            blocks, began = running.pop(number)
            took = timing.clock.now - began
            assert next(blocks) == took
            blocks.close()
            some = expected.setdefault(f"number={number}", [0, math.inf, 0])
            some[:] = [some[0] + 1, min(some[1], took), max(some[2], took)]
        elif number not in running:
            running[number] = block(number), timing.clock.now
            next(running[number][0])
    assert timing.took() == expected


def test_kept_timer_in_tasks(timing: Timing) -> None:
    """Tasks that interleave in one kept timer are each timed by themselves."""
    kept = timing.timer()

    async def task(number: int, go: asyncio.Event, done: asyncio.Event) -> None:
        async with kept as t:
            t.set(number=number)
            await go.wait()
        done.set()

    async def run() -> None:
        events = [(asyncio.Event(), asyncio.Event()) for _ in range(3)]
        tasks = [asyncio.create_task(task(n, *pair)) for n, pair in enumerate(events)]
        await asyncio.sleep(0)
        for go, done in (events[1], events[0], events[2]):
            timing.pass_(1)
            go.set()
            await done.wait()
        await asyncio.gather(*tasks)

    asyncio.run(run())
    took = {
        f"number={number}": [1, end, end] for number, end in [(0, 2), (1, 1), (2, 3)]
    }
    assert timing.took() == took


def test_kept_timer_in_threads() -> None:
    """Threads share a kept timer, and none ends the block of another."""
    recorder = Recorder()
    kept = recorder.meter.timed("t")
    meet = threading.Barrier(4)

    def work(number: int) -> None:
        for _ in range(50):
            with kept as t:
                t.set(number=number)
                meet.wait(20)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = {dims: payload[3] for (_, dims), payload in recorder.payloads().items()}  # type: ignore[misc]
    assert counts == {frozenset({("number", str(n))}): 50 for n in range(4)}


@pytest.mark.parametrize("threads", [2, 8])
def test_kept_timer_while_threads_change(threads: int) -> None:
    """However short the blocks of threads are, each ends its own, and none is kept."""
    recorder = Recorder()
    kept = recorder.meter.timed("t")

    def work(number: int) -> None:
        for _ in range(300):
            with kept as t:
                t.set(number=number)
            with kept as t, kept as u:
                t.set(number=number)
                u.set(number=number)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(before)
    counts = {dims: payload[3] for (_, dims), payload in recorder.payloads().items()}  # type: ignore[misc]
    assert counts == {frozenset({("number", str(n))}): 900 for n in range(threads)}
    assert nothing_open(kept)


def test_two_threads_at_the_same_time(timing: Timing) -> None:
    """If another thread enters between two steps of this one, both have their blocks."""
    kept = timing.timer()
    rivals = contextlib.ExitStack()

    class Contended(list[Block]):
        def append(self, block: Block) -> None:
            super().append(block)
            if len(self) == 1:
                super().insert(0, rivals.enter_context(timing.timer("rival")()))

    kept._alone = Contended()
    with kept as t:
        t.set(number=1)
        timing.pass_(1)
    assert timing.took() == {"number=1": [1, 1, 1]}
    assert len(kept._alone) == 1


def test_kept_timer_on_an_exit_stack(timing: Timing) -> None:
    """What enters for others leaves in another frame: the youngest block ends."""
    kept = timing.timer()
    with contextlib.ExitStack() as stack:
        stack.enter_context(kept)
        timing.pass_(1)
        stack.enter_context(kept())
        timing.pass_(1)
    assert timing.took() == {"": [2, 1, 2]}


def test_kept_timer_twice_on_an_exit_stack(timing: Timing) -> None:
    """Of two that are left in a foreign frame each ends once, so count and sum are right."""
    kept = timing.timer()
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(kept)
            timing.pass_(1)
    [payload] = timing.recorder.payloads().values()
    assert (payload.count, payload.sum) == (3, 6)  # type: ignore[union-attr]
    assert nothing_open(kept)


def test_left_more_often_than_entered(timing: Timing) -> None:
    """To leave a timer that nobody entered does nothing."""
    timing.timer().__exit__(None, None, None)
    assert timing.took() == {}
