"""The worst sample: the greatest value of an interval, if it exceeds ``slow=``.

It is logged once for each instrument and interval, with what leads to its cause: the
dimensions, and the trace and span that were active when it was recorded.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.point import Identity
from dtmetrics._record.definition import Definition
from dtmetrics._record.dimensions import dimensions_in
from dtmetrics._record.invalid_values import ignore
from dtmetrics._record.number import LARGEST, Number, checked_number
from dtmetrics._record.series import Series

if TYPE_CHECKING:
    from dtmetrics._record.origin import Origin

__all__ = ["Sample", "WorstSample", "WorstSamples"]

# How many samples wait before all but the worst are dropped.
_LIMIT = 64


class Sample(NamedTuple):
    """A value, and where it was recorded."""

    value: Number
    series: Identity
    #: Hexadecimal; empty where no span was active.
    trace_id: str
    span_id: str


class WorstSample(Series[Sample]):
    """The samples of an interval that exceed *threshold*, of which the worst counts.

    They wait in a list as the values of a series do, so that no record waits for
    another one.
    """

    __slots__ = ("definition", "greatest", "threshold")

    definition: Definition
    greatest: Number
    threshold: float
    values: list[Sample]

    def __init__(self, definition: Definition, threshold: float) -> None:
        self.definition = definition
        self.threshold = threshold
        super().__init__("", "", Lock(), ignore, _LIMIT)

    def _clear(self) -> None:
        super()._clear()
        # So that lesser values cost a comparison.
        self.greatest = self.threshold

    def drop(self) -> None:
        """Drop the samples."""
        self._clear()

    def add(self, value: Number, series: Identity) -> None:
        """Take *value* of *series*, if it is the greatest so far."""
        number: Number | None = value
        if type(value) is not float and type(value) is not int:
            number = checked_number(value, ignore)
        if number is None or not self.greatest < number <= LARGEST:
            return
        self.greatest = number
        self.values.append(Sample(number, series, *_active_span()))
        if len(self.values) > self.limit:
            self.fold_if_free()

    def report(self) -> None:
        """Log the worst sample since the last time."""
        sample = self.take()
        if sample is not None:
            self._log(sample)

    def take(self) -> Sample | None:
        """Return the worst sample since the last time, if there is one."""
        with self.lock:
            values = self.values
            length = len(values)
            worst = self._fold(values[:length])
            del values[:length]
            # Last: a value that exceeds the old one meanwhile is in the list.
            self.greatest = self.threshold
        return worst[0] if worst else None

    def _fold(self, chunk: list[Sample]) -> list[Sample]:
        return [max(chunk, key=_value)] if chunk else []

    def _log(self, sample: Sample) -> None:
        value, series, trace_id, span_id = sample
        fields: dict[str, Any] = {
            "metric_key": series.key,
            "metric_value": value,
            "metric_dimensions": dimensions_in(series.line_prefix),
        }
        span = ""
        if trace_id:
            fields |= {"trace_id": trace_id, "span_id": span_id}
            span = f" in trace {trace_id}, span {span_id}"
        log.warning(
            "%s recorded %s, above slow=%s: %s%s",
            self.definition,
            value,
            self.threshold,
            series.line_prefix,
            span,
            fields=fields,
        )


class WorstSamples:
    """Those of all instruments with ``slow=``, by their metric key and that."""

    def __init__(self) -> None:
        self._all: dict[tuple[Hashable, float], WorstSample] = {}

    def of(self, origin: Origin) -> WorstSample:
        """Return what takes the values of *origin* that exceed its ``slow=``."""
        slow = origin.details.slow or 0
        made = WorstSample(origin.definition, slow)
        if origin.family.void:  # each invalid definition has a family of its own
            return made
        return self._all.setdefault((origin.family, slow), made)

    def report(self) -> None:
        """Log each worst sample since the last time."""
        for worst in list(self._all.values()):
            worst.report()

    def drop(self) -> None:
        """Drop all samples."""
        for worst in list(self._all.values()):
            worst.drop()

    def reset_after_fork(self) -> None:
        """In a forked child: drop the samples, which the parent logs."""
        for worst in self._all.values():
            worst.reset_after_fork(Lock())


def _value(sample: Sample) -> Number:
    return sample.value


def _active_span() -> tuple[str, str]:
    """Return the ids of the trace and the span of OpenTelemetry; empty without one."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return "", ""
    return call_safely(_ids_of_span, trace, default=("", ""))


def _ids_of_span(trace: Any) -> tuple[str, str]:  # noqa: ANN401 -- a module
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return "", ""
    # As in the W3C's traceparent: https://www.w3.org/TR/trace-context/
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"
