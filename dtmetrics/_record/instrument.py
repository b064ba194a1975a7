"""A handle: what application code holds, and how it finds where to record.

A handle keeps the series that it records into. While nothing forbids it, the series
is *wired*: its ``buffer`` is there, and a record is an append. Everything else
(recording is off, this is the first record, dimensions are given, a context was
opened) goes through ``_find``.
"""

from __future__ import annotations

from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.normalize import VALUE_LIMIT
from dtmetrics._record.context import AMBIENT
from dtmetrics._record.dimensions import Pairs
from dtmetrics._record.family import Definition, Family
from dtmetrics._record.gauge_series import GaugeSeries
from dtmetrics._record.registry import Registry
from dtmetrics._record.series import Series

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Instrument", "Origin"]

# What a new handle points to: it has no buffer and is not alive, so everything is
# asked for.
_NOWHERE: Series = GaugeSeries("", "", Lock(), lambda _: None, 0)
_NOWHERE.let_go()

_CACHED_SETS = 1024


class Origin(NamedTuple):
    """Where a handle comes from, and what holds for all that it records."""

    registry: Registry
    family: Family
    definition: Definition
    scope: str
    level: int
    dimensions: Pairs  # of its meter

    def admits(self) -> bool:
        """Whether something is to be kept."""
        registry, family, _, scope, level, _ = self
        if not registry.recording or family.void or family.quarantined:
            return False
        return registry.enabled(scope, level)


class _Uncached(Exception):  # noqa: N818 -- a way out of lru_cache, no error
    pass


class Instrument:
    """What every handle is. Make one by ``counter()``, ``gauge()`` and so on."""

    __slots__ = (
        "__weakref__",
        "_epoch",
        "_lookup",
        "_origin",
        "_own",
        "_registry",
        "_series",
    )

    def __init__(self, origin: Origin, own: Pairs = ()) -> None:
        self._origin = origin
        self._registry = origin.registry  # to ask a named tuple costs 20 ns
        self._own = own
        self._series: Any = _NOWHERE
        self._lookup: Any = None
        self._epoch: object = None  # of the look-up

    def __repr__(self) -> str:
        name = self._origin.definition.name
        own = "".join(f", {key}={value!r}" for key, value in self._own)
        return f"<{type(self).__name__} {name!r}{own}>"

    @property
    def name(self) -> str:
        """The name it was defined with."""
        return self._origin.definition.name

    def reject(self, reason: str) -> None:
        """Count one value of this instrument as invalid, for *reason*."""
        self._origin.family.refuse(reason)

    def __deepcopy__(self, memo: Any) -> Self:
        # What holds a handle can be copied, as what holds a logger can.
        return self

    def bind(self, /, **dimensions: Any) -> Self:
        """Return a handle that adds *dimensions* to all it records; keep it.

        RecordingOptions through a kept handle looks nothing up.

        >>> from dtmetrics import counter
        >>> eu = counter("orders.placed").bind(region="eu")
        >>> eu.inc()
        """
        return type(self)(self._origin, (*self._own, *dimensions.items()))

    def _find(self, dimensions: dict[str, Any]) -> Any:
        """Return the series to record into, or None where nothing is to be kept."""
        registry = self._registry
        if not registry.recording:
            return None
        if dimensions and self._epoch is registry.epoch and not registry.contextual:
            try:
                series = self._lookup(**dimensions)
                if series.buffer is not None:  # nothing forbids it
                    return series
            except Exception:  # noqa: BLE001, S110
                # A dimension's __hash__ or __eq__ raised. `call_safely` costs 0.15 us.
                pass
        if not self._origin.admits():
            return None
        if dimensions or registry.contextual:
            series = self._look_up(dimensions)
            if series is _NOWHERE:  # set aside in the meantime
                return None
        else:
            series = self._series
            if not series.alive:
                self._series = series = self._series_of((), ())
        if series.buffer is None:
            registry.wire(series)
        return series

    def _look_up(self, dimensions: dict[str, Any]) -> Series:
        # Without a context by the dimensions alone, as above.
        around = (AMBIENT.get(),) if self._registry.contextual else ()
        found: Series | None = call_safely(
            self._look_in, around, dimensions, default=None
        )
        if found is not None:
            return found
        ambient = around[0] if around else ()
        return self._series_of(ambient, tuple(dimensions.items()))

    def _look_in(self, around: tuple[Pairs, ...], dimensions: dict[str, Any]) -> Any:
        epoch = self._registry.epoch
        if self._epoch is not epoch:
            # After a fork too: in a free-threaded build another thread may have held
            # the old one's lock, for good.
            self._lookup = self._make_lookup()
            self._epoch = epoch
        series = self._lookup(*around, **dimensions)
        if not series.alive:
            self._lookup.cache_clear()
            series = self._lookup(*around, **dimensions)
        return series

    def _series_of(self, ambient: Pairs, pairs: Pairs) -> Series:
        registry, family, _, _, _, scoped = self._origin
        return registry.series(family, (scoped, ambient, self._own, pairs))

    def _make_lookup(self) -> Any:
        # The C function makes its key from the keywords in 227 ns, where doing the
        # same in Python takes 459 ns. It holds no reference to the handle, or each
        # handle would be left to the garbage collector.
        origin, own = self._origin, self._own

        @lru_cache(_CACHED_SETS, typed=True)
        def lookup(ambient: Pairs = (), /, **dimensions: Any) -> Series:
            pairs = tuple(dimensions.items())
            if not all(_is_small(key) and _is_small(value) for key, value in pairs):
                raise _Uncached
            if not origin.admits():
                return _NOWHERE
            layers = (origin.dimensions, ambient, own, pairs)
            return origin.registry.series(origin.family, layers)

        return lookup


def _is_small(part: object) -> bool:
    """Say whether *part* of a look-up may be kept: no caller's object, no megabyte."""
    if type(part) is str:
        return len(part) <= VALUE_LIMIT
    if type(part) is int:
        return part.bit_length() <= VALUE_LIMIT
    return part is None or type(part) in (bool, float)
