from __future__ import annotations

import socket
import ssl
import traceback
from pathlib import Path

import httpx
import pytest

from dtmetrics._core.secret import Secret
from dtmetrics._export.http import HttpExporter, _tls
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
from tests.support.exporter_contract import a_body
from tests.support.http_post import TOKEN, fake, post


def test_refused_connection() -> None:
    """Nobody listens: nothing was taken, and the reason says where, and no more."""
    port = refusing_port()
    exporter = HttpExporter(f"http://127.0.0.1:{port}/x", Secret(TOKEN))
    result = exporter.export(a_body(), 5.0)
    assert result.outcome is Outcome.RETRY
    assert result.reason == f"ConnectError at 127.0.0.1:{port}"


def test_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nobody knows: nothing was taken."""

    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    result = HttpExporter("http://metrics.invalid/x").export(a_body(), 5.0)
    assert result.outcome is Outcome.RETRY
    assert result.reason == "ConnectError at metrics.invalid"


@pytest.mark.parametrize(
    "verdict",
    [
        hang_up(),
        hang_up(reset=True),
        break_off("HTTP/1.1 2"),
        answer(202, headers=["X: " + "x" * 200_000]),
        dribble("no HTTP at all\n\n"),
        dribble("HTTP/1.1 200 OK\nContent-Length: 9\n\n", pause=5),
    ],
    ids=[
        "fin",
        "rst",
        "cut head",
        "long header",
        "no http",
        "cut 200",
    ],
)
def test_outcome_unknown(verdict: Verdict) -> None:
    """A connection that ends without an answer leaves it open what was taken."""
    result, _ = post(verdict, timeout=0.3)
    assert result.outcome is Outcome.INDETERMINATE
    assert result.reason


def test_recovers() -> None:
    """After any failure the next export makes a new connection."""
    with Endpoint(hang_up(), hang_up(reset=True), never()) as endpoint:
        exporter = HttpExporter(endpoint.url)
        for _ in range(3):
            assert exporter.export(a_body(), 0.3).outcome is Outcome.INDETERMINATE
        assert exporter.export(a_body(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert endpoint.connections == 4


def test_new_transport_after_a_failure() -> None:
    """Nothing of a transport is trusted that has failed, its pool least of all."""
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
    exporter.export(a_body(), 5.0)
    assert made == [1]
    for _ in range(2):
        assert exporter.export(a_body(), 5.0).outcome is Outcome.ANSWERED
    assert made == [1, 0]
    exporter.close()
    assert made == [1, 1]


def test_no_answer() -> None:
    """Who never answers is waited for as long as was said."""
    result, _ = post(never(), timeout=0.2)
    assert result.outcome is Outcome.INDETERMINATE
    assert "ReadTimeout" in result.reason


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
    """No error of a transport leaves an export; of its text nothing is kept.

    How far the request had come decides what it means, and not what kind it is. If
    httpx says nothing of it, or something new, it may have left.
    """

    def respond(request: httpx.Request) -> httpx.Response:
        for step in steps:
            request.extensions["trace"](step, {})
        raise error

    result = fake(respond).export(a_body(), 5.0)
    assert result.outcome is outcome
    assert result.reason == f"{type(error).__name__} at x.example"


def test_token_in_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes through an export with all its locals shows no token.

    An interrupt does, while headers are written; tools that report it print the
    locals of every frame, those of httpcore and h11 among them.
    """

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(socket.socket, "send", interrupted)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        exporter = HttpExporter(
            f"http://127.0.0.1:{listener.getsockname()[1]}", Secret(TOKEN)
        )
        with pytest.raises(KeyboardInterrupt) as caught:
            exporter.export(a_body(), 5.0)
    shown = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    assert "CANARY" not in "".join(shown.format())
    assert "CANARY" not in repr(vars(exporter))


def test_token_in_no_context() -> None:
    """Nor does what was being handled when the interrupt came, which it has with it."""

    def interrupted(request: httpx.Request) -> httpx.Response:
        try:
            raise OSError(dict(request.headers))
        except OSError:
            raise KeyboardInterrupt from None

    with pytest.raises(KeyboardInterrupt) as caught:
        fake(interrupted).export(a_body(), 5.0)
    assert caught.value.__context__ is None


def test_certificate_of_nobody(tls: ssl.SSLContext) -> None:
    """A certificate that is not trusted is a setting's fault, and told by its name."""
    with Endpoint(tls=tls) as endpoint:
        result = HttpExporter(endpoint.url).export(a_body(), 5.0)
    assert result.outcome is Outcome.MISCONFIGURED
    place = f"127.0.0.1:{endpoint.port}"
    assert result.reason == f"SSLCertVerificationError at {place}"


