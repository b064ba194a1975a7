"""The composition root, and the only global: what this process records and sends."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple

from dtmetrics._record.meter import Meter, Meters
from dtmetrics._record.registry import Recording, Registry

if TYPE_CHECKING:
    from dtmetrics._deliver.exporter import Exporter
    from dtmetrics._deliver.flusher import Flusher
    from dtmetrics._deliver.outbox import Outbox
    from dtmetrics._setup.config import Config

__all__ = ["Process", "Stats", "default"]

_UNSET: Any = ...

#: What a short script may wait at its end for a slow endpoint.
EXIT_SECONDS = 5.0


class Stats(NamedTuple):
    """What became of everything this process recorded, since ``configure()``.

    ``collected = accepted + rejected + sum(dropped.values()) + waiting``, always.
    """

    #: Data points made from what was recorded.
    collected: int = 0
    #: Data points that the endpoint took.
    accepted: int = 0
    #: Data points that the endpoint refused.
    rejected: int = 0
    #: Data points that were given up here, by reason.
    dropped: Mapping[str, int] = {}
    #: Data points that are still to be sent.
    waiting: int = 0
    #: Values that could not be recorded and so never became data points, by reason.
    refused: Mapping[str, int] = {}
    #: How many series there are.
    series: int = 0
    #: How often was collected.
    flushes: int = 0
    #: What last went wrong with sending, or nothing.
    last_error: str = ""


class Process:
    """A registry and, once configured, what brings its points to an endpoint."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.meters = Meters(self.registry)
        self._flusher: Flusher | None = None
        self._outbox: Outbox | None = None
        self._running = False
        self._hooked = False
        self._lock = RLock()

    def configure(
        self,
        *,
        endpoint: str = _UNSET,
        token: str = _UNSET,
        exporter: Exporter | None = _UNSET,
        prefix: str = _UNSET,
        dimensions: Mapping[str, Any] = _UNSET,
        interval: float | None = _UNSET,
        level: int | str = _UNSET,
        levels: Mapping[str, int | str] = _UNSET,
        max_series_per_metric: int = _UNSET,
        max_series: int = _UNSET,
        max_outbox_bytes: int = _UNSET,
        allow_plain_http: bool = _UNSET,
        strict: bool = _UNSET,
        force: bool = False,
    ) -> None:
        """Start recording, and sending every *interval* seconds (default 60).

        To be called once, by the application. A second call does nothing, unless
        *force* is true: then what runs is shut down first. Without arguments it
        sends to the OneAgent of this host. The README has a table of all settings,
        their defaults and environment variables.

        Raises ConfigError, listing every fault, if the settings cannot work, and
        under *strict* the first DefinitionError of an instrument made so far.

        >>> from dtmetrics import MemoryExporter, configure, shutdown
        >>> configure(exporter=MemoryExporter(), interval=None)
        >>> shutdown()
        True
        """
        arguments = {k: v for k, v in locals().items() if v is not _UNSET}
        del arguments["self"], arguments["force"]
        # Slow imports (httpx takes 0.1 s), and all in the caller's thread.
        from dtmetrics._setup.config import Config  # noqa: PLC0415

        with self._lock:
            if self._running and not force:
                return
            config = Config.resolve(arguments)
            if self._running:
                self.shutdown()
            self._start(config)

    def flush(self, timeout: float = 5.0) -> bool:
        """Collect and send now, within *timeout* seconds.

        True: all that was recorded before has been answered, be it accepted or
        refused. False: something still waits, and ``stats().waiting`` says how much.
        """
        flusher = self._flusher
        if flusher is None or not self._running:
            return True
        return flusher.flush(timeout)

    def shutdown(self, timeout: float = 5.0) -> bool:
        """Stop recording, and send what is left within *timeout* seconds.

        Called again it does nothing. It is called at exit, so that a short script
        loses nothing. The answer is that of ``flush()``.
        """
        with self._lock:
            if not self._running or self._flusher is None:
                return True
            self.registry.stop()
            done = self._flusher.close(timeout)
            self.registry.clear()
            self._running = False
            return done

    def stats(self) -> Stats:
        """Return what became of everything recorded so far."""
        refused = self.registry.refused()
        series = self.registry.series_count
        if self._outbox is None or self._flusher is None:
            return Stats(refused=refused, series=series)
        return Stats(
            *self._outbox.account(),
            refused=refused,
            series=series,
            flushes=self._flusher.flushes,
            last_error=self._flusher.last_error,
        )

    def get_meter(self, name: str = "") -> Meter:
        """Return the meter *name*, the same one for the same name.

        A library makes its instruments with ``get_meter(__name__)``; they are silent
        until the application configures.

        >>> from dtmetrics import get_meter
        >>> hits = get_meter("shop.cache").counter("cache.hits")
        """
        return self.meters.get(name)

    def _start(self, config: Config) -> None:
        from dtmetrics._deliver.flusher import Flusher  # noqa: PLC0415
        from dtmetrics._deliver.outbox import Outbox  # noqa: PLC0415

        exporter = config.exporter or _http_exporter(config)
        outbox = Outbox(config.max_outbox_bytes)
        flusher = Flusher(self.registry, exporter, outbox, interval=config.interval)
        recording = Recording(
            prefix=config.prefix,
            dimensions={"dt.metrics.source": "dtmetrics", **config.dimensions},
            max_series_per_metric=config.max_series_per_metric,
            max_series=config.max_series,
            level=config.level,
            levels=config.levels,
            strict=config.strict,
        )
        self.registry.start(recording, flusher.start)
        self._flusher, self._outbox = flusher, outbox
        self._running = True
        if not self._hooked:
            self._hooked = True
            atexit.register(self.shutdown, EXIT_SECONDS)
            os.register_at_fork(after_in_child=self._reset_after_fork)

    def _reset_after_fork(self) -> None:
        self._lock = RLock()
        self.registry.reset_after_fork()
        if self._flusher is not None:
            self._flusher.reset_after_fork()


def _http_exporter(config: Config) -> Exporter:
    from dtmetrics._deliver.http import HttpExporter, preload  # noqa: PLC0415

    preload()
    return HttpExporter(config.endpoint, config.token, local=config.local)


default = Process()
