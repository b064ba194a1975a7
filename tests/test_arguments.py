from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._decorate.arguments import argument_getters, name_of


class Callee:
    """A class with a method, whose instances can be called."""

    def method(self) -> None:
        """Do nothing."""

    def __call__(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (len, "builtins.len"),
        (str.upper, "builtins.str.upper"),
        (Callee, f"{__name__}.Callee"),
        (Callee.method, f"{__name__}.Callee.method"),
        (Callee().method, f"{__name__}.Callee.method"),
        (Callee(), f"{__name__}.Callee"),
        (functools.partial(functools.partial(len)), "builtins.len"),
        ([].append, "list.append"),
    ],
    ids=lambda case: case if isinstance(case, str) else type(case).__name__,
)
def test_name(target: Any, name: str) -> None:
    """Each callable is named by its module and its qualified name."""
    assert name_of(target) == name


def many(a: Any, /, b: Any, *rest: Any, c: Any = 3, d: Any = None, **more: Any) -> None:
    """Take arguments of every kind."""


some = st.integers(0, 9)


@given(
    st.lists(some, min_size=1, max_size=5),
    st.dictionaries(st.sampled_from("bcdxy"), some),
)
def test_gets_what_is_bound(args: list[int], kwargs: dict[str, int]) -> None:
    """A getter returns what ``inspect`` binds, by position or by keyword."""
    signature = inspect.signature(many)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return
    bound.apply_defaults()
    expected = {**bound.arguments, **bound.arguments["more"]}
    wanted = dict.fromkeys([*"abcdxy", "rest"])
    getters = argument_getters(wanted, many)
    assert getters.keys() == wanted.keys()
    for name, get in getters.items():
        assert get(tuple(args), kwargs) == expected.get(name), name


def test_converts() -> None:
    """A converter is applied to the argument, and not called if there is none."""
    getters = argument_getters({"a": len, "x": len}, many)
    assert getters["a"](("abc",), {}) == 3
    assert getters["x"](("abc",), {}) is None


def test_unknown_names() -> None:
    """An argument that the target does not accept has no getter."""

    def one(a: int) -> None: ...

    assert argument_getters({"b": None}, one).keys() == set()


def test_no_signature() -> None:
    """Of a callable without a signature, only keyword arguments are found."""
    with pytest.raises(ValueError, match="signature"):
        inspect.signature(int)
    getters = argument_getters({"base": None}, int)
    assert getters["base"](("11",), {"base": 2}) == 2
    assert getters["base"](("11", 2), {}) is None
