"""Metrics for Python programs, sent to Dynatrace: what ``logging`` is for logs.

An instrument records values anywhere in a program and costs almost nothing until the
application calls ``configure()``. From then on a background thread collects the values
once a minute and sends them to the OneAgent of this host or, with ``endpoint=`` and
``token=``, to a Dynatrace environment.

>>> from dtmetrics import counter, timed
>>> placed = counter("orders.placed", unit="{order}", description="Orders placed")
>>> @timed("checkout.duration", args=("region",))
... def checkout(region):
...     placed.inc(region=region)
>>> checkout("eu")

The application, once, when it starts::

    dtmetrics.configure(dimensions={"service": "shop"})

Instruments
    ``counter``, ``gauge``, ``summary`` and ``timed`` record values; all but ``summary``
    are decorators and ``with`` blocks as well. ``observe`` calls a function at each
    collection. ``job`` records the runs of a job, and the time of its last success.
    ``context`` adds dimensions to everything recorded inside it. A library
    makes its instruments with ``get_meter(__name__)``.

Application
    ``configure`` starts recording; ``dict_config`` and ``file_config`` do so with the
    settings of a document. ``set_level`` switches instruments on and off, as in
    logging; the levels are ``DEBUG`` to ``CRITICAL`` and ``OFF``. ``flush`` sends now;
    ``shutdown`` sends for the last time and is called at the end of every program.
    ``stats`` shows what became of each data point. ``install_signal_handlers`` sends
    the rest at SIGTERM.

Modules
    ``dtmetrics.integrations`` has one module for each framework or library that can be
    instrumented. ``dtmetrics.exporters`` has what an exporter of your own needs, and
    ``dtmetrics.errors`` every exception.

Recording never raises, never waits for the network, and is safe in threads, tasks,
signal handlers and forked processes. An invalid definition raises under
``configure(strict=True)`` and is otherwise logged once by the logger ``dtmetrics``.

Without a OneAgent, run ``dtmetrics dev``: it shows at http://127.0.0.1:14499 what
arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dtmetrics._core.level import (
    CRITICAL,
    DEBUG,
    ERROR,
    INFO,
    NOTSET,
    OFF,
    WARNING,
    Level,
)
from dtmetrics._record.gauge import Gauge
from dtmetrics._record.instruments import Counter, Summary
from dtmetrics._record.job import Job
from dtmetrics._record.meter import Meter
from dtmetrics._record.rule import Rule
from dtmetrics._record.timer import Timer
from dtmetrics._runtime.configure import configure
from dtmetrics._runtime.dict_config import dict_config, file_config
from dtmetrics._runtime.runtime import default
from dtmetrics._runtime.stats import Stats

if TYPE_CHECKING:
    from dtmetrics.exporters import ConsoleExporter, MemoryExporter

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "INFO",
    "NOTSET",
    "OFF",
    "WARNING",
    "ConsoleExporter",
    "Counter",
    "Gauge",
    "Job",
    "Level",
    "MemoryExporter",
    "Meter",
    "Rule",
    "Stats",
    "Summary",
    "Timer",
    "configure",
    "context",
    "counter",
    "dict_config",
    "file_config",
    "flush",
    "gauge",
    "get_meter",
    "install_signal_handlers",
    "job",
    "observe",
    "set_level",
    "shutdown",
    "stats",
    "summary",
    "timed",
    "unobserve",
]

# The one place of the version: the build reads it from here.
__version__ = "0.1.0"

# Final: type checkers then take the types of the methods without an annotation.
context: Final = default.registry.context
counter: Final = default.meters.root.counter
flush: Final = default.flush
gauge: Final = default.meters.root.gauge
get_meter: Final = default.get_meter
install_signal_handlers: Final = default.install_signal_handlers
job: Final = default.meters.root.job
observe: Final = default.meters.root.observe
set_level: Final = default.set_level
shutdown: Final = default.shutdown
stats: Final = default.stats
summary: Final = default.meters.root.summary
timed: Final = default.meters.root.timed
unobserve: Final = default.meters.root.unobserve

if not TYPE_CHECKING:  # a type checker would take any name for one of this module

    def __getattr__(name: str) -> object:
        """Load the exporters of this module at their first use.

        configure() loads them with the rest of delivery, which importing must not.
        """
        if name in ("ConsoleExporter", "MemoryExporter"):
            from dtmetrics import exporters  # noqa: PLC0415

            return getattr(exporters, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
