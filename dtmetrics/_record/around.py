"""A block or a decorator: something done around a call, for every kind of callable.

What is done is a `Measure`. State belongs to the call: ``begin`` returns a token that
``end`` or ``fail`` gets back, so recursion, threads and interleaved tasks are right.
The wrapper is one of six short functions, chosen by what calling the target gives.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Generic, Protocol, TypeVar

from dtmetrics._record.registry import Registry

__all__ = ["Measure", "Ready", "decorate", "error_type"]

Call = Callable[..., Any]
V = TypeVar("V")


class Measure(Protocol):
    """What to do around one call."""

    def begin(self) -> Any:
        """Return what ``end`` or ``fail`` will need."""

    def end(self, token: Any, result: Any, args: Any, kwargs: Any) -> None:
        """Take note that the call returned *result*."""

    def fail(self, token: Any, error: BaseException, args: Any, kwargs: Any) -> None:
        """Take note that the call raised *error*."""


def decorate(
    target: Any,
    measure_for: Callable[[Call], Measure],
    registry: Registry,
    *,
    clock: Callable[[], float] | None = None,
) -> Any:
    """Return *target* with a measure around each call.

    A class keeps its identity: the public methods that it defines are decorated.
    With a *clock*, time that a generator spends outside of itself is added to its
    token, which must then be a time of that clock.
    """
    # wrapt brings asyncio, inspect and importlib.metadata: 0.1 s that programs
    # without a decorated function need not wait for.
    from dtmetrics._record.wrapper import (  # noqa: PLC0415
        Decorated,
        is_async_generator,
        is_coroutine,
        is_generator,
    )

    def decorated(target: Any) -> Any:
        if isinstance(target, type):
            for name, member in list(vars(target).items()):
                if not name.startswith("_") and _is_method(member):
                    made = decorated(member)
                    setattr(target, name, made)
                    if isinstance(made, Decorated):
                        made.__set_name__(target, name)
            return target
        if isinstance(target, classmethod | staticmethod):
            return type(target)(decorated(target.__func__))
        if not callable(target):
            raise TypeError(f"cannot decorate {target!r}: it is not callable")
        measure = measure_for(target)
        if is_coroutine(target):
            return Decorated(target, _coroutine(target, measure, registry), decorated)
        if is_async_generator(target):
            call = _async_generator(target, measure, registry, clock)
        elif is_generator(target):
            call = _generator(target, measure, registry, clock)
        else:
            call = _function(target, measure, registry)
        return Decorated(target, call, decorated)

    return decorated(target)


def error_type(error: BaseException) -> str:
    """Return the class of *error* with its module; builtins without.

    >>> error_type(KeyError("x"))
    'KeyError'
    """
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


class Ready(Generic[V]):
    """An awaitable that never waits; lets ``async with`` share code with ``with``."""

    __slots__ = ("_value",)

    def __init__(self, value: V) -> None:
        self._value = value

    def __await__(self) -> Generator[None, None, V]:
        yield from ()
        return self._value


def _is_method(member: Any) -> bool:
    function = getattr(member, "__func__", member)
    return isinstance(function, type(_is_method))


def _function(func: Call, measure: Measure, registry: Registry) -> Call:
    begin, end, fail = measure.begin, measure.end, measure.fail

    @functools.wraps(func, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        if not registry.recording:
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


def _coroutine(func: Call, measure: Measure, registry: Registry) -> Call:
    begin, end, fail = measure.begin, measure.end, measure.fail

    @functools.wraps(func, updated=())
    async def call(*args: Any, **kwargs: Any) -> Any:
        if not registry.recording:
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


def _generator(
    func: Call, measure: Measure, registry: Registry, clock: Any | None
) -> Call:
    drive = _drive if clock is None else functools.partial(_drive_active, clock)

    @functools.wraps(func, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        generator = func(*args, **kwargs)
        if not registry.recording:
            return generator
        driven = drive(generator, measure, args, kwargs)
        driven.__name__ = generator.__name__
        driven.__qualname__ = generator.__qualname__
        return driven

    return call


def _drive(generator: Any, measure: Measure, args: Any, kwargs: Any) -> Any:
    token = measure.begin()
    try:
        result = yield from generator
    except GeneratorExit:  # whoever iterates has had enough: no failure
        measure.end(token, None, args, kwargs)
        raise
    except BaseException as error:
        measure.fail(token, error, args, kwargs)
        raise
    measure.end(token, result, args, kwargs)
    return result


def _drive_active(
    clock: Callable[[], float], generator: Any, measure: Measure, args: Any, kwargs: Any
) -> Any:
    token = measure.begin()
    resume, value = generator.send, None
    try:
        while True:
            yielded = resume(value)
            left = clock()
            try:
                value = yield yielded
                resume = generator.send
            except GeneratorExit:
                token += clock() - left
                generator.close()
                raise
            except BaseException as error:  # noqa: BLE001 -- passed on, by throw()
                resume, value = generator.throw, error
            token += clock() - left
    except StopIteration as stop:
        measure.end(token, stop.value, args, kwargs)
        return stop.value
    except GeneratorExit:
        measure.end(token, None, args, kwargs)
        raise
    except BaseException as error:
        measure.fail(token, error, args, kwargs)
        raise


def _async_generator(
    func: Call, measure: Measure, registry: Registry, clock: Any | None
) -> Call:
    @functools.wraps(func, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        generator = func(*args, **kwargs)
        if not registry.recording:
            return generator
        driven: Any = _drive_async(clock, generator, measure, args, kwargs)
        driven.__name__ = generator.__name__
        driven.__qualname__ = generator.__qualname__
        return driven

    return call


async def _drive_async(
    clock: Any | None, generator: Any, measure: Measure, args: Any, kwargs: Any
) -> AsyncGenerator[Any, Any]:
    # There is no `yield from` here: what is sent or thrown in is passed on by hand.
    token = measure.begin()
    resume, value = generator.asend, None
    try:
        while True:
            yielded = await resume(value)
            left = clock() if clock else 0.0
            try:
                value = yield yielded
                resume = generator.asend
            except GeneratorExit:
                token += clock() - left if clock else 0.0
                await generator.aclose()
                raise
            except BaseException as error:  # noqa: BLE001 -- passed on, by athrow()
                resume, value = generator.athrow, error
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
