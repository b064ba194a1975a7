"""A hard deadline for each export.

httpx's timeouts are for each of its steps: with ``timeout=1`` a server that sent a line
of a header every 0.4 s held a request for 16 s, and a name server that does not answer
another for 10 s. So each export is in a thread of its own, which is left behind if
nothing else helps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from time import monotonic
from typing import Protocol

from dtmetrics.exporters import Batch, Exporter, ExportResult, Outcome

__all__ = ["AbortableExporter", "Attempt", "DeadlineExporter"]

# Seconds for the exporter's own timeouts, which know better what happened, and then
# for an aborted attempt to come back.
_GRACE_SECONDS, _ABORT_SECONDS = 0.1, 0.4

_MOST_HANGING = 3

_FORKED = ExportResult(Outcome.RETRY, reason="forked meanwhile")


class Attempt(Protocol):
    """One export."""

    def run(self, timeout: float) -> ExportResult:
        """Send, within about *timeout* seconds, and say what became of the body."""

    def abort(self) -> ExportResult:
        """Make ``run()`` end soon, from another thread; say what is known of the body.

        Nothing that has not left by then may leave later.
        """


class AbortableExporter(Exporter, Protocol):
    """An exporter whose attempts can be aborted, and may outlive each other."""

    @property
    def most_seconds(self) -> float:
        """How long an attempt may take at most."""

    def begin(self, body: Batch) -> Attempt:
        """Return the attempt to send *body*, which has still to be run."""


class DeadlineExporter:
    """Exports by *inner*, and takes no longer than was asked for.

    While it waits, *meanwhile* does what else is due, and says in how many seconds it
    wants to be called again.
    """

    def __init__(
        self,
        inner: AbortableExporter,
        meanwhile: Callable[[], float] | None = None,
    ) -> None:
        self._inner = inner
        self._meanwhile = meanwhile
        self._hanging: list[_Run] = []
        self._current: _Run | None = None

    def export(self, body: Batch, timeout: float) -> ExportResult:
        """Export *body*; who has not done so half a second too late is left behind."""
        self._hanging = [run for run in self._hanging if run.goes_on]
        if len(self._hanging) >= _MOST_HANGING:
            reason = f"{len(self._hanging)} requests hang"
            return ExportResult(Outcome.RETRY, reason=reason)
        seconds = max(0.0, min(timeout, self._inner.most_seconds))
        run = self._current = _Run(self._inner.begin(body), seconds)
        try:
            if not run.start():
                return run.here()
            if self._wait(run, seconds + _GRACE_SECONDS):
                return run.result()
            known = run.abort()
            if self._wait(run, _ABORT_SECONDS):
                return run.result()
        except BaseException:
            # An interrupt, or what a callback raised meanwhile.
            run.abort()
            self._hanging.append(run)
            raise
        finally:
            self._current = None
        self._hanging.append(run)
        return known

    def close(self) -> None:
        """Let go of what is held; who was left behind lets go by himself."""
        self._inner.close()

    def reset_after_fork(self) -> None:
        """In a forked child: the threads are the parent's; nobody waits for them."""
        self._hanging = []
        if self._current is not None:
            self._current.forget()
        self._inner.reset_after_fork()

    def _wait(self, run: _Run, seconds: float) -> bool:
        """Wait for the end of *run*; say whether it came."""
        end = monotonic() + seconds
        while True:
            pause = seconds if self._meanwhile is None else self._meanwhile()
            left = end - monotonic()
            if run.ended_within(min(left, max(0.01, pause))):
                return True
            if left <= pause:
                return False


class _Run:
    """An attempt in a thread of its own."""

    def __init__(self, attempt: Attempt, seconds: float) -> None:
        self._attempt = attempt
        self._seconds = seconds
        self._result: ExportResult | BaseException = _FORKED
        self._forgotten = False
        # Looked up when it is needed: gevent replaces them, and perhaps late. A lock,
        # and not an event: it can be released by a signal handler, and after a fork.
        self._going_on = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def goes_on(self) -> bool:
        """Whether there is a thread that may still be at it."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> bool:
        """Start; say whether there was a thread to be had."""
        self._going_on.acquire()
        try:
            thread = threading.Thread(
                # What is known of the call where it was made: that it is our own.
                target=copy_context().run,
                args=(self._work,),
                name="dtmetrics-export",
                daemon=True,
            )
            thread.start()
        except RuntimeError:
            # At interpreter exit, in some subinterpreters, or the system has none left.
            return False
        self._thread = thread
        return True

    def here(self) -> ExportResult:
        """Run the attempt in the thread that asks, with its own timeouts only."""
        return self._attempt.run(self._seconds)

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end for so long; say whether it came."""
        return self._going_on.acquire(timeout=max(0.0, seconds))

    def result(self) -> ExportResult:
        """Return what the attempt returned, or raise what it raised."""
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result

    def abort(self) -> ExportResult:
        """Abort the attempt; return what is known of the body."""
        # A child that did so would shut the parent's connection down.
        return _FORKED if self._forgotten else self._attempt.abort()

    def forget(self) -> None:
        """Stop waiting: the thread was not forked with its process."""
        self._forgotten = True
        self._result = _FORKED
        with suppress(RuntimeError):  # it had ended
            self._going_on.release()

    def _work(self) -> None:
        try:
            self._result = self._attempt.run(self._seconds)
        except BaseException as error:  # noqa: BLE001 -- raised where it is waited for
            self._result = error
        finally:
            self._going_on.release()
