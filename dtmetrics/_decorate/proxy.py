"""How a target is wrapped, and what a decorated callable looks like.

The only module that imports wrapt. The first decoration imports it.
"""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager, contextmanager
from types import FunctionType, GetSetDescriptorType, MethodType
from typing import Any, SupportsIndex, cast

import wrapt

from dtmetrics._decorate.by_value import (
    ByValue,
    arrive_with,
    found_by_name,
    imported,
    pickled_by_value,
    take_noted,
)
from dtmetrics._decorate.cells import hook_and_target
from dtmetrics._decorate.codegen import Compiled, compile_call
from dtmetrics._decorate.hooks import Call, CallHook, Switch
from dtmetrics._decorate.kinds import (
    calls_a,
    is_coroutine_function,
    is_generator_based_coroutine,
    is_method,
    is_method_by_name,
    is_plain,
    with_name_of,
)
from dtmetrics._decorate.wrappers import wrap_async_generator, wrap_generator

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

    def __call__(self, target: object, *, in_class: bool = False) -> object:
        """Return *target*, decorated.

        A method, by its name or by *in_class*, becomes a function, which the
        interpreter binds in less time than a proxy, and attrs finds super() in.
        """
        if isinstance(target, type):
            self._decorate_methods(target)
            return target
        if isinstance(target, classmethod | staticmethod):
            return self._decorate_method(target, in_class=in_class)
        if type(target) is FunctionType and target.__code__ in _CONTEXT_MANAGERS:
            return self._decorate_context_manager(target)
        if not callable(target):
            raise TypeError(f"cannot decorate {target!r}: it is not callable")
        call, same_parameters = self._compiled(target)
        if same_parameters and (in_class or is_method_by_name(target)):
            return functools.update_wrapper(call, target)
        return Decorated(target, with_name_of(call, target), self)

    @property
    def switch(self) -> Switch:
        """What turns the hook on and off."""
        return self._switch

    def called_instead_of(self, target: Call) -> Call:
        """Return the function that a proxy of *target* calls."""
        return with_name_of(self._compiled(target).call, target)

    def _compiled(self, target: Call) -> Compiled:
        hook, switch, awaited = self._hook_for(target), self._switch, False
        if not is_plain(target):
            awaited = calls_a(target, is_coroutine_function)
            if not awaited and calls_a(target, inspect.isasyncgenfunction):
                call = wrap_async_generator(target, hook, switch)
                return Compiled(call, same_parameters=False)
            if not awaited and calls_a(target, inspect.isgeneratorfunction):
                awaitable = calls_a(target, is_generator_based_coroutine)
                call = wrap_generator(target, hook, switch, awaitable=awaitable)
                return Compiled(call, same_parameters=False)
        return compile_call(target, hook, switch, awaited=awaited)

    def _decorate_methods(self, owner: type) -> None:
        for name, member in list(vars(owner).items()):
            if name.startswith("_") or not is_method(member):
                continue
            function = getattr(member, "__func__", member)
            if not _records_into(function, _into(self._hook_for(function))):
                # Not setattr(): a metaclass may forbid it.
                type.__setattr__(owner, name, self(member, in_class=True))

    def _decorate_method(self, target: Target, *, in_class: bool) -> Target:
        decorated = type(target)(self(target.__func__, in_class=in_class))
        for name, value in vars(target).items():
            vars(decorated).setdefault(name, value)
        return decorated

    def _decorate_context_manager(self, target: Target) -> Target:
        # Not __wrapped__: functools.wraps() above contextmanager() replaces it.
        [cell] = target.__closure__
        function = cell.cell_contents
        decorated = _CONTEXT_MANAGERS[target.__code__](self(function))
        wrapped = decorated.__wrapped__
        functools.update_wrapper(decorated, target)
        is_replaced = target.__wrapped__ is not function
        decorated.__wrapped__ = target.__wrapped__ if is_replaced else wrapped
        return decorated


