from __future__ import annotations

import asyncio
import gc
import inspect
import sys
import threading
import types
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timing import Clock, Timing
from tests.told import around


@pytest.fixture
def timing() -> Timing:
    """Return timers by a clock of their own."""
    return Timing()


@pytest.fixture(params=["total", "active"])
def clock(request: pytest.FixtureRequest) -> Clock | None:
    """Both ways to time a generator."""
    return Clock() if request.param == "active" else None


CAUGHT: list[Any] = [
    (),
    ValueError,
    GeneratorExit,
    (ValueError, GeneratorExit, asyncio.CancelledError),
]
steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["yield", "yield", "yield", "pause", "raise", "stop", "return"]
        ),
        st.integers(0, 9),
        st.sampled_from(CAUGHT),
    ),
    max_size=6,
)
operations = st.lists(
    st.one_of(
        st.just(("next", None)),
        st.just(("next", None)),
        st.tuples(st.just("send"), st.sampled_from([None, "a"])),
        st.tuples(
            st.just("throw"),
            st.sampled_from(
                [ValueError, GeneratorExit, StopIteration, StopAsyncIteration]
            ),
        ),
        st.just(("close", None)),
        st.just(("cancel", None)),
    ),
    max_size=8,
)


def body(script: Any, log: list[Any]) -> Generator[Any, Any, Any]:
    """Do what *script* says, and log what comes in."""
    for kind, value, caught in script:
        if kind == "return":
            return value
        if kind == "raise":
            raise LookupError(value)
        if kind == "stop":
            raise StopIteration(value)
        try:
            log.append((yield value))
        except caught as error:
            log.append(repr(error))
    return "end"


def outcome(call: Callable[[], Any]) -> Any:
    """Return what *call* gives or raises."""
    try:
        return "gave", call()
    except BaseException as error:
        return type(error), error.args, repr(error.__cause__), repr(error.__context__)


def operate(items: Generator[Any, Any, Any], what: str, value: Any) -> Any:
    """Do one thing to a generator; return what came of it."""
    if what == "send":
        return outcome(lambda: items.send(value))
    if what == "throw":
        return outcome(lambda: items.throw(value("thrown")))
    if what == "close":
        return outcome(items.close)
    return outcome(lambda: next(items))


@given(steps, operations, st.booleans())
def test_generator_is_the_bare_one(script: Any, todo: Any, active: bool) -> None:
    """Whatever is sent, thrown, caught and closed: no difference to be seen."""
    made, log = around(body, clock=Clock() if active else None)
    ours: list[Any] = []
    theirs: list[Any] = []
    items, bare = made(script, ours), body(script, theirs)
    for what, value in todo:
        assert operate(items, what, value) == operate(bare, what, value)
        assert ours == theirs
        assert inspect.getgeneratorstate(items) == inspect.getgeneratorstate(bare)
    for _ in range(len(script) + 1):
        assert outcome(items.close) == outcome(bare.close)
    assert len(log.said) == log.begun


@types.coroutine
def pause() -> Generator[str, None, None]:
    """Wait, in a coroutine, for whoever drives it."""
    yield "paused"


async def abody(script: Any, log: list[Any]) -> AsyncGenerator[Any, Any]:
    """Do what *script* says, step by step, and log what comes in."""
    closing: Any = GeneratorExit  # is refused once, or nothing would ever end it
    for kind, value, caught in script:
        if kind == "return":
            return
        if kind == "raise":
            raise LookupError(value)
        if kind == "stop":
            raise StopAsyncIteration(value)
        try:
            if kind == "pause":
                await pause()
            else:
                log.append((yield value))
        except closing as error:
            if GeneratorExit not in (caught if isinstance(caught, tuple) else [caught]):
                raise
            log.append(repr(error))
            closing = ()
        except caught as error:
            if isinstance(error, GeneratorExit):
                raise
            log.append(repr(error))


def stepped(waiting: Any, *, cancel: bool) -> Any:
    """Await to the end; or cancel in the first pause."""
    steps = waiting.__await__()
    try:
        assert next(steps) == "paused"
        if cancel:
            assert steps.throw(asyncio.CancelledError("c")) == "paused"
        while True:
            assert next(steps) == "paused"
    except StopIteration as stop:
        return stop.value


def aoperate(items: AsyncGenerator[Any, Any], what: str, value: Any) -> Any:
    """Do one thing to an asynchronous generator; return what came of it."""
    waiting: Any
    if what == "send":
        waiting = items.asend(value)
    elif what == "throw":
        waiting = items.athrow(value("thrown"))
    elif what == "close":
        waiting = items.aclose()
    else:
        waiting = items.__anext__()
    return outcome(lambda: stepped(waiting, cancel=what == "cancel"))


@given(steps, operations, st.booleans())
def test_async_generator_is_the_bare_one(script: Any, todo: Any, active: bool) -> None:
    """Whatever is sent, thrown, cancelled and closed: no difference to be seen."""
    made, log = around(abody, clock=Clock() if active else None)
    ours: list[Any] = []
    theirs: list[Any] = []
    items, bare = made(script, ours), abody(script, theirs)
    todo = [*todo, *[("close", None)] * (len(script) + 1)]
    for what, value in todo:
        assert aoperate(items, what, value) == aoperate(bare, what, value)
        assert ours == theirs
        assert items.ag_running == bare.ag_running
    del items  # one that refused to be closed cannot be resumed, but still ends
    assert len(log.said) == log.begun


