from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import os
import pickle
import subprocess
import sys
import typing
import weakref
from typing import Any

import pytest
import wrapt

from tests.support.decorated_callables import (
    KINDS,
    METHODS,
    Methods,
    Whole,
    function,
    named,
    timed,
)
from tests.support.timer_clock import Timing


@pytest.mark.parametrize("made", [*KINDS, *METHODS], ids=named)
def test_introspection(made: Any) -> None:
    """Every question that inspect and typing answer has the answer it had."""
    bare = inspect.unwrap(made)
    if inspect.ismethod(made):
        bare = inspect.unwrap(made.__func__).__get__(made.__self__)
    for question in (
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
        assert question(made) == question(bare), question
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__defaults__"):
        assert getattr(made, name) == getattr(bare, name)
    for name in ("__kwdefaults__", "__annotations__"):
        assert getattr(made, name) == getattr(bare, name)


@pytest.mark.parametrize("made", [*KINDS, Methods.generator], ids=named)
def test_introspection_of_old(made: Any) -> None:
    """So has getfullargspec(), except for methods: there it is as with functools.wraps."""
    assert inspect.getfullargspec(made) == inspect.getfullargspec(inspect.unwrap(made))


def test_annotations_of_the_class() -> None:
    """Whoever asks a proxy's class for annotations does not hide those of functions."""
    assert type(function).__annotations__ is not None
    assert function.__annotations__ == inspect.unwrap(function).__annotations__ != {}


def test_defaults_are_not_applied_twice() -> None:
    """Showing a function's defaults does not change how it is called."""
    methods = Methods()
    assert Methods.function.__kwdefaults__ == {"b": 2}
    assert methods.function(1) == (methods, 1, 2)
    assert methods.function(1, b=3) == (methods, 1, 3)
    with pytest.raises(TypeError, match="missing 1 required"):
        methods.function()  # type: ignore[call-arg]


def test_function_is_a_proxy() -> None:
    """Attributes are those of the function, and set on it."""
    assert function.__code__ is inspect.unwrap(function).__code__
    assert inspect.unwrap(function).mark == "set from outside"  # type: ignore[attr-defined]
    assert isinstance(function, wrapt.FunctionWrapper)
    assert function == inspect.unwrap(function)
    assert weakref.ref(function)() is function
    assert "function" in repr(function)


def test_signature_without_following() -> None:
    """Who does not follow wrappers sees a function's signature all the same."""
    bare = inspect.signature(inspect.unwrap(function))
    assert inspect.signature(function, follow_wrapped=False) == bare


def test_marks_of_other_decorators_stay() -> None:
    """What others wrote on a method, before or after, is on it."""
    assert Methods.below_mark.mark == ["by another decorator"]  # type: ignore[attr-defined]
    assert Methods.above_mark.mark == ["by another decorator"]  # type: ignore[attr-defined]
    assert Methods().below_mark.mark is Methods.below_mark.mark  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="since CPython 3.12")
def test_function_marked_as_coroutine() -> None:
    """A function that is marked as one for coroutines is awaited, and stays marked."""
    timing = Timing()

    @timing.timer()
    @inspect.markcoroutinefunction  # type: ignore[attr-defined,untyped-decorator,unused-ignore]
    def made() -> Any:
        async def inner() -> int:
            timing.pass_(1)
            return 1

        return inner()

    assert inspect.iscoroutinefunction(made)
    assert asyncio.run(made()) == 1
    assert timing.took() == {"": [1, 1, 1]}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "made",
    [*KINDS, Methods.function, Methods.generator, Whole, Whole.method],
    ids=named,
)
def test_pickled_by_name(made: Any, protocol: int) -> None:
    """A decorated function travels as a name and arrives as itself."""
    assert pickle.loads(pickle.dumps(made, protocol)) is made


def test_bound_methods_and_instances_are_pickled() -> None:
    """So do instances with decorated methods, and the methods bound to them."""
    for name in ("function", "coroutine", "generator", "above_lru"):
        bound = getattr(Methods(), name)
        assert pickle.loads(pickle.dumps(bound)).__self__.__class__ is Methods


@pytest.mark.parametrize(
    "made", [*KINDS, Methods.function, Methods.generator], ids=named
)
def test_copied_as_functions_are(made: Any) -> None:
    """A copy of a decorated function is the function."""
    assert copy.copy(made) is copy.deepcopy(made) is made


class Greeter:
    """A callable object with a state."""

    def __init__(self) -> None:
        self.names = ["a"]

    def __call__(self) -> list[str]:
        return self.names


@pytest.mark.parametrize(
    ("target", "result"),
    [(Greeter(), ["a"]), (functools.partial(int, "3"), 3), ([1].count, None)],
)
def test_objects_are_pickled_without_decoration(target: Any, result: Any) -> None:
    """A callable that has no name of its own arrives as it was before."""
    arrived = pickle.loads(pickle.dumps(timed(target)))
    assert type(arrived) is type(target)
    if result is not None:
        assert arrived() == result


def test_objects_are_copied_with_their_decoration() -> None:
    """A copy of a decorated object is a decorated object with a state of its own."""
    timing = Timing()
    made = timing.timer()(Greeter())
    deep = copy.deepcopy(made)
    shallow = copy.copy(made)
    deep().append("b")
    shallow().append("c")
    assert made() == ["a", "c"]
    assert timing.took() == {"": [3, 0, 0]}


@pytest.mark.skipif("WRAPT_DISABLE_EXTENSIONS" in os.environ, reason="it is this run")
def test_without_extension() -> None:
    """All of this holds where wrapt has to do without its C extension."""
    here = __file__, "-q", "-p", "no:cacheprovider", "-p", "no:randomly"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *here],
        env={**os.environ, "WRAPT_DISABLE_EXTENSIONS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