def test_certificates_of_ones_own(tls: ssl.SSLContext, certificate: Path) -> None:
    """With a file of certificates those are trusted, and no others."""
    with Endpoint(tls=tls) as endpoint:
        exporter = HttpExporter(endpoint.url, ca_file=str(certificate))
        assert exporter.export(a_body(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert len(endpoint.requests) == 1


def test_certificate_of_another(tls: ssl.SSLContext, certificate: Path) -> None:
    """Nor is one trusted that is good, and somebody else's."""
    with Endpoint(tls=tls) as endpoint:
        # Another name of this host, of which the certificate says nothing.
        url = endpoint.url.replace("127.0.0.1", "0.0.0.0")
        result = HttpExporter(url, ca_file=str(certificate)).export(a_body(), 5.0)
    assert result.outcome is Outcome.MISCONFIGURED
    assert endpoint.requests == []


def test_old_tls(tls: ssl.SSLContext, certificate: Path) -> None:
    """TLS 1.1 is not spoken."""
    assert _tls(True).minimum_version >= ssl.TLSVersion.TLSv1_2
    assert _tls(True, str(certificate)).minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("local", [True, False])
def test_time_to_connect(local: bool) -> None:
    """A OneAgent is given one second to connect, an environment three."""
    seen: list[dict[str, float]] = []

    class Transport(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(request.extensions["timeout"])
            return httpx.Response(202)

    exporter = HttpExporter("http://x.example", local=local, transport=Transport)
    for timeout in (15.0, 0.5, -1.0):
        exporter.export(a_body(), timeout)
    connect, read = (1.0, 3.0) if local else (3.0, 10.0)
    for told, longest in zip(seen, (15.0, 0.5, 0.05), strict=True):
        assert told["connect"] == pytest.approx(min(connect, longest), rel=0.2)
        assert told["read"] == pytest.approx(min(read, longest), rel=0.2)
        assert told["write"] == told["read"]


@pytest.mark.parametrize(
    "broken",
    [hang_up(), hang_up(reset=True), hang_up(before_reading=True, reset=True)],
    ids=["fin", "rst", "rst first"],
)
def test_kept_connection_breaks(broken: Verdict) -> None:
    """Who closes an idle connection just as it is used again is asked once more.

    So do servers whose patience ends first, and the body had not been looked at.
    """
    with Endpoint(accept(), broken) as endpoint:
        exporter = HttpExporter(endpoint.url)
        for _ in range(2):
            assert exporter.export(a_body(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert endpoint.connections == 2
    assert endpoint.total("orders") == 2


def test_once_more_is_once() -> None:
    """If the new connection breaks as well, nobody knows what was taken."""
    with Endpoint(accept(), hang_up(), hang_up(before_reading=True)) as endpoint:
        exporter = HttpExporter(endpoint.url)
        exporter.export(a_body(), 5.0)
        assert exporter.export(a_body(), 5.0).outcome is Outcome.INDETERMINATE
        exporter.close()
    assert endpoint.connections == 2


def test_once_more_refused() -> None:
    """That nobody is there by then does not prove that the first time nobody was."""
    with Endpoint(accept(), vanish()) as endpoint:
        exporter = HttpExporter(endpoint.url)
        exporter.export(a_body(), 5.0)
        assert exporter.export(a_body(), 5.0).outcome is Outcome.INDETERMINATE
        exporter.close()


@pytest.mark.parametrize(
    "verdict", [break_off("HTTP/1.1 2"), never()], ids=["part", "late"]
)
def test_no_second_try(verdict: Verdict) -> None:
    """A kept connection on which an answer had begun, or just never came, was alive."""
    with Endpoint(accept(), verdict) as endpoint:
        exporter = HttpExporter(endpoint.url)
        exporter.export(a_body(), 5.0)
        assert exporter.export(a_body(), 0.3).outcome is Outcome.INDETERMINATE
        exporter.close()
    assert len(endpoint.requests) == 2


def test_no_second_try_where_nothing_may_come_twice() -> None:
    """Without ``resend`` no connection is kept: whoever hangs up on one is believed."""
    with Endpoint(accept(), hang_up()) as endpoint:
        exporter = HttpExporter(endpoint.url, resend=False)
        assert exporter.export(a_body(), 5.0).outcome is Outcome.ANSWERED
        assert exporter.export(a_body(), 5.0).outcome is Outcome.INDETERMINATE
        exporter.close()
    assert (endpoint.connections, len(endpoint.requests)) == (2, 2)


def test_unsent_body() -> None:
    """A body that nobody read to its end was not taken."""
    body = a_body("x" * (8 << 20))
    result, _ = post(never(before_reading=True), body=body, timeout=0.3)
    assert (result.outcome, "WriteTimeout" in result.reason) == (Outcome.RETRY, True)
