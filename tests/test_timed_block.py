from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from dtmetrics._record.timed_block import UNMATCHED
from dtmetrics._record.timer import Block, Timer
from tests.support.recorder import Recorder
from tests.support.thread_load import in_threads
from tests.support.timer_clock import Timing

# -- all ways to enter, interleaved ----------------------------------------------------


def with_statement(timer: Timer) -> Iterator[Block]:
    """Enter by a with statement in a generator, which is suspended inside."""
    with timer as block:
        yield block


def nested_statements(timer: Timer) -> Iterator[Block]:
    """Enter inside a block of the same frame."""
    with timer as outer:
        outer.cancel()
        with timer as block:
            yield block


def exit_stack(timer: Timer) -> Iterator[Block]:
    """Enter by a stack, which holds two blocks."""
    with ExitStack() as stack:
        stack.enter_context(timer).cancel()
        yield stack.enter_context(timer)


def closed_stack(timer: Timer) -> Iterator[Block]:
    """Enter by a stack that is closed instead of left."""
    stack = ExitStack()
    yield stack.enter_context(timer)
    stack.close()


@contextlib.contextmanager
def managed(timer: Timer) -> Iterator[Block]:
    """Make a context manager of a with statement."""
    with timer as block:
        yield block


def decorator(timer: Timer) -> Iterator[Block]:
    """Enter by a context manager that contextlib made."""
    with managed(timer) as block:
        yield block


async def in_task(timer: Timer, go: asyncio.Event, blocks: list[Block]) -> None:
    """Enter by ``async with``."""
    async with timer as block:
        blocks.append(block)
        await go.wait()


async def stack_in_task(timer: Timer, go: asyncio.Event, blocks: list[Block]) -> None:
    """Enter by an asynchronous stack, both ways."""
    async with AsyncExitStack() as stack:
        blocks.append(await stack.enter_async_context(timer))
        stack.enter_context(timer).cancel()
        await go.wait()


WAYS = [with_statement, nested_statements, exit_stack, closed_stack, decorator]
TASKS = [in_task, stack_in_task]


class Interleaved(RuleBasedStateMachine):
    """Blocks of one timer, entered in every way; each knows its own duration.

    The oracle is a number that each block sets as a dimension, and the time between
    its two steps. Threads are single workers, which run one step at a time. A block may
    end in another thread than it began in, as where a generator or a stack changes hands.
    """

    def __init__(self) -> None:
        super().__init__()
        self.timing = Timing()
        self.timer = self.timing.timer()
        self.began: dict[int, float] = {}
        self.ends: dict[int, Callable[[int], object]] = {}
        self.expected: dict[str, list[float]] = {}
        self.workers = [ThreadPoolExecutor(1) for _ in range(2)]
        self.loop = asyncio.new_event_loop()

    def _run_in(self, thread: int, step: Callable[[], Any]) -> Any:
        if thread == 2:
            return step()
        done: Future[Any] = self.workers[thread].submit(step)
        return done.result(30)

    def _begun(self, block: Block, end: Callable[[int], object]) -> None:
        number = len(self.began)
        block.set(n=number)
        self.began[number] = self.timing.clock.now
        self.ends[number] = end

    @rule(way=st.sampled_from(WAYS), thread=st.integers(0, 2))
    def enter(self, way: Callable[[Timer], Iterator[Block]], thread: int) -> None:
        """Enter in this thread, or in one of the workers."""
        blocks = way(self.timer)
        self._begun(
            self._run_in(thread, lambda: next(blocks)),
            lambda ended_in: self._run_in(ended_in, lambda: next(blocks, None)),
        )

    @rule(way=st.sampled_from(TASKS))
    def enter_in_task(self, way: Callable[..., Any]) -> None:
        """Enter in a task of an event loop, which this thread runs."""

        async def start() -> tuple[Block, asyncio.Event, asyncio.Task[None]]:
            go, blocks = asyncio.Event(), list[Block]()
            task = asyncio.ensure_future(way(self.timer, go, blocks))
            while not blocks:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            return blocks[0], go, task

        block, go, task = self.loop.run_until_complete(start())

        def end(_: int) -> None:
            go.set()
            self.loop.run_until_complete(task)

        self._begun(block, end)

    @rule(data=st.data(), seconds=st.integers(1, 9), thread=st.integers(0, 2))
    @precondition(lambda self: self.ends)
    def end_one(self, data: st.DataObject, seconds: int, thread: int) -> None:
        """End any open block in any thread, after some time."""
        number = data.draw(st.sampled_from(sorted(self.ends)))
        self.timing.pass_(seconds)
        self.ends.pop(number)(thread)
        took = self.timing.clock.now - self.began[number]
        self.expected[f"n={number}"] = [1, took, took]

    def teardown(self) -> None:
        """End the blocks that are left, and compare."""
        self.timing.pass_(1)
        for number, end in self.ends.items():
            end(2)
            took = self.timing.clock.now - self.began[number]
            self.expected[f"n={number}"] = [1, took, took]
        self.loop.close()
        for worker in self.workers:
            worker.shutdown()
        assert self.timing.took() == self.expected
        assert self.timing.recorder.registry.invalid_values.total() == {}


