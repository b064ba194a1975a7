"""What was called: its name, and the values it was given, as dimensions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from dtmetrics._core.safe_call import call_safely

__all__ = ["Convert", "Fetch", "fetches", "name_of"]

Convert = Callable[[Any], Any]
Fetch = Callable[[tuple[Any, ...], dict[str, Any]], Any]


def name_of(target: Any) -> str:
    """Return module and qualified name of *target*.

    >>> name_of(print)
    'builtins.print'
    """
    while isinstance(target, functools.partial):
        target = target.func
    named = target if hasattr(target, "__qualname__") else target.__class__
    # A method of a C type knows the type, and only that its module.
    module = getattr(named, "__module__", None) or getattr(
        getattr(named, "__objclass__", None), "__module__", None
    )
    return f"{module}.{named.__qualname__}" if module else str(named.__qualname__)


def fetches(
    wanted: Mapping[str, Convert | None], target: Callable[..., Any]
) -> dict[str, Fetch]:
    """Return, for each wanted argument that *target* has, how to get at it."""
    import inspect  # noqa: PLC0415 -- 19 ms, and wrapt is about to load it anyway

    signature = call_safely(inspect.signature, target, default=None)
    if signature is None:  # some that are written in C have none
        return {}
    places = {name: place for place, name in enumerate(signature.parameters)}
    takes_any = any(
        each.kind is each.VAR_KEYWORD for each in signature.parameters.values()
    )
    return {
        name: _fetch(name, convert, signature.parameters.get(name), places.get(name))
        for name, convert in wanted.items()
        if takes_any or name in places
    }


def _fetch(
    name: str, convert: Convert | None, parameter: Any, place: int | None
) -> Fetch:
    absent = object()
    default: Any = absent
    several = False
    if parameter is not None:
        if parameter.default is not parameter.empty:
            default = parameter.default
        several = parameter.kind is parameter.VAR_POSITIONAL
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD):
            place = None

    def fetch(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if several:
            value: Any = args[place:]
        elif place is not None and place < len(args):
            value = args[place]
        else:
            value = kwargs.get(name, default)
        if value is absent:
            return None
        return value if convert is None else convert(value)

    return fetch
