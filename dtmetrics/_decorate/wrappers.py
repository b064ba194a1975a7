"""The functions that are called instead of generator functions.

While the switch is off they pass the call on and do nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Generator
from types import CodeType, FunctionType, coroutine
from typing import Any

from dtmetrics._decorate.hooks import Args, Call, CallHook, Kwargs, Switch

__all__ = [
    "GENERATOR_CALLS",
    "wrap_async_generator",
    "wrap_generator",
]


def wrap_generator(
    func: Call, hook: CallHook, switch: Switch, *, awaitable: bool
) -> Call:
    """Run *hook* around generators, from the first step to the last.

    If *func* is a ``types.coroutine`` function, its generators are *awaitable*; those
    of the wrapper are, too.
    """
    drive: Call = _drive
    if awaitable:
        drive = coroutine(FunctionType(_drive.__code__, globals()))

    def call(*args: object, **kwargs: object) -> object:
        generator = func(*args, **kwargs)
        if not switch.recording:
            return generator
        driver = drive(generator, hook, args, kwargs)
        driver.__name__ = generator.__name__
        driver.__qualname__ = generator.__qualname__
        return driver

    return call


def wrap_async_generator(func: Call, hook: CallHook, switch: Switch) -> Call:
    """Run *hook* around asynchronous generators, from the first step to the last."""

    def call(*args: object, **kwargs: object) -> object:
        generator = func(*args, **kwargs)
        if not switch.recording:
            return generator
        driver: Any = _drive_async(generator, hook, args, kwargs)
        driver.__name__ = generator.__name__
        driver.__qualname__ = generator.__qualname__
        return driver

    return call


def _drive(
    generator: Generator[Any, Any, Any], hook: CallHook, args: Args, kwargs: Kwargs
) -> Generator[Any, Any, Any]:
    """Pass on all that goes in and out of *generator*."""
    # Not `yield from`: it turns a GeneratorExit that is thrown in into a close(), and
    # does not pass on what the generator returns to a close().
    pause, unpause = getattr(hook, "pause", None), getattr(hook, "unpause", None)
    token = hook.begin()
    step: Callable[[Any], Any] = generator.send
    # What passes is taken out of these lists. In a variable this frame would keep it
    # alive while the generator is suspended.
    inward: list[Any] = [None]
    outward: list[Any] = []
    try:
        while True:
            outward.append(step(inward.pop()))
            if pause is not None:
                token = pause(token)
            try:
                inward.append((yield outward.pop()))
                step = generator.send
            except BaseException as error:  # noqa: BLE001 -- passed on, by throw()
                step = generator.throw
                inward.append(error)
            if unpause is not None:
                token = unpause(token)
    except StopIteration as stop:
        hook.end(token, stop.value, args, kwargs)
        return stop.value
    except GeneratorExit:  # the consumer stopped early: not a failure
        hook.end(token, None, args, kwargs)
        raise
    except BaseException as error:
        hook.fail(token, error, args, kwargs)
        raise


async def _drive_async(
    generator: AsyncGenerator[Any, Any], hook: CallHook, args: Args, kwargs: Kwargs
) -> AsyncGenerator[Any, Any]:
    pause, unpause = getattr(hook, "pause", None), getattr(hook, "unpause", None)
    token = hook.begin()
    step: Any = _first_step(generator)
    outward: list[Any] = []
    try:
        while True:
            outward.append(await step)
            step = None
            if pause is not None:
                token = pause(token)
            try:
                step = generator.asend((yield outward.pop()))
            except BaseException as error:  # noqa: BLE001 -- passed on, by athrow()
                step = generator.athrow(error)
            if unpause is not None:
                token = unpause(token)
    except StopAsyncIteration:
        hook.end(token, None, args, kwargs)
    except GeneratorExit:  # the consumer stopped early: not a failure
        hook.end(token, None, args, kwargs)
        raise
    except BaseException as error:
        hook.fail(token, error, args, kwargs)
        raise
    finally:
        step = None  # breaks the cycle between an error and this frame


def _first_step(generator: AsyncGenerator[Any, Any]) -> object:
    # An event loop registers each generator that takes its first step, and closes it
    # when the loop ends. Only the driver may be registered: it closes this generator,
    # and closing both at once raises "aclose(): asynchronous generator is already
    # running".
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)


#: The code of the functions that are called instead of generator functions.
GENERATOR_CALLS = {
    constant
    for wrap in (wrap_generator, wrap_async_generator)
    for constant in wrap.__code__.co_consts
    if isinstance(constant, CodeType)
}
