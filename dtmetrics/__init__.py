"""What logging is to logs, for metrics: record in Python, read in Dynatrace.

A data point walks through three rooms, once, and never back; this is also the order
to read the code in:

``_record``   ``counter.inc()``: handles append to series; ``collect()`` drains them
``_wire``     a data point as a line of Dynatrace's protocol; pure text
``_deliver``  lines -> bodies -> the endpoint -> its answer, in the flusher's thread

``_setup`` reads the settings and puts the rooms together, ``errors`` holds every
exception. Above them ``_web`` is what a request measures, with ``wsgi``, ``asgi``,
``flask`` and ``django`` to measure it by; ``_outbound`` is what an application asks of
others, by ``httpx``, ``requests`` and ``sqlalchemy``; ``receiver`` is an endpoint for
development and ``_cli`` the commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dtmetrics._record.instruments import Counter, Gauge, Summary
from dtmetrics._record.meter import Meter
from dtmetrics._record.timer import Timer
from dtmetrics._setup.default import default
from dtmetrics._setup.stats import Stats

if TYPE_CHECKING:
    from dtmetrics._deliver.exporter import ConsoleExporter, MemoryExporter

__all__ = [
    "ConsoleExporter",
    "Counter",
    "Gauge",
    "MemoryExporter",
    "Meter",
    "Stats",
    "Summary",
    "Timer",
    "configure",
    "context",
    "counter",
    "flush",
    "gauge",
    "get_meter",
    "install_signal_handlers",
    "observe",
    "shutdown",
    "stats",
    "summary",
    "timed",
]

configure = default.configure
context = default.registry.context
counter = default.meters.root.counter
flush = default.flush
gauge = default.meters.root.gauge
get_meter = default.get_meter
install_signal_handlers = default.install_signal_handlers
observe = default.meters.root.observe
shutdown = default.shutdown
stats = default.stats
summary = default.meters.root.summary
timed = default.meters.root.timed


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 -- slow, seldom asked

        return version("dtmetrics")
    if name in ("ConsoleExporter", "MemoryExporter"):
        # With the rest of delivery they are loaded by whoever sends.
        from dtmetrics._deliver import exporter  # noqa: PLC0415

        return getattr(exporter, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
