from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.call_recorder import around
from tests.support.timer_clock import Clock

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
