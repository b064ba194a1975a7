"""Counts of log records and of warnings.

>>> import logging
>>> from dtmetrics.integrations.logging import MetricsHandler
>>> logger = logging.getLogger("shop")
>>> handler = MetricsHandler()
>>> logger.addHandler(handler)
>>> logger.removeHandler(handler)
"""

from __future__ import annotations

import logging
import threading
import warnings
from functools import wraps
from logging import getLevelName
from typing import Any, TextIO

from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.suppress_instrumentation import SUPPRESSED
from dtmetrics._decorate.hooks import class_name
from dtmetrics._record.instruments import Counter
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default

__all__ = ["MetricsHandler", "instrument_warnings", "uninstrument_warnings"]

INVALID_RECORD = "log record that cannot be read"

#: What stands for the names of all further loggers.
OTHER = "_OTHER"

_LEVELS = logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG


class MetricsHandler(logging.Handler):
    """Counts log records by level and logger: ``log.records``.

    It belongs at the root logger, or at any other one. The dimensions are ``log.level``
    and ``logger.name``. OpenTelemetry has no convention for this count. Records of
    the exporter's own requests are not counted.

    It never raises, takes no lock, and writes nothing.

    Args:
        level (int | str): The lowest level that is counted, as in logging. Default:
            ``logging.NOTSET``, all.
        max_loggers (int): How many loggers are counted by their names. All further
            ones count as ``_OTHER``: a program may name loggers after users or jobs.
            Default: 100.
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.logging")``.

    >>> import logging
    >>> from dtmetrics.integrations.logging import MetricsHandler
    >>> handler = MetricsHandler(level="WARNING", max_loggers=20)
    >>> logging.getLogger("shop").addHandler(handler)
    >>> logging.getLogger("shop").removeHandler(handler)
    """

    def __init__(
        self,
        level: int | str = logging.NOTSET,
        *,
        max_loggers: int = 100,
        meter: Meter | None = None,
    ) -> None:
        super().__init__(level)
        self._records = (meter or default.get_meter(__name__)).counter(
            "log.records", unit="{record}", description="Log records"
        )
        self._max_loggers = max_loggers
        self._names: set[str] = set()
        # By name, or that of all others, and by level.
        self._counters: dict[tuple[str, int], Counter] = {}

    def createLock(self) -> None:  # noqa: N802 -- logging's name
        """Make no lock: nothing here needs one, and a fork would copy it locked."""
        self.lock: threading.RLock | None = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Count *record* if the filters let it pass."""
        if self.filters:
            passed: Any = call_safely(self.filter, record, default=False)
            if not passed:
                return False
            # Since CPython 3.12 a filter may return another record.
            record = passed if isinstance(passed, logging.LogRecord) else record
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Count *record*."""
        try:
            if SUPPRESSED.get():
                return
            counter = self._counters.get((record.name, record.levelno))
            (counter or self._bind(record.name, record.levelno)).inc()
        except Exception:  # noqa: BLE001
            # A record may be made of anything. `call_safely` costs 0.1 us.
            self._records.reject(INVALID_RECORD)

    def _bind(self, name: str, level: int) -> Counter:
        key = name if self._has_room(name) else OTHER, _named_level(level)
        counter = self._counters.get(key)
        if counter is None:
            shown, level = key
            dimensions = {"log.level": getLevelName(level), "logger.name": shown}
            counter = self._counters[key] = self._records.bind(**dimensions)
        return counter

    def _has_room(self, name: str) -> bool:
        names = self._names
        if name not in names and len(names) < self._max_loggers:
            names.add(name)
        return name in names


def _named_level(number: int) -> int:
    """Return *number* if the level has a name, or else the next lower one of logging.

    A program may log with any number, and names as many levels as it writes.
    """
    if getLevelName(number) != f"Level {number}":
        return number
    return next((level for level in _LEVELS if level <= number), logging.NOTSET)


# -- warnings ------------------------------------------------------------------------


class _Warnings:
    """Counts the warnings that Python shows."""

    def __init__(self) -> None:
        #: None while warnings are not counted.
        self.counter: Counter | None = None
        #: The function that replaced ``warnings.showwarning``.
        self.installed: object = None

    def count(self, category: type[Warning]) -> None:
        """Count a warning of this class."""
        if self.counter is not None and not SUPPRESSED.get():
            self.counter.inc(1, **{"warning.category": class_name(category)})

    def install(self) -> None:
        """Replace what shows warnings, unless that is done."""
        earlier = warnings.showwarning
        if earlier is self.installed:
            return

        @wraps(earlier)
        def count_and_show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            call_safely(self.count, category, default=None)
            earlier(message, category, filename, lineno, file, line)

        warnings.showwarning = self.installed = count_and_show


_warnings = _Warnings()


def instrument_warnings(*, meter: Meter | None = None) -> None:
    """Count the warnings that Python shows, by category: ``python.warnings``.

    The dimension ``warning.category`` is the class of the warning. Python shows a
    warning once for each place in the code, unless a filter changes that; one that
    a filter ignores or raises as an exception is not counted. Call it after
    ``logging.captureWarnings(True)``, which replaces what shows warnings. A second call
    does nothing.

    Args:
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.logging")``.

    >>> from dtmetrics.integrations.logging import instrument_warnings
    >>> from dtmetrics.integrations.logging import uninstrument_warnings
    >>> instrument_warnings()
    >>> uninstrument_warnings()
    """
    if _warnings.counter is None:
        _warnings.counter = (meter or default.get_meter(__name__)).counter(
            "python.warnings", unit="{warning}", description="Warnings of Python"
        )
    _warnings.install()


def uninstrument_warnings() -> None:
    """Count no more warnings.

    The function that shows them stays where it is, because others may have replaced it
    since.

    >>> from dtmetrics.integrations.logging import uninstrument_warnings
    >>> uninstrument_warnings()
    """
    _warnings.counter = None
