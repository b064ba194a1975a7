"""Posting bodies to a Dynatrace endpoint. The only module that imports httpx."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from time import monotonic

import httpx

from dtmetrics._deliver.answer import judge
from dtmetrics._deliver.exporter import Body, ExportResult, Outcome

__all__ = ["HttpExporter", "preload"]

_ANSWER_LIMIT = 64 * 1024
_LOCAL_SECONDS = 3.0
_REMOTE_SECONDS = 10.0

# That these happened proves that nothing was taken; of any other failure it is
# unknown: the connection may have broken on the way back.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.WriteError,
    httpx.WriteTimeout,
    httpx.UnsupportedProtocol,
)


class HttpExporter:
    """Posts bodies to *endpoint*, with *token* if there is one.

    It uses httpx's transport, not its client: no redirect is followed, no proxy or
    cookie jar comes from the environment, and nothing is logged for each request.
    """

    def __init__(
        self,
        endpoint: str,
        token: str = "",
        *,
        local: bool = False,
        transport: Callable[[], httpx.BaseTransport] | None = None,
    ) -> None:
        self._url = httpx.URL(endpoint)
        self._token = _Secret(token)
        self._seconds = _LOCAL_SECONDS if local else _REMOTE_SECONDS
        self._make_transport = transport or self._new_transport
        self._transport: httpx.BaseTransport | None = None

    def export(self, body: Body, timeout: float) -> ExportResult:
        """Post *body* and read at most 64 KiB of the answer."""
        if self._transport is None:
            self._transport = self._make_transport()
        seconds = max(0.05, min(timeout, self._seconds))
        request = httpx.Request(
            "POST",
            self._url,
            headers=self._headers(),
            content=body.text,
            extensions={"timeout": httpx.Timeout(seconds).as_dict()},
        )
        try:
            response = self._transport.handle_request(request)
            try:
                content = _read(response, monotonic() + seconds)
            finally:
                response.close()
        except httpx.TransportError as error:
            sent = not isinstance(error, _NOT_SENT)
            self.close()
            # The error itself may quote a header, and so the token: it ends here.
            return ExportResult(
                Outcome.UNKNOWN if sent else Outcome.KEEP, reason=type(error).__name__
            )
        return judge(body, response.status_code, response.headers, content)

    def close(self) -> None:
        """Close the connections; the next export opens new ones."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def reset_after_fork(self) -> None:
        """Forget the parent's connections: answers on them are the parent's.

        They are not closed, since the pool's lock may have been held at the fork.
        """
        self._transport = None

    def _headers(self) -> dict[str, str]:
        headers = {
            "Host": self._url.netloc.decode("ascii"),
            "Content-Type": "text/plain; charset=utf-8",
            "Accept-Encoding": "identity",
            "User-Agent": "dtmetrics",
        }
        if self._token.value:
            headers["Authorization"] = f"Api-Token {self._token.value}"
        return headers

    def _new_transport(self) -> httpx.BaseTransport:
        # An SSL context costs 33 to 49 ms; plain http, which is never redirected
        # here, has no use for one.
        secure = self._url.scheme == "https"
        return httpx.HTTPTransport(
            verify=ssl.create_default_context() if secure else False,
            trust_env=False,
            # A connection that idled longer may be closed by the other side just
            # as we send; each flush starts on a new one.
            limits=httpx.Limits(max_connections=1, keepalive_expiry=4.0),
        )


class _Secret:
    """A token that shows itself to nobody who does not ask for its value."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a token is not pickled")


def preload() -> None:
    """Import all that a request will need, in the thread that configures.

    httpx imports its transport's modules at the first request. If a process forks
    while the flusher does that, the child inherits a locked import lock and hangs
    for ever (42 of 4,800 forks; none of 4,000 with everything imported before).
    """
    import encodings.idna  # noqa: F401, PLC0415
    import stringprep  # noqa: F401, PLC0415

    transport = httpx.HTTPTransport(verify=False, trust_env=False)
    transport.close()


def _read(response: httpx.Response, deadline: float) -> bytes:
    content = b""
    for part in response.iter_raw():
        content += part
        if len(content) > _ANSWER_LIMIT or monotonic() > deadline:
            break
    return content[:_ANSWER_LIMIT]
