"""How far a request has come, and aborting it from another thread.

httpx tells each step (https://www.encode.io/httpcore/extensions/#trace). The steps may
change with its version, so that only what a known one proves is believed.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

__all__ = ["AbortedError", "Link", "Progress"]

_CONNECTED = "connection.connect_tcp.complete", "connection.start_tls.complete"
_TLS = "connection.start_tls.started"
_HEADERS = "http11.send_request_headers.started"
_BODY = "http11.send_request_body.started"
_BEFORE_BODY = "connection.", "http11.send_request_headers."


class AbortedError(Exception):
    """The request is not to go on."""


class Link:
    """The connection that a transport keeps from one request to the next."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        #: Whether anything has come over it since the request began.
        self.heard = False

    def connected(self, stream: Any) -> None:
        """Take note of a new connection."""
        self.socket = stream.get_extra_info("socket")
        read = stream.read

        def listen(*args: Any, **kwargs: Any) -> bytes:
            data: bytes = read(*args, **kwargs)
            self.heard = self.heard or bool(data)
            return data

        # That an answer's head is whole is a step, that its first byte came is none.
        stream.read = listen


class Progress:
    """What is known of one export while it goes on.

    Called with each step, by the thread that sends. A lock decides whether ``abort()``
    sees a step or the step sees ``abort()``: a request that was aborted before its body
    began never sends it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._link = Link()
        # A second descriptor of the connection, and our own: the other one may be
        # closed, and its number given to a file of somebody else, at any moment.
        self._handle: socket.socket | None = None
        self._left_before = self._left = self._cut_short = False
        self._starting_tls = False
        self.aborted = False
        #: Whether the connection was there before.
        self.reused = False

    @property
    def may_have_left(self) -> bool:
        """Whether the whole body may be out, so that it may have been taken."""
        return self._left_before or self._left

    def begin(self, link: Link) -> None:
        """Begin to try over *link*."""
        with self._lock:
            if self.aborted:
                raise AbortedError
            self._link = link
            self._left_before = self._left
            # Until a step says that it is not: of no step at all nothing is known.
            self._left = True
            self._cut_short = False
            self.reused = link.socket is not None
            link.heard = False

    def __call__(self, step: str, info: Mapping[str, Any]) -> None:
        """Take note of a step."""
        try:
            with self._lock:
                self._note(step, info)
                self._go_on(step)
        except BaseException:
            # A step that fails while connecting leaves nobody who would close it.
            if self._link.socket is not None:
                self._link.socket.close()
            raise

    def abort(self) -> bool:
        """Let nothing more leave, and end what is going on in another thread.

        Only who waits for a name server, or to be connected, comes back later. Returns
        whether the whole body may be out.
        """
        with self._lock:
            self.aborted = True
            if self._handle is not None:
                # To end a handshake it is enough to end its reading. Did we end our
                # side as well, the other might reset the connection before the
                # handshake begins, and CPython 3.11 then leaves a socket unclosed.
                how = socket.SHUT_RD if self._starting_tls else socket.SHUT_RDWR
                with suppress(OSError):  # the other side was faster
                    self._handle.shutdown(how)
            return self.may_have_left

    def end(self) -> None:
        """Let go of the connection."""
        with self._lock:
            handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    def _note(self, step: str, info: Mapping[str, Any]) -> None:
        self._starting_tls = step == _TLS
        if step in _CONNECTED:
            self._link.connected(info["return_value"])
            self.reused = False
        known = self._link.socket
        # In between the socket that is known is no more than the shell of TLS's.
        if (
            self._handle is None
            and known is not None
            and step in (*_CONNECTED, _HEADERS)
        ):
            self._handle = socket.fromfd(known.fileno(), known.family, known.type)
        # A write that failed proves that the body was not whole, and httpx goes on to
        # read an answer then.
        if step.startswith("http11.send_request_") and step.endswith(".failed"):
            self._cut_short = True
        self._left = not (self._cut_short or step.startswith(_BEFORE_BODY))

    def _go_on(self, step: str) -> None:
        if self.aborted and (step == _BODY or step.startswith(_BEFORE_BODY)):
            self._left, self._cut_short = False, True
            raise AbortedError
