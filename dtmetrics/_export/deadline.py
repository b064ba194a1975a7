"""A deadline for each export that holds whatever the network does.

httpx's timeouts apply to each step of a request. With ``timeout=1``, a server that sent
one header line every 0.4 s kept a request open for 16 s, and a name server that did not
answer another one for 10 s. Each export therefore runs in a thread of its own, which is
abandoned if aborting the request does not end it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from time import monotonic
from typing import Protocol

from dtmetrics.exporters import Batch, Exporter, ExportResult, Outcome

__all__ = ["AbortableExporter", "AbortableRequest", "DeadlineExporter"]

# Seconds for the exporter's own timeouts, whose errors are more precise, and then for
# an aborted request to return.
_GRACE_SECONDS, _ABORT_SECONDS = 0.1, 0.4

_MAX_ABANDONED = 3

_FORKED = ExportResult(Outcome.RETRY, reason="process forked during the export")


class AbortableRequest(Protocol):
    """One export that has been prepared."""

    def send(self, timeout: float) -> ExportResult:
        """Send the batch within about *timeout* seconds and return the result."""

    def abort(self) -> ExportResult:
        """Make ``send()`` return soon, from another thread; return what is known.

        Nothing that has not been sent by now may be sent later.
        """


class AbortableExporter(Exporter, Protocol):
    """An exporter whose requests can be aborted, and may overlap."""

    @property
    def destination(self) -> str:
        """The host of the endpoint."""

    @property
    def max_seconds(self) -> float:
        """How long one export may take at most."""

    def prepare(self, batch: Batch) -> AbortableRequest:
        """Return the request that sends *batch*."""


class DeadlineExporter:
    """Exports with *inner*, and returns at most half a second after the timeout.

    While it waits it calls *while_waiting*, which returns in how many seconds to call
    it again.
    """

    def __init__(
        self,
        inner: AbortableExporter,
        while_waiting: Callable[[], float] | None = None,
    ) -> None:
        self._inner = inner
        self._while_waiting = while_waiting
        self._abandoned: list[_ExportThread] = []
        self._current: _ExportThread | None = None

    @property
    def destination(self) -> str:
        """The host of the endpoint."""
        return self._inner.destination

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        """Export *batch*; after *timeout* seconds, abort the request."""
        self._abandoned = [each for each in self._abandoned if each.is_alive]
        if len(self._abandoned) >= _MAX_ABANDONED:
            reason = f"{len(self._abandoned)} earlier requests still hang"
            return ExportResult(Outcome.RETRY, reason=reason)
        seconds = max(0.0, min(timeout, self._inner.max_seconds))
        request = self._inner.prepare(batch)
        thread = self._current = _ExportThread(request, seconds)
        try:
            if not thread.start():
                # Without a thread only the request's own timeouts apply.
                return request.send(seconds)
            if self._wait(thread, seconds + _GRACE_SECONDS):
                return thread.result()
            known = thread.abort()
            if self._wait(thread, _ABORT_SECONDS):
                return thread.result()
        except BaseException:
            # An interrupt, or an error of while_waiting().
            thread.abort()
            self._abandoned.append(thread)
            raise
        finally:
            self._current = None
        self._abandoned.append(thread)
        return known

    def close(self) -> None:
        """Close the connections. An abandoned thread closes its own when it returns."""
        self._inner.close()

    def reset_after_fork(self) -> None:
        """In a forked child, stop waiting: the export threads exist in the parent."""
        self._abandoned = []
        if self._current is not None:
            self._current.disown()
        self._inner.reset_after_fork()

    def _wait(self, thread: _ExportThread, seconds: float) -> bool:
        """Wait until *thread* has a result; return whether it has one in time."""
        end = monotonic() + seconds
        while True:
            pause = seconds if self._while_waiting is None else self._while_waiting()
            left = end - monotonic()
            if thread.wait(min(left, max(0.01, pause))):
                return True
            if left <= pause:
                return False


class _ExportThread:
    """A thread that sends one request."""

    def __init__(self, request: AbortableRequest, seconds: float) -> None:
        self._request = request
        self._seconds = seconds
        self._result: ExportResult | BaseException = _FORKED
        self._disowned = False
        # Held while the thread sends. A lock and not an event, because a signal handler
        # and a forked child may release it. Made here and not at import, because gevent
        # may replace threading later.
        self._sending = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the thread was started and has not ended."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> bool:
        """Start the thread; return False if there can be none."""
        self._sending.acquire()
        try:
            thread = threading.Thread(
                # The context suppresses instrumentation of this request.
                target=copy_context().run,
                args=(self._send,),
                name="dtmetrics-export",
                daemon=True,
            )
            thread.start()
        except RuntimeError:
            # At interpreter exit, in some subinterpreters, or past a system limit.
            return False
        self._thread = thread
        return True

    def wait(self, seconds: float) -> bool:
        """Wait at most *seconds*; return whether there is a result."""
        if not self._sending.acquire(timeout=max(0.0, seconds)):
            return False
        # It has nothing more to do. A subinterpreter that ends before each of its
        # threads has ended aborts the process.
        self._thread.join(_ABORT_SECONDS)  # type: ignore[union-attr]  # it was started
        return True

    def result(self) -> ExportResult:
        """Return what the request returned, or raise what it raised."""
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result

    def abort(self) -> ExportResult:
        """Abort the request; return what is known of the batch."""
        # In a forked child this would shut down the parent's connection.
        return _FORKED if self._disowned else self._request.abort()

    def disown(self) -> None:
        """In a forked child, end the wait: the thread was not copied by the fork."""
        self._disowned = True
        self._result = _FORKED
        with suppress(RuntimeError):  # released, if the thread had ended
            self._sending.release()

    def _send(self) -> None:
        try:
            self._result = self._request.send(self._seconds)
        except BaseException as error:  # noqa: BLE001 -- raised by result()
            self._result = error
        finally:
            self._sending.release()
