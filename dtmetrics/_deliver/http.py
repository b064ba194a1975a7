"""Posting bodies to a Dynatrace endpoint. Nothing else sends by httpx."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Callable
from functools import cache
from time import monotonic, time

import httpx

from dtmetrics._deliver.answer import judge
from dtmetrics._deliver.exporter import Body, ExportResult, Outcome
from dtmetrics._deliver.secret import Secret
from dtmetrics._record.guard import attempt

__all__ = ["HttpExporter", "preload"]

_ANSWER_LIMIT = 64 * 1024

# Seconds to connect, and for each later step: a OneAgent is on this host.
_LOCAL_SECONDS = 1.0, 3.0
_REMOTE_SECONDS = 3.0, 10.0

# That these happened proves that nothing was taken; of any other failure it is
# unknown: the connection may have broken on the way back. The last two come from
# before sending: no socket left, a host name that cannot be one.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.WriteError,
    httpx.WriteTimeout,
    httpx.UnsupportedProtocol,
    OSError,
    UnicodeError,
)

_NO_TOKEN = Secret("")


class HttpExporter:
    """Posts bodies to *endpoint*, with *token* if there is one.

    It uses httpx's transport, not its client: no redirect is followed, no proxy or
    cookie jar comes from the environment, and nothing is logged for each request.
    """

    def __init__(
        self,
        endpoint: str,
        token: Secret = _NO_TOKEN,
        *,
        local: bool = False,
        transport: Callable[[], httpx.BaseTransport] | None = None,
    ) -> None:
        self._url = httpx.URL(endpoint)
        self._place = self._url.netloc.decode("ascii")
        self._token = token
        self._connect_seconds, self._seconds = (
            _LOCAL_SECONDS if local else _REMOTE_SECONDS
        )
        # Not with the first request: see preload().
        self._tls = _tls(self._url.scheme == "https")
        self._make_transport = transport or self._new_transport
        self._transport: httpx.BaseTransport | None = None

    def export(self, body: Body, timeout: float) -> ExportResult:
        """Post *body* and read at most 64 KiB of the answer."""
        # Only the class of an error leaves: its text may quote a header, and the
        # frames of its traceback hold the headers, and so the token.
        kinds: list[type[Exception]] = []
        seconds = max(0.05, min(timeout, self._seconds))
        try:
            result = attempt(
                self._post,
                body,
                seconds,
                default=None,
                on_error=lambda error: kinds.append(type(error)),
            )
        except BaseException as interrupt:  # noqa: BLE001 -- raised again
            # attempt() lets it pass: without the frames that it has come through.
            raise interrupt.with_traceback(None) from None
        if result is not None:
            return result
        attempt(self.close, default=None)
        kind = kinds[0]
        sent = not issubclass(kind, _NOT_SENT)
        return ExportResult(
            Outcome.UNKNOWN if sent else Outcome.KEEP,
            reason=f"{kind.__name__} at {self._place}",
        )

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

    def _post(self, body: Body, seconds: float) -> ExportResult:
        if self._transport is None:
            self._transport = self._make_transport()
        deadline = monotonic() + seconds
        limits = httpx.Timeout(seconds, connect=min(seconds, self._connect_seconds))
        request = httpx.Request(
            "POST",
            self._url,
            headers=self._headers(),
            content=body.text,
            extensions={"timeout": limits.as_dict()},
        )
        response = self._transport.handle_request(request)
        try:
            content, whole = _read(response, deadline)
        finally:
            # Closes the connection as well, if there would be more to read.
            attempt(response.close, default=None)
        if response.status_code == 200 and not whole:
            # Only its text tells an answer from somebody else's page.
            return ExportResult(Outcome.UNKNOWN, reason="the answer broke off")
        if "gzip" in response.headers.get("content-encoding", ""):
            content = _inflated(content)
        return judge(body, response.status_code, response.headers, content, time())

    def _headers(self) -> dict[str, str]:
        headers = {
            "Content-Type": "text/plain; charset=utf-8",
            "Accept-Encoding": "identity",
            "User-Agent": "dtmetrics",
        }
        if self._token:
            headers["Authorization"] = f"Api-Token {self._token.reveal()}"
        return headers

    def _new_transport(self) -> httpx.BaseTransport:
        return httpx.HTTPTransport(
            verify=self._tls,
            trust_env=False,
            # A connection that idled longer may be closed by the other side just
            # as we send; each flush starts on a new one.
            limits=httpx.Limits(max_connections=1, keepalive_expiry=4.0),
        )


def preload() -> None:
    """Import all that a request will need, in the thread that configures.

    httpx imports its transport's modules at the first request. If a process forks
    while the flusher does that, the child inherits a locked import lock and hangs
    for ever (42 of 4,800 forks; none of 4,000 with everything imported before). The
    same goes for OpenSSL, whose own locks are held while a context is made (1 of
    1,500 forks; none of 1,200 with a context that was there before).
    """
    import encodings.idna  # noqa: F401, PLC0415
    import stringprep  # noqa: F401, PLC0415

    httpx.HTTPTransport(verify=_tls(False), trust_env=False).close()


@cache
def _tls(secure: bool) -> ssl.SSLContext:
    # Asked for certificates, it costs 33 to 49 ms; plain http, which is never
    # redirected here, has no use for them.
    return (
        ssl.create_default_context()
        if secure
        else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )


def _read(response: httpx.Response, deadline: float) -> tuple[bytes, bool]:
    """Return what came of the answer, and whether that is all that will be read."""
    content = b""
    try:
        for part in response.iter_raw():
            content += part
            if len(content) > _ANSWER_LIMIT:
                return content[:_ANSWER_LIMIT], True
            if monotonic() > deadline:
                return content, False
    except httpx.TransportError:
        # The status has been read, and a 202 says it all.
        return content, False
    return content, True


def _inflated(content: bytes) -> bytes:
    """Return what comes out of *content*, at most as much as is read of any answer.

    Nobody asks for gzip here, and a proxy may send it all the same. 306 KB of it can
    hold 300 MB.
    """
    inflater = zlib.decompressobj(wbits=31)
    try:
        return inflater.decompress(content, _ANSWER_LIMIT)
    except zlib.error:
        return b""
