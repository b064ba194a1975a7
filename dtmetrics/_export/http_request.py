"""One post of a batch: the request, its failures, and the response."""

from __future__ import annotations

import os
from time import monotonic, time
from typing import NamedTuple

from dtmetrics._core.safe_call import call_safely
from dtmetrics._export import causes
from dtmetrics._export.abort import AbortedError, RequestTrace
from dtmetrics._export.causes import Destination, explain
from dtmetrics._export.compression import Body, Compression
from dtmetrics._export.connections import Connection, Connections
from dtmetrics._export.failure import Failure, at_proxy, failure_of, timeout_cause
from dtmetrics._export.http_library import httpx
from dtmetrics._export.response import RESPONSE_LIMIT, parse_response
from dtmetrics._export.token import Token
from dtmetrics.exporters import Batch, ExportResult, Outcome

__all__ = ["Endpoint", "HttpRequest", "Timeouts", "host_of"]

_MIN_SECONDS = 0.05

# How a reused connection fails that the server closed while it was idle.
_CONNECTION_ERRORS = httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError

# Statuses after which the next request may use the connection. After any other, a
# balancer might lead it to the same server again: 8 of 8 attempts met the one bad
# server of two while the connection was reused after a 502.
_REUSE = frozenset({200, 202, 400, 413, 429})

_TOKEN_REJECTED = 401, 403
_PROXY_AUTHENTICATION = 407


class Timeouts(NamedTuple):
    """Seconds to connect, for each later step, and for the whole request."""

    connect: float
    step: float
    total: float


class Endpoint(NamedTuple):
    """Where requests go, with which token and which timeouts."""

    url: httpx.URL
    token: Token
    timeouts: Timeouts
    #: The host of the proxy, with its port, or empty.
    proxy: str = ""

    @property
    def host(self) -> str:
        """The host, with its port."""
        return host_of(self.url)

    def destination(self, *, at_proxy: bool) -> Destination:
        """Return the host, or that of the proxy, and the path, for messages."""
        host = f"the proxy {self.proxy}" if at_proxy else self.host
        return Destination(host, self.url.path)


