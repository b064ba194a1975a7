from __future__ import annotations

import socket
import ssl
import traceback
from pathlib import Path

import httpx
import pytest

from dtmetrics._core.secret import Secret
from dtmetrics._export.http import HttpExporter
from dtmetrics._export.tls import TlsContext, TlsFiles
from dtmetrics.exporters import Outcome
from tests.support.endpoint import (
    Endpoint,
    Verdict,
    accept,
    answer,
    break_off,
    dribble,
    hang_up,
    never,
    refusing_port,
    vanish,
)
from tests.support.exporter_contract import a_batch
from tests.support.http_post import TOKEN, exporter_calling, post, trusting


def test_refused_connection() -> None:
    """A refused connection means a retry; the reason names the error and the host."""
    port = refusing_port()
    exporter = HttpExporter(f"http://127.0.0.1:{port}/x", Secret(TOKEN))
    result = exporter.export(a_batch(), 5.0)
    assert result.outcome is Outcome.RETRY
    assert result.reason == (
        f"ConnectError at 127.0.0.1:{port}: connection refused, nothing listens on this "
        "port; check the host and the port in endpoint"
    )


def test_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name that cannot be resolved means a retry."""

    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    result = HttpExporter("http://metrics.invalid/x").export(a_batch(), 5.0)
    assert result.outcome is Outcome.RETRY
    assert result.reason.startswith("ConnectError at metrics.invalid: name not found; ")


@pytest.mark.parametrize(
    "verdict",
    [
        hang_up(),
        hang_up(reset=True),
        break_off("HTTP/1.1 2"),
        answer(202, headers=["X: " + "x" * 200_000]),
        dribble("not HTTP at all\n\n"),
        dribble("HTTP/1.1 200 OK\nContent-Length: 9\n\n", pause=5),
    ],
    ids=[
        "fin",
        "rst",
        "truncated head",
        "long header",
        "not http",
        "truncated 200",
    ],
)
def test_indeterminate(verdict: Verdict) -> None:
    """A connection that ends without a complete response is indeterminate."""
    result, _ = post(verdict, timeout=0.3)
    assert result.outcome is Outcome.INDETERMINATE
    assert result.reason


def test_recovers() -> None:
    """After any failure the next export opens a new connection."""
    with Endpoint(hang_up(), hang_up(reset=True), never()) as endpoint:
        exporter = HttpExporter(endpoint.url)
        for _ in range(3):
            assert exporter.export(a_batch(), 0.3).outcome is Outcome.INDETERMINATE
        assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert endpoint.connections == 4


def test_new_transport_after_a_failure() -> None:
    """A transport that has failed is closed, and the next export makes another."""
    made: list[int] = []

    class Failing(httpx.BaseTransport):
        def __init__(self) -> None:
            made.append(0)
            self.number = len(made)

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if self.number == 1:
                raise RuntimeError
            return httpx.Response(202, stream=httpx.ByteStream(b""))

        def close(self) -> None:
            made[self.number - 1] += 1

    exporter = HttpExporter("http://x.example", transport=Failing)
    exporter.export(a_batch(), 5.0)
    assert made == [1]
    for _ in range(2):
        assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
    assert made == [1, 0]
    exporter.close()
    assert made == [1, 1]


ANY_ERRORS = [
    httpx.ConnectTimeout("t"),
    httpx.WriteError("t"),
    httpx.ReadError("t"),
    httpx.LocalProtocolError(f"Illegal header value {TOKEN}"),
    OSError("no socket left"),
    UnicodeError("label too long"),
    RuntimeError(TOKEN),
    KeyError(TOKEN),
    MemoryError(),
]


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        ([], Outcome.INDETERMINATE),
        (["connection.connect_tcp.started"], Outcome.RETRY),
        (["http11.send_request_headers.started"], Outcome.RETRY),
        (["http11.send_request_body.started"], Outcome.INDETERMINATE),
        (["http11.send_request_body.failed"], Outcome.RETRY),
        (["http11.send_request_headers.failed", "http11.x.started"], Outcome.RETRY),
        (["http12.something.started"], Outcome.INDETERMINATE),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and value else None,
)
@pytest.mark.parametrize("error", ANY_ERRORS, ids=lambda error: type(error).__name__)
def test_any_error(error: Exception, steps: list[str], outcome: Outcome) -> None:
    """Every error of a transport becomes a result, without the error's text.

    The outcome depends on how far the request had come, and not on the error. If httpx
    reports no step, or an unknown one, the batch may have arrived.
    """

    def respond(request: httpx.Request) -> httpx.Response:
        for step in steps:
            request.extensions["trace"](step, {})
        raise error

    result = exporter_calling(respond).export(a_batch(), 5.0)
    assert result.outcome is outcome
    seen, _, why = result.reason.partition(": ")
    assert seen == f"{type(error).__name__} at x.example"
    assert "t;" not in why
    assert "CANARY" not in why


def test_token_in_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt that leaves an export has no frame whose locals hold the token.

    It may come while httpcore and h11 write the headers, and error reporters print the
    locals of every frame.
    """

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(socket.socket, "send", interrupted)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        exporter = HttpExporter(
            f"http://127.0.0.1:{listener.getsockname()[1]}", Secret(TOKEN)
        )
        with pytest.raises(KeyboardInterrupt) as caught:
            exporter.export(a_batch(), 5.0)
    shown = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    assert "CANARY" not in "".join(shown.format())
    assert "CANARY" not in repr(vars(exporter))