TestInterleaved = Interleaved.TestCase
TestInterleaved.settings = settings(max_examples=60, stateful_step_count=25)


# -- single cases ----------------------------------------------------------------------


def test_inside_itself(timing: Timing) -> None:
    """A timer can be entered inside its own block, in the same frame and in another."""
    timer = timing.timer()

    def inner() -> None:
        with timer:
            timing.pass_(1)

    with timer as outer:
        with timer as middle:
            inner()
            timing.pass_(1)
        middle.set(late=1)
        timing.pass_(1)
    assert (outer.elapsed, middle.elapsed) == (3, 2)
    assert timing.took() == {"": [3, 1, 3]}


def in_order(timing: Timing, *works: Callable[[Callable[[], None]], object]) -> None:
    """Run each of *works* in a thread; each pauses inside, and the first ends last."""
    inside = [threading.Event() for _ in works]
    leave = [threading.Event() for _ in works]

    def run(number: int) -> None:
        def pause() -> None:
            inside[number].set()
            assert leave[number].wait(30)

        works[number](pause)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(works))]
    for number, thread in enumerate(threads):
        thread.start()
        assert inside[number].wait(30)
    for number in reversed(range(len(works))):
        timing.pass_(1)
        leave[number].set()
        threads[number].join(30)


def test_async_generator_closed_in_another_task(timing: Timing) -> None:
    """An asynchronous generator that another task closes ends its own block."""
    timer = timing.timer()

    async def items(number: int) -> AsyncIterator[int]:
        async with timer as block:
            block.set(n=number)
            yield number

    async def run() -> None:
        generators = [items(0), items(1)]
        for each in generators:
            await anext(each)
            timing.pass_(1)
        for each in generators:
            await asyncio.create_task(each.aclose())  # type: ignore[attr-defined]
            timing.pass_(1)

    asyncio.run(run())
    assert timing.took() == {"n=0": [1, 2, 2], "n=1": [1, 2, 2]}


@pytest.mark.usefixtures("switch_often")
@pytest.mark.parametrize("threads", [2, 8])
def test_threads_that_switch_often(threads: int) -> None:
    """Threads with very short blocks of one timer each end their own."""
    recorder = Recorder()
    timer = recorder.meter.timed("t")

    def work(number: int) -> None:
        for _ in range(200):
            with timer as t:
                t.set(number=number)
            with timer as t, timer as u:
                t.set(number=number)
                u.set(number=number)
            with ExitStack() as stack:
                stack.enter_context(timer).set(number=number)

    in_threads(threads, work)
    counts = {dims: payload[3] for (_, dims), payload in recorder.payloads().items()}  # type: ignore[misc]
    assert counts == {frozenset({("number", str(n))}): 800 for n in range(threads)}
    assert recorder.registry.invalid_values.total() == {}


# -- by hand ----------------------------------------------------------------------------


def left_by_hand(timer: Timer) -> None:
    """Leave in a frame of its own."""
    timer.__exit__(None, None, None)