def test_generator_ends() -> None:
    """A generator is told once: its return value, or its failure."""

    def two(fail: bool) -> Generator[int, None, str]:
        yield 1
        if fail:
            raise LookupError
        return "done"

    made, log = around(two)
    assert list(made(fail=False)) == [1]
    with pytest.raises(LookupError):
        list(made(fail=True))
    assert [result for _, result, _, _ in log.said] == ["done", LookupError]


def test_generator_never_started(clock: Clock | None) -> None:
    """A generator that nobody asked for an item is not measured."""

    def items() -> Iterator[int]:
        yield 1

    async def aitems() -> AsyncGenerator[int, None]:
        yield 1

    made, log = around(items, clock=clock)
    made().close()
    made()
    amade, alog = around(aitems, clock=clock)
    asyncio.run(amade().aclose())
    amade()
    gc.collect()
    assert log.begun == alog.begun == 0


def test_generator_given_up(clock: Clock | None) -> None:
    """Who iterates may have had enough: closed or dropped, it has not failed."""

    def items() -> Iterator[int]:
        yield 1
        yield 2

    made, log = around(items, clock=clock)
    closed = made()
    next(closed)
    closed.close()
    next(made())
    gc.collect()
    assert [result for _, result, _, _ in log.said] == [None, None]


def test_generator_times(timing: Timing) -> None:
    """By "total" a generator lasts from first to last step, by "active" inside it."""

    def items() -> Iterator[int]:
        timing.pass_(1)
        yield 1
        timing.pass_(2)

    for mode in ("total", "active"):
        for _ in timing.timer(generator=mode)(items)():
            timing.pass_(10)
        assert timing.took() == {"": [1, 13, 13] if mode == "total" else [1, 3, 3]}


def test_active_time_of_a_generator_that_is_closed(timing: Timing) -> None:
    """Time outside is not counted either before a throw or a close."""

    def items() -> Iterator[int]:
        try:
            timing.pass_(1)
            yield 1
        except LookupError:
            timing.pass_(2)
            yield 2
        finally:
            timing.pass_(4)

    going = timing.timer(generator="active")(items)()
    next(going)
    timing.pass_(10)
    going.throw(LookupError)  # type: ignore[attr-defined]
    timing.pass_(10)
    going.close()  # type: ignore[attr-defined]
    assert timing.took() == {"": [1, 7, 7]}


def test_async_generator_times(timing: Timing) -> None:
    """The same holds for asynchronous generators."""

    async def items() -> AsyncGenerator[int, None]:
        timing.pass_(1)
        yield 1
        timing.pass_(2)

    async def consume(made: Callable[[], AsyncGenerator[int, None]]) -> None:
        async for _ in made():
            timing.pass_(10)

    for mode in ("total", "active"):
        asyncio.run(consume(timing.timer(generator=mode)(items)))
        assert timing.took() == {"": [1, 13, 13] if mode == "total" else [1, 3, 3]}


def test_generators_interleaved_between_threads(timing: Timing) -> None:
    """Generators of one function may be advanced in turn, by any thread."""

    @timing.timer()
    def items(n: int) -> Iterator[int]:
        yield from range(n)

    def in_thread(call: Callable[[], Any]) -> None:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join(10)

    one, two = items(1), items(1)
    in_thread(lambda: next(one))
    timing.pass_(1)
    next(two)
    timing.pass_(1)
    in_thread(lambda: list(one))
    timing.pass_(4)
    in_thread(lambda: list(two))
    assert timing.took() == {"": [2, 2, 5]}


def test_generator_keeps_its_name(clock: Clock | None) -> None:
    """A generator has the name of its function."""

    def items() -> Iterator[int]:
        yield 1

    async def aitems() -> AsyncGenerator[int, None]:
        yield 1

    made = around(items, clock=clock)[0]()
    amade = around(aitems, clock=clock)[0]()
    assert (made.__name__, made.__qualname__) == (items.__name__, items.__qualname__)
    assert amade.__qualname__ == aitems.__qualname__
    assert isinstance(made, types.GeneratorType)
    assert inspect.isasyncgen(amade)


def test_generator_based_coroutine(clock: Clock | None) -> None:
    """What types.coroutine made awaitable stays so; other generators do not get it."""

    @types.coroutine
    def waits(n: int) -> Generator[None, None, int]:
        yield
        return n

    made, log = around(waits, clock=clock)

    async def main() -> int:
        return await made(3)  # type: ignore[no-any-return]

    assert asyncio.run(main()) == 3
    assert log.said == [(1.0, 3, (3,), {})]
    assert inspect.isawaitable(made(1))
    assert not inspect.isawaitable(around(body)[0]((), []))


def test_async_generator_left_to_the_event_loop(
    clock: Clock | None, capfd: pytest.CaptureFixture[str]
) -> None:
    """The loop closes what was left open without complaint, as before."""
    cleaned = []

    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    made, log = around(items, clock=clock)
    kept = []

    async def main(keep: bool) -> None:
        going = made()
        async for _ in going:
            break
        if keep:
            kept.append(going)
        del going
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(main(keep=True))
    asyncio.run(main(keep=False))
    assert cleaned == [True, True]
    assert [result for _, result, _, _ in log.said] == [None, None]
    assert capfd.readouterr().err == ""
    assert sys.get_asyncgen_hooks() == (None, None)
