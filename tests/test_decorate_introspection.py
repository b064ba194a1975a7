from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import pydoc
import re
import typing
import warnings
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pytest

from tests.support.decorators import DECORATORS, Decorate
from tests.support.recorder import Recorder


@pytest.fixture(params=DECORATORS.values(), ids=DECORATORS)
def decorate(request: pytest.FixtureRequest, recorder: Recorder) -> Any:
    """Return a decorator, one of each kind."""
    return request.param(recorder.meter)


def passing(function: Any) -> Any:
    """Wrap *function*, as many decorators do."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def classes(of_ours: Decorate, above: Decorate, below: Decorate) -> Any:
    """Return functions and classes with methods of each kind, decorated by all three."""

    def decorate(it: Any) -> Any:
        return above(of_ours(below(it)))

    class Owner:
        """Has methods."""

        @decorate
        def method(self, a: int, /, b: str = "b", *args: int, c: float = 1.5, **more: int) -> str:  # fmt: skip
            """Be a method."""
            return b

        @decorate
        async def coroutine(self, a: int) -> int:
            """Be a coroutine method."""
            return a

        @decorate
        def generator(self, a: int) -> Iterator[int]:
            """Be a generator method."""
            yield a

        @decorate
        async def agenerator(self, a: int, *, b: int = 2) -> AsyncGenerator[int, None]:
            """Be an asynchronous generator method."""
            yield a

        @classmethod
        @decorate
        def make(cls, a: int) -> int:
            """Be a class method."""
            return a

        @staticmethod
        @decorate
        def static(a: int, b: int = 1) -> int:
            """Be a static method."""
            return a

        above_make = (
            decorate(classmethod(lambda cls, a: a)) if above is below is same else make
        )
        above_static = decorate(staticmethod(len)) if above is below is same else static

    @decorate
    def function(a: int, b: str = "b", /, *, c: float = 1.5) -> str:
        """Be a function."""
        return b

    @decorate
    async def coroutine(a: int, b: str = "b") -> int:
        """Be a coroutine function."""
        return a

    @decorate
    def generator(a: int) -> Iterator[int]:
        """Be a generator function."""
        yield a

    return {
        **{f"Owner.{name}": getattr(Owner, name) for name in vars(Owner) if name[0] != "_"},
        **{f"Owner().{name}": getattr(Owner(), name) for name in vars(Owner) if name[0] != "_"},
        "function": function,
        "coroutine": coroutine,
        "generator": generator,
        "partial": functools.partial(function, 1) if above is below else function,
    }  # fmt: skip


def same(function: Any) -> Any:
    """Return *function*."""
    return function


QUESTIONS: list[Callable[[Any], Any]] = [
    inspect.signature,
    inspect.getfullargspec,
    lambda it: inspect.getcallargs(it, *[1] * len(inspect.getfullargspec(it).args)).keys(),
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
    inspect.isfunction,
    inspect.ismethod,
    inspect.isroutine,
    inspect.isbuiltin,
    inspect.getdoc,
    inspect.getsource,
    inspect.getsourcelines,
    inspect.getmodule,
    inspect.getmro,
    asyncio.iscoroutinefunction,
    typing.get_type_hints,
    callable,
    lambda it: (it.__name__, it.__qualname__, it.__module__, it.__doc__),
    lambda it: (it.__defaults__, it.__kwdefaults__, it.__annotations__),
    lambda it: it.__globals__ is globals(),
    lambda it: it.__code__.co_varnames[: it.__code__.co_argcount],
    lambda it: it.__code__.co_flags & (0x04 | 0x08 | 0x20 | 0x80 | 0x200),
    lambda it: re.sub(" at 0x\\w+", "", repr(it)),
    lambda it: re.sub(" at 0x\\w+", "", pydoc.render_doc(it, renderer=pydoc.plaintext)),
    lambda it: type(it) is type(lambda: None) or "proxy",
]  # fmt: skip


def answer(question: Callable[[Any], Any], it: Any) -> Any:
    """Return the answer, or the class of the error."""
    try:
        return question(it)
    except (TypeError, AttributeError) as error:
        return type(error)


@pytest.mark.parametrize(("above", "below"), [(same, same), (passing, same), (same, passing), (passing, passing)])  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*asyncio.iscoroutinefunction:DeprecationWarning")
def test_looks_as_without_the_decorator(decorate: Decorate, above: Any, below: Any) -> None:  # fmt: skip
    """inspect, typing, pydoc and code that reads attributes see what they saw before."""
    plain = classes(same, above, below)
    decorated = classes(decorate, above, below)
    for name, twin in plain.items():
        for question in QUESTIONS[:-1]:
            assert answer(question, decorated[name]) == answer(question, twin), (name, question)  # fmt: skip


def warn_and_log(logger: logging.Logger) -> None:
    """Name the caller in a warning and in a log record."""
    warnings.warn("deprecated", stacklevel=2)
    logger.warning("deprecated", stacklevel=2)


class Caught(logging.Handler):
    """Keeps the places of log records."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.places.append((record.pathname, record.funcName))


def test_warning_names_the_caller(decorate: Decorate, request: pytest.FixtureRequest) -> None:  # fmt: skip
    """warnings.warn(stacklevel=2) names the caller of a decorated function, with its line."""
    function = decorate(warn_and_log)

    class Owner:
        @decorate
        def method(self, logger: logging.Logger) -> None:
            warnings.warn("deprecated", stacklevel=2)

        @decorate
        async def coroutine(self, logger: logging.Logger) -> None:
            warnings.warn("deprecated", stacklevel=2)

    async def awaits(logger: logging.Logger) -> None:
        await Owner().coroutine(logger)

    logger = logging.getLogger(__name__)
    logger.addHandler(handler := Caught())
    request.addfinalizer(lambda: logger.removeHandler(handler))
    for call in (
        lambda: function(logger),
        lambda: Owner().method(logger),
        lambda: asyncio.run(awaits(logger)),
    ):
        with pytest.warns(UserWarning, match="deprecated") as caught:
            call()
        assert [warning.filename for warning in caught] == [__file__]
        assert caught[0].lineno > test_warning_names_the_caller.__code__.co_firstlineno
    if hasattr(logging, "getHandlerByName") or "_is_internal_frame" in vars(logging):
        assert handler.places == [(__file__, "<lambda>")]  # since Python 3.11
