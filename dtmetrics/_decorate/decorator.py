"""The decorator: find out what a target is, and put a measure around it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import asynccontextmanager, contextmanager
from types import FunctionType
from typing import Any

from dtmetrics._decorate.hooks import Call, CallHook, Switch
from dtmetrics._decorate.proxy import (
    Decorated,
    is_async_generator,
    is_coroutine,
    is_generator,
    plain,
)
from dtmetrics._decorate.wrappers import (
    around_async_generator,
    around_coroutine,
    around_function,
    around_generator,
)

__all__ = ["Decorator"]

# What contextlib makes of a generator function is told by its code. Such a function
# returns at once; what is to be measured is the generator below it.
_MAKERS: tuple[Callable[[Any], Any], ...] = (contextmanager, asynccontextmanager)
_MANAGERS = {make(is_generator).__code__: make for make in _MAKERS}


class Decorator:
    """Puts a measure around each call of whatever it is given."""

    def __init__(
        self,
        measure_for: Callable[[Call], CallHook],
        switch: Switch,
        clock: Callable[[], float] | None,
    ) -> None:
        self._measure_for = measure_for
        self._switch = switch
        self._clock = clock

    def __call__(self, target: Any) -> Any:
        """Return *target*, decorated."""
        if isinstance(target, type):
            self._decorate_methods(target)
            return target
        if isinstance(target, classmethod | staticmethod):
            return type(target)(plain(self(target.__func__)))
        if type(target) is FunctionType and target.__code__ in _MANAGERS:
            return self._manager(target)
        if not callable(target):
            raise TypeError(f"cannot decorate {target!r}: it is not callable")
        measure = self._measure_for(target)
        call = self._around(target, measure)
        functools.update_wrapper(call, _named(target), updated=())
        call.__dict__.update(__wrapped__=target, _dtmetrics_into=_into(measure))
        return Decorated(target, call, self)

    def _around(self, target: Call, measure: CallHook) -> Any:
        switch = self._switch
        awaited = is_coroutine(target)
        if not awaited and is_async_generator(target):
            return around_async_generator(target, measure, switch, self._clock)
        if not awaited and is_generator(target):
            return around_generator(target, measure, switch, self._clock)
        wrap = getattr(measure, "wrap", None)
        if wrap is not None:
            return wrap(target, awaited=awaited)
        around = around_coroutine if awaited else around_function
        return around(target, measure, switch)

    def _decorate_methods(self, owner: type) -> None:
        for name, member in list(vars(owner).items()):
            if name.startswith("_") or not _is_method(member):
                continue
            function = getattr(member, "__func__", member)
            if not _is_measured(function, _into(self._measure_for(function))):
                # Not by the metaclass, which may have its own idea of attributes.
                type.__setattr__(owner, name, plain(self(member)))

    def _manager(self, target: Any) -> Any:
        made = _MANAGERS[target.__code__](self(target.__wrapped__))
        made.__dict__ = {**target.__dict__, **made.__dict__}
        return made


def _is_method(member: Any) -> bool:
    # Also what functools.lru_cache makes of one, which is no function.
    member = getattr(member, "__func__", member)
    bindable = callable(member) and hasattr(type(member), "__get__")
    return bindable and isinstance(inspect.unwrap(member), FunctionType)


def _is_measured(function: Any, into: Any) -> bool:
    while function is not None:
        if getattr(plain(function), "_dtmetrics_into", None) == into:
            return True
        function = getattr(function, "__wrapped__", None)
    return False


def _into(measure: CallHook) -> Any:
    return getattr(measure, "into", measure)


def _named(target: Any) -> Any:
    """Return what has the name for *target*: a warning shows it for a coroutine."""
    while isinstance(target, functools.partial):
        target = target.func
    return target if hasattr(target, "__qualname__") else target.__class__.__call__