def test_token_in_no_context() -> None:
    """An interrupt does not carry the error during whose handling it came."""

    def interrupted(request: httpx.Request) -> httpx.Response:
        try:
            raise OSError(dict(request.headers))
        except OSError:
            raise KeyboardInterrupt from None

    with pytest.raises(KeyboardInterrupt) as caught:
        exporter_calling(interrupted).export(a_batch(), 5.0)
    assert caught.value.__context__ is None


def test_untrusted_certificate(tls: ssl.SSLContext) -> None:
    """An untrusted certificate is a misconfiguration, and its endpoint gets no request."""
    with Endpoint(tls=tls) as endpoint:
        result = HttpExporter(endpoint.url).export(a_batch(), 5.0)
    assert result.outcome is Outcome.MISCONFIGURED
    assert endpoint.requests == []
    host = f"127.0.0.1:{endpoint.port}"
    assert result.reason == (
        f"SSLCertVerificationError at {host}: the certificate is from an unknown "
        "authority; set ca_file (DTMETRICS_CA_FILE) to the certificate of that authority"
    )


def test_ca_file(tls: ssl.SSLContext, certificate: Path) -> None:
    """With a ca_file the certificates in it are trusted."""
    with Endpoint(tls=tls) as endpoint:
        exporter = HttpExporter(endpoint.url, route=trusting(certificate))
        assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert len(endpoint.requests) == 1


def test_certificate_of_another_host(tls: ssl.SSLContext, certificate: Path) -> None:
    """A trusted certificate that was issued for another host is refused."""
    with Endpoint(tls=tls) as endpoint:
        # Another address of this host, which the certificate does not list.
        url = endpoint.url.replace("127.0.0.1", "0.0.0.0")
        result = HttpExporter(url, route=trusting(certificate)).export(a_batch(), 5.0)
    assert result.outcome is Outcome.MISCONFIGURED
    assert endpoint.requests == []


def test_old_tls(tls: ssl.SSLContext, certificate: Path) -> None:
    """TLS before 1.2 is refused, with the system's certificates and with a ca_file."""
    for ca_file in None, str(certificate):
        context = TlsContext(TlsFiles(ca_file), https=True).context
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("local", [True, False])
def test_timeouts(local: bool) -> None:
    """A OneAgent has 1 s to connect and 3 s to respond, an environment 3 s and 10 s."""
    seen: list[dict[str, float]] = []

    class Transport(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(request.extensions["timeout"])
            return httpx.Response(202)

    exporter = HttpExporter("http://x.example", local=local, transport=Transport)
    for timeout in (15.0, 0.5, -1.0):
        exporter.export(a_batch(), timeout)
    connect, read = (1.0, 3.0) if local else (3.0, 10.0)
    for timeouts, longest in zip(seen, (15.0, 0.5, 0.05), strict=True):
        assert timeouts["connect"] == pytest.approx(min(connect, longest), rel=0.2)
        assert timeouts["read"] == pytest.approx(min(read, longest), rel=0.2)
        assert timeouts["write"] == timeouts["read"]


@pytest.mark.parametrize(
    "broken",
    [hang_up(), hang_up(reset=True), hang_up(before_reading=True, reset=True)],
    ids=["fin", "rst", "rst first"],
)
def test_resend(broken: Verdict) -> None:
    """A batch is sent again if the server closed the idle connection that carried it.

    Servers do that when their keep-alive time ends, without reading the request.
    """
    with Endpoint(accept(), broken) as endpoint:
        exporter = HttpExporter(endpoint.url)
        for _ in range(2):
            assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert endpoint.connections == 2
    assert endpoint.total("orders") == 2


@pytest.mark.parametrize(
    "then",
    [[hang_up(), hang_up(before_reading=True)], [vanish()]],
    ids=["breaks", "is refused"],
)
def test_resend_is_done_once(then: list[Verdict]) -> None:
    """If the new connection fails as well, the outcome is indeterminate.

    A refused one does not prove that the first try did not arrive.
    """
    with Endpoint(accept(), *then) as endpoint:
        exporter = HttpExporter(endpoint.url)
        exporter.export(a_batch(), 5.0)
        assert exporter.export(a_batch(), 5.0).outcome is Outcome.INDETERMINATE
        exporter.close()
    assert endpoint.connections == len(then)


@pytest.mark.parametrize(
    "verdict", [break_off("HTTP/1.1 2"), never()], ids=["part", "late"]
)
def test_no_resend(verdict: Verdict) -> None:
    """A batch is not sent again if a response had begun, or just never came."""
    with Endpoint(accept(), verdict) as endpoint:
        exporter = HttpExporter(endpoint.url)
        exporter.export(a_batch(), 5.0)
        assert exporter.export(a_batch(), 0.3).outcome is Outcome.INDETERMINATE
        exporter.close()
    assert len(endpoint.requests) == 2


def test_no_resend_at_most_once() -> None:
    """Without ``resend`` no connection is reused, and no batch is sent again."""
    with Endpoint(accept(), hang_up()) as endpoint:
        exporter = HttpExporter(endpoint.url, resend=False)
        assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
        assert exporter.export(a_batch(), 5.0).outcome is Outcome.INDETERMINATE
        exporter.close()
    assert (endpoint.connections, len(endpoint.requests)) == (2, 2)
