"""Dimensions of the running context, and whether any context has some.

While no context of the process has dimensions, a record need not read its own, which
would double the cost of ``inc()``. A context can outlive the block that added to it,
because tasks and threads copy it. So references are counted instead of blocks: each
scope holds one to ``_MARKER``. To read their number takes 20 ns, and entering a block
nothing; a weak reference or a finalizer for each scope would take 100 ns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sized
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any, Final, ParamSpec, Protocol, TypeAlias, TypeVar

from dtmetrics._core.shared import Shared
from dtmetrics._decorate.decorate import AsyncBlock, decorate
from dtmetrics._decorate.hooks import OneHook
from dtmetrics._record.decorator_order import Reports, check_order
from dtmetrics._record.dimensions import (
    CACHED_SETS,
    WITHOUT_TEXT,
    Pairs,
    as_plain,
    as_texts,
    require_cacheable,
)
from dtmetrics._record.pickling import Reduced

__all__ = [
    "CONTEXT",
    "NO_DIMENSIONS",
    "NO_SCOPES",
    "ContextBlock",
    "ContextDimensions",
    "any_in_use",
    "references_of_scopes",
]

P = ParamSpec("P")
R = TypeVar("R")


class ContextDimensions:
    """The dimensions of a context, the innermost last.

    Equal dimensions are one object, so that a cache can find a series by it.
    """

    __slots__ = ("pairs",)

    def __init__(self, pairs: Pairs = ()) -> None:
        self.pairs = pairs


NO_DIMENSIONS: Final = ContextDimensions()

#: The dimensions, the marker, the scope around this one, and the block that made it. A
#: plain tuple: making a named one takes 0.2 us more.
Scope: TypeAlias = tuple[ContextDimensions, object, Any, Any]

#: The scope of the running context.
CONTEXT: ContextVar[Scope] = ContextVar(
    "dtmetrics.context", default=(NO_DIMENSIONS, None, None, None)
)

#: What each scope has a reference to.
_MARKER = object()


class Contexts(Protocol):
    """What a block uses of the registry."""

    recording: bool
    travels: bool

    @property
    def fast(self) -> Sized:
        """The series whose records do not read their context."""

    @property
    def catalog(self) -> Reports:
        """Where an invalid use is reported."""

    def read_contexts(self) -> None:
        """Make every record read its context from now on."""


class ContextBlock(AsyncBlock, Shared):
    """A block whose *dimensions* are added to everything that is recorded inside.

    Threads and tasks may share one, and it may be entered again inside itself. It is
    also a decorator, for every kind of callable.
    """

    __slots__ = ("_dimensions", "_registry")

    def __init__(self, registry: Contexts, dimensions: Mapping[str, object]) -> None:
        self._registry = registry
        self._dimensions = dimensions

    def __reduce__(self) -> Reduced:
        plain = as_plain(tuple(self._dimensions.items()))
        return ContextBlock, (self._registry, dict(plain))

    def __enter__(self) -> None:
        outer = CONTEXT.get()
        CONTEXT.set(self.scope_in(outer))
        # In this order: see Registry.enable().
        if self._registry.fast:
            self._registry.read_contexts()

    def __exit__(self, *_: object) -> None:
        scope = CONTEXT.get()
        if scope[3] is self:
            CONTEXT.set(scope[2])
        else:
            self._leave(scope)

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        check_order(func, "context()", self._registry.catalog)
        return decorate(func, OneHook(CallsInContext(self)), self._registry)

    def scope_in(self, outer: Scope) -> Scope:
        """Return a scope of this block inside *outer*."""
        try:
            inner = _nested(outer[0], **self._dimensions)
        except Exception:  # noqa: BLE001 -- not cacheable, or its __hash__ raised
            # A value that has no text is counted when a series is made.
            texts = as_texts(self._dimensions, otherwise=WITHOUT_TEXT)
            inner = _nested(outer[0], **texts)
        return inner, _MARKER, outer, self

    def _leave(self, scope: Scope | None) -> None:
        """Take this block's scope out of the running context, if it is there.

        Blocks of two generators may end in another order than they began. And an
        asynchronous generator may end in another context, where this block's dimensions
        do not apply.
        """
        inner: list[ContextBlock] = []
        while scope is not None and scope[3] is not self:
            inner.append(scope[3])
            scope = scope[2]
        if scope is None:
            return
        outer = scope[2]
        for block in reversed(inner):
            outer = block.scope_in(outer)
        CONTEXT.set(outer)


class CallsInContext:
    """Run each call inside a block, and a generator only while it is not suspended."""

    def __init__(self, block: ContextBlock) -> None:
        self._block = block

    def begin(self) -> None:
        """Enter the block."""
        self._block.__enter__()

    def end(self, *_: object) -> None:
        """Leave the block."""
        self._block.__exit__()

    fail = pause = end

    def unpause(self, _: None) -> None:
        """Enter the block again."""
        self._block.__enter__()


@lru_cache(CACHED_SETS, typed=True)
def _nested(outer: ContextDimensions, /, **dimensions: object) -> ContextDimensions:
    require_cacheable(dimensions)
    _USED[:] = [True]
    # As texts, because the objects may change and must not be kept alive.
    return ContextDimensions((*outer.pairs, *as_texts(dimensions).items()))


# Whether a context ever had dimensions.
_USED: list[bool] = []


def _never_fewer() -> int:
    return len(_USED)


# PyPy does not count references. In a free-threaded build the count may be late in
# another thread. In both, records read their context once one has had dimensions.
_counts_are_exact = getattr(sys, "_is_gil_enabled", lambda: True)()

#: Returns `NO_SCOPES`, or more while a context has dimensions.
references_of_scopes: Callable[[], int] = (
    partial(sys.getrefcount, _MARKER)
    if _counts_are_exact and hasattr(sys, "getrefcount")
    else _never_fewer
)
# The least of several numbers, because the interpreter may hold one more for a moment.
NO_SCOPES = min(references_of_scopes() for _ in range(100))


def any_in_use() -> bool:
    """Return whether a context of this process has dimensions."""
    return references_of_scopes() > NO_SCOPES
