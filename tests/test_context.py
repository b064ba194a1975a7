"""The dimensions of the running context, and the fast path without them."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import inspect
import os
import threading
import weakref
from collections import Counter as Tally
from collections.abc import AsyncIterator, Iterator
from threading import Barrier
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from dtmetrics._record import context as context_module
from dtmetrics._record.context import CONTEXT, any_in_use
from dtmetrics._record.dimensions import NO_TEXT
from tests.support.caller_values import Raises
from tests.support.raising_signal import steps_of
from tests.support.recorder import Recorder, dimensions_of
from tests.support.thread_load import in_threads

counts_references = pytest.mark.skipif(
    context_module.references_of_scopes is context_module._never_fewer,
    reason="this interpreter does not count references exactly",
)


@pytest.fixture
def unused() -> None:
    """Begin without contexts that earlier tests left to the garbage collector."""
    gc.collect()
    assert not any_in_use()


def is_fast(instrument: Any) -> bool:
    """Whether a record of *instrument* reads no context."""
    return instrument._series.buffer is not None


def test_context(recorder: Recorder) -> None:
    """The dimensions of a context are added to all that is recorded inside."""
    counter = recorder.meter.counter("c")
    counter.inc()
    with recorder.registry.context(tenant="acme", self=1):
        counter.inc(2)
        with recorder.registry.context(tenant=None, user="u"):
            counter.inc(3)
        counter.inc(4, tenant="own")
    counter.inc(5)
    assert recorder.lines() == [
        "c count,delta=6",
        "c,self=1,tenant=acme count,delta=2",
        "c,self=1,tenant=own count,delta=4",
        "c,self=1,user=u count,delta=3",
    ]


def test_context_precedence() -> None:
    """Call wins over bound, context, meter and default dimensions, in this order."""
    layers = ["default", "meter", "context", "bound", "call"]
    recorder = Recorder(dimensions={f"d{i}": "default" for i in range(5)})

    def of(layer: int) -> dict[str, str]:
        return {f"d{i}": layers[layer] for i in range(layer, 5)}

    meter = recorder.meters.get("m").bind(**of(1))
    defined = meter.counter("c", dimensions={"d3": "definition", "d9": "definition"})
    counter = defined.bind(**of(3))
    with recorder.registry.context(**of(2)):
        counter.inc(1, **of(4))
    [point] = recorder.points()
    wanted = {f"d{i}": layer for i, layer in enumerate(layers)}
    assert dimensions_of(point) == {**wanted, "d9": "definition"}


def test_context_in_threads(recorder: Recorder) -> None:
    """Each thread has its own context."""
    counter = recorder.meter.counter("c")
    barrier = Barrier(4)

    def work(number: int) -> None:
        with recorder.registry.context(thread=f"t{number}"):
            barrier.wait(30)
            counter.inc()
            barrier.wait(30)

    in_threads(4, work)
    assert recorder.lines() == [f"c,thread=t{i} count,delta=1" for i in range(4)]


def test_context_in_tasks(recorder: Recorder) -> None:
    """Each of interleaved tasks has its own context."""
    counter = recorder.meter.counter("c")

    async def work(name: str) -> None:
        with recorder.registry.context(task=name):
            for _ in range(3):
                await asyncio.sleep(0)
                counter.inc()

    async def main() -> None:
        await asyncio.gather(*(work(f"t{i}") for i in range(3)))
        counter.inc()

    asyncio.run(main())
    assert recorder.lines() == [
        "c count,delta=1",
        *(f"c,task=t{i} count,delta=3" for i in range(3)),
    ]


def test_context_ended_elsewhere(recorder: Recorder) -> None:
    """An asynchronous generator that is closed in another context raises nothing."""
    counter = recorder.meter.counter("c")

    async def numbers() -> AsyncIterator[int]:
        with recorder.registry.context(inside=True):
            counter.inc()
            yield 1

    async def main() -> None:
        generator = numbers()
        await asyncio.create_task(generator.__anext__())  # type: ignore[arg-type]
        counter.inc()
        await generator.aclose()  # type: ignore[attr-defined]
        counter.inc()

    asyncio.run(main())
    assert recorder.lines() == ["c count,delta=2", "c,inside=true count,delta=1"]


def test_context_survives_an_error(recorder: Recorder) -> None:
    """A context ends with its block, also if the block raises."""
    with pytest.raises(KeyError), recorder.registry.context(a=1):
        raise KeyError
    assert CONTEXT.get()[0].pairs == ()


@pytest.mark.parametrize("value", [Raises(), lambda: "2", ValueError], ids=range(3))
def test_context_of_hostile_values(recorder: Recorder, value: Any) -> None:
    """A value without text is invalid, makes no dimension, and the outer one is kept."""
    with recorder.registry.context(a="1"), recorder.registry.context(a=value, b=2):
        recorder.meter.counter("c").inc()
    assert recorder.lines() == ["c,a=1,b=2 count,delta=1"]
    assert recorder.registry.invalid_values.total() == {NO_TEXT: 1}


def test_context_keeps_little(recorder: Recorder) -> None:
    """A context keeps no object of a caller, and cuts long texts."""

    class Text:
        def __str__(self) -> str:
            return "x" * 1_000_000

    text = Text()
    freed = weakref.ref(text)
    with recorder.registry.context(**{"text": text, "k" * 1_000_000: "x" * 1_000_000}):
        recorder.meter.counter("c").inc()
        assert max(len(part) for pair in CONTEXT.get()[0].pairs for part in pair) <= 250
    del text
    gc.collect()
    assert freed() is None
    [point] = recorder.points()
    assert dimensions_of(point) == {"k" * 100: "x" * 250, "text": "x" * 250}


# -- the fast path -----------------------------------------------------------------


@counts_references
def test_fast_again_after_a_context(unused: None, recorder: Recorder) -> None:
    """Records read no context before the first block and after the last one."""
    counter = recorder.meter.counter("c")
    counter.inc()
    assert is_fast(counter)
    with recorder.registry.context(a=1):
        counter.inc()
        assert not is_fast(counter)
        with recorder.registry.context(b=2):
            pass
        counter.inc()
        assert not is_fast(counter)
    counter.inc()
    assert is_fast(counter)


@counts_references
def test_a_task_outlives_the_block(unused: None, recorder: Recorder) -> None:
    """A task that was made in a block keeps its dimensions after the block has ended."""
    counter = recorder.meter.counter("c")

    async def main() -> None:
        go = asyncio.Event()

        async def work() -> None:
            await go.wait()
            counter.inc()

        with recorder.registry.context(tenant="acme"):
            task = asyncio.create_task(work())
        counter.inc(2)
        await asyncio.sleep(0)
        counter.inc(2)
        assert any_in_use()
        go.set()
        await task

    counter.inc(2)
    asyncio.run(main())
    assert recorder.lines() == ["c count,delta=6", "c,tenant=acme count,delta=1"]
    gc.collect()
    assert not any_in_use()


@counts_references
def test_a_copied_context_keeps_contexts_in_use(
    unused: None, recorder: Recorder
) -> None:
    """While a copy of a context exists, records read their context."""
    counter = recorder.meter.counter("c")
    with recorder.registry.context(a=1):
        copied = contextvars.copy_context()
    counter.inc()
    assert not is_fast(counter)
    copied.run(counter.inc)
    del copied
    with recorder.registry.context():
        pass
    counter.inc()
    assert is_fast(counter)
    assert recorder.lines() == ["c count,delta=2", "c,a=1 count,delta=1"]


def test_removed_series_are_not_kept(recorder: Recorder) -> None:
    """Setting and removing gauges again and again keeps no removed series."""
    gauge = recorder.meter.gauge("g")
    for number in range(5_000):
        gauge.set(1, item=number % 50)
        gauge.remove(item=number % 50)
    assert len(recorder.registry.fast) <= 1_001


# -- blocks ------------------------------------------------------------------------


def test_blocks_end_in_another_order(recorder: Recorder) -> None:
    """Blocks of two generators may end in the order in which they began."""
    counter = recorder.meter.counter("c")

    def generator(**dimensions: str) -> Iterator[None]:
        with recorder.registry.context(**dimensions):
            yield
            yield

    first, second = generator(a="1"), generator(b="2")
    next(first)
    next(second)
    first.close()
    counter.inc()
    second.close()
    counter.inc()
    assert recorder.lines() == ["c count,delta=1", "c,b=2 count,delta=1"]


def test_one_block_for_threads_and_nested(recorder: Recorder) -> None:
    """One block may be entered by several threads, and again inside itself."""
    block = recorder.registry.context(shared="yes")
    counter = recorder.meter.counter("c")
    barrier = Barrier(4)

    def work(_: int) -> None:
        with block:
            barrier.wait(30)
            with block:
                counter.inc()
            counter.inc()
            barrier.wait(30)
        counter.inc()

    in_threads(4, work)
    assert recorder.lines() == ["c count,delta=4", "c,shared=yes count,delta=8"]


def test_async_block(recorder: Recorder) -> None:
    """``async with`` adds dimensions as ``with`` does."""
    counter = recorder.meter.counter("c")

    async def main() -> None:
        async with recorder.registry.context(a=1):
            await asyncio.sleep(0)
            counter.inc()
        counter.inc()

    asyncio.run(main())
    assert recorder.lines() == ["c count,delta=1", "c,a=1 count,delta=1"]


# -- decorators --------------------------------------------------------------------


def drain(made: Any) -> None:
    """Run what a decorated callable returned to its end."""
    if inspect.iscoroutine(made):
        asyncio.run(made)
    elif inspect.isasyncgen(made):

        async def consume() -> None:
            async for _ in made:
                pass

        asyncio.run(consume())
    elif made is not None:
        list(made)


@pytest.mark.parametrize(
    "kind", ["function", "coroutine", "generator", "async generator", "partial"]
)
def test_decorator(recorder: Recorder, kind: str) -> None:
    """As a decorator a block surrounds what a callable of any kind records."""
    counter = recorder.meter.counter("c")

    def function() -> None:
        counter.inc()

    async def coroutine() -> None:
        await asyncio.sleep(0)
        counter.inc()

    def generator() -> Iterator[int]:
        counter.inc()
        yield 1
        counter.inc(0)

    async def async_generator() -> AsyncIterator[int]:
        await asyncio.sleep(0)
        counter.inc()
        yield 1
        await asyncio.sleep(0)

    kinds: dict[str, Any] = {
        "function": function,
        "coroutine": coroutine,
        "generator": generator,
        "async generator": async_generator,
        "partial": functools.partial(function),
    }
    decorated = recorder.registry.context(tenant="acme")(kinds[kind])
    assert inspect.iscoroutinefunction(decorated) == (kind == "coroutine")
    assert inspect.isasyncgenfunction(decorated) == (kind == "async generator")
    drain(decorated())
    drain(decorated())
    counter.inc()
    assert recorder.lines() == ["c count,delta=1", "c,tenant=acme count,delta=2"]


def test_suspended_generators_leave_the_context(recorder: Recorder) -> None:
    """While a decorated generator is suspended, its consumer has no dimension of it."""
    counter = recorder.meter.counter("c")

    @recorder.registry.context(inside="yes")
    def generator() -> Iterator[int]:
        for number in range(3):
            counter.inc()
            yield number

    for _ in zip(generator(), generator(), strict=True):
        counter.inc()
    assert recorder.lines() == ["c count,delta=3", "c,inside=yes count,delta=6"]
    assert CONTEXT.get()[0].pairs == ()


def test_decorated_class(recorder: Recorder) -> None:
    """On a class the dimensions surround each public method."""
    counter = recorder.meter.counter("c")

    @recorder.registry.context(tenant="acme")
    class Work:
        def run(self) -> None:
            counter.inc()

    Work().run()
    assert recorder.lines() == ["c,tenant=acme count,delta=1"]


def test_decorated_call_raises(recorder: Recorder) -> None:
    """The dimensions end with a call that raises."""

    @recorder.registry.context(tenant="acme")
    def fails() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert CONTEXT.get()[0].pairs == ()


# -- against an oracle -------------------------------------------------------------

names = st.sampled_from("ab")
values = st.sampled_from(["1", "2", None])


class Contexts(RuleBasedStateMachine):
    """Blocks, copies of contexts and records, in any order, beside plain dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.recorder = Recorder()
        self.kept = self.recorder.meter.counter("c")
        # Of each context: the open blocks, and the dimensions that they make.
        self.contexts: list[tuple[contextvars.Context, list[Any], list[dict[str, Any]]]]
        self.contexts = [(contextvars.Context(), [], [])]
        self.expected: Tally[frozenset[tuple[str, str]]] = Tally()

    @rule(index=st.integers(0, 3), name=names, value=values)
    def enter(self, index: int, name: str, value: Any) -> None:
        """Enter a block in one of the contexts."""
        context, blocks, layers = self.contexts[index % len(self.contexts)]
        block = self.recorder.registry.context(**{name: value})
        context.run(block.__enter__)
        blocks.append(block)
        layers.append({name: value})

    @rule(index=st.integers(0, 3), which=st.integers(0, 5))
    def leave(self, index: int, which: int) -> None:
        """Leave any open block of a context."""
        context, blocks, layers = self.contexts[index % len(self.contexts)]
        if blocks:
            which %= len(blocks)
            context.run(blocks.pop(which).__exit__)
            layers.pop(which)

    @rule(index=st.integers(0, 3))
    def copy(self, index: int) -> None:
        """Copy a context, as a task does."""
        context, blocks, layers = self.contexts[index % len(self.contexts)]
        copied = context.run(contextvars.copy_context)
        self.contexts.append((copied, blocks.copy(), layers.copy()))
        del self.contexts[:-4]

    @rule(index=st.integers(0, 3), own=st.sampled_from([{}, {"a": "3"}, {"c": "3"}]))
    def record(self, index: int, own: dict[str, str]) -> None:
        """Record in a context, by a kept counter."""
        context, _, layers = self.contexts[index % len(self.contexts)]
        context.run(self.kept.inc, **own)
        merged: dict[str, Any] = {}
        for layer in [*layers, own]:
            merged |= layer
        self.expected[frozenset((k, v) for k, v in merged.items() if v)] += 1

    def teardown(self) -> None:
        """Compare with what is collected."""
        found = {
            dimensions: payload[0]
            for (_, dimensions), payload in self.recorder.payloads().items()
        }
        assert found == self.expected
        self.contexts.clear()


