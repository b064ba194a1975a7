"""Decorated callables arrive decorated in other processes, by any pickler."""

from __future__ import annotations

import copy
import functools
import inspect
import io
import json
import os
import pickle
import runpy
import subprocess
import sys
import textwrap
from types import FunctionType, ModuleType
from typing import Any

import pytest

import dtmetrics
from dtmetrics import MemoryExporter, configure, counter, flush, shutdown, timed
from dtmetrics._decorate.by_value import found_by_name
from tests.support import pickled_callables
from tests.support.pickled_callables import (
    CASES,
    dump,
    names_for,
    recorded_values,
    send,
    use,
    wanted,
)
from tests.support.script import expect, python_path

#: dill 0.4 reads an attribute of code objects that Python 3.15 lacks.
PICKLERS = ["cloudpickle", *(["dill"] if sys.version_info < (3, 15) else [])]


def recorded(expression: str, target: Any) -> list[Any]:
    """Return the value of *expression* and how many values it recorded."""
    exporter = MemoryExporter()
    shutdown()  # which forgets the gauges of the one before
    configure(exporter=exporter, interval=None)
    result = use(expression, target)
    assert flush()
    return [result, recorded_values(exporter.lines)]


@pytest.mark.processes
@pytest.mark.parametrize("library", PICKLERS)
def test_program(library: str) -> None:
    """What a program decorates in __main__ records in the process that it is sent to."""
    pytest.importorskip(library)
    program = pickled_callables.__file__
    done = subprocess.run(
        [sys.executable, program, library],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": python_path()},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == wanted(names_for(library))


@pytest.mark.processes
@pytest.mark.parametrize("library", ["pickle", *PICKLERS])
def test_module(library: str) -> None:
    """What an importable module decorates records in the process that imports it."""
    pytest.importorskip(library)
    names = names_for(library)
    assert send(library, names) == wanted(names)


@pytest.mark.parametrize(
    ("library", "name"),
    [(library, name) for library in PICKLERS for name in names_for(library)],
)
def test_within_a_process(library: str, name: str) -> None:
    """What was decorated is decorated after it was pickled, and records the same."""
    module = pytest.importorskip(library)
    target, expression, result, values = CASES[name]
    assert recorded(expression, module.loads(dump(library, target))) == [result, values]


@pytest.mark.parametrize(
    ("library", "name"),
    [(library, name) for library in PICKLERS for name in names_for(library)],
)
def test_of_main(library: str, name: str) -> None:
    """What __main__ has is pickled by value, with its decorator."""
    module = pytest.importorskip(library)
    main = runpy.run_path(pickled_callables.__file__, run_name="__main__.no_program")
    target, expression, result, values = main["CASES"][name]
    loaded = module.loads(dump(library, target))
    assert loaded is not target or isinstance(target, type)
    assert recorded(expression, loaded) == [result, values]


@pytest.mark.parametrize("library", ["pickle", *PICKLERS])
@pytest.mark.parametrize(
    "name", ["function", "counted", "generator", "over_lru", "class"]
)
def test_importable(library: str, name: str) -> None:
    """What a module has under its name is pickled by that name, and is the same object."""
    module = pytest.importorskip(library)
    target = CASES[name][0]
    pickled = dump(library, target)
    assert module.loads(pickled) is target
    assert len(pickled) < 100


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["object", "decorated partial", "builtin"])
def test_objects(name: str, protocol: int) -> None:
    """A decorated object without a name is decorated after pickle has pickled it."""
    target, expression, result, values = CASES[name]
    loaded = pickle.loads(pickle.dumps(target, protocol))
    assert recorded(expression, loaded) == [result, values]


@pytest.mark.parametrize("name", ["lambda", "local"])
def test_pickle_cannot(name: str) -> None:
    """A decorated function without a name raises in pickle what an undecorated one raises."""
    with pytest.raises(
        (AttributeError, pickle.PicklingError), match=r"<l(ocals|ambda)>|local object"
    ):
        pickle.dumps(CASES[name][0])


