from __future__ import annotations

import asyncio
import gc
import inspect
import sys
import threading
import traceback
import types
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._record.around import decorate
from dtmetrics._record.registry import Registry
from tests.timing import Clock, Timing


class Log:
    """A measure that writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.begun = 0

    def begin(self) -> float:
        self.begun += 1
        return float(self.begun)

    def end(self, token: Any, result: Any, args: Any, kwargs: Any) -> None:
        self.said.append((token, result, args, kwargs))

    def fail(self, token: Any, error: BaseException, args: Any, kwargs: Any) -> None:
        self.said.append((token, type(error), args, kwargs))


def around(target: Any, *, recording: bool = True, clock: Any = None) -> Any:
    """Return *target* with a log around it, and the log."""
    registry, log = Registry(), Log()
    registry.recording = recording
    return decorate(target, lambda _: log, registry, clock=clock), log


@pytest.fixture
def timing() -> Timing:
    return Timing()


@pytest.fixture(params=["total", "active"])
def clock(request: pytest.FixtureRequest) -> Clock | None:
    """Both ways to time a generator."""
    return Clock() if request.param == "active" else None


# -- functions and coroutines ------------------------------------------------------


def test_function_returns_and_is_told() -> None:
    """A call gives what it gave, and its measure gets result and arguments."""
    made, log = around(lambda a, b=0: a + b)
    assert made(1, b=2) == 3
    assert log.said == [(1.0, 3, (1,), {"b": 2})]


@pytest.mark.parametrize(
    "kind", [ValueError, KeyboardInterrupt, SystemExit, asyncio.CancelledError]
)
def test_function_that_fails(kind: type[BaseException]) -> None:
    """Whatever a call raises comes through as it is, and is told."""
    error = kind("x")

    def fails() -> None:
        raise error

    made, log = around(fails)
    with pytest.raises(kind) as raised:
        made()
    assert raised.value is error
    assert error.__context__ is None
    assert error.__cause__ is None
    assert log.said == [(1.0, kind, (), {})]


def test_wrong_arguments() -> None:
    """Wrong arguments are a TypeError that names the function, as before."""

    def takes_one(one: int) -> None: ...

    made, _ = around(takes_one)
    for call in (made, takes_one):
        with pytest.raises(TypeError, match=r"takes_one\(\) missing 1 required"):
            call()


def test_recursion_measures_each_call() -> None:
    """A call inside a call is another call."""

    def down(n: int) -> int:
        return 0 if n == 0 else made(n - 1)  # type: ignore[no-any-return]

    made, log = around(down)
    made(2)
    assert [(token, args) for token, _, args, _ in log.said] == [
        (3.0, (0,)),
        (2.0, (1,)),
        (1.0, (2,)),
    ]


def test_off_calls_go_straight_through() -> None:
    """Without recording no measure is asked, for no kind of callable."""

    def function() -> int:
        return 1

    async def coroutine() -> int:
        return 2

    def generator() -> Iterator[int]:
        yield 3

    async def agenerator() -> AsyncGenerator[int, None]:
        yield 4

    made, logs = zip(
        *(
            around(each, recording=False)
            for each in (function, coroutine, generator, agenerator)
        ),
        strict=True,
    )
    assert made[0]() == 1
    assert asyncio.run(made[1]()) == 2
    assert list(made[2]()) == [3]
    assert asyncio.run(collected(made[3]())) == [4]
    assert [log.begun for log in logs] == [0, 0, 0, 0]


async def collected(items: AsyncGenerator[Any, None]) -> list[Any]:
    return [item async for item in items]


def test_coroutine_is_measured_while_it_runs() -> None:
    """A coroutine begins with its first step, not with the call that makes it."""

    async def doubled(n: int) -> int:
        return 2 * n

    made, log = around(doubled)
    waiting = made(2)
    assert inspect.iscoroutine(waiting)
    assert log.begun == 0
    assert asyncio.run(waiting) == 4
    assert log.said == [(1.0, 4, (2,), {})]


def test_coroutine_that_is_cancelled() -> None:
    """Cancelling goes through to the coroutine, and is told like a failure."""
    cleaned = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    made, log = around(waits)

    async def main() -> None:
        task = asyncio.create_task(made())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert cleaned == [True]
    assert log.said == [(1.0, asyncio.CancelledError, (), {})]


async def forgotten() -> None: ...


class Forgotten:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize("target", [forgotten, Forgotten()], ids=["function", "object"])
def test_coroutine_that_is_not_awaited(target: Any) -> None:
    """The interpreter's warning names what the user wrote, once."""
    made, log = around(target)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made()
        gc.collect()
    assert len(caught) == 1
    name = getattr(target, "__qualname__", "Forgotten.__call__")
    assert f"{name!r} was never awaited" in str(caught[0].message)
    assert log.begun == 0


