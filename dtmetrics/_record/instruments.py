"""Counter and summary; the gauge has a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from dtmetrics._decorate.decorate import AsyncBlock, decorate
from dtmetrics._decorate.hooks import Body, OneHook, error_type
from dtmetrics._record.decorator_order import check_order
from dtmetrics._record.guarded_call import guarded_call
from dtmetrics._record.instrument import Instrument
from dtmetrics._record.series import CounterSeries
from dtmetrics._record.summary_series import SummarySeries

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Counter", "Summary"]

P = ParamSpec("P")
R = TypeVar("R")

# CPython has one object for 1. On other implementations a 1 may be appended instead.
_ONE: Final = 1


class Counter(Instrument[CounterSeries], AsyncBlock):
    """Counts events; each interval sends the increase.

    An interval without an increase sends nothing. As a decorator a counter counts the
    calls that end, as a ``with`` block the passes. The dimension ``error.type`` names
    the exception that ended one. ``counter()`` makes it.

    >>> from dtmetrics import counter
    >>> placed = counter("orders.placed", unit="{order}")
    >>> placed.inc()
    >>> placed.inc(3, region="eu")
    >>> @counter("jobs.run")
    ... def job():
    ...     pass
    >>> with counter("imports.run"):
    ...     job()
    """

    __slots__ = ()

    def inc(self, /, amount: int | float = 1, **dimensions: object) -> None:
        """Add *amount*, which must not be negative.

        It never raises: a value that cannot be added is counted in ``stats().invalid``.

        Args:
            amount (int | float): What to add. Default: 1.
            dimensions (object): Keys and values, which make the series.

        >>> from dtmetrics import counter
        >>> counter("bytes.sent", unit="By").inc(1500, **{"network.type": "ipv6"})
        """
        series = self._series
        ones = series.buffer
        if ones is None or dimensions:
            found = self.find_series(dimensions)
            if found is None:
                return
            series, ones = found, found.ones
        if amount is _ONE:
            next(ones)
            return
        values = series.values
        if values is None:
            values = self.registry.make_list(series)
        values.append(amount)
        if len(values) > series.limit:
            series.fold_if_free()

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        check_order(func, self.origin.definition, self.registry.catalog)
        return decorate(func, OneHook(CompletedCalls(self)), self.registry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        if error is None:
            self.inc()
        else:
            self.inc(1, **{"error.type": error_type(error)})


class Summary(Instrument[SummarySeries]):
    """Observed values; each interval sends minimum, maximum, sum and count.

    An interval without a value sends nothing. ``summary()`` makes it.

    >>> from dtmetrics import summary
    >>> summary("cart.value", unit="EUR").record(9.5)
    """

    __slots__ = ()

    def record(self, /, value: int | float, **dimensions: object) -> None:
        """Observe *value*.

        It never raises: a value that is not a finite number is counted in
        ``stats().invalid``.

        Args:
            value (int | float): The value, in the unit of the summary.
            dimensions (object): Keys and values, which make the series.

        >>> from dtmetrics import summary
        >>> summary("cart.value", unit="EUR").record(9.5, region="eu")
        """
        series = self._series
        buffer = series.buffer
        if buffer is None or dimensions:
            found = self.find_series(dimensions)
            if found is None:
                return
            series, buffer = found, found.values
        buffer.append(value)
        if len(buffer) > series.limit:
            series.fold_if_free()

    def record_with(self, value: float, dimensions: dict[str, object]) -> None:
        """Observe *value*, with dimensions of any names."""
        series = self._series
        values = series.buffer
        if values is None or dimensions:
            found = self.find_series(dimensions)
            if found is None:
                return
            series, values = found, found.values
        values.append(value)
        if len(values) > series.limit:
            series.fold_if_free()


class CompletedCalls:
    """Count calls when they end."""

    def __init__(self, counter: Counter) -> None:
        self._counter = self.into = counter

    def begin(self) -> None:
        """Keep nothing until the call ends."""

    def body(self, _names: tuple[str, ...]) -> Body:
        """Return a faster way to call the steps."""
        return guarded_call(self, self._counter)

    def end(self, *_: object) -> None:
        """Count a call that returned."""
        self._counter.inc()

    def fail(self, token: object, error: BaseException, *_: object) -> None:
        """Count a call that raised *error*."""
        self._counter.inc(1, **{"error.type": error_type(error)})
