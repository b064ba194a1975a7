"""Posts batches to a Dynatrace endpoint over HTTP.

It uses httpx's transport and not its client: no
redirect is followed, no proxy and no cookie comes from the environment, and nothing is
logged for each request.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from time import monotonic, time
from typing import NamedTuple

from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.secret import Secret
from dtmetrics._export.abort import AbortedError, ConnectionState, RequestTrace
from dtmetrics._export.http_library import httpx
from dtmetrics._export.response import RESPONSE_LIMIT, parse_response
from dtmetrics._export.tls import error_class, tls_context
from dtmetrics.exporters import Batch, ExportResult, Outcome

__all__ = ["HttpExporter", "HttpRequest", "preload"]

_MIN_SECONDS = 0.05

# How a reused connection fails that the server closed while it was idle.
_CONNECTION_ERRORS = httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError

_NO_TOKEN = Secret("")


class _Timeouts(NamedTuple):
    """Seconds to connect, for each later step, and for the whole request."""

    connect: float
    step: float
    total: float


# A OneAgent listens on this host, and so answers sooner.
_LOCAL_TIMEOUTS = _Timeouts(connect=1.0, step=3.0, total=5.0)
_REMOTE_TIMEOUTS = _Timeouts(connect=3.0, step=10.0, total=15.0)


class HttpExporter:
    """Posts batches to *endpoint*, with *token* if there is one.

    *local* selects the shorter timeouts of a OneAgent on this host. With *resend*, a
    batch is sent once more if the server had closed the idle connection that carried
    it; without, connections are not reused. *ca_file* holds the certificates to trust
    in place of the system's. *transport* makes the transport of a connection.
    """

    def __init__(
        self,
        endpoint: str,
        token: Secret = _NO_TOKEN,
        *,
        local: bool = False,
        resend: bool = True,
        ca_file: str | None = None,
        transport: Callable[[], httpx.BaseTransport] | None = None,
    ) -> None:
        self._endpoint = _Endpoint(
            url=httpx.URL(endpoint),
            token=token,
            timeouts=_LOCAL_TIMEOUTS if local else _REMOTE_TIMEOUTS,
        )
        self._resend = resend
        # Made here and not with the first request: see preload().
        https = self._endpoint.url.scheme == "https"
        self._tls = tls_context(https=https, ca_file=ca_file)
        self._connections = _Connections(transport or self._new_transport)

    @property
    def destination(self) -> str:
        """The host of the endpoint, with its port."""
        return self._endpoint.host

    @property
    def max_seconds(self) -> float:
        """How long one export may take at most."""
        return self._endpoint.timeouts.total

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        """Post *batch* within about *timeout* seconds and return the result."""
        return self.prepare(batch).send(timeout)

    def prepare(self, batch: Batch) -> HttpRequest:
        """Return the request that posts *batch*; another thread may abort it."""
        return HttpRequest(
            batch, endpoint=self._endpoint, connections=self._connections
        )

    def close(self) -> None:
        """Close the idle connections. A later export opens new ones."""
        self._connections.close()

    def reset_after_fork(self) -> None:
        """In a forked child, drop the parent's connections: their responses are its."""
        self._connections.reset_after_fork()

    def _new_transport(self) -> httpx.BaseTransport:
        return httpx.HTTPTransport(
            verify=self._tls,
            trust_env=False,
            limits=httpx.Limits(
                max_connections=1,
                # Without resend a connection that the server closes while it is idle
                # would cost a batch, so none is kept.
                max_keepalive_connections=int(self._resend),
                # Servers close idle connections after 5 s or more, so each flush opens
                # a new one.
                keepalive_expiry=4.0,
            ),
        )


class _Endpoint(NamedTuple):
    """Where requests go, with which token and which timeouts."""

    url: httpx.URL
    token: Secret
    timeouts: _Timeouts

    @property
    def host(self) -> str:
        """The host, with its port."""
        return self.url.netloc.decode("ascii")


