from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._decorate.arguments import argument_getters, name_of


class Called:
    """A class with things to call."""

    def method(self) -> None:
        """Do nothing."""

    def __call__(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (len, "builtins.len"),
        (str.upper, "builtins.str.upper"),
        (Called, f"{__name__}.Called"),
        (Called.method, f"{__name__}.Called.method"),
        (Called().method, f"{__name__}.Called.method"),
        (Called(), f"{__name__}.Called"),
        (functools.partial(functools.partial(len)), "builtins.len"),
        ([].append, "list.append"),
    ],
    ids=lambda case: case if isinstance(case, str) else type(case).__name__,
)
def test_name(target: Any, name: str) -> None:
    """Everything callable has a name that says where it is."""
    assert name_of(target) == name


def many(a: Any, /, b: Any, *rest: Any, c: Any = 3, d: Any = None, **more: Any) -> None:
    """Take arguments of every kind."""


some = st.integers(0, 9)


@given(
    st.lists(some, min_size=1, max_size=5),
    st.dictionaries(st.sampled_from("bcdxy"), some),
)
def test_fetches_what_is_bound(args: list[int], kwargs: dict[str, int]) -> None:
    """An argument is found where ``inspect`` finds it, however it was given."""
    signature = inspect.signature(many)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return
    bound.apply_defaults()
    truth = {**bound.arguments, **bound.arguments["more"]}
    wanted = dict.fromkeys([*"abcdxy", "rest"])
    found = argument_getters(wanted, many)
    assert found.keys() == wanted.keys()
    for name, fetch in found.items():
        assert fetch(tuple(args), kwargs) == truth.get(name), name


def test_converts() -> None:
    """A callable makes a value of the argument; of none that was given it makes none."""
    found = argument_getters({"a": len, "x": len}, many)
    assert found["a"](("abc",), {}) == 3
    assert found["x"](("abc",), {}) is None


def test_unknown_names() -> None:
    """A name that the target does not take gives no dimension."""

    def one(a: int) -> None: ...

    assert argument_getters({"b": None}, one).keys() == set()


def test_no_signature() -> None:
    """What has no signature gives no dimensions."""
    assert argument_getters({"a": None}, dict.fromkeys) == {} or inspect.signature(
        dict.fromkeys
    )
    with pytest.raises(ValueError, match="signature"):
        inspect.signature(int)
    assert argument_getters({"a": None}, int) == {}
