"""The composition root: makes the parts of the library and connects them.

``default`` is the only global of the package; the functions of ``dtmetrics`` are its
methods.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from functools import partial
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any

from dtmetrics._core import log
from dtmetrics._core.secret import hide_secrets
from dtmetrics._core.shared import Shared
from dtmetrics._core.try_lock import TryLock
from dtmetrics._record.meter import Meter
from dtmetrics._record.meters import Meters
from dtmetrics._record.registry import Registry
from dtmetrics._runtime.followed_file import FollowedFile
from dtmetrics._runtime.process_hooks import ProcessHooks, outside_uwsgi_master
from dtmetrics._runtime.signals import install_handlers
from dtmetrics._runtime.stats import Stats, collect_stats
from dtmetrics._runtime.travel import Travel
from dtmetrics._runtime.worker_process import is_worker

if TYPE_CHECKING:
    from dtmetrics._config.config import Config
    from dtmetrics._config.document import Document
    from dtmetrics._core.level import Level
    from dtmetrics._core.secret import Secret
    from dtmetrics._deliver.account import Account
    from dtmetrics._deliver.delivery import Delivery
    from dtmetrics._process.observed_process import ObservedProcess
    from dtmetrics._record.options import RecordingOptions
    from dtmetrics._runtime.config_file import Follower
    from dtmetrics._runtime.given import Given
    from dtmetrics._runtime.process_ends import ProcessEnds

__all__ = ["EXIT_SECONDS", "Runtime", "default"]

#: How long a program may wait at exit for a slow endpoint.
EXIT_SECONDS = 5.0


class Runtime(Shared):
    """A registry and, once configured, the flusher that sends what it records."""

    def __init__(self) -> None:
        self.registry = Registry(self.get_meter)
        self.meters = Meters(self.registry)
        self._config: Config | None = None
        self._delivery: Delivery | None = None
        self._running = False
        self._ends: ProcessEnds | None = None
        self._process: ObservedProcess | None = None
        self._file = FollowedFile(self.registry)
        self._lock = TryLock()
        self.travel = Travel(self.registry, partial(self._start, worker=True))
        self.hooks = ProcessHooks(
            on_fork=self._reset_after_fork, on_exit=self._shutdown_at_exit
        )

    def __reduce__(self) -> str | tuple[Callable[[str], Runtime], tuple[str]]:
        # In a pickle it stands for that of the process that unpickles. pickle raises a
        # PicklingError for any other one.
        text = self.travel.sent
        return (arrived, (text,)) if text and self is default else "default"

    @property
    def interval(self) -> float | None:
        """The seconds between collections; None if no thread collects."""
        config = self._config
        return config.interval if self._running and config is not None else None

    def configure(self, *, force: bool = False, **settings: object) -> None:
        """Do what ``dtmetrics.configure()`` documents, for the *settings* given."""
        # Rebound, because error reporters print the local variables of this frame.
        settings = _passed_settings(settings)
        from dtmetrics._runtime.given import Given  # noqa: PLC0415 -- as below

        self._configure(Given.by_arguments(settings), force=force)

    def dict_config(self, settings: Secret, *, force: bool = False) -> None:
        """Do what ``dtmetrics.dict_config()`` documents."""
        from dtmetrics._runtime.given import Given  # noqa: PLC0415 -- as below

        self._configure(Given.by_mapping(settings), force=force)

    def file_config(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Do what ``dtmetrics.file_config()`` documents."""
        from dtmetrics._runtime.given import Given  # noqa: PLC0415 -- as below

        self._configure(Given.by_file(path), force=force)

    def arrive(self, text: str) -> None:
        """Configure this process by settings that have arrived; see `travel`."""
        if self.travel.is_new(text):
            with self._lock.acquire(EXIT_SECONDS) as acquired:
                if acquired:
                    self.travel.arrive(text)

    def flush(self, timeout: float = 5.0) -> bool:
        """Collect and send now, within *timeout* seconds.

        Returns True if the endpoint has accepted or rejected everything recorded before
        the call. Returns False if data points still wait; ``stats().waiting`` is their
        number, and ``stats().last_error`` the reason. After a failure it tries again at
        once. Only if the endpoint has named a time (Retry-After) it waits for that.

        Args:
            timeout (float): Seconds, after which it returns. Default: 5.0.

        >>> from dtmetrics import MemoryExporter, configure, counter, flush, shutdown
        >>> configure(exporter=MemoryExporter(), interval=None)
        >>> counter("orders.placed").inc()
        >>> flush(timeout=2.0)
        True
        >>> shutdown()
        True
        """
        delivery = self._delivery
        if delivery is None or not self._running:
            return True
        deadline = time.monotonic() + timeout
        done = delivery.flusher.flush(timeout)
        if delivery is not self._delivery and not delivery.flusher.busy_here:
            # It was replaced meanwhile, and may have collected for the next one.
            return self.flush(deadline - time.monotonic())
        return done

    def shutdown(self, timeout: float = 5.0) -> bool:
        """Stop recording, and send what is left within *timeout* seconds.

        It is called at exit, so that a short script loses nothing. A second call does
        nothing. Returns the same as ``flush()``. In a callback of a flush, and in a
        signal handler that interrupts one, it returns False and stops nothing.

        Args:
            timeout (float): Seconds, after which it returns. Default: 5.0.

        >>> from dtmetrics import shutdown
        >>> shutdown()
        True
        """
        deadline = time.monotonic() + timeout
        with self._lock.acquire(timeout) as acquired:
            self.travel.stay()
            return acquired and self._stop(deadline - time.monotonic())

    def install_signal_handlers(self, timeout: float = 2.0) -> None:
        """Delay SIGTERM until what was recorded has been sent.

        After at most *timeout* seconds the signal takes the effect that it has now: it
        ends the process, or calls the program's own handler. Meanwhile the program
        runs on, and a second SIGTERM takes effect at once. SIGHUP is delayed likewise,
        unless the program handles it. Called once, in the main thread.

        Args:
            timeout (float): Seconds by which a signal is delayed at most. Default: 2.0.

        Raises:
            ValueError: It is called in another thread than the main one.

        ::

            configure()
            install_signal_handlers(timeout=5.0)
        """
        install_handlers(flush=self.flush, shutdown=self.shutdown, timeout=timeout)

    def stats(self) -> Stats:
        """Return the counts of what was recorded and sent so far.

        >>> from dtmetrics import MemoryExporter, configure, counter
        >>> from dtmetrics import flush, shutdown, stats
        >>> configure(exporter=MemoryExporter(), interval=None, force=True)
        >>> counter("orders.placed").inc()
        >>> flush()
        True
        >>> stats().accepted
        1
        >>> shutdown()
        True
        """
        return collect_stats(self.registry, self._delivery)

    def get_meter(self, name: str = "") -> Meter:
        """Return the meter *name*: the same object for the same name.

        A library makes its instruments with ``get_meter(__name__)``. They record
        nothing until the application calls ``configure()``.

        Args:
            name (str): Parts that dots separate, as in logging. Default: ``""``, the
                meter of ``dtmetrics.counter()`` and the other functions.

        Raises:
            TypeError: *name* is not a str.

        >>> from dtmetrics import get_meter
        >>> hits = get_meter("shop.cache").counter("cache.hits")
        """
        return self.meters.get(name)

    def set_level(self, name: str, level: Level) -> None:
        """Let instruments of a meter and those below it record from *level* on.

        It takes effect at once, before and after ``configure()``. It is the same as
        ``get_meter(name).set_level(level)``, where the details are.

        Args:
            name (str): The name of the meter. ``""``: all that have no level.
            level (Level): A name or a number, as in logging. ``"OFF"``: none records.
                ``"NOTSET"``: the level of the meter above holds again.

        Raises:
            TypeError: *name* is not a str, or *level* is neither an int nor a str.
            ValueError: *level* is a str, but not the name of a level.

        >>> from dtmetrics import set_level
        >>> set_level("shop.cache", "DEBUG")
        >>> set_level("shop.cache", "NOTSET")
        """
        self.get_meter(name).set_level(level)

    def _configure(self, given: Given, *, force: bool) -> None:
        # Slow imports (httpx takes 0.1 s) are made here, in the caller's thread.
        from dtmetrics._config.disabled import is_disabled  # noqa: PLC0415
        from dtmetrics._runtime.ignored_call import log_ignored  # noqa: PLC0415

        with self._lock.acquire(TIMEOUT_MAX) as acquired:
            if not acquired:
                return
            running = self._config if self._running and not force else None
            if running is not None and self.travel.decided:
                log_ignored(running, given)
                return
            if is_disabled():
                log.info("disabled by the environment: nothing is recorded")
                self.travel.stay()
                self._stop(EXIT_SECONDS)
                return
            self._file.expect(given)
            self._apply(given)
            self._file.follow(given, partial(self._reload, given))

    def _apply(self, given: Given) -> None:
        config = given.resolve()
        self._start(config)
        self.travel.depart(config, given.names, given.names_below)

    def _reload(self, given: Given, follower: Follower, document: Document) -> bool:
        """Apply a new *document* of what was *given*; return whether that was due."""
        with self._lock.acquire(TIMEOUT_MAX):
            if follower is not self._file.follower:
                return False
            self._apply(given.with_document(document))
            return True

    def _start(self, config: Config, *, worker: bool = False) -> None:
        from dtmetrics._deliver.delivery import Delivery  # noqa: PLC0415
        from dtmetrics._runtime.factories import (  # noqa: PLC0415
            delivery_settings,
            destinations,
            make_targets,
            recording_options,
        )

        def collect_while_waiting() -> float:
            # Collections stay on time while a response is awaited. Observers are called
            # in a new context, because instrumentation is suppressed in this one.
            return Context().run(delivery.flusher.collect_if_due)

        earlier = self._delivery if self._running else None
        if earlier is not None and earlier.flusher.busy_here:
            return
        worker = worker or is_worker() or bool(self.travel.arrived)
        options = recording_options(config, worker=worker)
        self.registry.catalog.require_valid(options)
        targets = make_targets(
            config,
            on_move=self.registry.catalog.describe_again,
            while_waiting=collect_while_waiting,
        )
        settings = delivery_settings(config)
        delivery = Delivery(self.registry, targets, settings, earlier=earlier)
        self._config = config
        ends = self._follow_ends(destinations(config))
        if earlier is None:
            self._delivery = delivery
            wake = partial(self._wake, ends)
            self.registry.start(options, outside_uwsgi_master(wake))
            self._running = True
            self.hooks.install()
            ends.follow_engines()
        else:
            self._replace(earlier, delivery, options)
        self._observe_process(config.runtime)

    def _replace(
        self, earlier: Delivery, delivery: Delivery, options: RecordingOptions
    ) -> None:
        """Go on recording with other *options*, and with another *delivery*."""

        def change() -> None:
            self._delivery = delivery
            self.registry.restart(options)

        delivery.take_over(earlier, EXIT_SECONDS, change)
        if self.registry.recorded:
            self.registry.generation.wake()

    def _observe_process(self, groups: Sequence[str]) -> None:
        """Observe these *groups* of runtime metrics from now on, and no others."""
        if groups and self._process is None:
            from dtmetrics._process.observed_process import (  # noqa: PLC0415
                ObservedProcess,
            )

            self._process = ObservedProcess(self.get_meter("dtmetrics.runtime"))
        if self._process is not None:
            self._process.observe(groups)

    def _follow_ends(self, destinations: str) -> ProcessEnds:
        from dtmetrics._runtime.given_up import GivenUp  # noqa: PLC0415
        from dtmetrics._runtime.process_ends import ProcessEnds  # noqa: PLC0415
        from dtmetrics._runtime.work_horses import WorkHorses  # noqa: PLC0415

        given_up = GivenUp(destinations)
        if self._ends is None:
            self._ends = ProcessEnds(
                self._is_end_due,
                given_up,
                WorkHorses(lambda: self._delivery if self._running else None),
                flush=self.flush,
                shutdown=self.shutdown,
            )
            self._ends.install()
        self._ends.given_up = given_up
        return self._ends

    def _wake(self, ends: ProcessEnds) -> bool:
        """Start the flusher; return whether it runs."""
        self.hooks.begin_recording()
        ends.follow_engines()
        self._file.start()
        delivery = self._delivery
        return delivery is not None and delivery.flusher.start()

    def _stop(self, timeout: float) -> bool:
        delivery, ends = self._delivery, self._ends
        if not self._running or delivery is None or ends is None:
            return True
        if delivery.flusher.busy_here:
            return False
        self.registry.stop()
        ends.horses.relay.release()
        before = delivery.account()
        done = delivery.flusher.close(timeout)
        self._observe_process(())
        self.registry.clear()
        self._running = False
        self._file.end()
        _log_undelivered(before, delivery.account())
        return done

    def _shutdown_at_exit(self) -> None:
        delivery = self._delivery
        if delivery is not None and not (
            self.registry.recorded or delivery.collector.flushes
        ):
            # A process that has recorded nothing, such as a reloader or the master of a
            # server: its observers would report it as one more worker, and so would the
            # pauses of its garbage collector.
            self.registry.observers.clear()
            self.registry.clear()
        self.shutdown(EXIT_SECONDS)

    def _is_end_due(self, end: str) -> bool:
        """Return whether to deliver before *end*: a function of ``os``, or a task's."""
        config, delivery, ends = self._config, self._delivery, self._ends
        return (
            delivery is not None
            and ends is not None
            and self._running
            and (self.registry.recorded or ends.horses.relay.is_open)
            and not delivery.flusher.busy_here
            and config is not None
            and (config.flush_at_os_exit or end not in ("_exit", "task"))
        )

    def _reset_after_fork(self) -> None:
        self._lock = TryLock()
        self.registry.reset_after_fork()
        self._file.reset_after_fork()
        if self._ends is not None:
            self._ends.horses.relay.reset_after_fork()
        if self._delivery is not None:
            self._delivery.reset_after_fork()


def _passed_settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that were passed, with possible secrets as Secret."""
    return {
        name: value
        for name, value in hide_secrets(arguments).items()
        if value is not None or name == "interval"
    }


def _log_undelivered(before: Account, after: Account) -> None:
    """Log how many data points the shutdown left waiting, dropped or rejected.

    No later collection can report them.
    """
    lost = after.undelivered_since(before)
    if undelivered := after.waiting + sum(lost.values()):
        counts = ", ".join(f"{points} {reason}" for reason, points in lost.items())
        details = f" ({counts})" if lost else ""
        log.warning("shut down with %d data points undelivered%s", undelivered, details)


def arrived(text: str) -> Runtime:
    """Return the runtime of this process, for a pickle that brings settings."""
    default.arrive(text)
    return default


default = Runtime()
# Here and not in configure(): the exit handlers that a program registers in between may
# record.
default.hooks.register_at_exit()
