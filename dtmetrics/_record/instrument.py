"""What instruments have in common: how they find the series to record into.

An instrument keeps the series that it records into. While nothing forbids it, the fast
path is enabled: ``series.buffer`` is set, and a record is an append. In all other cases
(recording is off, the first record, dimensions in the call, a context was opened)
``Instrument.find_series`` returns the series.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    ParamSpec,
    TypeVar,
    cast,
)

from dtmetrics._core.shared import Shared
from dtmetrics._record.context import (
    CONTEXT,
    NO_DIMENSIONS,
    NO_SCOPES,
    ContextDimensions,
    references_of_scopes,
)
from dtmetrics._record.dimensions import (
    CACHED_SETS,
    NotCacheable,
    Pairs,
    as_plain,
    as_texts,
    require_cacheable,
)
from dtmetrics._record.family import AnySeries
from dtmetrics._record.gauge_series import GaugeSeries
from dtmetrics._record.generation import Generation
from dtmetrics._record.origin import Origin
from dtmetrics._record.pickling import Reduced, restored_instrument
from dtmetrics._record.refusal import Refusal
from dtmetrics._record.registry import Registry

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

    from typing_extensions import Self

__all__ = ["Instrument"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=AnySeries)

# What a new instrument points to: the first record looks up its series.
_UNKNOWN = GaugeSeries("", "", Lock(), bool, 0)
_UNKNOWN.discard()

# What an instrument points to that has recorded in contexts only.
_IN_CONTEXT = GaugeSeries("", "", Lock(), bool, 0)
_IN_CONTEXT.discard()
_IN_CONTEXT.enabled = True

# What an instrument without series for contexts has.
_NO_CONTEXTS: Final[dict[ContextDimensions, Any]] = {}

_current_scope = CONTEXT.get


@lru_cache(1)
def _no_cache(*_: object, **__: object) -> AnySeries:
    """Be the cache of an instrument that has none."""
    raise NotCacheable


class Instrument(Shared, Generic[S]):
    """What all instruments are. ``counter()`` and so on make one."""

    __slots__ = (
        "__weakref__",
        "_bound",
        "_by_context",
        "_cache",
        "_generation",
        "_handles",
        "_has_foreign",
        "_series",
        "origin",
        "registry",
    )

    def __init__(self, origin: Origin, bound: Pairs = ()) -> None:
        self.origin: Origin = origin
        # An attribute of a named tuple costs 20 ns.
        self.registry: Registry = origin.registry
        self._bound = bound
        self._series = cast("S", _UNKNOWN)
        self._cache = cast("_lru_cache_wrapper[S]", _no_cache)
        self._by_context: dict[ContextDimensions, S] = _NO_CONTEXTS
        # That of the series and the caches; or its ``off``, if it is disabled in it.
        self._generation: object = None
        self._handles: Callable[..., Self] | None = None  # returns what bind() returned
        # Whether a dimension had a value that a cache cannot keep.
        self._has_foreign = False

    def __repr__(self) -> str:
        bound = "".join(f", {key}={value!r}" for key, value in self._bound)
        return f"<{type(self).__name__} {self.name!r}{bound}>"

    @property
    def name(self) -> str:
        """The name that the instrument was defined with."""
        return self.origin.definition.name

    @property
    def identity(self) -> tuple[object, ...]:
        """What is equal for instruments that record into the same series."""
        return self.origin.family, self.origin.dimensions, self._bound

    def reject(self, reason: str, detail: str = "") -> None:
        """Count one value of this instrument as invalid, for *reason*."""
        self.origin.family.reject(reason, detail)

    def __reduce__(self) -> Reduced:
        origin = self.origin
        bound = self._bound[len(origin.defined) :]
        details = origin.reduced_details()
        return restored_instrument, (*origin.reduced(), as_plain(bound), *details)

    def bind(self, /, **dimensions: object) -> Self:
        """Return an instrument that adds *dimensions* to all it records.

        Keep it: recording through it looks up nothing. Dimensions of a call win over
        these.

        >>> from dtmetrics import counter
        >>> eu = counter("orders.placed").bind(region="eu")
        >>> eu.inc()
        """
        handles = self._handles or self._make_handles()
        try:
            return handles(**dimensions)
        except Exception:  # noqa: BLE001 -- not cacheable, or its __hash__ raised
            return type(self)(self.origin, (*self._bound, *dimensions.items()))

    def find_series(self, dimensions: dict[str, object]) -> S | None:
        """Return the series to record into; None if nothing is to be recorded.

        Without dimensions in the call it is kept in ``_series``, or by those of the
        context; else in a cache by all of them.
        """
        registry = self.registry
        try:
            if not dimensions:
                context = _current_scope()[0]
                if context is not NO_DIMENSIONS:
                    series = self._by_context[context]
                    if series.enabled:
                        return series
                else:
                    series = self._series
                    # Without scopes _look_up() enables the fast path again.
                    if (
                        series.enabled
                        and references_of_scopes() > NO_SCOPES
                        and not series.discarded
                    ):
                        return series
            elif self._generation is registry.generation:
                if self._has_foreign:
                    texts = as_texts(dimensions)
                    if len(texts) < len(dimensions):  # the conversion of a value raised
                        return self._look_up(dimensions)
                    dimensions = texts
                # A call of any_in_use() takes 30 ns more.
                if references_of_scopes() > NO_SCOPES:
                    context = _current_scope()[0]
                    if context is not NO_DIMENSIONS:
                        series = self._cache(context, **dimensions)
                    else:
                        series = self._cache(**dimensions)
                    if series.enabled:
                        return series
                else:
                    series = self._cache(**dimensions)
                    if series.buffer is not None:
                        return series
        except Exception:  # noqa: BLE001, S110 -- _look_up() handles it
            pass
        if not registry.recording or self._generation is registry.generation.off:
            return None
        return self._look_up(dimensions)

    def _look_up(self, dimensions: dict[str, object]) -> S | None:
        registry = self.registry
        while True:
            generation = registry.generation
            is_new = self._generation is not generation
            if is_new:
                self._forget(generation)
            series = self._resolve(dimensions)
            if generation is registry.generation:
                break
            self._generation = None  # what was looked up may be old
        if isinstance(series, Refusal):
            if is_new and self.origin.disabled():
                self._generation = generation.off
                registry.attempted()
            self.origin.count_refused(series)
            return None
        if not series.enabled or series.buffer is None:
            registry.enable(series, generation)
        return series

    def _resolve(self, dimensions: dict[str, object]) -> S:
        context = CONTEXT.get()[0]
        if dimensions:
            series = self._cached_series(context, dimensions)
        elif context is NO_DIMENSIONS:
            series = self._series
            if series.discarded:
                self._series = series = self._series_of(self._bound)
        else:
            series = self._series_in(context)
            if self._series is _UNKNOWN and series.enabled:
                self._series = cast("S", _IN_CONTEXT)
        return series

    def _cached_series(
        self, context: ContextDimensions, dimensions: dict[str, object]
    ) -> S:
        cache = self._make_cache() if self._cache is _no_cache else self._cache
        # A call without dimensions of a context has one argument less to hash.
        contexts = () if context is NO_DIMENSIONS else (context,)
        if self._has_foreign:
            texts = as_texts(dimensions)
            if len(texts) == len(dimensions):
                dimensions = texts
        try:
            series = cache(*contexts, **dimensions)
            if series.discarded:
                cache.cache_clear()
                series = cache(*contexts, **dimensions)
        except NotCacheable:
            if self._has_foreign:  # the conversion of a value raises
                return self._series_of(
                    context.pairs, self._bound, (*dimensions.items(),)
                )
            self._has_foreign = True
            return self._cached_series(context, dimensions)
        except Exception:  # noqa: BLE001 -- a value may raise what it wants
            # In its __hash__ or __eq__.
            return self._series_of(context.pairs, self._bound, (*dimensions.items(),))
        return series

    def _series_in(self, context: ContextDimensions) -> S:
        """Return the series for the dimensions of a *context* alone."""
        known = self._by_context
        series = known.get(context)
        if series is None or series.discarded:
            if known is _NO_CONTEXTS or len(known) >= CACHED_SETS:
                self._by_context = known = {}
            known[context] = series = self._series_of(context.pairs, self._bound)
        return series

    def _series_of(self, *layers: Pairs) -> S:
        return cast("S", self.origin.series(*layers))

    def _forget(self, generation: Generation) -> None:
        """Forget what another generation has made."""
        # The generation last: until then other threads do so as well.
        self._series = cast("S", _UNKNOWN)
        self._cache = cast("_lru_cache_wrapper[S]", _no_cache)
        self._by_context = _NO_CONTEXTS
        self._generation = generation

    def _make_cache(self) -> _lru_cache_wrapper[S]:
        # lru_cache makes its key from the keywords in 227 ns, Python code in 459 ns.
        # The function has no reference to the instrument, which would make a cycle and
        # leave each instrument to the garbage collector.
        origin, bound = self.origin, self._bound

        @lru_cache(CACHED_SETS, typed=True)
        def series_of(
            context: ContextDimensions = NO_DIMENSIONS, /, **dimensions: object
        ) -> S:
            require_cacheable(dimensions)
            pairs = tuple(dimensions.items())
            return cast("S", origin.series(context.pairs, bound, pairs))

        self._cache = series_of
        return series_of

    def _make_handles(self) -> Callable[..., Self]:
        kind, origin, outer = type(self), self.origin, self._bound

        @lru_cache(CACHED_SETS, typed=True)
        def handle(**dimensions: object) -> Instrument[S]:
            require_cacheable(dimensions)
            return kind(origin, (*outer, *dimensions.items()))

        self._handles = cast("Callable[..., Self]", handle)
        return self._handles
