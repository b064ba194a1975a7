"""Metrics for Python, sent to Dynatrace: what ``logging`` does for logs.

An instrument records values anywhere in a program and costs nothing until the
application calls `configure()`. From then on a background thread sends what was
recorded once a minute, to the OneAgent of this host or to a Dynatrace environment.

>>> import dtmetrics
>>> orders = dtmetrics.counter("orders.placed", unit="{order}")
>>> orders.inc(region="eu")

``counter``, ``gauge``, ``summary`` and ``timed`` make instruments; ``observe`` calls a
function at each collection; ``context`` adds dimensions to everything inside it.
``configure``, ``flush``, ``shutdown`` and ``stats`` belong to the application.
``dtmetrics.integrations`` has one module for each library that can be instrumented,
``dtmetrics.exporters`` what an exporter of your own needs, and ``dtmetrics.errors``
every exception.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dtmetrics._record.gauge import Gauge
from dtmetrics._record.instruments import Counter, Summary
from dtmetrics._record.meter import Meter
from dtmetrics._record.timer import Timer
from dtmetrics._runtime.runtime import default
from dtmetrics._runtime.stats import Stats

if TYPE_CHECKING:
    from dtmetrics.exporters import ConsoleExporter, MemoryExporter

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
        from dtmetrics import exporters  # noqa: PLC0415

        return getattr(exporters, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