def test_registered_module() -> None:
    """A module that is registered with cloudpickle is pickled by value, with decorators."""
    cloudpickle = pytest.importorskip("cloudpickle")
    before = cloudpickle.dumps(pickled_callables.function)
    cloudpickle.register_pickle_by_value(pickled_callables)
    try:
        pickled = cloudpickle.dumps(pickled_callables.function)
    finally:
        cloudpickle.unregister_pickle_by_value(pickled_callables)
    assert len(pickled) > len(before)
    assert cloudpickle.loads(pickled) is not pickled_callables.function
    assert recorded("o(3)", cloudpickle.loads(pickled)) == [18, 1]


def test_without_a_module() -> None:
    """A function of a notebook's namespace, whose module does not exist, arrives decorated."""
    cloudpickle = pytest.importorskip("cloudpickle")
    for module in (None, "a.missing.module"):
        cell: dict[str, Any] = {"timed": timed, "__name__": module}
        exec("@timed\ndef work(n): return n", cell)
        loaded = cloudpickle.loads(cloudpickle.dumps(cell["work"]))
        assert loaded is not cell["work"]
        assert recorded("o(3)", loaded) == [3, 1]


def test_shared_cache() -> None:
    """A cache that is found by its name is the same after pickling, with its decorator."""
    decorated = timed(cached)
    loaded = pickle.loads(pickle.dumps(decorated))
    assert loaded.__wrapped__ is cached
    assert recorded("o(3)", loaded) == [3, 1]


@functools.lru_cache
def cached(x: int) -> int:
    """Return *x*."""
    return x


def test_identity_in_a_pickle() -> None:
    """A decorated function that is pickled twice in one pickle is one object in it."""
    cloudpickle = pytest.importorskip("cloudpickle")
    first, second = cloudpickle.loads(cloudpickle.dumps([pickled_callables.LOCAL] * 2))
    assert first is second
    assert inner_of(first) is first