TestContexts = Contexts.TestCase
TestContexts.settings = settings(max_examples=60, stateful_step_count=30)


def test_threads_open_and_close(switch_often: None, recorder: Recorder) -> None:
    """However threads open and close contexts, each value has the dimensions of its own."""
    counter = recorder.meter.counter("c")
    rounds = 2_000

    def work(number: int) -> None:
        for turn in range(rounds):
            if number % 2 and turn % 3:
                with recorder.registry.context(thread=number):
                    counter.inc()
            else:
                counter.inc(1, outside=number)

    in_threads(4, work)
    inside = sum(1 for turn in range(rounds) if turn % 3)
    assert recorder.lines() == sorted(
        [
            f"c,outside=0 count,delta={rounds}",
            f"c,outside=1 count,delta={rounds - inside}",
            f"c,outside=2 count,delta={rounds}",
            f"c,outside=3 count,delta={rounds - inside}",
            f"c,thread=1 count,delta={inside}",
            f"c,thread=3 count,delta={inside}",
        ]
    )


RECORD = os.path.dirname(context_module.__file__)


def test_handler_with_a_context_at_every_point() -> None:
    """A handler may open a context and record at any point of records and blocks."""
    number = 0
    more = True
    while more:
        number += 1
        recorder = Recorder()
        counter = recorder.meter.counter("c")

        def handler(recorder: Recorder = recorder, counter: Any = counter) -> None:
            with recorder.registry.context(handler="yes"):
                counter.inc()
            counter.inc(1, after="yes")

        def work(recorder: Recorder = recorder, counter: Any = counter) -> None:
            counter.inc()
            with recorder.registry.context(main="yes"):
                counter.inc()
            counter.inc()
            counter.inc(1, own="yes")

        more = steps_of(work, number, RECORD, handler)
        with recorder.registry.context(late="yes"):
            counter.inc()
        totals: Tally[str] = Tally()
        for point in recorder.points():
            dimensions = dimensions_of(point)
            own = next(
                (
                    k
                    for k in ("handler", "after", "own", "late", "main")
                    if k in dimensions
                ),
                "",
            )
            totals[own] += point.payload[0]
        wanted = {"": 2, "main": 1, "own": 1, "late": 1}
        assert totals == (wanted | {"handler": 1, "after": 1} if more else wanted), (
            number
        )
    assert number > 50


def test_a_thread_inherits_nothing(recorder: Recorder) -> None:
    """A new thread begins without the dimensions of the one that starts it."""
    counter = recorder.meter.counter("c")
    with recorder.registry.context(a=1):
        thread = threading.Thread(target=contextvars.Context().run, args=(counter.inc,))
        thread.start()
        thread.join()
    assert recorder.lines() == ["c count,delta=1"]
