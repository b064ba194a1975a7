from __future__ import annotations

import asyncio
import functools
import inspect
from typing import Any

import pytest

from dtmetrics._decorate.kinds import (
    calls_a,
    is_coroutine_function,
    is_method,
    is_method_by_name,
    is_plain,
)


async def coroutine() -> None:
    """Be a coroutine function."""


class Owner:
    """Has methods."""

    def method(self) -> None: ...

    async def __call__(self) -> None: ...

    cached = functools.lru_cache(method)
    number = 1
    inner = int


def test_plain_functions() -> None:
    """A function is plain if nothing about it could make it another kind."""
    marked: Any = lambda: None  # noqa: E731 -- a function of this test
    assert is_plain(marked)
    marked.mark = 1
    assert not any(map(is_plain, (marked, coroutine, len, Owner(), Owner().method)))


def test_what_a_call_runs() -> None:
    """A partial, a callable object and a mark are seen through."""
    for target in (coroutine, functools.partial(coroutine), Owner()):
        assert calls_a(target, inspect.iscoroutinefunction)
    assert not calls_a(Owner().method, inspect.iscoroutinefunction)
    assert is_coroutine_function(coroutine)
    assert not is_coroutine_function(len)


@pytest.mark.skipif(not hasattr(asyncio.coroutines, "_is_coroutine"), reason="removed")
def test_mark_of_asyncio() -> None:
    """A function with asyncio's mark is a coroutine function."""
    marked: Any = lambda: coroutine()  # noqa: E731 -- a function of this test
    marked._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
    assert is_coroutine_function(marked)


def test_methods() -> None:
    """A method is recognised among other attributes, and a function of a class by its name."""
    methods = {name for name, it in vars(Owner).items() if is_method(it)}
    assert methods == {"method", "__call__", "cached"}
    assert is_method_by_name(Owner.method)
    assert not is_method_by_name(coroutine)
    assert not is_method_by_name(lambda: None)
