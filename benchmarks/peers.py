"""The libraries side by side: each operation as the users of a library write it.

Each function sets its library up and returns the statements. A library that does not
work here is left out. Datagrams go to a socket of this host that is never read.
"""

from __future__ import annotations

import functools
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import Any, NamedTuple

from benchmarks.measure import Statement

__all__ = ["OURS", "Operations", "nothing", "nothing_awaited", "present", "version_of"]

OURS = "dtmetrics"
GET, OK = "GET", "200"

Operations = dict[str, Statement]


class Peer(NamedTuple):
    """A library: its package, and a function that returns its operations."""

    package: str
    make: Callable[[], Operations]


PEERS: dict[str, Peer] = {}


def _peer(name: str, package: str) -> Callable[[Any], Any]:
    def note(make: Callable[[], Operations]) -> Callable[[], Operations]:
        PEERS[name] = Peer(package, make)
        return make

    return note


def present(
    left_out: dict[str, str] | None = None,
) -> Iterator[tuple[str, str, Operations]]:
    """Yield name, version and operations of each library that works here.

    The reasons for the others are added to *left_out*.
    """
    logging.disable(logging.WARNING)  # full queues are expected here
    for name, peer in PEERS.items():
        found = version_of(peer.package)
        try:
            operations = peer.make()
        except Exception as error:  # noqa: BLE001 -- a library too old for this Python
            if left_out is not None:
                left_out[name] = f"{type(error).__name__}: {error}"
            continue
        yield name, f"{peer.package} {found}", operations


def version_of(package: str) -> str:
    """Return the version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "of this checkout" if package == OURS else "missing"


def nothing(_: object = None) -> None:
    """Do nothing: the function that is timed."""


async def nothing_awaited(_: object = None) -> None:
    """Do nothing: the coroutine function that is timed."""


@functools.cache
def _unread_port() -> tuple[socket.socket, int]:
    unread = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    unread.bind(("127.0.0.1", 0))
    return unread, unread.getsockname()[1]


@_peer(OURS, "dtmetrics")
def dtmetrics() -> Operations:
    """Return the operations of dtmetrics, which records as in production."""
    import dtmetrics as d

    # Without collections, so that buffers fill up and are folded as often as possible.
    d.configure(exporter=d.MemoryExporter(), interval=None, enrich=False)
    timer = d.timed("block.duration")
    return {
        "inc": Statement(
            "handle.inc()",
            {"handle": d.counter("requests").bind(method=GET, status=OK)},
        ),
        "inc dimensions": Statement(
            "handle.inc(1, method=a, status=b)",
            {"handle": d.counter("requests"), "a": GET, "b": OK},
        ),
        "set": Statement("handle.set(1.5)", {"handle": d.gauge("depth")}),
        "record": Statement("handle.record(0.5)", {"handle": d.summary("sizes")}),
        "timed": Statement("call(1)", {"call": d.timed(nothing)}),
        "timed awaited": Statement("", {"call": d.timed(nothing_awaited)}),
        "block": Statement("with timer: pass", {"timer": timer}),
    }


@_peer("prometheus_client", "prometheus_client")
def prometheus_client() -> Operations:
    """Return the operations of prometheus_client, with a histogram as timer."""
    import prometheus_client as p

    registry = p.CollectorRegistry()
    labels = ["method", "status"]
    counter = p.Counter("requests", "-", labels, registry=registry)
    histogram = p.Histogram("seconds", "-", registry=registry)
    return {
        "inc": Statement("handle.inc()", {"handle": counter.labels(GET, OK)}),
        "inc dimensions": Statement(
            "handle.labels(a, b).inc()", {"handle": counter, "a": GET, "b": OK}
        ),
        "set": Statement(
            "handle.set(1.5)", {"handle": p.Gauge("depth", "-", registry=registry)}
        ),
        "record": Statement("handle.observe(0.5)", {"handle": histogram}),
        "timed": Statement("call(1)", {"call": histogram.time()(nothing)}),
        "block": Statement("with timer.time(): pass", {"timer": histogram}),
    }


@_peer("prometheus_client, Summary", "prometheus_client")
def prometheus_summary() -> Operations:
    """Return the operations of its Summary, which has only a sum and a count."""
    import prometheus_client as p

    summary = p.Summary("seconds", "-", registry=p.CollectorRegistry())
    return {
        "record": Statement("handle.observe(0.5)", {"handle": summary}),
        "timed": Statement("call(1)", {"call": summary.time()(nothing)}),
        "block": Statement("with timer.time(): pass", {"timer": summary}),
    }


@_peer("prometheus-async", "prometheus-async")
def prometheus_async() -> Operations:
    """Return the operation that times coroutines for prometheus_client."""
    import prometheus_client as p
    from prometheus_async.aio import time

    histogram = p.Histogram("seconds", "-", registry=p.CollectorRegistry())
    return {
        "timed awaited": Statement("", {"call": time(histogram)(nothing_awaited)}),
    }


def _opentelemetry_timers(histogram: Any) -> tuple[Any, Any, Any]:
    """Return a timed function, a timed coroutine function and a class of blocks."""

    @functools.wraps(nothing)
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = perf_counter()
        try:
            return nothing(*args, **kwargs)
        finally:
            histogram.record(perf_counter() - start)

    @functools.wraps(nothing_awaited)
    async def timed_awaited(*args: Any, **kwargs: Any) -> Any:
        start = perf_counter()
        try:
            return await nothing_awaited(*args, **kwargs)
        finally:
            histogram.record(perf_counter() - start)

    class Block:
        def __enter__(self) -> None:
            self.start = perf_counter()

        def __exit__(self, *_: object) -> None:
            histogram.record(perf_counter() - self.start)

    return timed, timed_awaited, Block


@_peer("opentelemetry-sdk", "opentelemetry-sdk")
def opentelemetry() -> Operations:
    """Return the operations of OpenTelemetry; its users write timers themselves."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    meter = MeterProvider([InMemoryMetricReader()]).get_meter("benchmarks")
    counter, histogram = meter.create_counter("r"), meter.create_histogram("s")

    timed, timed_awaited, block = _opentelemetry_timers(histogram)
    return {
        "inc": Statement(
            "handle.add(1, attributes)",
            {"handle": counter, "attributes": {"method": GET, "status": OK}},
        ),
        "inc dimensions": Statement(
            "handle.add(1, {'method': a, 'status': b})",
            {"handle": counter, "a": GET, "b": OK},
        ),
        "set": Statement("handle.set(1.5)", {"handle": meter.create_gauge("depth")}),
        "record": Statement("handle.record(0.5)", {"handle": histogram}),
        "timed": Statement("call(1)", {"call": timed}),
        "timed awaited": Statement("", {"call": timed_awaited}),
        "block": Statement("with Block(): pass", {"Block": block}),
    }


