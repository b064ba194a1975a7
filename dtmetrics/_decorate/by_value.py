"""How a decorated callable is pickled: by its name, or with what decorates it.

``pickle`` finds a function by its name in a module. cloudpickle (in Dask, joblib, Ray,
PySpark) and dill pickle by value what another process cannot import: functions of
``__main__``, lambdas, local functions. cloudpickle checks by ``isinstance()`` whether
an object is a function, copies the code of one, and so would leave out the decorator of
a `Decorated`, whose ``__class__`` is that of the function. So `Decorated` shows its own
class to such a check, and reduces itself.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter
from types import FrameType, FunctionType
from typing import Any, NamedTuple

__all__ = [
    "ByValue",
    "arrive_with",
    "found_by_name",
    "imported",
    "pickled_by_value",
    "take_noted",
]

#: A callable; which attributes it has is not known.
Target = Any

_LRU_CACHE: Any = type(functools.lru_cache(len))

_noted = threading.local()


class ByValue(NamedTuple):
    """A callable for a pickle.

    A ``functools.lru_cache`` is pickled by its name, under which the decorated one is
    found. By value it is made anew, with the same parameters and an empty cache.
    """

    wrapped: Target
    cache: dict[str, Any] | None

    def restored(self) -> Target:
        """Return the callable."""
        if self.cache is None:
            return self.wrapped
        return functools.lru_cache(**self.cache)(self.wrapped)

    @classmethod
    def of(cls, wrapped: Target) -> ByValue:
        """Return the parts of *wrapped*."""
        if type(wrapped) is _LRU_CACHE:
            return cls(wrapped.__wrapped__, wrapped.cache_parameters())
        return cls(wrapped, None)


def found_by_name(target: Target) -> bool:
    """Whether *target* is what its module has under its name."""
    found: Target = sys.modules.get(getattr(target, "__module__", None) or "")
    for part in getattr(target, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found is target


def imported(module: str, name: str) -> Target:
    """Return what *module*, which is imported, has under *name*."""
    found: Target = attrgetter(name)(import_module(module))
    return found


def arrive_with(target: Target, switch: object) -> None:
    """Do nothing: unpickling *switch*, after *target* was imported, did all."""


def pickled_by_value(target: Target, caller: FrameType) -> bool:
    """Whether *caller* is about to pickle *target* by value.

    It is if it is a pickler that pickles functions by value, and no other process can
    import *target*.
    """
    if caller.f_code.co_name == "reducer_override":  # cloudpickle, also when vendored
        by_value = _is_dynamic(target, caller.f_globals.get(_REGISTERED))
        _noted.target = target if by_value else None
        return by_value
    if caller.f_code.co_name == "save":  # a pickler written in Python, such as dill's
        pickler = type(caller.f_locals.get("self"))
        save = getattr(pickler, "dispatch", {}).get(FunctionType)
        by_name = getattr(save, "__name__", "save_global") == "save_global"
        return not by_name and _is_dynamic(target, None)
    return False


def take_noted(target: Target) -> bool:
    """Whether the last `pickled_by_value` of this thread was true of *target*."""
    noted = getattr(_noted, "target", None)
    _noted.target = None
    return noted is target


#: cloudpickle's test whether a module is registered to be pickled by value.
_REGISTERED = "_is_registered_pickle_by_value"


def _is_dynamic(target: Target, is_registered: Callable[[Target], bool] | None) -> bool:
    """Whether no other process can import *target*."""
    module = getattr(target, "__module__", None)
    if module in ("__main__", None) or not found_by_name(target):
        return True
    return is_registered is not None and is_registered(sys.modules[module])
