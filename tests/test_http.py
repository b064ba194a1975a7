from __future__ import annotations

import resource
import socket
import sys
import traceback
from collections.abc import Callable, Iterator

import httpx
import pytest

from dtmetrics._deliver.exporter import Body, Exporter, ExportResult, Outcome
from dtmetrics._deliver.http import HttpExporter
from dtmetrics._deliver.secret import Secret
from tests.contract import ExporterContract, a_body
from tests.endpoint import (
    Endpoint,
    Verdict,
    accept,
    answer,
    bomb,
    dribble,
    hang_up,
    never,
    partly,
    refusing_port,
)

TOKEN = "dt0c01.CANARY.secret"


class TestHttp(ExporterContract):
    @pytest.fixture
    def exporter(self) -> Iterator[Exporter]:
        with Endpoint() as endpoint:
            yield HttpExporter(endpoint.url)


def post(
    *script: Verdict, body: Body | None = None, timeout: float = 5.0
) -> tuple[ExportResult, Endpoint]:
    """Post once to an endpoint with this script; return the result and the endpoint."""
    with Endpoint(*script) as endpoint:
        exporter = HttpExporter(endpoint.url, Secret(TOKEN), local=True)
        result = exporter.export(body or a_body(), timeout)
        exporter.close()
    return result, endpoint


def test_request() -> None:
    """A body is posted byte for byte, as text, with the token, and nothing else."""
    body = a_body('orders,place="Zürich" count,delta=1 1700000000000', "b gauge,2")
    _, endpoint = post(body=body)
    (request,) = endpoint.requests
    assert request.method == "POST"
    assert request.target == "/metrics/ingest"
    assert request.body == body.text
    assert request.headers == {
        "host": f"127.0.0.1:{endpoint.port}",
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(body.text)),
        "accept-encoding": "identity",
        "user-agent": "dtmetrics",
        "authorization": f"Api-Token {TOKEN}",
    }


def test_no_token() -> None:
    """Without a token no credentials are sent."""
    with Endpoint() as endpoint:
        exporter = HttpExporter(endpoint.url)
        exporter.export(a_body(), 5.0)
        exporter.close()
    assert "authorization" not in endpoint.requests[0].headers


