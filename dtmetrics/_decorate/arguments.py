"""The name of a callable, and getters for the arguments of its calls."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._decorate.defaults import defaults_of
from dtmetrics._decorate.hooks import Args, Call, Kwargs, shown_module

if TYPE_CHECKING:
    from inspect import Parameter

__all__ = ["Convert", "Getter", "argument_getters", "class_of", "name_of"]

#: Makes the value of a dimension from an argument.
Convert = Callable[[Any], Any]
#: Returns an argument of one call.
Getter = Callable[[Args, Kwargs], Any]

_ABSENT: Any = object()


def class_of(target: object) -> type:
    """Return the class of *target*; that of the wrapped object, if it is a proxy.

    >>> class_of(3)
    <class 'int'>
    """
    claimed: object = target.__class__
    # Not a class, if the class has a method of that name.
    return claimed if isinstance(claimed, type) else type(target)


def name_of(target: object) -> str:
    """Return the module and the qualified name of *target*.

    An instance or a partial is named by its class or its function.

    >>> name_of(print)
    'builtins.print'
    """
    while isinstance(target, functools.partial):
        target = target.func
    named: Any = target if hasattr(target, "__qualname__") else class_of(target)
    # A method of a type written in C has no module, but its type has one.
    module = getattr(named, "__module__", None) or getattr(
        getattr(named, "__objclass__", None), "__module__", None
    )
    if not module:
        return str(named.__qualname__)
    return f"{shown_module(module)}.{named.__qualname__}"


def argument_getters(
    wanted: Mapping[str, Convert | None], target: Call
) -> dict[str, Getter]:
    """Return a getter for each *wanted* argument that *target* accepts.

    A getter takes the positional and keyword arguments of a call. It returns the value
    that the function sees, converted if *wanted* maps the name to a converter, or None
    if the call has no such argument.
    """
    import inspect  # noqa: PLC0415 -- 19 ms; a decorator is about to import it as well

    signature = call_safely(inspect.signature, target, default=None)
    if signature is None:  # some callables that are written in C have none
        return {
            name: _getter(name, convert, None, None) for name, convert in wanted.items()
        }
    parameters = signature.parameters
    positions = {name: position for position, name in enumerate(parameters)}
    accepts_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    func = target if type(target) is FunctionType else None
    return {
        name: _getter(name, convert, parameters.get(name), positions.get(name), func)
        for name, convert in wanted.items()
        if accepts_any or name in positions
    }


def _getter(
    name: str,
    convert: Convert | None,
    parameter: Parameter | None,
    position: int | None,
    func: FunctionType | None = None,
) -> Getter:
    default = _ABSENT
    variadic = False
    if parameter is not None:
        if parameter.default is not parameter.empty:
            default = parameter.default
        variadic = parameter.kind is parameter.VAR_POSITIONAL
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD):
            position = None

    def get(args: Args, kwargs: Kwargs) -> object:
        if variadic:
            value: object = args[position:]
        elif position is not None and position < len(args):
            value = args[position]
        else:
            value = kwargs.get(name, _ABSENT)
        if value is _ABSENT:
            positional, others = ({}, {}) if func is None else defaults_of(func)
            # Those may have changed; the first is that of what the function wraps.
            value = {name: default, **positional, **others}[name]
        if value is _ABSENT:
            return None
        return value if convert is None else convert(value)

    return get
