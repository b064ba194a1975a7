"""The instruments that application code holds: Counter, Gauge, Summary."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from dtmetrics._core.safe_call import call_safely
from dtmetrics._decorate.decorate import Ready, decorate
from dtmetrics._decorate.hooks import error_type
from dtmetrics._record.context import AMBIENT
from dtmetrics._record.gauge_series import LEFT, GaugeSeries, Level
from dtmetrics._record.instrument import Instrument
from dtmetrics._record.number import judged, number_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Counter", "Gauge", "Inside", "Summary"]

P = ParamSpec("P")
R = TypeVar("R")

# CPython has one object for it. Elsewhere a one may be another: then it is appended.
_ONE = 1


class Counter(Instrument):
    """Counts what happens; each interval sends by how much it grew.

    >>> from dtmetrics import counter
    >>> placed = counter("orders.placed", unit="{order}")
    >>> placed.inc()
    >>> placed.inc(3, region="eu")

    As a decorator it counts each call that ends, as a ``with`` block each pass;
    ``error.type`` says how one failed.
    """

    __slots__ = ()

    def inc(self, amount: int | float = 1, /, **dimensions: Any) -> None:
        """Add *amount*, which is not negative."""
        series = self._series
        ones = series.buffer
        if ones is None or dimensions:
            series = self._find(dimensions)
            if series is None:
                return
            ones = series.ones
        if amount is _ONE:
            next(ones)
            return
        values = series.values
        if values is None:
            values = self._origin.registry.make_list(series)
        values.append(amount)
        if len(values) > series.limit:
            series.fold_if_free()

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        hook = _Counted(self)
        return decorate(func, lambda _: hook, self._origin.registry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        if error is None:
            self.inc()
        else:
            self.inc(1, **{"error.type": error_type(error)})

    def __aenter__(self) -> Ready[Self]:
        return Ready(self)

    def __aexit__(self, kind: object, error: Any, trace: object) -> Ready[None]:
        self.__exit__(kind, error, trace)
        return Ready(None)


class Gauge(Instrument):
    """Shows a value that goes up and down; each interval sends the latest.

    >>> from dtmetrics import gauge
    >>> gauge("queue.depth").set(12)

    As a decorator or a ``with`` block it shows how many are inside now.
    """

    __slots__ = ()

    def set(self, value: int | float, /, **dimensions: Any) -> None:
        """Show *value* from now on."""
        series = self._series
        if series.buffer is None or dimensions:
            series = self._find(dimensions)
            if series is None:
                return
        # Refused here, because a store would undo the last good value. A difference
        # to itself is zero, unless it is not finite (a call to isfinite costs 45 ns).
        kind = type(value)
        if (kind is not float and kind is not int) or value - value:
            number = judged(value, self._origin.family.refuse)
            if number is None:
                return
            value = number
        series.value = value
        if series.moved:
            self._move(series, Level(value))

    def inc(self, amount: int | float = 1, /, **dimensions: Any) -> None:
        """Show *amount* more."""
        series = self._series
        if series.buffer is None or dimensions:
            series = self._find(dimensions)
            if series is None:
                return
        self._move(series, amount)

    def dec(self, amount: int | float = 1, /, **dimensions: Any) -> None:
        """Show *amount* less."""
        if type(amount) is not int:
            # As a number first: -x may wrap around (numpy) or not be there at all.
            less = call_safely(_negated, amount, default=None)
            self.inc(cast("float", less), **dimensions)
        else:
            self.inc(-amount, **dimensions)

    def remove(self, /, **dimensions: Any) -> None:
        """Show nothing from now on, until it is set again."""
        registry, family, _, _, _, scoped = self._origin
        pairs = tuple(dimensions.items())
        registry.remove(family, (scoped, AMBIENT.get(), self._own, pairs))

    def _move(self, series: GaugeSeries, move: Any) -> None:
        series.moved = True
        series.values.append(move)
        if len(series.values) > series.limit:
            series.fold_if_free()

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        hook = Inside(self)
        return decorate(func, lambda _: hook, self._origin.registry)

    def __enter__(self) -> Self:
        self.inc()
        return self

    def __exit__(self, *_: object) -> None:
        self.inc(cast("Any", LEFT))

    def __aenter__(self) -> Ready[Self]:
        return Ready(self.__enter__())

    def __aexit__(self, *_: object) -> Ready[None]:
        self.__exit__()
        return Ready(None)


class Summary(Instrument):
    """Observes values; each interval sends least, most, sum and count.

    >>> from dtmetrics import summary
    >>> summary("cart.value", unit="EUR").record(9.5)
    """

    __slots__ = ()

    def record(self, value: int | float, /, **dimensions: Any) -> None:
        """Observe *value*, once."""
        series = self._series
        buffer = series.buffer
        if buffer is None or dimensions:
            series = self._find(dimensions)
            if series is None:
                return
            buffer = series.values
        buffer.append(value)
        if len(buffer) > series.limit:
            series.fold_if_free()


class _Counted:
    """Count calls as they end."""

    def __init__(self, counter: Counter) -> None:
        self._counter = self.into = counter

    def begin(self) -> None:
        """Nothing is to be kept."""

    def end(self, token: Any, result: Any, args: Any, kwargs: Any) -> None:
        self._counter.inc()

    def fail(self, token: Any, error: BaseException, args: Any, kwargs: Any) -> None:
        self._counter.inc(1, **{"error.type": error_type(error)})


class Inside:
    """Show how many calls are running.

    A call that ends moves the series that it moved when it began, and no other:
    dimensions of a context may have changed. Nor does it move anything if the call
    began before a fork or a restart, which the gauge has forgotten.
    """

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = self.into = gauge
        self._registry = gauge._origin.registry

    def begin(self) -> tuple[GaugeSeries | None, object]:
        epoch = self._registry.epoch
        series: GaugeSeries | None = self._gauge._find({})
        if series is not None:
            self._gauge._move(series, 1)
        return series, epoch

    def end(
        self,
        token: tuple[GaugeSeries | None, object],
        result: Any,
        args: Any,
        kwargs: Any,
    ) -> None:
        series, epoch = token
        if series is not None and epoch is self._registry.epoch:
            self._gauge._move(series, -1)

    fail = end


def _negated(amount: Any) -> int | float | None:
    number = number_of(amount)
    return None if number is None else -number
