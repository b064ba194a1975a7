"""The way to the endpoint: its name, a connection, TLS. Nothing is sent over it."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from dtmetrics._config.config import Config
from dtmetrics._core.safe_call import call_safely
from dtmetrics._doctor.finding import Finding, ok, problem, skipped, warning
from dtmetrics._export import causes
from dtmetrics._export.causes import Cause
from dtmetrics._export.failure import failure_of
from dtmetrics._export.tls import TlsContext
from dtmetrics._runtime.factories import tls_files

__all__ = ["network_findings"]

# Seconds for each step.
_NAME_SECONDS, _CONNECT_SECONDS, _TLS_SECONDS = 4.0, 3.0, 3.0
_DAY_SECONDS = 24 * 60 * 60
# How many days before its end a certificate is worth a warning.
_SOON_DAYS = 14
_SHOWN_CHARACTERS = 100


def network_findings(config: Config) -> Iterator[Finding]:
    """Yield what the steps of a connection show, up to the first that fails.

    Through a proxy they are those to the proxy. The request without lines, which
    follows, shows the rest of that way.
    """
    proxy = config.proxy_in_use
    parts = urlsplit(config.endpoint if proxy is None else proxy.reveal())
    host = parts.hostname or ""
    if proxy is not None:
        yield ok("proxy", f"requests go through {host}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    name = _resolve(host)
    yield name
    if name.cause:
        return
    begin = time.monotonic()
    try:
        connection = socket.create_connection((host, port), _CONNECT_SECONDS)
    except OSError as error:
        seen = f"{host}:{port}, {type(error).__name__}"
        cause = _cause(error, port) if proxy is None else causes.PROXY_UNREACHABLE
        yield problem("connection", seen, cause, "check endpoint")
        return
    with connection:
        milliseconds = round((time.monotonic() - begin) * 1000)
        text = f"{host}:{port} takes connections ({milliseconds} ms)"
        yield ok("connection", text, milliseconds=milliseconds)
        if proxy is not None:
            yield skipped("tls", "the proxy leads to it")
        elif parts.scheme == "https":
            tls = TlsContext(tls_files(config), https=True)
            yield _handshake(connection, host, tls.context)


def _resolve(host: str) -> Finding:
    """Look the name up in a thread: nothing else ends a lookup in time."""
    found: list[Any] = []

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(_NAME_SECONDS)
    if not found:
        return problem(
            "name", f"{host}, no answer in {_NAME_SECONDS:g} s", causes.NAME_NOT_FOUND
        )
    [answer] = found
    if isinstance(answer, Exception):
        return problem("name", host, causes.NAME_NOT_FOUND)
    addresses = sorted({each[4][0] for each in answer})
    return ok("name", f"{host} is {', '.join(addresses)}", addresses=addresses)


def _handshake(
    connection: socket.socket, host: str, context: ssl.SSLContext
) -> Finding:
    connection.settimeout(_TLS_SECONDS)
    try:
        with context.wrap_socket(connection, server_hostname=host) as secured:
            return _certificate(secured)
    except (OSError, ValueError) as error:
        seen = f"{host}, {type(error).__name__}"
        return problem("tls", seen, _cause(error), "check endpoint")


def _cause(error: Exception, port: int | None = None) -> Cause | None:
    timed_out = isinstance(error, TimeoutError)
    return causes.CONNECT_TIMEOUT if timed_out else failure_of(error, port).cause


def _certificate(secured: ssl.SSLSocket) -> Finding:
    """Return the chain of a certificate that was verified, and when it ends."""
    certificate: dict[str, Any] = secured.getpeercert() or {}
    until = str(certificate.get("notAfter", ""))
    ends_at = call_safely(ssl.cert_time_to_seconds, until, default=0)
    days = int((ends_at - time.time()) // _DAY_SECONDS)
    chain = call_safely(_verified_chain, secured, default=[])
    names = [_name(each.get_info().get("subject", ())) for each in chain]
    names = names or [
        _name(certificate.get(each, ())) for each in ("subject", "issuer")
    ]
    text = f"{secured.version()}, {' < '.join(names)}, valid for {days} more days"
    details = {"chain": names, "valid_until": until, "days": days}
    if days < _SOON_DAYS:
        return warning("tls", text, "renew the certificate of the endpoint", **details)
    return ok("tls", text, **details)


def _verified_chain(secured: ssl.SSLSocket) -> list[Any]:
    # The public method of Python 3.13 returns bytes, without the names.
    chain: list[Any] = secured._sslobj.get_verified_chain()  # type: ignore[attr-defined]  # noqa: SLF001
    return chain


def _name(subject: Any) -> str:  # noqa: ANN401 -- nested tuples of ssl
    """Return the common name of *subject*, or else its other parts, printable."""
    pairs = dict(pair for part in subject for pair in part)
    name = pairs.get("commonName") or ", ".join(map(str, pairs.values())) or "unnamed"
    shown = str(name)[:_SHOWN_CHARACTERS]
    return "".join(c if c.isprintable() else " " for c in shown)
