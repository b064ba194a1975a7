"""How a target is wrapped, and what a decorated callable looks like.

The only module that imports wrapt. The first decoration imports it.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from contextlib import asynccontextmanager, contextmanager
from types import FunctionType, GetSetDescriptorType, MethodType
from typing import Any, SupportsIndex, cast

import wrapt

from dtmetrics._decorate.hooks import Call, CallHook, Switch
from dtmetrics._decorate.wrappers import (
    wrap_async_generator,
    wrap_coroutine,
    wrap_function,
    wrap_generator,
)

__all__ = ["Decorated", "Decorator"]

#: A callable or an attribute of a class; which attributes it has is not known.
Target = Any


class Decorator:
    """Puts a hook around each call of a target: see ``decorate()``."""

    def __init__(
        self,
        hook_for: Callable[[Call], CallHook],
        switch: Switch,
    ) -> None:
        self._hook_for = hook_for
        self._switch = switch

    def __call__(self, target: object) -> object:
        """Return *target*, decorated."""
        if isinstance(target, type):
            self._decorate_methods(target)
            return target
        if isinstance(target, classmethod | staticmethod):
            return type(target)(_as_function(self(target.__func__)))
        if type(target) is FunctionType and target.__code__ in _CONTEXT_MANAGERS:
            return self._decorate_context_manager(target)
        if not callable(target):
            raise TypeError(f"cannot decorate {target!r}: it is not callable")
        hook = self._hook_for(target)
        call: Any = self._wrap(target, hook)
        functools.update_wrapper(call, _named_function(target), updated=())
        call.__dict__.update(__wrapped__=target, _dtmetrics_into=_into(hook))
        return Decorated(target, call, self)

    def _wrap(self, target: Call, hook: CallHook) -> Call:
        """Return the wrapper for the kind of callable that *target* is."""
        switch = self._switch
        awaited = _calls_a(target, inspect.iscoroutinefunction)
        if not awaited and _calls_a(target, inspect.isasyncgenfunction):
            return wrap_async_generator(target, hook, switch)
        if not awaited and _calls_a(target, inspect.isgeneratorfunction):
            awaitable = _calls_a(target, _is_generator_based_coroutine)
            return wrap_generator(target, hook, switch, awaitable=awaitable)
        faster: Callable[..., Call | None] | None = getattr(hook, "wrap", None)
        wrapper = faster(target, awaited=awaited) if faster is not None else None
        if wrapper is not None:
            return wrapper
        wrap = wrap_coroutine if awaited else wrap_function
        return wrap(target, hook, switch)

    def _decorate_methods(self, owner: type) -> None:
        for name, member in list(vars(owner).items()):
            if name.startswith("_") or not _is_method(member):
                continue
            function = getattr(member, "__func__", member)
            if not _records_into(function, _into(self._hook_for(function))):
                # Not setattr(): a metaclass may forbid it.
                type.__setattr__(owner, name, _as_function(self(member)))

    def _decorate_context_manager(self, target: Target) -> Target:
        make = _CONTEXT_MANAGERS[target.__code__]
        decorated = make(self(target.__wrapped__))
        decorated.__dict__ = {**target.__dict__, **decorated.__dict__}
        return decorated


class Decorated(wrapt.FunctionWrapper):  # type: ignore[type-arg]
    """A callable with the attributes, the type and the hash of the one that it wraps.

    ``__call__`` is a slot: calling the proxy calls the function stored there. That
    takes 270 ns on CPython 3.11, where wrapt's generic path takes 1050 ns. In a class
    body the function itself replaces its proxy, so that the interpreter binds methods
    (205 ns instead of 990 ns): see `_as_function`.
    """

    __slots__ = ("__call__", "_self_decorator")

    def __init__(self, wrapped: Call, call: Call, decorator: Decorator) -> None:
        # The wrapper is not called: the slot takes its place.
        super().__init__(wrapped, cast("Any", _itself))
        _CALL.__set__(self, call)
        _DECORATOR.__set__(self, decorator)

    def __set_name__(self, owner: type, name: str) -> None:
        # The class may hold another library's wrapper, which passes this call on.
        function = _as_function(self) if vars(owner).get(name) is self else self
        if function is not self:
            implied = _IMPLIED.get(name)
            # Not setattr(): a metaclass may forbid it.
            type.__setattr__(owner, name, implied(function) if implied else function)
        elif hasattr(type(self.__wrapped__), "__set_name__"):
            self.__wrapped__.__set_name__(owner, name)  # type: ignore[attr-defined]

    def __get__(  # type: ignore[override]
        self, instance: object, owner: type | None = None
    ) -> object:
        wrapped: Any = self.__wrapped__
        if type(wrapped) is FunctionType:
            return self if instance is None else MethodType(self, instance)
        if not hasattr(type(wrapped), "__get__"):
            return self
        bound = wrapped.__get__(instance, owner)
        if bound is wrapped or not callable(bound):
            return self if bound is wrapped else bound
        if type(bound) is MethodType and bound.__func__ is wrapped:
            return MethodType(self, bound.__self__)
        return _DECORATOR.__get__(self)(bound)

    # A function is pickled by its name, and a copy of it is the function itself. Other
    # callables have no name under which the decorated one is found: unpickling gives
    # the undecorated one.

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        if isinstance(self.__wrapped__, FunctionType):
            return str(self.__qualname__)
        return _itself, (self.__wrapped__,)

    def __copy__(self) -> object:
        return self._decorated_copy(copy.copy(self.__wrapped__))

    def __deepcopy__(self, memo: dict[int, Any]) -> object:
        return self._decorated_copy(copy.deepcopy(self.__wrapped__, memo))

    def _decorated_copy(self, copied: object) -> object:
        return self if copied is self.__wrapped__ else _DECORATOR.__get__(self)(copied)


# Reading the __annotations__ of a class makes CPython store an empty dict in it. Here
# it would hide those of each wrapped function, which wrapt's C extension returns from
# a descriptor in a base class. So the descriptor is stored here first.
for _base in Decorated.__mro__:
    if isinstance(vars(_base).get("__annotations__"), GetSetDescriptorType):
        Decorated.__annotations__ = vars(_base)["__annotations__"]

# `type` turns functions of these names into static and class methods when it makes a
# class. It does not recognise a proxy.
_IMPLIED: dict[str, Callable[[Any], Any]] = {
    "__new__": staticmethod,
    "__init_subclass__": classmethod,
    "__class_getitem__": classmethod,
}

_CALL: Any = Decorated.__dict__["__call__"]
_DECORATOR: Any = Decorated.__dict__["_self_decorator"]


def _as_function(target: Target) -> Target:
    """Return the function behind a `Decorated`, made to look like the one it wraps.

    Return *target* itself where that function cannot replace it: if the wrapped
    callable is not a function, if it is another library's wrapper, which needs to know
    what it was bound to, or if it is a generator function and the wrapper is not.
    """
    if type(target) is not Decorated:
        return target
    wrapped, call = target.__wrapped__, _CALL.__get__(target)
    if type(_as_function(wrapped)) is not FunctionType:
        return target
    for test in (inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        if test(wrapped) != test(call):
            return target
    set_before = vars(call).copy()
    functools.update_wrapper(call, wrapped)
    vars(call).update(set_before)
    # For inspect. Calls do not use them: a wrapper takes *args and **kwargs, or has the
    # parameters of the function and with them these defaults already.
    call.__defaults__ = wrapped.__defaults__
    call.__kwdefaults__ = wrapped.__kwdefaults__
    return call


def _calls_a(target: Target, test: Callable[[Any], bool]) -> bool:
    """Whether *test* holds for the function that calling *target* runs."""
    while isinstance(target, functools.partial):
        target = target.func
    if test(target):
        return True
    # The interpreter calls an object by a method of its class. A proxy passes on
    # `__class__`, but not its type.
    method = getattr(target.__class__, "__call__", None)  # noqa: B004 -- not to call it
    return not inspect.isroutine(target) and test(method)


def _is_generator_based_coroutine(function: Target) -> bool:
    """Whether *function* is a generator function that ``types.coroutine`` made."""
    is_generator = inspect.isgeneratorfunction(function)
    return is_generator and bool(
        function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE
    )


def _is_method(member: Target) -> bool:
    """Whether *member* is a method written in Python, wrapped or not."""
    # functools.lru_cache() returns an object that is not a function, but is bound.
    member = getattr(member, "__func__", member)
    bindable = callable(member) and hasattr(type(member), "__get__")
    return bindable and isinstance(inspect.unwrap(member), FunctionType)


def _into(hook: CallHook) -> object:
    """Return what *hook* is compared by: its ``into``, or the hook itself."""
    return getattr(hook, "into", hook)


def _records_into(function: object, into: object) -> bool:
    """Whether a decorator of *function* already records *into* this."""
    while function is not None:
        if getattr(_as_function(function), "_dtmetrics_into", None) == into:
            return True
        function = getattr(function, "__wrapped__", None)
    return False


def _named_function(target: Target) -> Target:
    """Return what names *target*: CPython's warnings name a coroutine by it."""
    while isinstance(target, functools.partial):
        target = target.func
    return target if hasattr(target, "__qualname__") else target.__class__.__call__


def _itself(target: object) -> object:
    return target


# Functions that contextlib makes share its code object. They return at once; the hook
# belongs around the generator that they wrap.
_MAKERS: tuple[Callable[[Any], Any], ...] = (contextmanager, asynccontextmanager)
_CONTEXT_MANAGERS = {make(_itself).__code__: make for make in _MAKERS}
