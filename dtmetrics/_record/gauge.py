"""Gauge: the instrument for a value that goes up and down."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from dtmetrics._core.safe_call import call_safely
from dtmetrics._decorate.decorate import AsyncBlock, decorate
from dtmetrics._decorate.hooks import Body, OneHook
from dtmetrics._record.context import CONTEXT
from dtmetrics._record.decorator_order import check_order
from dtmetrics._record.gauge_series import ENTER, LEAVE, GaugeSeries, SetTo
from dtmetrics._record.generation import Generation
from dtmetrics._record.guarded_call import guarded_call
from dtmetrics._record.instrument import Instrument
from dtmetrics._record.number import checked_number, number_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Gauge", "RunningCalls"]

P = ParamSpec("P")
R = TypeVar("R")


class Gauge(Instrument[GaugeSeries], AsyncBlock):
    """A value that goes up and down; each interval sends the current one.

    It is sent from the first ``set()``, ``inc()`` or ``dec()`` on, until ``remove()``.
    As a decorator or a ``with`` block it shows how many calls or blocks are running. It
    then sends the least and the greatest value of the interval as well: the minimum and
    the maximum in Dynatrace, where the average is the value at the end of the interval.
    ``gauge()`` makes it.

    >>> from dtmetrics import gauge
    >>> depth = gauge("queue.depth", unit="{job}")
    >>> depth.set(12)
    >>> depth.dec()
    >>> @gauge("jobs.active")
    ... def job():
    ...     pass
    >>> with gauge("uploads.active"):
    ...     job()
    """

    __slots__ = ()

    def set(self, /, value: int | float, **dimensions: object) -> None:
        """Set the gauge to *value*.

        It never raises: a value that is not a finite number changes nothing and is
        counted in ``stats().invalid``.

        Args:
            value (int | float): The value, in the unit of the gauge.
            dimensions (object): Keys and values, which make the series.

        >>> from dtmetrics import gauge
        >>> gauge("queue.depth").set(12, queue="mail")
        """
        series = self._series
        if series.buffer is None or dimensions:
            found = self.find_series(dimensions)
            if found is None:
                return
            series = found
        # Checked here, because storing an invalid value would replace the last valid
        # one. A float minus itself is zero unless it is not finite; a call of isfinite
        # costs 45 ns.
        kind = type(value)
        if (kind is not float and kind is not int) or value - value:
            number = checked_number(value, self.reject)
            if number is None:
                return
            value = number
        series.value = value
        if series.moved:
            series.move(SetTo(value))

    def inc(self, /, amount: int | float = 1, **dimensions: object) -> None:
        """Add *amount*; a gauge without a value begins at 0.

        It never raises, as ``set()`` does not.

        Args:
            amount (int | float): What to add. Default: 1.
            dimensions (object): Keys and values, which make the series.

        >>> from dtmetrics import gauge
        >>> gauge("connections.open").inc()
        """
        series = self._series
        if series.buffer is None or dimensions:
            found = self.find_series(dimensions)
            if found is None:
                return
            series = found
        series.move(amount)

    def dec(self, /, amount: int | float = 1, **dimensions: object) -> None:
        """Subtract *amount*; a gauge without a value begins at 0.

        It never raises, as ``set()`` does not.

        Args:
            amount (int | float): What to subtract. Default: 1.
            dimensions (object): Keys and values, which make the series.

        >>> from dtmetrics import gauge
        >>> gauge("connections.open").dec()
        """
        if type(amount) is not int:
            # Converted first: -x may wrap around (numpy), or not be defined.
            number = call_safely(number_of, amount, default=None)
            # inc() rejects None, which is not a number.
            less = None if number is None else -number
            self.inc(cast("float", less), **dimensions)
        else:
            self.inc(-amount, **dimensions)

    def present_series(self) -> GaugeSeries | None:
        """Return the series that a record without dimensions goes to, if any does."""
        series = self._series
        return self.find_series({}) if series.buffer is None else series

    def remove(self, /, **dimensions: object) -> None:
        """Stop sending the series of *dimensions* until it is set again.

        >>> from dtmetrics import gauge
        >>> gauge("queue.depth").remove(queue="mail")
        """
        origin = self.origin
        context = CONTEXT.get()[0].pairs
        layers = origin.dimensions, context, self._bound, (*dimensions.items(),)
        origin.registry.remove(origin, layers)

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        check_order(func, self.origin.definition, self.registry.catalog)
        return decorate(func, OneHook(RunningCalls(self)), self.registry)

    def __enter__(self) -> Self:
        self.inc(ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        self.inc(LEAVE)


class RunningCalls:
    """Show in a gauge how many calls are running.

    A call that ends moves the series that it moved when it began: the dimensions of
    the context may differ by then; or the series that has replaced it, if the options
    have changed. It moves nothing after a start or a fork, both of which have reset the
    gauge.
    """

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = self.into = gauge

    def begin(self) -> tuple[GaugeSeries | None, Generation]:
        """Add one; return what ``end`` needs to subtract it."""
        gauge = self._gauge
        generation = gauge.registry.generation
        series = gauge.present_series()
        if series is not None:
            series.move(ENTER)
        return series, generation

    def body(self, _names: tuple[str, ...]) -> Body:
        """Return a faster way to call the steps."""
        return guarded_call(self, self._gauge)

    def end(self, token: tuple[GaugeSeries | None, Generation], *_: object) -> None:
        """Subtract one."""
        series, generation = token
        present = self._gauge.registry.generation
        if series is not None and generation.epoch is present.epoch:
            while series.successor is not None:
                series = series.successor
            series.move(-1)

    fail = end