def entered_by_hand(timer: Timer) -> Block:
    """Enter in a frame that returns."""
    return timer.__enter__()


def test_by_hand(timing: Timing) -> None:
    """Code that calls the methods by hand ends its newest block, beside a statement."""
    timer = timing.timer()
    with timer as outer:
        outer.set(n="outer")
        for number in range(2):
            entered_by_hand(timer).set(n=number)
            timing.pass_(1)
        with timer as inner:
            inner.set(n="inner")
            left_by_hand(timer)
        left_by_hand(timer)
    assert {key: took[2] for key, took in timing.took().items()} == {
        "n=0": 2,
        "n=1": 1,
        "n=inner": 0,
        "n=outer": 2,
    }


def test_by_hand_in_threads(timing: Timing) -> None:
    """Code that calls the methods by hand ends a block of its own thread."""
    timer = timing.timer()

    def work(pause: Callable[[], None]) -> None:
        entered_by_hand(timer).set(thread=threading.current_thread().name)
        pause()
        left_by_hand(timer)

    in_order(timing, work, work, work)
    assert sorted(took[2] for took in timing.took().values()) == [1, 2, 3]


def test_by_hand_in_tasks(timing: Timing) -> None:
    """Code that calls the methods by hand ends a block of its own task."""
    timer = timing.timer()

    async def task(number: int) -> None:
        entered_by_hand(timer).set(n=number)
        for _ in range(4 - number):
            await asyncio.sleep(0)
        timing.pass_(1)
        left_by_hand(timer)

    async def run() -> None:
        await asyncio.gather(*(task(n) for n in range(3)))

    asyncio.run(run())
    assert timing.took() == {f"n={n}": [1, 3 - n, 3 - n] for n in range(3)}


def test_popped_stacks(timing: Timing) -> None:
    """A stack that pop_all() made ends the block that the first stack entered."""
    timer = timing.timer()

    async def task(number: object, *, turns: int) -> None:
        async with AsyncExitStack() as stack:
            stack.enter_context(timer).set(n=number)
            popped = stack.pop_all()
        for _ in range(turns):
            await asyncio.sleep(0)
        timing.pass_(1)
        await popped.aclose()

    async def run() -> None:
        await asyncio.gather(*(task(n, turns=4 - n) for n in range(3)))

    asyncio.run(run())
    assert timing.took() == {f"n={n}": [1, 3 - n, 3 - n] for n in range(3)}


def test_looked_up_and_not_called(timing: Timing) -> None:
    """Looking at the methods of a timer changes no block of it."""
    timer = timing.timer()
    assert hasattr(timer, "__exit__")
    with timer as outer:
        assert hasattr(timer, "__exit__")
        assert hasattr(Timer, "__aexit__")
        with timer as inner:
            timing.pass_(1)
        timing.pass_(1)
    assert (outer.elapsed, inner.elapsed) == (2, 1)


def test_entered_by_a_signal_handler_between(timing: Timing) -> None:
    """A block that is timed between the look-up and the entry leaves both right."""
    timer = timing.timer()
    leave = type(timer).__dict__["__exit__"].__get__(timer, type(timer))
    with timer as handler:
        handler.set(by="handler")
        timing.pass_(1)
    timer.__enter__().set(by="statement")
    timing.pass_(2)
    leave(None, None, None)
    assert timing.took() == {"by=handler": [1, 1, 1], "by=statement": [1, 2, 2]}


def test_left_without_being_entered(timing: Timing) -> None:
    """An exit without an enter ends no block of another thread, and is counted."""
    timer = timing.timer()
    left_by_hand(timer)

    async def leave() -> None:
        await timer.__aexit__(None, None, None)

    def work(pause: Callable[[], None]) -> None:
        with timer:
            pause()

    def stray(pause: Callable[[], None]) -> None:
        left_by_hand(timer)
        pause()

    asyncio.run(leave())
    in_order(timing, work, stray)
    assert timing.took() == {"": [1, 2, 2]}
    assert timing.recorder.registry.invalid_values.total() == {UNMATCHED: 3}