class _Connection(ConnectionState):
    """A transport that opens at most one connection. Threads never share one."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        super().__init__()
        self.transport = transport


class _Connections:
    """The idle connections of an exporter."""

    def __init__(self, new_transport: Callable[[], httpx.BaseTransport]) -> None:
        self._new_transport = new_transport
        self._idle: list[_Connection] = []

    def acquire(self) -> _Connection:
        """Return an idle connection, or a new one."""
        return self._pop_idle() or self.open()

    def open(self) -> _Connection:
        """Return a new connection, which connects with its first request."""
        return _Connection(self._new_transport())

    def release(self, connection: _Connection) -> None:
        """Let a later request use *connection*."""
        self._idle.append(connection)

    def close(self) -> None:
        """Close every idle connection."""
        while connection := self._pop_idle():
            connection.transport.close()

    def reset_after_fork(self) -> None:
        """In a forked child, close its descriptors of the parent's connections.

        The peer does not notice. ``transport.close()`` would take a lock that another
        thread may have held at the fork.
        """
        for connection in self._idle:
            connection.close_socket()
        self._idle = []

    def _pop_idle(self) -> _Connection | None:
        try:
            # One step: another thread may pop the last one.
            return self._idle.pop()
        except IndexError:
            return None


class HttpRequest:
    """The request that posts one batch. ``send()`` is called once."""

    def __init__(
        self, batch: Batch, *, endpoint: _Endpoint, connections: _Connections
    ) -> None:
        self._batch = batch
        self._endpoint = endpoint
        self._connections = connections
        self._trace = RequestTrace()

    def send(self, timeout: float) -> ExportResult:
        """Post the batch, unless the request has been aborted; return the result.

        A batch is sent a second time, over a new connection, if the server closed an
        idle connection just as it was used again: 4 of 20 requests met that when they
        were sent at the end of the server's keep-alive time.
        """
        seconds = max(_MIN_SECONDS, min(timeout, self._endpoint.timeouts.step))
        deadline = monotonic() + seconds
        connection = self._connections.acquire()
        result = self._try(connection, deadline)
        if (
            isinstance(result, type)
            and issubclass(result, _CONNECTION_ERRORS)
            and connection.reused
            and not connection.response_started
        ):
            result = self._try(self._connections.open(), deadline)
        if isinstance(result, type):
            may_have_arrived = self._trace.may_have_arrived
            return self._failure(result, may_have_arrived=may_have_arrived)
        if result.outcome is Outcome.ANSWERED:
            return result
        return replace(result, reason=self._at_host(result.reason))

    def abort(self) -> ExportResult:
        """Make ``send()`` return soon, from another thread; return what is known.

        Nothing that has not been sent by now is sent later.
        """
        return self._failure(AbortedError, may_have_arrived=self._trace.abort())

    def _try(
        self, connection: _Connection, deadline: float
    ) -> ExportResult | type[Exception]:
        """Post the batch over *connection*; return the result or the error's class.

        Only the class of an error leaves this method. Its text may quote a header, and
        the frames of its traceback hold the headers, and so the token.
        """
        result = None
        try:
            result = self._post(connection, deadline)
        except Exception as error:  # noqa: BLE001 -- any error of a transport is a result
            return error_class(error)
        except BaseException as interrupt:  # noqa: BLE001 -- raised again
            # Without the frames it has passed, and without the error whose handling it
            # may have interrupted.
            interrupt.__context__ = None
            raise interrupt.with_traceback(None) from None
        finally:
            self._trace.end()
            if result is None or self._trace.aborted:
                call_safely(connection.transport.close, default=None)
            else:
                self._connections.release(connection)
        return result

    def _post(self, connection: _Connection, deadline: float) -> ExportResult:
        self._trace.begin(connection)
        seconds = max(_MIN_SECONDS, deadline - monotonic())
        connect = min(seconds, self._endpoint.timeouts.connect)
        request = httpx.Request(
            "POST",
            self._endpoint.url,
            headers=self._headers(),
            content=self._batch.text,
            extensions={
                "timeout": httpx.Timeout(seconds, connect=connect).as_dict(),
                "trace": self._trace,
            },
        )
        response = connection.transport.handle_request(request)
        try:
            content, complete = _read(response, deadline)
        finally:
            # If the response has not been read to its end, this closes the connection.
            call_safely(response.close, default=None)
        if response.status_code == 200 and not complete:
            # Only the text tells a response of Dynatrace from a page of a proxy.
            return ExportResult(Outcome.INDETERMINATE, reason="incomplete response")
        return parse_response(
            self._batch,
            status=response.status_code,
            headers=response.headers,
            content=content,
            now=time(),
        )

    def _headers(self) -> dict[str, str]:
        headers = {
            "Content-Type": "text/plain; charset=utf-8",
            "Accept-Encoding": "identity",
            "User-Agent": "dtmetrics",
        }
        if self._endpoint.token:
            headers["Authorization"] = f"Api-Token {self._endpoint.token.reveal()}"
        return headers

    def _failure(
        self, error: type[Exception], *, may_have_arrived: bool
    ) -> ExportResult:
        outcome = Outcome.INDETERMINATE if may_have_arrived else Outcome.RETRY
        if self._trace.aborted:
            return ExportResult(outcome, reason=self._at_host("timed out"))
        if issubclass(error, ssl.SSLCertVerificationError):
            outcome = Outcome.MISCONFIGURED
        return ExportResult(outcome, reason=self._at_host(error.__name__))

    def _at_host(self, reason: str) -> str:
        return f"{reason} at {self._endpoint.host}"


def preload() -> None:
    """Import all that a request needs, in the thread that calls ``configure()``.

    httpx imports the modules of its transport with the first request. If the process
    forks while the flusher does that, the child inherits a locked import lock and hangs
    forever: 42 of 4,800 forks, and none of 4,000 with everything imported before. The
    same is true of OpenSSL, which holds locks of its own while it makes a context: 1 of
    1,500 forks, and none of 1,200 with a context made before.
    """
    import encodings.idna  # noqa: F401, PLC0415
    import stringprep  # noqa: F401, PLC0415

    context = tls_context(https=False)
    httpx.HTTPTransport(verify=context, trust_env=False).close()


def _read(response: httpx.Response, deadline: float) -> tuple[bytes, bool]:
    """Return the text of *response*, up to a limit, and whether that is complete."""
    content = b""
    try:
        for part in response.iter_raw():
            content += part
            if len(content) > RESPONSE_LIMIT:
                return content[:RESPONSE_LIMIT], True
            if monotonic() > deadline:
                return content, False
    except httpx.TransportError:
        # The status has been read, and a 202 needs no text.
        return content, False
    return content, True
