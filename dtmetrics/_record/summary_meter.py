"""The part of a meter that makes summaries and timers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeVar, overload

from dtmetrics._core.level import Level
from dtmetrics._record.details import NO_DETAILS, Details
from dtmetrics._record.instruments import Summary
from dtmetrics._record.job_meter import JobMeter
from dtmetrics._record.timer import Timer, TimerOptions

__all__ = ["SummaryMeter"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# The objects of the defaults. Comparing by identity runs no code of a caller.
_EMPTY, _INFO, _SECONDS, _TOTAL = "", "INFO", "s", "total"
_NOTHING: Any = ()


class SummaryMeter(JobMeter):
    """Makes summaries, and timers, which record into summaries."""

    # What was defined by nothing but its name.
    _summaries: dict[str, Summary]
    _timers: dict[str, Timer]

    def summary(
        self,
        name: str,
        /,
        *,
        unit: str = "",
        description: str = "",
        level: Level = "INFO",
        dimensions: Mapping[str, object] | None = None,
        percentiles: Sequence[float] | None = None,
        slo: Sequence[float] | None = None,
        slow: float | None = None,
    ) -> Summary:
        """Return the summary *name*: minimum, maximum, sum and count of values.

        The other arguments and the errors are those of ``counter()``.

        Args:
            percentiles (Sequence[float] | None): Fractions between 0 and 1, ascending.
                Each is sent as a gauge, once for each interval with values:
                ``(0.5, 0.999)`` as ``NAME.p50`` and ``NAME.p99_9``. Its dimensions are
                those of the summary and that of the worker. It is an estimate: of
                20,000 values its rank was wrong by at most 0.5 % of them, and by 0.1 %
                from p95 on. Needs the extra ``percentiles``. Default: none.
            slo (Sequence[float] | None): Thresholds in the unit of the summary,
                ascending. The counter ``NAME.slo`` has for each, exactly, how many
                values were at most that. The dimension ``le`` is the threshold.
                Default: none.
            slow (float | None): In the unit of the summary. If the greatest value of an
                interval exceeds it, one warning of the logger ``dtmetrics`` has that
                value, its dimensions, and the trace and the span of OpenTelemetry that
                were active when it was recorded. The log record has them as text, and
                as the attributes ``metric_key``, ``metric_value``,
                ``metric_dimensions``, ``trace_id`` and ``span_id``. Default: none.

        Raises:
            TypeError: *percentiles*, *slo* or *slow* has anything but numbers; or as in
                ``counter()``.
            ValueError: *percentiles* or *slo* is empty or not ascending, or has a
                number out of range; or as in ``counter()``.
            DefinitionError: As in ``counter()``. Also if the extra is not installed, or
                another definition of *name* has other ones. Unless ``strict=True``, the
                summary then records without them, or with those of the first
                definition.

        >>> from dtmetrics import summary
        >>> summary("cart.value", unit="EUR").record(9.5)
        >>> summary("cart.size", percentiles=(0.5, 0.95), slo=(10, 100)).record(3)
        """
        named = unit is description is _EMPTY and level is _INFO and dimensions is None
        plain = percentiles is None and slo is None and slow is None
        details = NO_DETAILS if plain else Details.checked(percentiles, slo, slow)
        named = named and plain
        if named:
            try:
                return self._summaries[name]
            except Exception:  # noqa: BLE001, S110 -- a new or an invalid name
                pass
        made = self._maker.make(
            Summary, name, unit, description, level, dimensions, details=details
        )
        if named and not made.origin.family.void:
            self._summaries[made.name] = made
        return made

    @overload
    def timed(self, func: type[T], /) -> type[T]: ...
    @overload
    def timed(self, func: Callable[P, R], /) -> Callable[P, R]: ...
    @overload
    def timed(
        self,
        name: str | None = None,
        /,
        *,
        args: Sequence[str] | Mapping[str, Callable[[Any], Any]] = (),
        result: Callable[[Any], Mapping[str, Any]] | None = None,
        errors: bool = True,
        ignore: tuple[type[BaseException], ...] = (),
        generator: Literal["total", "active"] = "total",
        unit: str = "s",
        description: str = "",
        level: Level = "INFO",
        dimensions: Mapping[str, object] | None = None,
        percentiles: Sequence[float] | None = None,
        slo: Sequence[float] | None = None,
        slow: float | None = None,
    ) -> Timer: ...
    def timed(
        self,
        name: str | Callable[..., Any] | None = None,
        /,
        *,
        args: Sequence[str] | Mapping[str, Callable[[Any], Any]] = (),
        result: Callable[[Any], Mapping[str, Any]] | None = None,
        errors: bool = True,
        ignore: tuple[type[BaseException], ...] = (),
        generator: Literal["total", "active"] = "total",
        unit: str = "s",
        description: str = "",
        level: Level = "INFO",
        dimensions: Mapping[str, object] | None = None,
        percentiles: Sequence[float] | None = None,
        slo: Sequence[float] | None = None,
        slow: float | None = None,
    ) -> Timer | Callable[..., Any]:
        """Time calls (as a decorator) or blocks (``with``), in seconds.

        ``@timed`` without parentheses decorates; ``timed(...)`` returns a `Timer`,
        which decorates and times blocks. A decorated function, coroutine function,
        generator, class or other callable keeps its type, signature and behaviour. A
        call that raises, cancelling included, is recorded with the dimension
        ``error.type``. A call with wrong arguments is not recorded.

        Args:
            name (str | None): The metric key. Without one it is ``function.duration``,
                and the dimension ``code.function.name`` names the function.
            args (Sequence[str] | Mapping[str, Callable]): Names of arguments whose
                values become dimensions: ``("region",)``, or with a callable for each,
                which converts the value, ``{"region": str.lower}``. Default: none.
            result (Callable | None): Called with what the function returned; returns a
                mapping of dimensions. Default: none.
            errors (bool): Whether ``error.type`` is added. Default: True.
            ignore (tuple[type[BaseException], ...]): Exceptions that add no
                ``error.type``. Default: none.
            generator (str): What counts for a generator: ``"total"``, all from its
                first step to its last, or ``"active"``, only while it runs. Default:
                ``"total"``.
            unit (str): As in ``counter()``; values are seconds. Default: ``"s"``.
            description (str): As in ``counter()``.
            level (Level): As in ``counter()``. Default: ``"INFO"``.
            dimensions (Mapping[str, object] | None): As in ``counter()``.
            percentiles (Sequence[float] | None): As in ``summary()``.
            slo (Sequence[float] | None): As in ``summary()``, in seconds.
            slow (float | None): As in ``summary()``, in seconds.

        Raises:
            TypeError: *ignore* is not a class of exceptions or several; or as in
                ``summary()``.
            ValueError: *generator* is another text; or as in ``summary()``.
            DefinitionError: As in ``summary()``.

        >>> from dtmetrics import timed
        >>> @timed
        ... def area(side):
        ...     return side * side
        >>> @timed("fetch.duration", args=("region",), ignore=(KeyError,))
        ... async def fetch(url, region):
        ...     ...
        >>> with timed("render.duration") as t:
        ...     t.set(kind="page")
        >>> checkout = timed(
        ...     "checkout.duration", percentiles=(0.95,), slo=(0.1, 0.5), slow=2
        ... )
        """
        named = result is None and dimensions is None and errors is True
        texts = description is _EMPTY and level is _INFO and unit is _SECONDS
        options = args is _NOTHING and ignore is _NOTHING and generator is _TOTAL
        named = named and texts and options and isinstance(name, str)
        plain = percentiles is None and slo is None and slow is None
        details = NO_DETAILS if plain else Details.checked(percentiles, slo, slow)
        named = named and plain
        if named and name in self._timers:
            return self._timers[name]
        key = name if isinstance(name, str) else "function.duration"
        into = self._maker.make(
            Summary, key, unit, description, level, dimensions, details=details
        )
        checked = TimerOptions.checked(
            args=args if isinstance(args, Mapping) else dict.fromkeys(args),
            result=result,
            errors=errors,
            ignore=ignore,
            generator=generator,
            named=key is not name,
        )
        timer = Timer(into, checked)
        if named and not into.origin.family.void:
            self._timers[into.name] = timer
        return timer if name is None or isinstance(name, str) else timer(name)
