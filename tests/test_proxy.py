from __future__ import annotations

import asyncio
import copy
import inspect
import os
import pickle
import subprocess
import sys
import typing
import weakref
from pathlib import Path
from typing import Any

import pytest
import wrapt

from tests.support.decorated_callables import (
    KINDS,
    METHODS,
    Methods,
    Whole,
    function,
    id_of,
)
from tests.support.timer_clock import Timing

ROOT = Path(__file__).parent


@pytest.mark.parametrize("decorated", [*KINDS, *METHODS], ids=id_of)
def test_introspection(decorated: Any) -> None:
    """The inspect and typing modules answer for a decorated callable as for the undecorated one."""
    plain = inspect.unwrap(decorated)
    if inspect.ismethod(decorated):
        plain = inspect.unwrap(decorated.__func__).__get__(decorated.__self__)
    for examine in (
        inspect.signature,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.isfunction,
        inspect.ismethod,
        inspect.isroutine,
        inspect.getdoc,
        inspect.getsource,
        inspect.getsourcelines,
        inspect.getmodule,
        typing.get_type_hints,
        callable,
    ):
        assert examine(decorated) == examine(plain), examine
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__defaults__"):
        assert getattr(decorated, name) == getattr(plain, name)
    for name in ("__kwdefaults__", "__annotations__"):
        assert getattr(decorated, name) == getattr(plain, name)


@pytest.mark.parametrize("decorated", [*KINDS, Methods.generator], ids=id_of)
def test_getfullargspec(decorated: Any) -> None:
    """The full argument spec is unchanged, except of methods, as with functools.wraps."""
    assert inspect.getfullargspec(decorated) == inspect.getfullargspec(
        inspect.unwrap(decorated)
    )


def test_annotations_of_the_class() -> None:
    """Reading the annotations of the proxy class does not hide those of a function."""
    assert type(function).__annotations__ is not None
    assert function.__annotations__ == inspect.unwrap(function).__annotations__ != {}


def test_defaults_are_not_applied_twice() -> None:
    """The defaults that a decorated method shows are not applied a second time."""
    methods = Methods()
    assert Methods.function.__kwdefaults__ == {"b": 2}
    assert methods.function(1) == (methods, 1, 2)
    assert methods.function(1, b=3) == (methods, 1, 3)
    with pytest.raises(TypeError, match="missing 1 required"):
        methods.function()  # type: ignore[call-arg]


def test_function_is_a_proxy() -> None:
    """Attributes of a decorated function are read from and set on the function."""
    assert function.__code__ is inspect.unwrap(function).__code__
    assert inspect.unwrap(function).mark == "set from outside"  # type: ignore[attr-defined]
    assert isinstance(function, wrapt.FunctionWrapper)
    assert function == inspect.unwrap(function)
    assert weakref.ref(function)() is function
    assert "function" in repr(function)


def test_signature_without_following() -> None:
    """The signature is that of the function, also without following wrappers."""
    plain = inspect.signature(inspect.unwrap(function))
    assert inspect.signature(function, follow_wrapped=False) == plain


def test_attributes_set_by_other_decorators() -> None:
    """A method has the attributes that decorators above and below have set."""
    assert Methods.below_mark.mark == ["set by another decorator"]  # type: ignore[attr-defined]
    assert Methods.above_mark.mark == ["set by another decorator"]  # type: ignore[attr-defined]
    assert Methods().below_mark.mark is Methods.below_mark.mark  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="since CPython 3.12")
def test_function_marked_as_coroutine() -> None:
    """A function marked as a coroutine function is timed until its coroutine ends."""
    timing = Timing()

    @timing.timer()
    @inspect.markcoroutinefunction  # type: ignore[attr-defined,untyped-decorator,unused-ignore]
    def decorated() -> Any:
        async def inner() -> int:
            timing.pass_(1)
            return 1

        return inner()

    assert inspect.iscoroutinefunction(decorated)
    assert asyncio.run(decorated()) == 1
    assert timing.took() == {"": [1, 1, 1]}


@pytest.mark.filterwarnings("ignore:.*asyncio.iscoroutinefunction:DeprecationWarning")
@pytest.mark.skipif(not hasattr(asyncio.coroutines, "_is_coroutine"), reason="removed")
def test_function_with_the_mark_of_asyncio() -> None:
    """A function that asyncio takes for a coroutine function is timed until it ends."""
    timing = Timing()

    async def inner() -> int:
        timing.pass_(1)
        return 1

    def marked() -> Any:
        return inner()

    marked._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
    decorated = timing.timer()(marked)
    assert asyncio.iscoroutinefunction(decorated)
    assert asyncio.run(decorated()) == 1
    assert timing.took() == {"": [1, 1, 1]}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "decorated",
    [*KINDS, Methods.function, Methods.generator, Whole, Whole.method],
    ids=id_of,
)
def test_pickled_by_name(decorated: Any, protocol: int) -> None:
    """A decorated function is pickled by its name."""
    assert pickle.loads(pickle.dumps(decorated, protocol)) is decorated


def test_bound_methods_and_instances_are_pickled() -> None:
    """Instances with decorated methods can be pickled, as can their bound methods."""
    for name in ("function", "coroutine", "generator", "above_lru"):
        bound = getattr(Methods(), name)
        assert pickle.loads(pickle.dumps(bound)).__self__.__class__ is Methods


@pytest.mark.parametrize(
    "decorated", [*KINDS, Methods.function, Methods.generator], ids=id_of
)
def test_copied_as_functions_are(decorated: Any) -> None:
    """A copy of a decorated function is the same object."""
    assert copy.copy(decorated) is copy.deepcopy(decorated) is decorated


class Greeter:
    """A callable object with state."""

    def __init__(self) -> None:
        self.names = ["a"]

    def __call__(self) -> list[str]:
        return self.names


def test_objects_are_copied_with_their_decoration() -> None:
    """A deep copy of a decorated object is decorated, and has its own state."""
    timing = Timing()
    decorated = timing.timer()(Greeter())
    deep = copy.deepcopy(decorated)
    shallow = copy.copy(decorated)
    deep().append("b")
    shallow().append("c")
    assert decorated() == ["a", "c"]
    assert timing.took() == {"": [3, 0, 0]}


@pytest.mark.processes
@pytest.mark.skipif("WRAPT_DISABLE_EXTENSIONS" in os.environ, reason="this is that run")
def test_without_extension() -> None:
    """Without the C extension of wrapt all tests of these files pass."""
    others = "decorate_wraps", "decorate_super", "decorate_introspection", "by_value"
    files = __file__, *(f"{ROOT}/test_{name}.py" for name in others)
    here = *files, "-q", "-p", "no:cacheprovider", "-p", "no:randomly"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *here],
        env={**os.environ, "WRAPT_DISABLE_EXTENSIONS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
