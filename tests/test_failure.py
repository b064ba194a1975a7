from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from dtmetrics._export import causes
from dtmetrics._export.causes import Cause
from dtmetrics._export.connections import Route
from dtmetrics._export.failure import failure_of, timeout_cause
from dtmetrics._export.http import HttpExporter
from dtmetrics._export.tls import TlsFiles
from dtmetrics.exporters import ExportResult, Outcome
from tests.support.authority import Authority
from tests.support.deadline_exports import deadline_exporter
from tests.support.endpoint import Endpoint, Verdict, break_off, never
from tests.support.exporter_contract import a_batch
from tests.support.http_post import trusting


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority that the exporters of this module trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


def posted(context: ssl.SSLContext | None, ca_file: Path | None) -> ExportResult:
    """Post one batch over https to an endpoint with this context."""
    with Endpoint(tls=context) as endpoint:
        url = f"https://localhost:{endpoint.port}/metrics/ingest"
        route = Route(files=TlsFiles(ca_file=ca_file and str(ca_file)))
        exporter = HttpExporter(url, route=route)
        result = exporter.export(a_batch(), 5.0)
        exporter.close()
        assert not endpoint.requests
    return result


def expired(authority: Authority) -> ssl.SSLContext:
    """Return the context of an endpoint whose certificate has expired."""
    return authority.server(days=-1)


def misnamed(authority: Authority) -> ssl.SSLContext:
    """Return the same with the name of another host."""
    return authority.server("other.example")


def outdated(authority: Authority) -> ssl.SSLContext:
    """Return the same with TLS 1.1 at most."""
    context = authority.server()
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.deprecated_call():
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def mutual(version: ssl.TLSVersion) -> Callable[[Authority], ssl.SSLContext]:
    """Return a function that makes one that requires a client certificate."""

    def make(authority: Authority) -> ssl.SSLContext:
        context = authority.server(client_ca=authority.path)
        context.maximum_version = version
        return context

    return make


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (expired, causes.TLS_EXPIRED),
        (misnamed, causes.TLS_WRONG_NAME),
        (outdated, causes.TLS_VERSION),
        (mutual(ssl.TLSVersion.TLSv1_3), causes.TLS_CLIENT_CERTIFICATE),
    ],
    ids=["expired", "wrong name", "TLS 1.1", "mutual"],
)
def test_tls(
    make: Callable[[Authority], ssl.SSLContext],
    cause: Cause,
    authority: Authority,
) -> None:
    """A TLS handshake that fails for a setting is a misconfiguration, with its cause.

    With TLS 1.3 a server demands the certificate of the client after the request.
    """
    result = posted(make(authority), authority.path)
    assert result.outcome is Outcome.MISCONFIGURED
    assert result.reason.endswith(f": {cause.text()}")


def test_tls_is_not_spoken() -> None:
    """A port that answers a TLS handshake in plain HTTP is the wrong one."""
    plain = replace(break_off("HTTP/1.1 400 Bad Request\r\n\r\n"), before_reading=True)
    with Endpoint(plain) as endpoint:
        url = endpoint.url.replace("http:", "https:")
        result = HttpExporter(url).export(a_batch(), 5.0)
    assert result.outcome is Outcome.MISCONFIGURED
    assert result.reason.endswith(f": {causes.TLS_NOT_SPOKEN.text()}")


def test_tls_handshake(authority: Authority) -> None:
    """With TLS 1.2 the absence of a client certificate shows as a failed handshake."""
    context = mutual(ssl.TLSVersion.TLSv1_2)(authority)
    result = posted(context, authority.path)
    assert result.outcome is Outcome.RETRY
    assert "requires a client certificate" in result.reason


def test_unknown_authority(authority: Authority) -> None:
    """A certificate of an authority that is not trusted leads to ca_file."""
    result = posted(authority.server(), None)
    assert result.outcome is Outcome.MISCONFIGURED
    assert "unknown authority; set ca_file" in result.reason


def test_trusted_authority(authority: Authority) -> None:
    """With the authority in ca_file its certificates are trusted."""
    with Endpoint(tls=authority.server()) as endpoint:
        exporter = HttpExporter(endpoint.url, route=trusting(authority.path))
        assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()


def test_plain_http_answered_by_an_alert() -> None:
    """A port that answers plain HTTP with a TLS alert expects https."""
    with Endpoint(break_off("\x15\x03\x03\x00\x02\x02\x46")) as endpoint:
        result = HttpExporter(endpoint.url).export(a_batch(), 5.0)
    assert result.outcome is Outcome.MISCONFIGURED
    assert result.reason.endswith("this port speaks TLS; begin endpoint with https://")