def inner_of(function: Any) -> Any:
    """Return what the recursive *function* calls."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__, strict=True))
    return cells["inner"].cell_contents


def test_wrapped_by_what_it_refers_to() -> None:
    """A function that refers to what decorates it arrives, from either side, with defaults."""
    cloudpickle = pytest.importorskip("cloudpickle")
    cell: dict[str, Any] = {
        "timed": timed,
        "partial": functools.partial,
        "__name__": None,
    }
    source = """
        def plain(n=3): return n if n == 0 else decorated(0) + n
        decorated = timed("decorated")(plain)
        @timed("outer")
        def outer(n=3): return n if n == 0 else bound() + n
        bound = timed("bound")(partial(outer, 0))
        """
    exec(textwrap.dedent(source), cell)
    for name, values in (("plain", 1), ("decorated", 2), ("outer", 3), ("bound", 2)):
        loaded = cloudpickle.loads(cloudpickle.dumps(cell[name]))
        assert recorded("o()", loaded) == [0 if name == "bound" else 3, values]


def test_methods_of_a_class_body() -> None:
    """A decorated function that has arrived can be a method, of the kind that it was."""
    cloudpickle = pytest.importorskip("cloudpickle")

    @timed
    async def work(self: Any, n: int = 3) -> int:
        return n

    loaded = cloudpickle.loads(cloudpickle.dumps(work))

    class Owner:
        method = loaded

    assert vars(Owner)["method"] is loaded
    assert inspect.iscoroutinefunction(Owner.method)
    assert recorded("run(o.method())", Owner()) == [3, 1]


@pytest.mark.parametrize("default", ["", "=3"])
def test_method_that_is_a_function_arrives(default: str) -> None:
    """A decorated method of a class that is pickled by value records where it arrives."""
    cloudpickle = pytest.importorskip("cloudpickle")
    space: dict[str, Any] = {"timed": timed, "__name__": "__main__"}
    exec(
        f"class Base:\n def method(self, n: int{default}): return n\n"
        f"class Owner(Base):\n @timed\n"
        f" def method(self, n: int{default}): return super().method(n)",
        space,
    )
    owner = cloudpickle.loads(cloudpickle.dumps(space["Owner"]))
    assert type(vars(owner)["method"]) is FunctionType
    assert recorded("o.method(3)", owner()) == [3, 1]


def test_attributes_arrive() -> None:
    """The attributes, the defaults and the names of a function arrive with it."""
    cloudpickle = pytest.importorskip("cloudpickle")

    @timed
    def work(n: int = 1, *, by: int = 2) -> int:
        """Multiply."""
        return n * by

    work.mark = "set"  # type: ignore[attr-defined]
    loaded = cloudpickle.loads(cloudpickle.dumps(work))
    assert (loaded(), loaded.mark, loaded.__doc__) == (2, "set", "Multiply.")
    for name in ("__name__", "__qualname__", "__module__", "__defaults__"):
        assert getattr(loaded, name) == getattr(work, name)


@pytest.mark.parametrize("name", CASES)
def test_copies(name: str) -> None:
    """A copy of what was decorated is decorated, and a copy of a function is itself."""
    target, expression, result, values = CASES[name]
    for made in (copy.copy(target), copy.deepcopy([target])[0]):
        if isinstance(target, FunctionType | type):
            assert made is target
        assert recorded(expression, made) == [result, values]


def test_class_of_a_decorated_function() -> None:
    """A decorated function has the class of a function, also for one that can be set."""
    assert pickled_callables.function.__class__ is FunctionType
    greeter = timed(pickled_callables.Greeter())

    class Loud(pickled_callables.Greeter):
        def __call__(self, x: int) -> int:
            return x * 2

    greeter.__class__ = Loud  # type: ignore[assignment]
    assert isinstance(greeter, Loud)
    assert greeter(1) == 2


class Stock(pickle._Pickler):  # type: ignore[name-defined]
    """The pickler of the standard library that is written in Python."""


def test_pickler_in_python() -> None:
    """Pickle's own pickler in Python pickles a decorated function by its name."""
    file = io.BytesIO()
    Stock(file).dump(pickled_callables.function)
    assert pickle.loads(file.getvalue()) is pickled_callables.function


class Asking(pickle.Pickler):
    """A pickler that checks what cloudpickle checks, without its registry of modules."""

    def reducer_override(self, target: Any) -> Any:
        if isinstance(target, FunctionType):
            return len, ((),)
        return NotImplemented


def test_answer_is_used_once() -> None:
    """That a pickler wanted a function by value does not change the next pickle of it."""
    here = ModuleType("here")
    exec("def work(n): return n", here.__dict__)
    work = timed(here.work)
    here.work = work  # type: ignore[attr-defined]
    assert not found_by_name(work)
    sys.modules["here"] = here
    try:
        assert found_by_name(work)
        Asking(io.BytesIO()).dump(CASES["local"][0])
        assert pickle.loads(pickle.dumps(work)) is work
    finally:
        del sys.modules["here"]


def test_spawned_main_has_one_name() -> None:
    """A function of the main module has one name in a parent and its spawned children."""
    program = """
    from dtmetrics import MemoryExporter, configure, flush, timed
    __name__ = "__mp_main__"  # as multiprocessing names it in a child
    exporter = MemoryExporter()
    configure(exporter=exporter, interval=None)
    @timed
    def work(): ...
    work()
    assert flush()
    print(exporter.lines[0].split(" ")[0])
    """
    assert "code.function.name=__main__.work," in expect(program)


def test_counts_are_not_pickled() -> None:
    """A function that has been pickled counts on from what its process has counted."""
    cloudpickle = pytest.importorskip("cloudpickle")
    exporter = MemoryExporter()
    configure(exporter=exporter, interval=None)
    hits = counter("by.value.hits")

    def count() -> None:
        hits.inc(7)

    count()
    loaded = cloudpickle.loads(cloudpickle.dumps(count))
    loaded()
    assert flush()
    assert [line for line in exporter.lines if "count,delta=14 " in line]
    dtmetrics.shutdown()