def test_interleaved_tasks(timing: Timing) -> None:
    """Tasks that take turns in one decorated coroutine are timed each by itself."""

    @timing.timer()
    async def work(gate: asyncio.Event) -> None:
        await gate.wait()

    async def main() -> None:
        first, second = asyncio.Event(), asyncio.Event()
        one = asyncio.create_task(work(first))
        await asyncio.sleep(0)
        timing.pass_(1)
        two = asyncio.create_task(work(second))
        await asyncio.sleep(0)
        timing.pass_(1)
        first.set()
        await one
        timing.pass_(4)
        second.set()
        await two

    asyncio.run(main())
    assert timing.took() == {"": [2, 2, 5]}


@pytest.mark.parametrize("workers", [8])
def test_threads_share_a_decorator(workers: int) -> None:
    """Threads inside one decorated function do not disturb one another."""
    log = Log()
    registry = Registry()
    registry.recording = True
    ends: list[tuple[float, Any]] = []
    log.begin = lambda: float(threading.get_ident())  # type: ignore[method-assign]
    log.end = lambda token, result, *_: ends.append((token, result))  # type: ignore[method-assign]
    together = threading.Barrier(workers)

    def work(depth: int) -> int:
        if depth:
            made(depth - 1)
        else:
            together.wait(10)
        return threading.get_ident()

    made = decorate(work, lambda _: log, registry)
    threads = [threading.Thread(target=made, args=(5,)) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(ends) == workers * 6
    assert all(token == result for token, result in ends)


def test_traceback_stays_readable() -> None:
    """A traceback gains one line for each decorator, and ends where it ended."""

    def fails() -> None:
        raise ValueError

    async def afails() -> None:
        raise ValueError

    for made in (around(fails)[0], lambda: asyncio.run(around(afails)[0]())):
        with pytest.raises(ValueError, match=r"^$") as raised:
            made()
        names = [each.name for each in traceback.extract_tb(raised.value.__traceback__)]
        assert names[-1] in ("fails", "afails")
        assert names.count("call") == 1


class Boom(Exception):
    """An error that can be watched."""


class Argument:
    """A thing that can be watched."""


async def _afail(argument: Argument) -> None:
    raise Boom


def _fail(argument: Argument) -> None:
    raise Boom


def _gfail(argument: Argument) -> Iterator[int]:
    yield 1
    raise Boom


def _gthrown(argument: Argument) -> Generator[int, None, None]:
    yield 1


async def _agfail(argument: Argument) -> AsyncGenerator[int, None]:
    yield 1
    raise Boom


async def _agthrown(argument: Argument) -> AsyncGenerator[int, None]:
    yield 1


async def _athrow(items: AsyncGenerator[int, None]) -> None:
    await items.__anext__()
    await items.athrow(Boom())


def _throw(items: Generator[int, None, None]) -> None:
    next(items)
    items.throw(Boom())


def _stepped(waiting: Coroutine[Any, Any, Any]) -> None:
    # Not in an event loop, which makes cycles of its own.
    waiting.send(None)


@pytest.mark.parametrize(
    ("target", "use"),
    [
        (_fail, lambda made, it: made(it)),
        (_afail, lambda made, it: _stepped(made(it))),
        (_gfail, lambda made, it: list(made(it))),
        (_gthrown, lambda made, it: _throw(made(it))),
        (_agfail, lambda made, it: _stepped(collected(made(it)))),
        (_agthrown, lambda made, it: _stepped(_athrow(made(it)))),
    ],
    ids=lambda each: getattr(each, "__name__", "").lstrip("_"),
)
def test_nothing_is_kept_alive(
    target: Any, use: Callable[[Any, Argument], Any], clock: Clock | None
) -> None:
    """After a failed call neither error nor arguments wait for the garbage collector."""
    timing = Timing()
    mode = "active" if clock else "total"
    made = timing.timer(args={"argument": id}, generator=mode)(target)
    argument = Argument()
    watched = [weakref.ref(argument)]
    gc.collect()
    gc.disable()
    try:
        try:
            use(made, argument)
        except Boom as error:
            watched.append(weakref.ref(error))
        del argument
        assert [ref() for ref in watched] == [None, None]
    finally:
        gc.enable()


# -- generators --------------------------------------------------------------------

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
    try:
        return "gave", call()
    except BaseException as error:
        return type(error), error.args, repr(error.__cause__), repr(error.__context__)


def operate(items: Generator[Any, Any, Any], what: str, value: Any) -> Any:
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
    yield "paused"


async def abody(script: Any, log: list[Any]) -> AsyncGenerator[Any, Any]:
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
