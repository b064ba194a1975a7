"""Which kind of callable a target is, and what names it."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

from dtmetrics._decorate.arguments import class_of

__all__ = [
    "calls_a",
    "is_coroutine_function",
    "is_generator_based_coroutine",
    "is_method",
    "is_method_by_name",
    "is_plain",
    "with_name_of",
]

#: A callable or an attribute of a class; which attributes it has is not known.
Target = Any
C = TypeVar("C", bound=Callable[..., Any])


def is_plain(target: Target) -> bool:
    """Whether *target* is a function of no other kind; the usual case, found fast."""
    return (
        type(target) is FunctionType
        and not target.__code__.co_flags & _NOT_PLAIN
        and not target.__dict__  # a mark of inspect.markcoroutinefunction()
    )


_NOT_PLAIN = (
    inspect.CO_COROUTINE
    | inspect.CO_GENERATOR
    | inspect.CO_ASYNC_GENERATOR
    | inspect.CO_ITERABLE_COROUTINE
)


def calls_a(target: Target, test: Callable[[Any], bool]) -> bool:
    """Whether *test* holds for the function that calling *target* runs."""
    while isinstance(target, functools.partial):
        target = target.func
    if test(target):
        return True
    # The interpreter calls an object by a method of its class. A proxy passes on
    # `__class__`, but not its type.
    method = getattr(class_of(target), "__call__", None)  # noqa: B004 -- not to call it
    return not inspect.isroutine(target) and test(method)


def is_coroutine_function(function: Target) -> bool:
    """Whether *function* is a coroutine function, or is marked as one.

    Before Python 3.12 Django and asgiref use asyncio's mark.
    """
    mark = getattr(function, "_is_coroutine", None)
    return inspect.iscoroutinefunction(function) or mark is _MARK


_MARK = getattr(asyncio.coroutines, "_is_coroutine", object())


def is_generator_based_coroutine(function: Target) -> bool:
    """Whether *function* is a generator function that ``types.coroutine`` made."""
    is_generator = inspect.isgeneratorfunction(function)
    return is_generator and bool(
        function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE
    )


def is_method(member: Target) -> bool:
    """Whether *member* is a method written in Python, wrapped or not."""
    # functools.lru_cache() returns an object that is not a function, but is bound.
    member = getattr(member, "__func__", member)
    bindable = callable(member) and hasattr(type(member), "__get__")
    return bindable and isinstance(inspect.unwrap(member), FunctionType)


def is_method_by_name(function: Target) -> bool:
    """Whether *function* was defined in the body of a class."""
    owner = function.__qualname__.rpartition(".")[0]
    return bool(owner) and not owner.endswith("<locals>")


def with_name_of(call: C, target: Target) -> C:
    """Return *call* with the name of *target*, which errors and warnings show."""
    functools.update_wrapper(call, _named_function(target), updated=())
    call.__dict__["__wrapped__"] = target
    return call


def _named_function(target: Target) -> Target:
    while isinstance(target, functools.partial):
        target = target.func
    return target if hasattr(target, "__qualname__") else class_of(target).__call__
