from __future__ import annotations

from typing import Any

from dtmetrics._decorate.parameters import parameters_of


def test_parameters_as_source() -> None:
    """Parameters are declared and passed on as the function has them."""

    def function(a: int, /, b: int = 1, *, c: int, d: int = 2) -> None: ...

    parameters = parameters_of(function)
    assert parameters.declared == "a, /, b, *, c, d"
    assert parameters.passed == "a, b, c=c, d=d"
    assert (parameters.args, parameters.kwargs) == ("(a, b, )", "{'c': c, 'd': d}")
    assert parameters.names == parameters.all_names == ("a", "b", "c", "d")
    assert "b is _default_of_b" in parameters.guard
    assert "d is _default_of_d" in parameters.guard


def test_parameters_that_take_any_arguments() -> None:
    """A function that takes any arguments may have replaced its code."""

    def function(*args: Any, **kwargs: Any) -> None: ...

    parameters = parameters_of(function)
    assert parameters.declared == parameters.passed == "*args, **kwargs"
    assert (parameters.args, parameters.kwargs) == ("(*args, )", "{**kwargs}")
    assert (parameters.names, parameters.all_names) == ((), ("args", "kwargs"))
    assert parameters.guard == "_func.__code__ is not _code"


def test_names_that_cannot_be_written() -> None:
    """A name that is none of Python's, or one of the wrapper's, is not written as source."""

    def function(a: int) -> None: ...

    assert parameters_of(function).writable
    for name in ("not a name", "class", "_default_of_x", "__class__"):
        function.__code__ = function.__code__.replace(co_varnames=(name,))
        assert not parameters_of(function).writable