class Decorated(wrapt.FunctionWrapper):  # type: ignore[type-arg]
    """A callable with the attributes, the type and the hash of the one that it wraps.

    ``__call__`` is a slot: calling the proxy calls the function stored there. That
    takes 270 ns on CPython 3.11, where wrapt's generic path takes 1050 ns.
    """

    __slots__ = ("__call__", "_self_decorator", "_self_outer")

    def __init__(self, wrapped: Call, call: Call, decorator: Decorator) -> None:
        # The wrapper is not called: the slot takes its place.
        super().__init__(wrapped, cast("Any", _itself))
        _CALL.__set__(self, call)
        _DECORATOR.__set__(self, decorator)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "__wrapped__":
            # functools.wraps() above this decorator sets the attribute of the wrapper
            # that is decorated. The proxy has to change, which only its name shows.
            _target(self).__wrapped__ = value
            _OUTER.__set__(self, value)
            return
        super().__setattr__(name, value)
        if name in _SHOWN_IN_ERRORS:
            setattr(_CALL.__get__(self), name, value)
        elif name in _USED_IN_CALLS:
            _CALL.__set__(
                self, _DECORATOR.__get__(self).called_instead_of(_target(self))
            )

    def __set_name__(self, owner: type, name: str) -> None:
        itself: Target = self
        # The class may hold another library's wrapper, which passes this call on.
        is_member = vars(owner).get(name) is self
        if is_member and name in _IMPLIED and isinstance(itself, FunctionType):
            # Not setattr(): a metaclass may forbid it.
            type.__setattr__(owner, name, _IMPLIED[name](self))
        target = _target(self)
        if hasattr(type(target), "__set_name__"):
            target.__set_name__(owner, name)

    def __get__(  # type: ignore[override]
        self, instance: object, owner: type | None = None
    ) -> object:
        wrapped = _target(self)
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

    @property
    def __class__(self) -> Any:  # noqa: ANN401 -- any class
        if pickled_by_value(self, sys._getframe(1)):  # noqa: SLF001 -- no other way
            return Decorated
        return _target(self).__class__

    @__class__.setter
    def __class__(self, value: Any) -> None:  # noqa: ANN401 -- any class
        _target(self).__class__ = value

    def __repr__(self) -> str:
        return repr(_target(self))

    # A function is pickled by its name, and a copy of it is the function itself.

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        wrapped = _target(self)
        by_value = take_noted(self) or pickled_by_value(self, sys._getframe(1))  # noqa: SLF001
        if not by_value:
            found = found_by_name(self)
            switch = _DECORATOR.__get__(self).switch
            if found and switch.travels:
                where = self.__module__, self.__qualname__
                return imported, where, switch, None, None, arrive_with
            if found or isinstance(wrapped, FunctionType):
                return str(self.__qualname__)
            parts = ByValue(wrapped, None)
        else:
            parts = ByValue.of(wrapped)
        # As a state, which is pickled when the object is known: the function may refer
        # to it, as a recursive one does.
        state = parts, _DECORATOR.__get__(self)
        return _undecorated, (), state, None, None, _decorate_again

    def __copy__(self) -> object:
        return self._decorated_copy(copy.copy(_target(self)))

    def __deepcopy__(self, memo: dict[int, Any]) -> object:
        return self._decorated_copy(copy.deepcopy(_target(self), memo))

    def _decorated_copy(self, copied: object) -> object:
        return self if copied is _target(self) else _DECORATOR.__get__(self)(copied)


def _undecorated() -> Decorated:
    """Return an object for `_decorate_again`."""
    return Decorated.__new__(Decorated, _itself, _itself)


def _decorate_again(target: Decorated, state: tuple[ByValue, Decorator]) -> None:
    """Make *target* what it was when it was pickled, but for its wrapper.

    The wrapper is made by the first call. Now a function may be without its defaults,
    and another `Decorated` empty, because they refer to what refers to them.
    """
    parts, decorator = state
    wrapped = parts.restored()

    def call(*args: object, **kwargs: object) -> object:
        made = decorator.called_instead_of(wrapped)
        _CALL.__set__(target, made)
        return made(*args, **kwargs)

    Decorated.__init__(target, wrapped, call, decorator)


# Reading the __annotations__ of a class makes CPython store an empty dict in it. Here
# it would hide those of each wrapped function, which wrapt's C extension returns from
# a descriptor in a base class. So the descriptor is stored here first.
for _base in Decorated.__mro__:
    if isinstance(vars(_base).get("__annotations__"), GetSetDescriptorType):
        Decorated.__annotations__ = vars(_base)["__annotations__"]

_CALL: Any = Decorated.__dict__["__call__"]
_DECORATOR: Any = Decorated.__dict__["_self_decorator"]
_OUTER: Any = Decorated.__dict__["_self_outer"]
# wrapt's C extension has a field for the wrapped object, so the attribute can be what
# functools.wraps() has set. In its version in Python the attribute is the field.
_FIELD: Any = next(
    (it for base in Decorated.__mro__ if (it := vars(base).get("__wrapped__"))), None
)


def _target(proxy: Decorated) -> Target:
    """Return what *proxy* wraps."""
    return proxy.__wrapped__ if _FIELD is None else _FIELD.__get__(proxy)


def _outer(proxy: Decorated) -> Target:
    """Return what functools.wraps() has set, or what *proxy* wraps."""
    try:
        return _OUTER.__get__(proxy)
    except AttributeError:
        return _target(proxy)


if _FIELD is not None:
    Decorated.__wrapped__ = property(_outer)  # type: ignore[assignment, misc]

# `type` turns functions of these names into static and class methods when it makes a
# class. It does not recognise a proxy.
_IMPLIED: dict[str, Callable[[Any], Any]] = {
    "__new__": staticmethod,
    "__init_subclass__": classmethod,
    "__class_getitem__": classmethod,
}

_SHOWN_IN_ERRORS = {"__name__", "__qualname__"}
_USED_IN_CALLS = {"__code__", "__defaults__", "__kwdefaults__"}


def _into(hook: CallHook) -> object:
    """Return what *hook* is compared by: its ``into``, or the hook itself."""
    return getattr(hook, "into", hook)


def _records_into(function: Target, into: object) -> bool:
    """Whether a decorator of *function* already records *into* this."""
    while function is not None:
        call = _CALL.__get__(function) if type(function) is Decorated else function
        hook, target = hook_and_target(call)
        if hook is not None and _into(hook) == into:
            return True
        # Not __wrapped__ of ours: functools.wraps() above a decorator replaces it.
        function = getattr(function, "__wrapped__", None) if hook is None else target
    return False


def _itself(target: object) -> object:  # takes a place, and is not called
    raise NotImplementedError


# Functions that contextlib makes share its code object. They return at once; the hook
# belongs around the generator that they wrap.
_MAKERS: tuple[Callable[[Any], Any], ...] = (contextmanager, asynccontextmanager)
_CONTEXT_MANAGERS = {make(_itself).__code__: make for make in _MAKERS}
