"""Decorated callables of each kind, which are sent to another process.

Run as a program it has them in ``__main__``; imported, another process can import them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

from dtmetrics import context, counter, gauge, timed
from tests.support.script import python_path


@timed
def function(x: int, y: int = 2, *, z: int = 3) -> int:
    """Multiply."""
    return x * y * z


@timed("with.arguments", args={"x": str}, result=lambda result: {"result": result})
def with_arguments(x: int) -> int:
    """Have dimensions of the argument and of the result."""
    return x * 2


@counter("count")
def counted(x: int) -> int:
    """Be counted."""
    return x


@gauge("active")
def gauged(x: int) -> int:
    """Be counted while it runs."""
    return x


@context(tenant="acme")
def in_context(x: int) -> int:
    """Count, with the dimension of the context."""
    counter("in.context").inc()
    return x


@timed
async def coroutine(x: int) -> int:
    """Return *x*."""
    return x


@timed
def generator(x: int) -> Iterator[int]:
    """Yield *x*."""
    yield x


@timed("active.generator", generator="active")
def active_generator(x: int) -> Iterator[int]:
    """Yield *x*, timed while it runs."""
    yield x


@timed
async def agenerator(x: int) -> AsyncGenerator[int, None]:
    """Yield *x*, asynchronously."""
    yield x


@timed
@functools.lru_cache(maxsize=5)
def over_lru(x: int) -> int:
    """Return *x*, from a cache."""
    return x


@timed
@contextlib.contextmanager
def over_manager(x: int) -> Iterator[int]:
    """Give *x* to a block."""
    yield x


@contextlib.contextmanager
@timed
def under_manager(x: int) -> Iterator[int]:
    """Give *x* to a block, timed inside."""
    yield x


@timed("stacked")
@counter("stacked.count")
def stacked(x: int) -> int:
    """Be timed and counted."""
    return x


@timed
def recursive(n: int) -> int:
    """Call itself *n* times."""
    return n if n == 0 else recursive(n - 1) + 1


@timed("mutual.even", args=("n",))
def even(n: int) -> bool:
    """Whether *n* is even."""
    return n == 0 or odd(n - 1)


@counter("mutual.odd")
def odd(n: int) -> bool:
    """Whether *n* is odd."""
    return n != 0 and even(n - 1)


@functools.wraps(function)
def around(x: int) -> int:
    """Call the decorated function."""
    return function(x)


def local(k: int) -> Callable[[int], int]:
    """Return a function that calls itself, and has a variable of another one."""

    @timed
    def inner(x: int) -> int:
        return x * k if x == 0 else inner(0) + x * k

    return inner


class Methods:
    @timed
    def function(self, x: int) -> int:
        return x

    @timed("method.arguments", args=("x",))
    def with_arguments(self, x: int) -> int:
        return x

    @timed("method.converted", args={"x": lambda x: x + 1})
    def converted(self, x: int) -> int:
        return x

    @timed
    async def coroutine(self, x: int) -> int:
        return x

    @timed
    def generator(self, x: int) -> Iterator[int]:
        yield x

    @timed
    async def agenerator(self, x: int) -> AsyncGenerator[int, None]:
        yield x

    @classmethod
    @timed
    def below_class(cls, x: int) -> int:
        return x

    @timed
    @classmethod
    def above_class(cls, x: int) -> int:
        return x

    @staticmethod
    @timed
    def below_static(x: int) -> int:
        return x

    @timed
    @staticmethod
    def above_static(x: int) -> int:
        return x

    @property
    @timed
    def below_property(self) -> int:
        return 1

    @counter("method.count")
    def counted(self, x: int) -> int:
        return x

    @gauge("method.active")
    def gauged(self, x: int) -> int:
        return x

    @context(tenant="acme")
    def in_context(self, x: int) -> int:
        counter("in.context").inc()
        return x

    @timed
    def recursive(self, n: int) -> int:
        return n if n == 0 else Methods().recursive(n - 1) + 1


@timed
class Whole:
    def method(self, x: int) -> int:
        return x


class Greeter:
    def __call__(self, x: int) -> int:
        return x


#: Only another process that gets its code can have this one.
LAMBDA = timed(lambda x: x)
LOCAL = local(7)

#: What is sent, an expression with it as ``o``, the result and how many values it records.
CASES: dict[str, tuple[Any, str, Any, int]] = {
    "function": (function, "o(3)", 18, 1),
    "with_arguments": (with_arguments, "o(3)", 6, 1),
    "counted": (counted, "o(3)", 3, 1),
    "gauged": (gauged, "o(3)", 3, 1),
    "in_context": (in_context, "o(3)", 3, 1),
    "coroutine": (coroutine, "run(o(3))", 3, 1),
    "generator": (generator, "[*o(3)]", [3], 1),
    "active_generator": (active_generator, "[*o(3)]", [3], 1),
    "agenerator": (agenerator, "run(all_of(o(3)))", [3], 1),
    "over_lru": (over_lru, "[o(3), o.cache_info().maxsize]", [3, 5], 1),
    "over_manager": (over_manager, "inside(o(3))", 3, 1),
    "under_manager": (under_manager, "inside(o(3))", 3, 1),
    "stacked": (stacked, "o(3)", 3, 2),
    "recursive": (recursive, "o(3)", 3, 4),
    "mutually recursive": (even, "o(4)", True, 5),
    "partial of decorated": (functools.partial(function, y=5), "o(3)", 45, 1),
    "decorated partial": (timed(functools.partial(function, y=5)), "o(3)", 45, 2),
    "around": (around, "o(3)", 18, 1),
    "lambda": (LAMBDA, "o(3)", 3, 1),
    "local": (LOCAL, "o(3)", 21, 2),
    "object": (timed(Greeter()), "o(3)", 3, 1),
    "method of an object": (timed(Greeter().__call__), "o(3)", 3, 1),
    "builtin": (timed(len), "o([1])", 1, 1),
    "class": (Whole, "o().method(3)", 3, 1),
    "bound method": (Methods().function, "o(3)", 3, 1),
    **{
        f"Methods.{name}": (Methods, expression, result, values)
        for name, expression, result, values in (
            ("function", "o().function(3)", 3, 1),
            ("with_arguments", "o().with_arguments(3)", 3, 1),
            ("converted", "o().converted(3)", 3, 1),
            ("coroutine", "run(o().coroutine(3))", 3, 1),
            ("generator", "[*o().generator(3)]", [3], 1),
            ("agenerator", "run(all_of(o().agenerator(3)))", [3], 1),
            ("below_class", "o.below_class(3)", 3, 1),
            ("above_class", "o().above_class(3)", 3, 1),
            ("below_static", "o.below_static(3)", 3, 1),
            ("above_static", "o().above_static(3)", 3, 1),
            ("below_property", "o().below_property", 1, 1),
            ("counted", "o().counted(3)", 3, 1),
            ("gauged", "o().gauged(3)", 3, 1),
            ("in_context", "o().in_context(3)", 3, 1),
            ("recursive", "o().recursive(3)", 3, 4),
        )
    },
}

#: What each library cannot pickle without the decorators either: pickle has only names,
#: dill sends no recursive function together with the globals that it refers to.
IMPOSSIBLE = {
    "pickle": ("lambda", "local", "around"),
    "cloudpickle": (),
    "dill": ("mutually recursive",),
}


def names_for(library: str) -> list[str]:
    """Return the names of what *library* can pickle."""
    return [name for name in CASES if name not in IMPOSSIBLE[library]]


def dump(library: str, target: Any) -> bytes:
    """Pickle *target*; dill also sends the globals that a function refers to."""
    module = importlib.import_module(library)
    with_globals = library == "dill" and getattr(target, "__name__", "") != "inner"
    options = {"recurse": True} if with_globals else {}
    pickled: bytes = module.dumps(target, **options)
    return pickled


def recorded_values(lines: list[str]) -> int:
    """Return how many values *lines* have; a gauge has one, and it must be 0."""
    values = 0
    for line in lines:
        number = line.split(" ")[-2].rpartition("=")[2].removeprefix("gauge,")
        if " gauge,0 " in line:
            number = "1"
        values += 0 if line.startswith("#") else int(number)
    return values


def use(expression: str, target: Any) -> Any:
    """Return the value of *expression*, with *target* as ``o``."""

    async def all_of(items: AsyncGenerator[int, None]) -> list[int]:
        return [item async for item in items]

    def inside(manager: Any) -> int:
        with manager as value:
            return int(value)

    names = {"o": target, "run": asyncio.run, "all_of": all_of, "inside": inside}
    return eval(expression, names)


RECEIVER = """
import importlib, json, sys
from dtmetrics import MemoryExporter, configure, flush, shutdown, stats
from tests.support.pickled_callables import recorded_values, use
results = {}
loads = importlib.import_module(sys.argv[1]).loads
for name, (pickled, expression) in json.load(sys.stdin).items():
    exporter = MemoryExporter()
    shutdown()  # which forgets the gauges of the one before
    configure(exporter=exporter, interval=None)
    try:
        result = use(expression, loads(bytes.fromhex(pickled)))
    except Exception as error:
        result = repr(error)
    assert flush() and not stats().invalid
    results[name] = [result, recorded_values(exporter.lines)]
print(json.dumps(results))
"""


def send(library: str, names: list[str]) -> dict[str, Any]:
    """Return what another process gets from using the callables *names*."""
    sent = {
        name: [dump(library, CASES[name][0]).hex(), CASES[name][1]] for name in names
    }
    done = subprocess.run(
        [sys.executable, "-c", RECEIVER, library],
        input=json.dumps(sent),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": python_path()},
    )
    assert done.returncode == 0, done.stderr
    received: dict[str, Any] = json.loads(done.stdout)
    return received


def wanted(names: list[str]) -> dict[str, Any]:
    """Return what `send` must return."""
    return {name: [*CASES[name][2:]] for name in names}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(send(sys.argv[1], names_for(sys.argv[1]))))
