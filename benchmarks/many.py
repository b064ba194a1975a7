"""Many series of one metric in each library, to measure memory and encoding.

Each function takes the dimensions of all series, and returns a function that records
into each series once, and one that encodes all of them and returns the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from benchmarks.peers import OURS
from dtmetrics.exporters import Batch, ExportResult, Outcome

__all__ = [
    "BOUND",
    "COUNTERS",
    "COUNTERS_OF_THREE",
    "SUMMARIES",
    "Counting",
    "Makers",
    "Many",
    "Pairs",
    "configure",
    "pairs",
]

Pairs = Sequence[tuple[str, str]]
ENOUGH = 1_000_000


class Many(NamedTuple):
    """Operations on all series of a metric."""

    touch: Callable[[], object]
    encode: Callable[[], int]


def pairs(count: int) -> Pairs:
    """Return values of two dimensions for *count* series; the first has 50 values."""
    return [(f"m{n % 50}", f"s{n // 50}") for n in range(count)]


class Counting:
    """An exporter that accepts everything, and counts points and bytes."""

    def __init__(self) -> None:
        self.points = self.bytes = 0

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        """Count the points and bytes of *batch*."""
        self.points += batch.points
        self.bytes += len(batch.text)
        return ExportResult(Outcome.ANSWERED)

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def reset_after_fork(self) -> None:
        """Do nothing: no lock or connection is shared."""


def configure(interval: float | None = None) -> Counting:
    """Configure dtmetrics for any number of series; return its counting exporter."""
    import dtmetrics

    exporter = Counting()
    dtmetrics.configure(
        exporter=exporter,
        interval=interval,
        max_series_per_metric=ENOUGH,
        max_series=ENOUGH,
        max_outbox_bytes=1 << 30,
        enrich=False,
        force=True,
    )
    return exporter


def _ours(touch: Callable[[], object]) -> Many:
    import dtmetrics

    exporter = configure()

    def encode() -> int:
        before = exporter.bytes
        dtmetrics.flush(60.0)
        return exporter.bytes - before

    return Many(touch, encode)


def _our_counters(amount: int, dimensions: Pairs) -> Many:
    from dtmetrics import counter

    inc = counter("requests").inc
    return _ours(lambda: [inc(amount, method=a, status=b) for a, b in dimensions])


def _our_bound_counters(dimensions: Pairs) -> Many:
    from dtmetrics import counter

    requests = counter("requests")
    handles: list[Any] = [None] * len(dimensions)

    def touch() -> None:
        for n, (a, b) in enumerate(dimensions):
            handles[n] = handles[n] or requests.bind(method=a, status=b)
            handles[n].inc()

    return _ours(touch)


def _our_summaries(dimensions: Pairs) -> Many:
    from dtmetrics import summary

    record = summary("sizes").record
    return _ours(lambda: [record(0.1234567, method=a, status=b) for a, b in dimensions])


def _prometheus(kind: str, verb: str, value: float, dimensions: Pairs) -> Many:
    import prometheus_client as p

    registry = p.CollectorRegistry()
    made = getattr(p, kind)("requests", "-", ["method", "status"], registry=registry)
    return Many(
        lambda: [getattr(made.labels(a, b), verb)(value) for a, b in dimensions],
        lambda: len(p.generate_latest(registry)),
    )


def _opentelemetry(kind: str, verb: str, value: float, dimensions: Pairs) -> Many:
    from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader(
        cardinality_limits={Counter: ENOUGH, Histogram: ENOUGH}
    )
    meter = MeterProvider([reader]).get_meter("benchmarks")
    record = getattr(getattr(meter, f"create_{kind}")("requests"), verb)

    def encode() -> int:
        from opentelemetry.exporter.otlp.proto.common import metrics_encoder as otlp

        collected = reader.get_metrics_data()
        assert collected is not None  # for mypy: something was recorded
        return len(otlp.encode_metrics(collected).SerializeToString())

    return Many(
        lambda: [record(value, {"method": a, "status": b}) for a, b in dimensions],
        encode,
    )


def _metric_utils(kind: str, values: tuple[float, ...], dimensions: Pairs) -> Many:
    from dynatrace.metric.utils import (
        DynatraceMetricsFactory,
        DynatraceMetricsSerializer,
    )

    make = getattr(DynatraceMetricsFactory(), f"create_{kind}")
    line = DynatraceMetricsSerializer(enrich_with_dynatrace_metadata=False).serialize

    def encode() -> int:
        made = (
            make("requests", *values, {"method": a, "status": b}) for a, b in dimensions
        )
        return len("\n".join(map(line, made)).encode())

    return Many(lambda: None, encode)  # it has no series


Makers = dict[str, Callable[[Pairs], Many]]


def _counters(amount: int) -> Makers:
    return {
        OURS: partial(_our_counters, amount),
        "prometheus_client": partial(_prometheus, "Counter", "inc", amount),
        "opentelemetry-sdk": partial(_opentelemetry, "counter", "add", amount),
        "dynatrace-metric-utils": partial(
            _metric_utils, "int_counter_delta", (amount,)
        ),
    }


COUNTERS = _counters(1)
#: dtmetrics stores increments of one differently from other amounts.
COUNTERS_OF_THREE = _counters(3)
#: In prometheus_client a bound handle is the series itself.
BOUND: Makers = {
    OURS: _our_bound_counters,
    "prometheus_client": COUNTERS["prometheus_client"],
}
SUMMARIES: Makers = {
    OURS: _our_summaries,
    "prometheus_client": partial(_prometheus, "Histogram", "observe", 0.1234567),
    "prometheus_client, Summary": partial(_prometheus, "Summary", "observe", 0.1234567),
    "opentelemetry-sdk": partial(_opentelemetry, "histogram", "record", 0.1234567),
    "dynatrace-metric-utils": partial(
        _metric_utils, "float_summary", (0.1, 0.2, 0.3, 2)
    ),
}