@pytest.mark.parametrize(
    ("verdict", "lines", "cause"),
    [
        (never(), 1, causes.ANSWER_TIMEOUT),
        (never(before_reading=True), 8 << 20, causes.SEND_TIMEOUT),
    ],
    ids=["waiting", "sending"],
)
def test_timeouts(verdict: Verdict, lines: int, cause: Cause) -> None:
    """A timeout is named by what the request did, whether httpx or the deadline ends it."""
    batch = a_batch("x" * lines)
    for make in (HttpExporter, deadline_exporter):
        with Endpoint(verdict) as endpoint:
            exporter = make(endpoint.url)
            result = exporter.export(batch, 0.2)
            exporter.close()
        assert result.reason.endswith(f": {cause.text()}")


def test_timeout_while_connecting() -> None:
    """A port that takes no connection is named as such."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        result = HttpExporter(f"http://127.0.0.1:{port}").export(a_batch(), 0.2)
        for each in waiting:
            each.close()
    assert result.outcome is Outcome.RETRY
    assert result.reason.endswith(f": {causes.CONNECT_TIMEOUT.text()}")


@pytest.mark.parametrize(
    ("step", "cause"),
    [
        ("", causes.CONNECT_TIMEOUT),
        ("connection.connect_tcp.started", causes.CONNECT_TIMEOUT),
        ("connection.start_tls.started", causes.CONNECT_TIMEOUT),
        ("http11.send_request_headers.started", causes.SEND_TIMEOUT),
        ("http11.send_request_body.started", causes.SEND_TIMEOUT),
        ("http11.send_request_body.complete", causes.ANSWER_TIMEOUT),
        ("http11.receive_response_headers.started", causes.ANSWER_TIMEOUT),
        ("http11.response_closed.started", causes.ANSWER_TIMEOUT),
    ],
)
def test_steps(step: str, cause: Cause) -> None:
    """An aborted request has the cause of the step that it was in."""
    assert timeout_cause(step) is cause


def tls_error(reason: str) -> ssl.SSLError:
    """Return an error of OpenSSL with this reason."""
    error = ssl.SSLError(1, "CANARY")
    error.reason = reason
    return error


def certificate_error(code: int) -> ssl.SSLCertVerificationError:
    """Return the error of a certificate that was not verified."""
    error = ssl.SSLCertVerificationError(1, "CANARY")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "CANARY"), causes.NAME_NOT_FOUND),
        (ConnectionRefusedError(), causes.NO_ONEAGENT),
        (OSError(errno.EHOSTUNREACH, "CANARY"), causes.UNREACHABLE),
        (tls_error("TLSV1_ALERT_UNKNOWN_CA"), causes.TLS_CLIENT_CERTIFICATE_REFUSED),
        (tls_error("SSL/TLS_ALERT_HANDSHAKE_FAILURE"), causes.TLS_HANDSHAKE),
        (certificate_error(9), causes.TLS_NOT_YET_VALID),
        (certificate_error(26), causes.TLS_INVALID_CERTIFICATE),
        (httpx.ProxyError("407 Proxy Authentication"), causes.PROXY_AUTHENTICATION),
        (httpx.ProxyError("403 CANARY"), causes.PROXY_REFUSED),
        (httpx.ProxyError("CANARY"), causes.PROXY_REFUSED),
        (httpx.ProxyError("502 CANARY"), causes.PROXY_CANNOT_CONNECT),
        (httpx.ProxyError("429 CANARY"), causes.PROXY_CANNOT_CONNECT),
        (httpx.ReadError("CANARY"), causes.CONNECTION_LOST),
        (tls_error("UNEXPECTED_EOF_WHILE_READING"), None),
        (OSError(errno.EMFILE, "CANARY"), None),
        (KeyError("CANARY"), None),
    ],
    ids=repr,
)
def test_causes(error: Exception, cause: Cause | None) -> None:
    """The cause of an error is found below what wraps it, and quotes no text of it."""
    failure = failure_of(error, 14_499)
    assert failure.cause is cause
    outer = RuntimeError()
    outer.__cause__ = error
    assert failure_of(outer, 14_499).cause is cause
    assert "CANARY" not in str(failure)


@pytest.mark.parametrize(
    "error",
    [socket.gaierror(), ConnectionRefusedError(), httpx.ConnectTimeout("")],
    ids=repr,
)
def test_proxied(error: Exception) -> None:
    """An error on the way to a proxy is the proxy's."""
    assert failure_of(error, proxied=True).cause is causes.PROXY_UNREACHABLE


def test_symptom() -> None:
    """A failure shows as the class of its error, or as the status of a proxy."""
    assert failure_of(httpx.ProxyError("407 CANARY")).symptom == "status 407"
    assert failure_of(httpx.ProxyError("CANARY")).symptom == "ProxyError"
    assert failure_of(KeyError("CANARY")).symptom == "KeyError"


def test_cycle() -> None:
    """Errors that refer to each other are searched once."""
    one, other = ValueError(), KeyError()
    one.__cause__, other.__cause__ = other, one
    assert failure_of(one).cause is None
