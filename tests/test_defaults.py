from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._decorate.defaults import Outdated
from tests.support.decorators import DECORATORS, Decorate
from tests.support.recorder import Recorder
from tests.support.timer_clock import Timing


@pytest.fixture(params=DECORATORS.values(), ids=DECORATORS)
def decorate(request: pytest.FixtureRequest, recorder: Recorder) -> Any:
    """Return a decorator, one of each kind."""
    return request.param(recorder.meter)


def function_with_defaults() -> Any:
    """Return a new function."""

    def function(a: Any, b: Any = 1, c: Any = "c", *, d: Any = 2, e: Any = None) -> Any:
        return a, b, c, d, e

    return function


values = st.one_of(st.sampled_from([1, "c", 2, None, 10, "z"]), st.lists(st.integers()))
calls = st.tuples(
    st.lists(values, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(["b", "c", "d", "e"]), values, max_size=2),
)
changes = st.one_of(
    st.tuples(st.just("__defaults__"), st.tuples(values, values)),
    st.tuples(st.just("__kwdefaults__"), st.fixed_dictionaries({"d": values, "e": values})),
)  # fmt: skip


def outcome(function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Return the result, or the message of a TypeError."""
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        return str(error)


@given(st.lists(st.tuples(changes, calls), max_size=4))
@pytest.mark.parametrize("kind", ["timed", "counter", "timed with conversion"])
def test_defaults_set_on_the_decorated_function(kind: str, script: Any) -> None:
    """Defaults that are set on a decorated function or method apply to its next call."""
    decorate = DECORATORS[kind](Recorder().meter)
    plain, decorated = function_with_defaults(), decorate(function_with_defaults())
    method = function_with_defaults()
    method.__qualname__ = "Owner.function"
    method = decorate(method)
    assert type(method) is FunctionType
    for (name, value), (args, kwargs) in script:
        for each in (plain, decorated, method):
            setattr(each, name, value)
            assert getattr(each, name) == value
        expected = outcome(plain, args, kwargs)
        assert outcome(decorated, args, kwargs) == expected
        if not isinstance(expected, str):
            assert outcome(method, args, kwargs) == expected


def test_defaults_set_on_the_function_itself(decorate: Decorate) -> None:
    """Defaults that the undecorated function gets later are used, also with others given."""
    function = function_with_defaults()
    decorated = decorate(function)
    assert decorated(0) == (0, 1, "c", 2, None)
    function.__defaults__ = (10, "z")
    assert decorated(0, c="x") == (0, 10, "x", 2, None)
    assert decorated(0, 1, d=3) == (0, 1, "z", 3, None)
    function.__kwdefaults__ = {"d": 20, "e": 30}
    assert decorated(0) == (0, 10, "z", 20, 30)
    assert decorated(0, 5, e=None) == (0, 5, "z", 20, None)
    function.__defaults__ = ("only c",)
    assert decorated(0, 3) == (0, 3, "only c", 20, 30)
    function.__kwdefaults__["d"] = "in place"
    assert decorated(0, 3) == (0, 3, "only c", "in place", 30)


def test_calls_with_changed_defaults_are_recorded() -> None:
    """A call is recorded once, and with its arguments, if the defaults have changed."""
    timing = Timing()

    def function(a: int = 1) -> int:
        return a

    async def coroutine(a: int = 1) -> int:
        return a

    for each, call in ((function, lambda it: it()), (coroutine, lambda it: asyncio.run(it()))):  # fmt: skip
        decorated = timing.timer(args={"a": None})(each)
        each.__defaults__ = (5,)
        assert call(decorated) == call(decorated) == 5
        assert timing.took() == {"a=5": [2, 0, 0]}


def test_dimension_of_a_generator_is_its_changed_default() -> None:
    """The dimension of an omitted argument is the default that the function has then."""
    timing = Timing()

    def generator(a: int = 1, *, b: int = 2) -> Iterator[int]:
        yield a + b

    decorated = timing.timer(args={"a": None, "b": None})(generator)
    generator.__defaults__, generator.__kwdefaults__ = (5,), {"b": 6}
    assert list(decorated()) == [11]
    assert list(decorated(7, b=8)) == [15]
    assert timing.took() == {"a=5,b=6": [1, 0, 0], "a=7,b=8": [1, 0, 0]}


def test_removed_defaults(decorate: Decorate) -> None:
    """An argument whose default has been removed is required."""
    function = function_with_defaults()
    decorated = decorate(function)
    function.__defaults__ = None
    function.__kwdefaults__ = {"e": 1}
    with pytest.raises(TypeError, match="missing"):
        decorated(0)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'b'"):
        decorated(0, c=5, d=3)
    assert decorated(0, 1, 2, d=3) == (0, 1, 2, 3, 1)


def test_removed_default_before_another_argument(decorate: Decorate) -> None:
    """An argument whose default has been removed is required before one given by name."""
    function = function_with_defaults()
    decorated = decorate(function)
    function.__defaults__ = ("z",)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'b'"):
        decorated(0, c=5)


def test_more_arguments_than_parameters(decorate: Decorate) -> None:
    """An argument before others was not omitted, even if it is the former default."""

    def function(a: int, b: int = 1, *more: int) -> Any:
        return a, b, more

    decorated = decorate(function)
    function.__defaults__ = (5,)
    assert decorated(0, 1, 2) == (0, 1, (2,))
    assert decorated(0) == (0, 5, ())


def test_copied_for_a_pickle() -> None:
    """What handles other defaults works without the wrapper, of which a pickle has none."""

    def function(a: int = 1, *, b: int = 1) -> Any:
        return a, b

    outdated = copy.copy(Outdated(function, lambda: function))
    function.__defaults__, function.__kwdefaults__ = (5,), {"b": 6}
    assert outdated((1,), {"b": 1}) == (5, 6)


def test_other_code(decorate: Decorate) -> None:
    """Code that is set on a decorated function is called, and its call is recorded."""

    def function(a: int, b: int = 1) -> Any:
        return a, b

    def other(a: str, c: int = 2) -> Any:
        return "other", a, c

    decorated = decorate(function)
    decorated.__code__ = other.__code__
    assert decorated.__code__ is other.__code__
    assert decorated("x", c=3) == ("other", "x", 3)
    assert decorated("x") == ("other", "x", 1)
    with pytest.raises(TypeError, match="'b'"):
        decorated("x", b=3)


def compiled(a: int, /, b: int = 5, *, c: int = 6) -> Any:
    """Return the arguments."""
    return a, b, c


def lazily(*args: Any, _itself: Any = None, **kwargs: Any) -> Any:
    """Replace the code of *_itself*, and call it."""
    _itself.__code__ = compiled.__code__
    _itself.__defaults__ = compiled.__defaults__
    _itself.__kwdefaults__.update(compiled.__kwdefaults__)
    return _itself(*args, **kwargs)


@pytest.mark.parametrize("name", ["lazily", "Owner.method"])
def test_code_that_a_function_sets_when_it_is_called(decorate: Decorate, name: str) -> None:  # fmt: skip
    """A function that compiles itself at its first call, as those of networkx, works."""
    plain = FunctionType(lazily.__code__, globals(), name)
    plain.__kwdefaults__ = {"_itself": plain}
    plain.__qualname__ = name
    decorated = decorate(plain)
    for _ in range(3):
        assert decorated(1) == (1, 5, 6)
        assert decorated(1, 2, c=3) == (1, 2, 3)
    with pytest.raises(TypeError, match="missing 1 required"):
        decorated()


def test_names_and_documentation(decorate: Decorate) -> None:
    """Name, documentation, module and attributes can be changed after decorating."""

    class Owner:
        @decorate
        def method(self, a: int) -> None: ...

    for function in (decorate(function_with_defaults()), Owner.method):
        function.__name__ = function.__qualname__ = "renamed"
        function.__doc__ = "Documented."
        function.__module__ = "elsewhere"
        function.__annotations__ = {"a": str}
        function.mark = 1
        vars(function)["more"] = 2
        assert (function.__name__, function.__doc__) == ("renamed", "Documented.")
        assert (function.__module__, function.__annotations__) == (
            "elsewhere",
            {"a": str},
        )
        assert (function.mark, function.more) == (1, 2)
        with pytest.raises(TypeError, match=r"^renamed\(\) missing 1 required"):
            function(**({"self": 1} if function is Owner.method else {}))
