"""Why a request failed without an answer, as far as its error shows.

Only the class and the cause of an error are kept: its text may quote a header, and its
traceback holds the frames of the request.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple

from dtmetrics._export import causes
from dtmetrics._export.causes import Cause
from dtmetrics._export.http_library import httpx

__all__ = ["ONEAGENT_PORT", "Failure", "at_proxy", "failure_of", "timeout_cause"]

#: Where a OneAgent listens.
#: https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/ingestion-methods/oneagent-metric-api
ONEAGENT_PORT = 14_499


class Failure(NamedTuple):
    """What ended a request, and why."""

    kind: type[Exception]
    cause: Cause | None = None
    #: The status by which a proxy refused to connect, or empty.
    status: str = ""

    @property
    def symptom(self) -> str:
        """What was seen, in a word or two."""
        return f"status {self.status}" if self.status else self.kind.__name__

    @property
    def misconfigured(self) -> bool:
        """Whether a setting has to change before a request can succeed.

        The server has not read the request then: the TLS handshake failed, or the proxy
        did not connect.
        """
        return self.cause in _MISCONFIGURED


_MISCONFIGURED = frozenset(
    {
        causes.TLS_UNKNOWN_AUTHORITY,
        causes.TLS_WRONG_NAME,
        causes.TLS_EXPIRED,
        causes.TLS_NOT_YET_VALID,
        causes.TLS_INVALID_CERTIFICATE,
        causes.TLS_NOT_SPOKEN,
        causes.TLS_EXPECTED,
        causes.TLS_VERSION,
        causes.TLS_CLIENT_CERTIFICATE,
        causes.TLS_CLIENT_CERTIFICATE_REFUSED,
        causes.PROXY_AUTHENTICATION,
        causes.PROXY_REFUSED,
    }
)

# https://docs.openssl.org/master/man1/openssl-verification-options/#diagnostics
_BY_VERIFY_CODE = {
    9: causes.TLS_NOT_YET_VALID,
    10: causes.TLS_EXPIRED,
    # The issuer is not known, or a certificate is its own issuer.
    2: causes.TLS_UNKNOWN_AUTHORITY,
    18: causes.TLS_UNKNOWN_AUTHORITY,
    19: causes.TLS_UNKNOWN_AUTHORITY,
    20: causes.TLS_UNKNOWN_AUTHORITY,
    21: causes.TLS_UNKNOWN_AUTHORITY,
    27: causes.TLS_UNKNOWN_AUTHORITY,
    62: causes.TLS_WRONG_NAME,
    64: causes.TLS_WRONG_NAME,
}

# Parts of OpenSSL's reasons, whose names differ between its versions.
_BY_REASON = (
    ("CERTIFICATE_REQUIRED", causes.TLS_CLIENT_CERTIFICATE),
    ("UNKNOWN_CA", causes.TLS_CLIENT_CERTIFICATE_REFUSED),
    ("BAD_CERTIFICATE", causes.TLS_CLIENT_CERTIFICATE_REFUSED),
    ("ALERT_CERTIFICATE", causes.TLS_CLIENT_CERTIFICATE_REFUSED),
    ("UNSUPPORTED_CERTIFICATE", causes.TLS_CLIENT_CERTIFICATE_REFUSED),
    ("PROTOCOL_VERSION", causes.TLS_VERSION),
    ("UNSUPPORTED_PROTOCOL", causes.TLS_VERSION),
    ("WRONG_VERSION_NUMBER", causes.TLS_NOT_SPOKEN),
    ("PACKET_LENGTH_TOO_LONG", causes.TLS_NOT_SPOKEN),
    ("RECORD_LAYER_FAILURE", causes.TLS_NOT_SPOKEN),
    ("HTTP_REQUEST", causes.TLS_NOT_SPOKEN),
    ("ALERT", causes.TLS_HANDSHAKE),
)

# A proxy that is slow or throttles.
_BUSY_PROXY = "408", "429"

_NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL}


def failure_of(
    error: BaseException, port: int | None = None, *, proxied: bool = False
) -> Failure:
    """Return why a request to *port* failed with *error*.

    *proxied*: the connection goes to a proxy, and from there to the endpoint.
    """
    chain = [*_chain(error)]
    for each in chain:
        cause = _cause_of(each, port)
        if cause is None:
            continue
        if proxied:
            cause = at_proxy(cause)
        refused = isinstance(each, ssl.SSLCertVerificationError)
        kind = ssl.SSLCertVerificationError if refused else type(error)
        return Failure(kind, cause, _proxy_status(each))  # type: ignore[arg-type]
    return Failure(type(error))  # type: ignore[arg-type]


def at_proxy(cause: Cause) -> Cause:
    """Return what *cause* means where it is between this host and a proxy."""
    return _AT_PROXY.get(cause, cause)


_AT_PROXY = {
    **dict.fromkeys(
        (
            causes.NAME_NOT_FOUND,
            causes.NO_ONEAGENT,
            causes.REFUSED,
            causes.UNREACHABLE,
            causes.CONNECT_TIMEOUT,
        ),
        causes.PROXY_UNREACHABLE,
    ),
    **dict.fromkeys(
        (causes.SEND_TIMEOUT, causes.ANSWER_TIMEOUT, causes.CONNECTION_LOST),
        causes.PROXY_SILENT,
    ),
}


def timeout_cause(step: str) -> Cause:
    """Return why a request was ended in the *step* of httpcore that began last."""
    if step.startswith("http11.send_request_body.complete"):
        return causes.ANSWER_TIMEOUT
    if step.startswith("http11.send_request"):
        return causes.SEND_TIMEOUT
    if step.startswith("http11."):
        return causes.ANSWER_TIMEOUT
    return causes.CONNECT_TIMEOUT


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error at the bottom first: it is the most precise."""
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    yield from reversed(found)


def _cause_of(error: BaseException, port: int | None) -> Cause | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        other = causes.TLS_INVALID_CERTIFICATE
        return _BY_VERIFY_CODE.get(error.verify_code, other)
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        return next((cause for part, cause in _BY_REASON if part in reason), None)
    if isinstance(error, socket.gaierror):
        return causes.NAME_NOT_FOUND
    if isinstance(error, ConnectionRefusedError):
        return causes.NO_ONEAGENT if port == ONEAGENT_PORT else causes.REFUSED
    if isinstance(error, OSError) and error.errno in _NO_WAY:
        return causes.UNREACHABLE
    if isinstance(error, httpx.ProxyError):
        status = _proxy_status(error)
        if status.startswith("5") or status in _BUSY_PROXY:
            return causes.PROXY_CANNOT_CONNECT
        has_no_access = status == "407"
        return causes.PROXY_AUTHENTICATION if has_no_access else causes.PROXY_REFUSED
    for kind, cause in _BY_KIND:
        if isinstance(error, kind):
            return cause
    return None


def _proxy_status(error: BaseException) -> str:
    """Return the status of a proxy's answer: the text of the *error* begins with it."""
    status = str(error)[:3] if isinstance(error, httpx.ProxyError) else ""
    return status if status.isdecimal() else ""


_BY_KIND = (
    (httpx.ConnectTimeout, causes.CONNECT_TIMEOUT),
    (httpx.WriteTimeout, causes.SEND_TIMEOUT),
    (httpx.ReadTimeout, causes.ANSWER_TIMEOUT),
    (httpx.ReadError, causes.CONNECTION_LOST),
    (httpx.WriteError, causes.CONNECTION_LOST),
    (httpx.RemoteProtocolError, causes.CONNECTION_LOST),
)
