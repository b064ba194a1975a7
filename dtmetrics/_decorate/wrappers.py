"""What is called instead of a decorated callable: a function for each kind of it."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator
from types import FunctionType, coroutine
from typing import Any

from dtmetrics._decorate.hooks import Call, CallHook, Switch
from dtmetrics._decorate.proxy import is_awaitable_generator

__all__ = [
    "around_async_generator",
    "around_coroutine",
    "around_function",
    "around_generator",
]


def around_function(func: Call, measure: CallHook, switch: Switch) -> Call:
    """CallHook calls that return their result."""
    begin, end, fail = measure.begin, measure.end, measure.fail

    def call(*args: Any, **kwargs: Any) -> Any:
        if not switch.recording:
            return func(*args, **kwargs)
        token = begin()
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            fail(token, error, args, kwargs)
            raise
        end(token, result, args, kwargs)
        return result

    return call


def around_coroutine(func: Call, measure: CallHook, switch: Switch) -> Call:
    """CallHook calls whose result is awaited, from the first step to the last."""
    begin, end, fail = measure.begin, measure.end, measure.fail

    async def call(*args: Any, **kwargs: Any) -> Any:
        if not switch.recording:
            return await func(*args, **kwargs)
        token = begin()
        try:
            result = await func(*args, **kwargs)
        except BaseException as error:
            fail(token, error, args, kwargs)
            raise
        end(token, result, args, kwargs)
        return result

    return call


def around_generator(
    func: Call, measure: CallHook, switch: Switch, clock: Any | None
) -> Call:
    """CallHook generators, from the first step to the last."""
    drive: Any = _drive
    if is_awaitable_generator(func):
        drive = coroutine(FunctionType(_drive.__code__, globals()))

    def call(*args: Any, **kwargs: Any) -> Any:
        generator = func(*args, **kwargs)
        if not switch.recording:
            return generator
        driven = drive(clock, generator, measure, args, kwargs)
        driven.__name__ = generator.__name__
        driven.__qualname__ = generator.__qualname__
        return driven

    return call


def _drive(
    clock: Any | None, generator: Any, measure: CallHook, args: Any, kwargs: Any
) -> Generator[Any, Any, Any]:
    # By hand: `yield from` would make a close() of a GeneratorExit that is thrown in,
    # and would keep to itself what the generator returns to a close().
    token = measure.begin()
    resume, value = generator.send, None
    try:
        while True:
            yielded = resume(value)
            left = clock() if clock else 0.0
            try:
                value = yield yielded
                resume = generator.send
            except BaseException as error:  # noqa: BLE001 -- passed on, by throw()
                resume, value = generator.throw, error
            if clock:
                token += clock() - left
    except StopIteration as stop:
        measure.end(token, stop.value, args, kwargs)
        return stop.value
    except GeneratorExit:  # whoever iterates has had enough: no failure
        measure.end(token, None, args, kwargs)
        raise
    except BaseException as error:
        measure.fail(token, error, args, kwargs)
        raise
    finally:
        value = None  # an error that holds this frame must not be held by it


def around_async_generator(
    func: Call, measure: CallHook, switch: Switch, clock: Any | None
) -> Call:
    """CallHook asynchronous generators, from the first step to the last."""

    def call(*args: Any, **kwargs: Any) -> Any:
        generator = func(*args, **kwargs)
        if not switch.recording:
            return generator
        driven: Any = _drive_async(clock, generator, measure, args, kwargs)
        driven.__name__ = generator.__name__
        driven.__qualname__ = generator.__qualname__
        return driven

    return call


async def _drive_async(
    clock: Any | None, generator: Any, measure: CallHook, args: Any, kwargs: Any
) -> AsyncGenerator[Any, Any]:
    token = measure.begin()
    waiting = _first_step(generator)
    try:
        while True:
            yielded = await waiting
            left = clock() if clock else 0.0
            try:
                waiting = generator.asend((yield yielded))
            except BaseException as error:  # noqa: BLE001 -- passed on, by athrow()
                waiting = generator.athrow(error)
            if clock:
                token += clock() - left
    except StopAsyncIteration:
        measure.end(token, None, args, kwargs)
    except GeneratorExit:
        measure.end(token, None, args, kwargs)
        raise
    except BaseException as error:
        measure.fail(token, error, args, kwargs)
        raise
    finally:
        waiting = None


def _first_step(generator: Any) -> Any:
    # The event loop notes each generator that takes its first step, to close it at
    # the end. It is to close the one that drives, which closes this one: both at
    # once would be an error ("already running").
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)
