"""How far a request has come, and how another thread aborts it.

httpx has no timeout for a whole request, and a request that fails does not report
whether the endpoint may have received it. This module infers both from two details of
httpx's transport, and is the only one that knows them:

- httpcore calls the request's ``trace`` extension at the beginning and the end of each
  step, for example with ``http11.send_request_body.started``
  (https://www.encode.io/httpcore/extensions/#trace);
- the network stream that a connecting step returns has a ``read`` method. It is
  wrapped, because the first byte of a response is not a step of its own.

Through a proxy, a connection to an https endpoint begins with a request of its own: a
CONNECT, which has the same steps as the batch, and no content. The batch follows after
a TLS handshake with the endpoint, ``proxy.start_tls``.

Checked with httpx 0.27.0 and 0.28.1, on httpcore 1.0.2 and 1.0.9. After a step whose
name is not listed here, the request counts as possibly received. If a later version
renames a step, a batch that was never sent may be reported as indeterminate; the
reverse cannot happen.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal, Protocol

__all__ = ["AbortedError", "ConnectionState", "RequestTrace"]

_TUNNEL_STARTED = "proxy.start_tls.started"
_TLS_STARTED = "connection.start_tls.started", _TUNNEL_STARTED
_CONNECTED = (
    "connection.connect_tcp.complete",
    "connection.start_tls.complete",
    "proxy.start_tls.complete",
)
_HEADERS_STARTED = "http11.send_request_headers.started"
_BODY_STARTED = "http11.send_request_body.started"
# The type of a TLS record, and the first byte of its version.
_TLS_ALERT = b"\x15\x03"
_BEFORE_BODY = "connection.", "proxy.", "http11.send_request_headers."


class AbortedError(Exception):
    """Raised inside the transport to stop an aborted request."""


class _NetworkStream(Protocol):
    """The part of httpcore's network stream that is used here."""

    read: Callable[..., bytes]

    def get_extra_info(self, info: Literal["socket"]) -> socket.socket | None:
        """Return the connected socket."""


class ConnectionState:
    """What is known of a connection, from its first request to its last."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        #: Whether the current request uses a connection that an earlier one opened.
        self.reused = False
        #: Whether a byte has been read since the current request began.
        self.response_started = False
        #: Whether the response began with an alert of TLS: the port expects https.
        self.tls_alert = False

    def begin_request(self) -> None:
        """Reset the state that belongs to one request."""
        self.reused = self.socket is not None
        self.response_started = False

    def opened(self, stream: _NetworkStream) -> None:
        """Store the socket of *stream* and detect what is read from it."""
        self.socket = stream.get_extra_info("socket")
        self.reused = False
        self.response_started = False
        read = stream.read

        def detecting_read(*args: object, **kwargs: object) -> bytes:
            data = read(*args, **kwargs)
            if not self.response_started:
                self.tls_alert = data.startswith(_TLS_ALERT)
            self.response_started = self.response_started or bool(data)
            return data

        stream.read = detecting_read

    def close_socket(self) -> None:
        """Close this process's descriptor of the connection, and only that."""
        if self.socket is not None:
            self.socket.close()


class RequestTrace:
    """The ``trace`` extension of one request, which may be tried twice.

    httpcore calls it in the thread that sends. ``abort()`` may be called in any other
    thread: under the lock, either it sees the step or the step sees it. A request that
    was aborted before its body began never sends the body.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: ConnectionState | None = None
        # A duplicate of the connection's descriptor. The transport may close the
        # original at any moment, and the system then reuses its number.
        self._duplicate: socket.socket | None = None
        self._earlier_try_may_have_arrived = False
        self._may_have_arrived = False
        self._write_failed = False
        self._in_tls_handshake = False
        self._in_connect = False
        self.aborted = False
        #: The last step before the end or the abort.
        self.last_step = ""
        #: Whether the last try came past the proxy, if there is one.
        self.passed_proxy = False

    @property
    def may_have_arrived(self) -> bool:
        """Whether the endpoint may have received the whole request."""
        return self._earlier_try_may_have_arrived or self._may_have_arrived

    def begin(self, connection: ConnectionState) -> None:
        """Begin a try over *connection*. Raises AbortedError once aborted."""
        with self._lock:
            if self.aborted:
                raise AbortedError
            self._connection = connection
            connection.begin_request()
            self._earlier_try_may_have_arrived = self.may_have_arrived
            # True until a known step proves the opposite: a transport that reports no
            # step at all proves nothing.
            self._may_have_arrived = True
            self._write_failed = False
            self._in_connect = self.passed_proxy = False

    def __call__(self, step: str, info: Mapping[str, Any]) -> None:
        """Update the state after *step*. Raises AbortedError if it must not go on."""
        try:
            with self._lock:
                self._update(step, info)
                self._stop_if_aborted(step)
        except BaseException:
            # A step that fails while connecting leaves the socket open otherwise.
            if self._connection is not None:
                self._connection.close_socket()
            raise

    def abort(self) -> bool:
        """End the request, from another thread; return ``may_have_arrived``.

        Nothing that has not been sent by now is sent later. The sending thread returns
        at once, except from a name lookup or from connecting, which nothing interrupts.
        """
        with self._lock:
            self.aborted = True
            if self._duplicate is not None:
                # During a TLS handshake only the reading side is shut down. With both
                # sides shut down the peer may reset the connection first, and CPython
                # 3.11 then leaves a socket unclosed.
                how = socket.SHUT_RD if self._in_tls_handshake else socket.SHUT_RDWR
                with suppress(OSError):  # already closed by the peer
                    self._duplicate.shutdown(how)
            return self.may_have_arrived

    def end(self) -> None:
        """Close the duplicate of the connection's descriptor."""
        with self._lock:
            duplicate, self._duplicate = self._duplicate, None
        if duplicate is not None:
            duplicate.close()

    def _update(self, step: str, info: Mapping[str, Any]) -> None:
        if not self.aborted:
            self.last_step = step
        self._in_tls_handshake = step in _TLS_STARTED
        self._follow_proxy(step, info)
        connection = self._connection
        if connection is not None and step in _CONNECTED:
            connection.opened(info["return_value"])
        if connection is not None and step in (*_CONNECTED, _HEADERS_STARTED):
            self._duplicate_once(connection.socket)
        # A failed write proves that the body is incomplete. httpcore continues after it
        # and reads a response, so that later steps do not change this.
        if step.startswith("http11.send_request_") and step.endswith(".failed"):
            self._write_failed = not self._in_connect
        before_body = self._in_connect or step.startswith(_BEFORE_BODY)
        self._may_have_arrived = not (self._write_failed or before_body)

    def _follow_proxy(self, step: str, info: Mapping[str, Any]) -> None:
        if step == _HEADERS_STARTED:
            # If no request is given, the steps of a CONNECT count as the batch's.
            self._in_connect = getattr(info.get("request"), "method", b"") == b"CONNECT"
            self.passed_proxy = not self._in_connect
        elif step == _TUNNEL_STARTED:
            self._in_connect, self.passed_proxy = False, True

    def _duplicate_once(self, original: socket.socket | None) -> None:
        # Only at the steps above: between them the socket may be an unconnected shell
        # of a TLS socket.
        if self._duplicate is None and original is not None:
            self._duplicate = socket.fromfd(
                original.fileno(), original.family, original.type
            )

    def _stop_if_aborted(self, step: str) -> None:
        before_body = self._in_connect or step.startswith(
            (*_BEFORE_BODY, _BODY_STARTED)
        )
        if self.aborted and before_body:
            self._may_have_arrived, self._write_failed = False, True
            raise AbortedError
