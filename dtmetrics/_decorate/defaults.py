"""Defaults and code that a function gets after it has been decorated.

A wrapper with the parameters of a function passes all of them on. If an argument is the
default of the wrapper, the caller may have omitted it, and the function may have
another default by now.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any
from weakref import ref

from dtmetrics._decorate.hooks import Args, Call, Kwargs

__all__ = ["DEFAULT_OF", "Outdated", "defaults_of", "names_with_defaults"]

#: A cell of a wrapper whose name begins so holds the default of a parameter.
DEFAULT_OF = "_default_of_"


def names_with_defaults(func: FunctionType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the parameters of *func* with a default: by position, and by keyword only.

    >>> names_with_defaults(lambda a, b=1, *, c=2: None)
    (('b',), ('c',))
    """
    positional: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    code = func.__code__
    if func.__defaults__:
        end = code.co_argcount
        positional = code.co_varnames[max(0, end - len(func.__defaults__)) : end]
    if func.__kwdefaults__:
        # It may have more: networkx replaces code and leaves these.
        end = code.co_argcount + code.co_kwonlyargcount
        names = code.co_varnames[code.co_argcount : end]
        others = tuple(filter(func.__kwdefaults__.__contains__, names))
    return positional, others


def defaults_of(func: FunctionType) -> tuple[dict[str, object], dict[str, object]]:
    """Return the defaults of those parameters.

    >>> defaults_of(lambda a, b=1, *, c=2: None)
    ({'b': 1}, {'c': 2})
    """
    positional, others = names_with_defaults(func)
    keyword_defaults = func.__kwdefaults__ or {}
    return (
        dict(zip(positional, func.__defaults__ or (), strict=False)),
        {name: keyword_defaults[name] for name in others},
    )


class Outdated:
    """Calls *func* for a wrapper that was made for other defaults or other code.

    *make_generic* makes a wrapper that takes any arguments.
    """

    def __init__(self, func: FunctionType, make_generic: Callable[[], Call]) -> None:
        self._func = func
        self._make_generic = make_generic
        self._code = func.__code__
        self._known = defaults_of(func)
        self._wrapper: Any = None
        self._generic: Call | None = None

    def __getstate__(self) -> dict[str, object]:
        # A weak reference and a wrapper that code was made for cannot be pickled.
        return {**self.__dict__, "_wrapper": None, "_generic": None}

    def state(self) -> dict[str, object]:
        """Return what the wrapper compares with and calls, by the names in its code."""
        return {"_code": self._code, "_outdated": self, **self._defaults()}

    def _defaults(self) -> dict[str, object]:
        positional, others = self._known
        return {
            "_defaults": self._func.__defaults__,
            "_kwdefaults": self._func.__kwdefaults__,
            **{DEFAULT_OF + name: it for name, it in (positional | others).items()},
        }

    def attach(self, wrapper: FunctionType) -> None:
        """Set the wrapper."""
        self._wrapper = ref(wrapper)  # which refers to this object

    def __call__(self, args: Args, kwargs: Kwargs) -> Any:  # noqa: ANN401 -- any result
        """Call the function with its own defaults in place of those of the wrapper."""
        args, kwargs = self._without_omitted(args, kwargs)
        wrapper = None if self._wrapper is None else self._wrapper()
        if wrapper is not None and self._func.__code__ is self._code:
            self._renew(wrapper)
        if self._generic is None:
            self._generic = self._make_generic()
        return self._generic(*args, **kwargs)

    def _without_omitted(self, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
        positional, others = self._known
        same_code = self._func.__code__ is self._code  # else it has other parameters
        now, others_now = defaults_of(self._func) if same_code else ({}, {})
        by_name = {
            name: value
            for name, value in kwargs.items()
            if name not in others or value is not others[name]
        }
        names = self._code.co_varnames[: self._code.co_argcount]
        given = list(args)
        for place in reversed(range(len(names))):
            name = names[place]
            if given[place] is not positional.get(name, self) or len(args) > len(names):
                continue  # given by the caller, as all are if there are more
            if name in now:
                given[place] = now[name]
            else:  # later ones were given by their names
                by_name |= zip(names[place + 1 :], given[place + 1 :], strict=False)
                del given[place:]
        return tuple(given), others_now | by_name

    def _renew(self, wrapper: FunctionType) -> None:
        """Give *wrapper* the defaults that the function has now."""
        self._known = defaults_of(self._func)
        wrapper.__defaults__ = self._func.__defaults__
        wrapper.__kwdefaults__ = self._func.__kwdefaults__
        known = self._defaults()
        cells = wrapper.__closure__ or ()
        for name, cell in zip(wrapper.__code__.co_freevars, cells, strict=True):
            if name in known:
                cell.cell_contents = known[name]
            elif name.startswith(DEFAULT_OF):  # required by now
                cell.cell_contents = self