class HttpRequest:
    """The request that posts one batch. ``send()`` is called once."""

    def __init__(
        self,
        batch: Batch,
        *,
        endpoint: Endpoint,
        connections: Connections,
        compression: Compression,
    ) -> None:
        self._batch = batch
        self._endpoint = endpoint
        self._connections = connections
        self._compression = compression
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
            isinstance(result, Failure)
            and issubclass(result.kind, _CONNECTION_ERRORS)
            and not result.misconfigured
            and connection.reused
            and not connection.response_started
        ):
            result = self._try(self._connections.open(), deadline)
        if isinstance(result, Failure):
            may_have_arrived = self._trace.may_have_arrived
            return self._failed(result, may_have_arrived=may_have_arrived)
        return result

    def abort(self) -> ExportResult:
        """Make ``send()`` return soon, from another thread; return what is known.

        Nothing that has not been sent by now is sent later.
        """
        may_have_arrived = self._trace.abort()
        return self._failed(Failure(AbortedError), may_have_arrived=may_have_arrived)

    def _try(self, connection: Connection, deadline: float) -> ExportResult | Failure:
        """Post the batch over *connection*; return the result, or why there is none.

        Only the class and the cause of an error leave this method. Its text may quote a
        header, and the frames of its traceback hold the headers, and so the token.
        """
        result = None
        try:
            result = self._post_encoded(connection, deadline)
        except Exception as error:  # noqa: BLE001 -- any error of a transport is a result
            if connection.tls_alert:
                return Failure(type(error), causes.TLS_EXPECTED)
            port = self._endpoint.url.port
            return failure_of(error, port, proxied=self._is_at_proxy)
        except BaseException as interrupt:  # noqa: BLE001 -- raised again
            # Without the frames it has passed, and without the error whose handling it
            # may have interrupted.
            interrupt.__context__ = None
            raise interrupt.with_traceback(None) from None
        finally:
            self._trace.end()
            if self._trace.aborted or not _may_reuse(connection, result):
                call_safely(connection.close, default=None)
            else:
                self._connections.release(connection)
        return result

    def _post_encoded(self, connection: Connection, deadline: float) -> ExportResult:
        """Post the batch, a second time if the endpoint does not take compression."""
        body = self._compression.body(self._batch)
        result = self._post(connection, deadline, body)
        if self._compression.is_rejected(
            body, connection.status, result, self._batch.points
        ):
            body = self._compression.body(self._batch)
            result = self._post(connection, deadline, body)
        return result

    def _post(
        self, connection: Connection, deadline: float, body: Body
    ) -> ExportResult:
        self._trace.begin(connection)
        seconds = max(_MIN_SECONDS, deadline - monotonic())
        connect = min(seconds, self._endpoint.timeouts.connect)
        request = httpx.Request(
            "POST",
            self._endpoint.url,
            headers={**self._headers(), **body.headers},
            content=body.content,
            extensions={
                "timeout": httpx.Timeout(seconds, connect=connect).as_dict(),
                "trace": self._trace,
            },
        )
        response = connection.handle_request(request)
        connection.status = response.status_code
        try:
            content, complete = _read(response, deadline)
        finally:
            # If the response has not been read to its end, this closes the connection.
            call_safely(response.close, default=None)
        status = response.status_code
        # A 407 is a proxy's answer, also to a request that it forwards.
        from_proxy = bool(self._endpoint.proxy) and status == _PROXY_AUTHENTICATION
        to = self._endpoint.destination(at_proxy=from_proxy)
        if status in _TOKEN_REJECTED:
            self._endpoint.token.reject()
        if status == 200 and not complete:
            # Only by its text a response of Dynatrace differs from a page of a proxy.
            reason = explain("incomplete response", to, causes.CONNECTION_LOST)
            return ExportResult(Outcome.INDETERMINATE, reason=reason)
        return parse_response(
            self._batch,
            status=status,
            headers=response.headers,
            content=content,
            now=time(),
            to=to,
        )

    def _headers(self) -> dict[str, str]:
        headers = {
            "Content-Type": "text/plain; charset=utf-8",
            "Accept-Encoding": "identity",
            # A receiver distinguishes the programs of one host by their processes.
            "User-Agent": f"dtmetrics (pid {os.getpid()})",
        }
        token = self._endpoint.token.secret
        if token:
            headers["Authorization"] = f"Api-Token {token.reveal()}"
        return headers

    def _failed(self, failure: Failure, *, may_have_arrived: bool) -> ExportResult:
        outcome = Outcome.INDETERMINATE if may_have_arrived else Outcome.RETRY
        symptom, cause = failure.symptom, failure.cause
        proxied = self._is_at_proxy
        if self._trace.aborted:
            symptom, cause = "timed out", timeout_cause(self._trace.last_step)
            cause = at_proxy(cause) if proxied else cause
        elif failure.misconfigured:
            outcome = Outcome.MISCONFIGURED
        to = self._endpoint.destination(at_proxy=proxied)
        return ExportResult(outcome, reason=explain(symptom, to, cause))

    @property
    def _is_at_proxy(self) -> bool:
        """Whether the last try has not come past a proxy."""
        return bool(self._endpoint.proxy) and not self._trace.passed_proxy


def _may_reuse(connection: Connection, result: ExportResult | None) -> bool:
    """Return whether a later request may use *connection*."""
    # A page with 200 or 400 comes from a server that is not Dynatrace's.
    return (
        result is not None
        and connection.status in _REUSE
        and result.outcome is not Outcome.MISCONFIGURED
    )


def host_of(url: httpx.URL) -> str:
    """Return the host of *url*, with its port."""
    return url.netloc.decode("ascii")


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
