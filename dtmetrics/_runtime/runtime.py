"""The composition root, and the only global: what this process records and sends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextvars import Context
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any

from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.secret import Secret
from dtmetrics._core.try_lock import TryLock
from dtmetrics._record.meter import Meter, Meters
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.registry import Registry
from dtmetrics._runtime.process_hooks import Lifetime
from dtmetrics._runtime.signals import put_off
from dtmetrics._runtime.stats import Stats

if TYPE_CHECKING:
    from dtmetrics._config.config import Config
    from dtmetrics._deliver.delivery import Delivery
    from dtmetrics._deliver.flusher import Flusher
    from dtmetrics._deliver.outbox import Account
    from dtmetrics._spool.spool import Spool
    from dtmetrics.exporters import Exporter

__all__ = ["Process", "default"]

_UNSET: Any = ...

#: What a short script may wait at its end for a slow endpoint.
EXIT_SECONDS = 5.0


class Process:
    """A registry and, once configured, what brings its points to an endpoint."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.meters = Meters(self.registry)
        self._delivery: Delivery | None = None
        self._flusher: Flusher | None = None
        self._running = False
        self._lock = TryLock()
        self._lifetime = Lifetime(self._reset_after_fork, self._at_exit)

    def configure(
        self,
        *,
        endpoint: str | None = None,
        token: str | None = None,
        exporter: Exporter | None = None,
        prefix: str = _UNSET,
        dimensions: Mapping[str, Any] | None = None,
        interval: float | None = _UNSET,
        level: int | str = _UNSET,
        levels: Mapping[str, int | str] = _UNSET,
        max_series_per_metric: int = _UNSET,
        max_series: int = _UNSET,
        max_outbox_bytes: int = _UNSET,
        delivery: str = _UNSET,
        spool: str | os.PathLike[str] | None = None,
        metadata: bool = _UNSET,
        self_metrics: bool = _UNSET,
        enrich: bool = _UNSET,
        allow_plain_http: bool = _UNSET,
        ca_file: str | os.PathLike[str] | None = None,
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
        arguments = _given(locals())
        # What may hold a secret leaves this frame, which an error's traceback shows.
        endpoint = token = None
        # Slow imports (httpx takes 0.1 s), and all in the caller's thread.
        from dtmetrics._config.config import Config  # noqa: PLC0415

        with self._lock.acquire(TIMEOUT_MAX) as acquired:
            if not acquired or (self._running and not force):
                return
            config = Config.resolve(arguments)
            copies = _spool(config)
            self._end(EXIT_SECONDS)
            if not self._running:
                self._start(config, copies)

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
        loses nothing. The answer is that of ``flush()``: in a signal handler that
        interrupts a flush, and in a callback of one, it is False, and nothing stops.
        """
        deadline = time.monotonic() + timeout
        with self._lock.acquire(timeout) as acquired:
            return acquired and self._end(deadline - time.monotonic())

    def install_signal_handlers(self, timeout: float = 2.0) -> None:
        """Let SIGTERM wait until what was recorded is sent, at most *timeout* seconds.

        Then it has the effect that it has now: the process ends by it, or the
        program's own handler is called. In the meantime the program goes on; a second
        SIGTERM has its effect at once. The same goes for SIGHUP, unless the program
        handles it.

        To be called once, by the main thread; another raises ValueError.
        """
        put_off(self.flush, self.shutdown, timeout)

    def stats(self) -> Stats:
        """Return what became of everything recorded so far."""
        invalid = self.registry.invalid_values.total()
        series = self.registry.series_count
        delivery = self._delivery
        if delivery is None:
            return Stats(dropped={}, invalid=invalid, series=series)
        return Stats(
            *delivery.outbox.account(),
            invalid=invalid,
            series=series,
            quarantined=self.registry.catalog.all_quarantined(),
            **delivery.stats()._asdict(),
        )

    def get_meter(self, name: str = "") -> Meter:
        """Return the meter *name*, the same one for the same name.

        A library makes its instruments with ``get_meter(__name__)``; they are silent
        until the application configures.

        >>> from dtmetrics import get_meter
        >>> hits = get_meter("shop.cache").counter("cache.hits")
        """
        return self.meters.get(name)

    def _start(self, config: Config, spool: Spool | None) -> None:
        from dtmetrics._config.enrichment import enrichment  # noqa: PLC0415
        from dtmetrics._deliver.backoff import RetryPolicy  # noqa: PLC0415
        from dtmetrics._deliver.delivery import (  # noqa: PLC0415
            Delivery,
            DeliverySettings,
        )

        def meanwhile() -> float:
            # While an answer is waited for, what is recorded is collected on time; in
            # a context of its own, as who is observed may ask others, and be measured.
            return Context().run(delivery.flusher.collect_if_due)

        exporter = config.exporter
        if exporter is None:
            exporter = _exporter(
                config, self.registry.catalog.describe_again, meanwhile
            )
        settings = DeliverySettings(
            interval=config.interval,
            max_outbox_bytes=config.max_outbox_bytes,
            resend=config.delivery == "at_least_once",
            metadata=config.metadata,
            self_metrics=config.self_metrics,
            # A OneAgent on this host restarts within seconds, and is ours alone.
            policy=RetryPolicy(longest_pause=10.0 if config.local else 60.0),
        )
        delivery = Delivery(self.registry, exporter, settings, spool=spool)
        flusher = delivery.flusher
        recording = RecordingOptions(
            prefix=config.prefix,
            dimensions={"dt.metrics.source": "dtmetrics", **config.dimensions},
            enrichment=enrichment(config.directory) if config.enrich else {},
            max_series_per_metric=config.max_series_per_metric,
            max_series=config.max_series,
            level=config.level,
            levels=config.levels,
            strict=config.strict,
        )
        settled = self._lifetime.settled
        self.registry.start(recording, lambda: settled() and flusher.start())
        self._delivery, self._flusher = delivery, flusher
        self._running = True
        self._lifetime.follow()

    def _end(self, timeout: float) -> bool:
        delivery, flusher = self._delivery, self._flusher
        if not self._running or delivery is None or flusher is None:
            return True
        if flusher.busy_here:
            return False
        self.registry.stop()
        before = delivery.outbox.account()
        done = flusher.close(timeout)
        self.registry.clear()
        self._running = False
        _say_what_is_lost(before, delivery.outbox.account())
        return done

    def _at_exit(self) -> None:
        delivery = self._delivery
        if delivery is not None and not (
            self.registry.recorded or delivery.collector.flushes
        ):
            # The parent of a reloader, or a server that only forks its workers: what
            # it observes of itself would pass for one more of them.
            self.registry.observers.clear()
        self.shutdown(EXIT_SECONDS)

    def _reset_after_fork(self) -> None:
        self._lock = TryLock()
        self.registry.reset_after_fork()
        if self._flusher is not None:
            self._flusher.reset_after_fork()


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the settings among *arguments*, with what may be a secret hidden."""
    # An endpoint may hold a token as well, where it is wrong: in its query.
    return {
        name: Secret(value) if name in ("endpoint", "token") else value
        for name, value in arguments.items()
        if name not in ("self", "force")
        and value is not _UNSET
        and (value is not None or name == "interval")
    }


def _say_what_is_lost(before: Account, after: Account) -> None:
    """Say what did not arrive, and no later collection will tell of."""
    lost = after.undelivered_since(before)
    if undelivered := after.waiting + sum(lost.values()):
        said = ", ".join(f"{points} {reason}" for reason, points in lost.items())
        why = f" ({said})" if lost else ""
        log.warning("shut down with %d data points undelivered%s", undelivered, why)


def _spool(config: Config) -> Spool | None:
    root = config.spool
    if root is None:
        return None
    from dtmetrics._config.discovery import path_in, said_at  # noqa: PLC0415
    from dtmetrics._spool.spool import Spool  # noqa: PLC0415

    if config.follow:
        # What is meant for the environment that the operator's file names is not for
        # another's, whose pods may keep theirs in the same directory.
        where = said_at(path_in(config.directory))
        config = call_safely(config.at, *where, default=config)
    return Spool(
        root,
        config.tenant,
        now_ms=lambda: time.time_ns() // 1_000_000,
        clock=time.monotonic,
    )


def _exporter(
    config: Config, on_move: Callable[[], object], meanwhile: Callable[[], float]
) -> Exporter:
    from dtmetrics._config.discovery import FollowingExporter, path_in  # noqa: PLC0415
    from dtmetrics._export.deadline import DeadlineExporter  # noqa: PLC0415
    from dtmetrics._export.http import HttpExporter, preload  # noqa: PLC0415

    # A user's own exporter goes without: a thread of it that was left behind would
    # still be at work in the next call, and it is promised one at a time.
    def http(*place: Any, local: bool) -> Exporter:
        resend = config.delivery == "at_least_once"
        exporter = HttpExporter(
            *place, local=local, resend=resend, ca_file=config.ca_file
        )
        return DeadlineExporter(exporter, meanwhile)

    def make(endpoint: Secret, token: Secret) -> Exporter:
        found = config.at(endpoint, token)
        return http(found.endpoint, found.token, local=found.local)

    preload()
    if not config.follow:
        return http(config.endpoint, config.token, local=config.local)
    fallback = http(config.endpoint, local=True)
    return FollowingExporter(path_in(config.directory), make, fallback, on_move)


default = Process()
