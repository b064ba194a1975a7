"""Posting bodies to a Dynatrace endpoint. Nothing else sends by httpx."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from time import monotonic, time
from typing import NamedTuple

import httpx

from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.secret import Secret
from dtmetrics._export.abort import Link, Progress
from dtmetrics._export.response import judge
from dtmetrics.exporters import Batch, ExportResult, Outcome

__all__ = ["HttpExporter", "preload"]

_ANSWER_LIMIT = 64 * 1024

# Seconds to connect, for each later step, and for all: a OneAgent is on this host.
_LOCAL_SECONDS = 1.0, 3.0, 5.0
_REMOTE_SECONDS = 3.0, 10.0, 15.0

# How a kept connection breaks that the other side closes just as we send.
_BROKEN = httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError

_NO_TOKEN = Secret("")


class HttpExporter:
    """Posts bodies to *endpoint*, with *token* if there is one.

    It uses httpx's transport, not its client: no redirect is followed, no proxy or
    cookie jar comes from the environment, and nothing is logged for each request.
    Unless *resend* is false, a body that a kept connection broke on is sent once more.
    *ca_file* holds the certificates that are trusted in place of the system's.
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
        self._url = httpx.URL(endpoint)
        self._place = self._url.netloc.decode("ascii")
        self._token = token
        self._resend = resend
        self._connect_seconds, self._seconds, self.most_seconds = (
            _LOCAL_SECONDS if local else _REMOTE_SECONDS
        )
        # Not with the first request: see preload().
        self._tls = _tls(self._url.scheme == "https", ca_file)
        self._make_transport = transport or self._new_transport
        # Each transport is in here or in use: two threads never share one.
        self._idle: list[_Way] = []

    def export(self, body: Batch, timeout: float) -> ExportResult:
        """Post *body* and read at most 64 KiB of the answer."""
        return self.begin(body).run(timeout)

    def begin(self, body: Batch) -> HttpAttempt:
        """Return the attempt to post *body*, which can be aborted."""
        return HttpAttempt(self, body)

    def close(self) -> None:
        """Close the connections; the next export opens new ones."""
        while way := self._kept_way():
            way.transport.close()

    def reset_after_fork(self) -> None:
        """Forget the parent's connections: answers on them are the parent's.

        Only our descriptors of them are closed, which says nothing to the other side;
        by the transport that would take a lock that may have been held at the fork.
        """
        for way in self._idle:
            if way.link.socket is not None:
                way.link.socket.close()
        self._idle = []

    def _deliver(self, body: Batch, timeout: float, progress: Progress) -> ExportResult:
        seconds = max(0.05, min(timeout, self._seconds))
        deadline = monotonic() + seconds
        way = self._kept_way() or self._new_way()
        result = self._try(body, deadline, way, progress)
        if not isinstance(result, ExportResult) and _worth_another(
            result, way.link, progress
        ):
            result = self._try(body, deadline, self._new_way(), progress)
        if isinstance(result, ExportResult):
            if result.outcome is Outcome.ANSWERED:
                return result
            return replace(result, reason=f"{result.reason} at {self._place}")
        if progress.aborted:
            return self._failed("took too long", progress.may_have_left)
        if issubclass(result, ssl.SSLCertVerificationError):
            reason = f"{result.__name__} at {self._place}"
            return ExportResult(Outcome.MISCONFIGURED, reason=reason)
        return self._failed(result.__name__, progress.may_have_left)

    def _failed(self, what: str, may_have_left: bool) -> ExportResult:
        outcome = Outcome.INDETERMINATE if may_have_left else Outcome.RETRY
        return ExportResult(outcome, reason=f"{what} at {self._place}")

    def _try(
        self, body: Batch, deadline: float, way: _Way, progress: Progress
    ) -> ExportResult | type[Exception]:
        # Only the class of an error leaves: its text may quote a header, and the
        # frames of its traceback hold the headers, and so the token.
        kinds: list[type[Exception]] = []
        result = None
        try:
            result = call_safely(
                self._post,
                body,
                deadline,
                way,
                progress,
                default=None,
                on_error=lambda error: kinds.append(_kind_of(error)),
            )
        except BaseException as interrupt:  # noqa: BLE001 -- raised again
            # call_safely() lets it pass: drop the frames that it has come through, and
            # those of the error whose handling it may have interrupted.
            interrupt.__context__ = None
            raise interrupt.with_traceback(None) from None
        finally:
            progress.end()
            if result is None or progress.aborted:
                call_safely(way.transport.close, default=None)
            else:
                self._idle.append(way)
        return kinds[0] if result is None else result

    def _post(
        self, body: Batch, deadline: float, way: _Way, progress: Progress
    ) -> ExportResult:
        progress.begin(way.link)
        seconds = max(0.05, deadline - monotonic())
        limits = httpx.Timeout(seconds, connect=min(seconds, self._connect_seconds))
        request = httpx.Request(
            "POST",
            self._url,
            headers=self._headers(),
            content=body.text,
            extensions={"timeout": limits.as_dict(), "trace": progress},
        )
        response = way.transport.handle_request(request)
        try:
            content, whole = _read(response, deadline)
        finally:
            # Closes the connection as well, if there would be more to read.
            call_safely(response.close, default=None)
        if response.status_code == 200 and not whole:
            # Only its text tells an answer from somebody else's page.
            return ExportResult(Outcome.INDETERMINATE, reason="the answer broke off")
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

    def _kept_way(self) -> _Way | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _new_way(self) -> _Way:
        return _Way(self._make_transport(), Link())

    def _new_transport(self) -> httpx.BaseTransport:
        return httpx.HTTPTransport(
            verify=self._tls,
            trust_env=False,
            # A connection that idled longer may be closed by the other side just
            # as we send; each flush starts on a new one.
            limits=httpx.Limits(
                max_connections=1,
                # Where nothing may be sent twice, none is kept to be closed like that.
                max_keepalive_connections=int(self._resend),
                keepalive_expiry=4.0,
            ),
        )


class HttpAttempt:
    """One export, which another thread may abort. To be run once."""

    def __init__(self, exporter: HttpExporter, body: Batch) -> None:
        self._exporter = exporter
        self._body = body
        self._progress = Progress()

    def run(self, timeout: float) -> ExportResult:
        """Post the body, unless it has been aborted by now."""
        return self._exporter._deliver(self._body, timeout, self._progress)

    def abort(self) -> ExportResult:
        """Send nothing more; return what is known of the body."""
        left = self._progress.abort()
        return self._exporter._failed("took too long", left)


class _Way(NamedTuple):
    """A transport, and what is known of its connection."""

    transport: httpx.BaseTransport
    link: Link


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
def _tls(secure: bool, ca_file: str | None = None) -> ssl.SSLContext:
    # Asked for certificates, it costs 33 to 49 ms; plain http, which is never
    # redirected here, has no use for them.
    return (
        ssl.create_default_context(cafile=ca_file)
        if secure
        else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )


def _kind_of(error: Exception) -> type[Exception]:
    """Return what kind of error it is, or was before httpx made it one of its own.

    A certificate that is refused will be refused again, until somebody does something.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ssl.SSLCertVerificationError
        cause = cause.__cause__ or cause.__context__
    return type(error)


def _worth_another(kind: type[Exception], link: Link, progress: Progress) -> bool:
    """Whether the other side closed an idle connection just as it was used again.

    It had done so by 4 of 20 requests that came as its time ran out.
    """
    return progress.reused and not link.heard and issubclass(kind, _BROKEN)


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