def _datadog(**settings: Any) -> Operations:
    os.environ.setdefault("DD_REMOTE_CONFIGURATION_ENABLED", "false")
    from datadog.dogstatsd.base import DogStatsd

    client = DogStatsd(
        host="127.0.0.1",
        port=_unread_port()[1],
        disable_telemetry=True,
        origin_detection_enabled=False,
        **settings,
    )
    names = {"d": client, "tags": ["method:GET", "status:200"], "a": GET, "b": OK}
    return {
        "inc": Statement("d.increment('r', tags=tags)", names),
        "inc dimensions": Statement(
            "d.increment('r', tags=['method:' + a, 'status:' + b])", names
        ),
        "set": Statement("d.gauge('depth', 1.5)", names),
        "record": Statement("d.distribution('sizes', 0.5)", names),
        "timed": Statement("call(1)", {"call": client.timed("t")(nothing)}),
        "timed awaited": Statement("", {"call": client.timed("t")(nothing_awaited)}),
        "block": Statement("with d.timed('t'): pass", names),
    }


@_peer("datadog", "datadog")
def datadog() -> Operations:
    """Return the operations of datadog, which sends a datagram for each call."""
    return _datadog()


@_peer("datadog, aggregating", "datadog")
def datadog_aggregating() -> Operations:
    """Return the operations of datadog with aggregation, which is off by default."""
    return _datadog(disable_aggregation=False, disable_buffering=False)


@_peer("statsd", "statsd")
def statsd() -> Operations:
    """Return the operations of statsd, whose names stand in for dimensions."""
    from statsd import StatsClient

    client = StatsClient("127.0.0.1", _unread_port()[1])
    names = {"s": client, "a": GET, "b": OK}
    return {
        "inc": Statement("s.incr('r.GET.200')", names),
        "inc dimensions": Statement("s.incr('r.' + a + '.' + b)", names),
        "set": Statement("s.gauge('depth', 1.5)", names),
        "record": Statement("s.timing('sizes', 0.5)", names),
        "timed": Statement("call(1)", {"call": client.timer("t")(nothing)}),
        "block": Statement("with s.timer('t'): pass", names),
    }


@_peer("dynatrace-metric-utils", "dynatrace-metric-utils")
def dynatrace_metric_utils() -> Operations:
    """Return the operations of the official package, which writes a line per call."""
    from dynatrace.metric.utils import (
        DynatraceMetricsFactory,
        DynatraceMetricsSerializer,
    )

    factory = DynatraceMetricsFactory()
    names: Mapping[str, Any] = {
        "line": DynatraceMetricsSerializer(
            enrich_with_dynatrace_metadata=False
        ).serialize,
        "count": factory.create_int_counter_delta,
        "gauge": factory.create_float_gauge,
        "summary": factory.create_float_summary,
        "dimensions": {"method": GET, "status": OK},
        "a": GET,
        "b": OK,
    }
    return {
        "inc": Statement("line(count('r', 1, dimensions))", names),
        "inc dimensions": Statement(
            "line(count('r', 1, {'method': a, 'status': b}))", names
        ),
        "set": Statement("line(gauge('depth', 1.5))", names),
        "record": Statement("line(summary('sizes', 0.5, 0.5, 0.5, 1))", names),
    }
