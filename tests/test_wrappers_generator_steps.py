from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.call_recorder import logged
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


def scripted(script: Any, log: list[Any]) -> Generator[Any, Any, Any]:
    """Run *script*, and log what is sent and caught."""
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
    """Return what *call* returns or raises."""
    try:
        return "returned", call()
    except BaseException as error:
        return type(error), error.args, repr(error.__cause__), repr(error.__context__)


def operate(items: Generator[Any, Any, Any], name: str, value: Any) -> Any:
    """Do one operation on a generator; return its outcome."""
    if name == "send":
        return outcome(lambda: items.send(value))
    if name == "throw":
        return outcome(lambda: items.throw(value("thrown")))
    if name == "close":
        return outcome(items.close)
    return outcome(lambda: next(items))


@given(steps, operations, st.booleans())
def test_generator_behaves_as_undecorated(script: Any, todo: Any, active: bool) -> None:
    """Any sequence of send, throw and close has the outcome of the undecorated one."""
    decorated, log = logged(scripted, clock=Clock() if active else None)
    decorated_log: list[Any] = []
    plain_log: list[Any] = []
    items, plain = decorated(script, decorated_log), scripted(script, plain_log)
    for name, value in todo:
        assert operate(items, name, value) == operate(plain, name, value)
        assert decorated_log == plain_log
        assert inspect.getgeneratorstate(items) == inspect.getgeneratorstate(plain)
    for _ in range(len(script) + 1):
        assert outcome(items.close) == outcome(plain.close)
    assert len(log.ended) == log.begun


@types.coroutine
def pause() -> Generator[str, None, None]:
    """Suspend the coroutine that awaits it, once."""
    yield "paused"


async def ascripted(script: Any, log: list[Any]) -> AsyncGenerator[Any, Any]:
    """Run *script*, and log what is sent and caught."""
    closing: Any = GeneratorExit  # ignored once: otherwise it would never end
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
    """Await to the end, or cancel in the first pause."""
    steps = waiting.__await__()
    try:
        assert next(steps) == "paused"
        if cancel:
            assert steps.throw(asyncio.CancelledError("c")) == "paused"
        while True:
            assert next(steps) == "paused"
    except StopIteration as stop:
        return stop.value


def aoperate(items: AsyncGenerator[Any, Any], name: str, value: Any) -> Any:
    """Do one operation on an asynchronous generator; return its outcome."""
    waiting: Any
    if name == "send":
        waiting = items.asend(value)
    elif name == "throw":
        waiting = items.athrow(value("thrown"))
    elif name == "close":
        waiting = items.aclose()
    else:
        waiting = items.__anext__()
    return outcome(lambda: stepped(waiting, cancel=name == "cancel"))


@given(steps, operations, st.booleans())
def test_async_generator_behaves_as_undecorated(
    script: Any, todo: Any, active: bool
) -> None:
    """Any sequence of send, throw, cancel and close has the undecorated outcome."""
    decorated, log = logged(ascripted, clock=Clock() if active else None)
    decorated_log: list[Any] = []
    plain_log: list[Any] = []
    items, plain = decorated(script, decorated_log), ascripted(script, plain_log)
    todo = [*todo, *[("close", None)] * (len(script) + 1)]
    for name, value in todo:
        assert aoperate(items, name, value) == aoperate(plain, name, value)
        assert decorated_log == plain_log
        assert items.ag_running == plain.ag_running
    del items  # a generator that ignored a close cannot be resumed, but still ends
    assert len(log.ended) == log.begun