def test_one_connection_for_a_flush() -> None:
    """Bodies that follow each other share a connection."""
    with Endpoint() as endpoint:
        exporter = HttpExporter(endpoint.url)
        for _ in range(3):
            assert exporter.export(a_body(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert endpoint.connections == 1


def test_answer_in_part() -> None:
    """A 400 that has judged the lines is an answer: the good ones were taken."""
    body = a_body("a count,delta=1", "b count,delta=1", "c count,delta=1")
    result, _ = post(partly(2, 1, [(2, "invalid metric key")]), body=body)
    assert (result.outcome, result.rejected) == (Outcome.ANSWERED, 1)
    assert result.refused == [(1, "invalid metric key")]


def test_retry_after() -> None:
    """An endpoint that asks for a pause is heard."""
    result, _ = post(answer(429, headers=["Retry-After: 7"]))
    assert (result.outcome, result.retry_after) == (Outcome.KEEP, 7.0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect(status: int) -> None:
    """A redirect is not followed: neither body nor token goes to another place."""
    with Endpoint() as other:
        result, _ = post(answer(status, headers=[f"Location: {other.url}"]))
        assert other.connections == 0
    assert result.outcome is Outcome.MISCONFIGURED


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not asked to reach this host."""
    monkeypatch.setenv(name, f"http://127.0.0.1:{refusing_port()}")
    assert post()[0].outcome is Outcome.ANSWERED


def test_refused_connection() -> None:
    """Nobody listens: nothing was taken, and the reason says where, and no more."""
    port = refusing_port()
    exporter = HttpExporter(f"http://127.0.0.1:{port}/x", Secret(TOKEN))
    result = exporter.export(a_body(), 5.0)
    assert result.outcome is Outcome.KEEP
    assert result.reason == f"ConnectError at 127.0.0.1:{port}"


def test_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nobody knows: nothing was taken."""

    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    result = HttpExporter("http://metrics.invalid/x").export(a_body(), 5.0)
    assert result.outcome is Outcome.KEEP
    assert result.reason == "ConnectError at metrics.invalid"


@pytest.mark.parametrize(
    "verdict",
    [
        hang_up(),
        hang_up(reset=True),
        hang_up(before_reading=True),
        hang_up(before_reading=True, reset=True),
        answer(202, headers=["X: " + "x" * 200_000]),
        dribble("no HTTP at all\n\n"),
        dribble("HTTP/1.1 200 OK\nContent-Length: 9\n\n", pause=5),
    ],
    ids=["fin", "rst", "fin first", "rst first", "long header", "no http", "cut 200"],
)
def test_outcome_unknown(verdict: Verdict) -> None:
    """A connection that ends without an answer leaves it open what was taken."""
    result, _ = post(verdict, timeout=0.3)
    assert result.outcome is Outcome.UNKNOWN
    assert result.reason


def test_recovers() -> None:
    """After any failure the next export makes a new connection."""
    with Endpoint(hang_up(), hang_up(reset=True), never()) as endpoint:
        exporter = HttpExporter(endpoint.url)
        for _ in range(3):
            assert exporter.export(a_body(), 0.3).outcome is Outcome.UNKNOWN
        assert exporter.export(a_body(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert endpoint.connections == 4


def test_no_answer() -> None:
    """Who never answers is waited for as long as was said."""
    result, _ = post(never(), timeout=0.2)
    assert result.outcome is Outcome.UNKNOWN
    assert "ReadTimeout" in result.reason


@pytest.mark.parametrize("status", [202, 503])
@pytest.mark.parametrize(
    "length", ["Content-Length: 1000000000", "Connection: close"], ids=["long", "open"]
)
def test_dribbled_text(status: int, length: str) -> None:
    """An answer's text that comes byte by byte is cut short, and its status counts."""
    result, _ = post(dribble(f"HTTP/1.1 {status} X\n{length}\n\n"), timeout=0.3)
    assert result.outcome is (Outcome.ANSWERED if status == 202 else Outcome.KEEP)


def test_late_202() -> None:
    """A 202 whose text never comes was a 202: sending again would count twice."""
    verdict = dribble("HTTP/1.1 202 Accepted\nContent-Length: 99\n\n", pause=5)
    assert post(verdict, timeout=0.2)[0].outcome is Outcome.ANSWERED


@pytest.mark.parametrize("status", [200, 202])
def test_response_bomb(status: int) -> None:
    """300 KB that would inflate to 300 MB stay what they are, and are not all read."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result, _ = post(bomb(status))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert result.outcome is (
        Outcome.ANSWERED if status == 202 else Outcome.MISCONFIGURED
    )
    assert (after - before) * (1 if sys.platform == "darwin" else 1024) < 20 << 20


def test_reads_64_kib() -> None:
    """Of an answer without end a little is read; then the connection is closed."""
    parts: list[int] = []

    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                parts.append(8_192)
                yield b"x" * 8_192

        def close(self) -> None:
            parts.append(0)

    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Endless())

    result = fake(respond).export(a_body(), 5.0)
    assert result.outcome is Outcome.MISCONFIGURED
    assert sum(parts) <= 72 * 1024
    assert parts[-1] == 0


def test_large_portal_page() -> None:
    """A long page of somebody else is no answer, and the body waits."""
    result, _ = post(answer(200, b"<html>" + b"x" * 100_000))
    assert result.outcome is Outcome.MISCONFIGURED


def fake(
    respond: Callable[[httpx.Request], httpx.Response], token: str = TOKEN
) -> HttpExporter:
    """Return an exporter whose transport is a function."""

    class Transport(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return respond(request)

    return HttpExporter("https://x.example/api", Secret(token), transport=Transport)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (httpx.ConnectTimeout("t"), Outcome.KEEP),
        (httpx.WriteError("t"), Outcome.KEEP),
        (OSError("no socket left"), Outcome.KEEP),
        (UnicodeError("label too long"), Outcome.KEEP),
        (httpx.ReadError("t"), Outcome.UNKNOWN),
        (httpx.LocalProtocolError(f"Illegal header value {TOKEN}"), Outcome.UNKNOWN),
        (RuntimeError(TOKEN), Outcome.UNKNOWN),
        (KeyError(TOKEN), Outcome.UNKNOWN),
        (MemoryError(), Outcome.UNKNOWN),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_any_error(error: Exception, outcome: Outcome) -> None:
    """No error of a transport leaves an export; of its text nothing is kept."""

    def respond(request: httpx.Request) -> httpx.Response:
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


def test_debug_logs(caplog: pytest.LogCaptureFixture) -> None:
    """With every logger at DEBUG no token is logged, and no text that was sent."""
    with caplog.at_level("DEBUG"):
        post(accept(), body=a_body("orders.CANARY count,delta=1"))
    assert "CANARY" not in caplog.text


def test_child_lets_go() -> None:
    """After a fork the child's exports use a connection of their own."""
    with Endpoint() as endpoint:
        exporter = HttpExporter(endpoint.url)
        exporter.export(a_body(), 5.0)
        inherited = exporter._transport
        exporter.reset_after_fork()
        exporter.export(a_body(), 5.0)
        exporter.close()
        assert inherited is not None
        inherited.close()
    assert [request.connection for request in endpoint.requests] == [1, 2]


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
    assert [(t["connect"], t["read"], t["write"]) for t in seen] == [
        (connect, read, read),
        (0.5, 0.5, 0.5),
        (0.05, 0.05, 0.05),
    ]
