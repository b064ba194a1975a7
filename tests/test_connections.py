from __future__ import annotations

import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dtmetrics._core.secret import Secret
from dtmetrics._export.connections import Route
from dtmetrics._export.http import HttpExporter
from dtmetrics._export.tls import TlsFiles
from dtmetrics.exporters import ExportResult, Outcome
from tests.support.authority import Authority
from tests.support.endpoint import (
    Endpoint,
    Verdict,
    accept,
    hang_up,
    refusing_port,
)
from tests.support.exporter_contract import a_batch
from tests.support.http_post import TOKEN, symptom_of
from tests.support.proxy_server import ProxyServer
from tests.support.system_server import SystemServer, server_program

HOST = "abc12345.live.dynatrace.com"
URL = f"https://{HOST}/api/v2/metrics/ingest"
CREDENTIALS = "user:CANARY-p%40ss"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the authority of the endpoint's and the proxy's certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


def exporter_through(
    url: str, authority: Authority, endpoint: str = URL, *, resend: bool = True
) -> HttpExporter:
    """Return an exporter that posts through the proxy at *url*."""
    files = TlsFiles(str(authority.path))
    route = Route(Secret(url), files)
    return HttpExporter(endpoint, Secret(TOKEN), route=route, resend=resend)


def post(exporter: HttpExporter, times: int = 1) -> ExportResult:
    """Post batches; return the last result."""
    for _ in range(times):
        result = exporter.export(a_batch(), 5.0)
    exporter.close()
    return result


@contextmanager
def environment_behind_proxy(
    authority: Authority, *script: Verdict, **options: object
) -> Iterator[tuple[Endpoint, ProxyServer]]:
    """Start an endpoint for ``HOST``, and a proxy that leads to it."""
    with Endpoint(*script, tls=authority.server(HOST)) as endpoint:
        routes = {f"{HOST}:443": endpoint.port}
        with ProxyServer(routes, **options) as proxy:  # type: ignore[arg-type]
            yield endpoint, proxy


def test_connect(authority: Authority) -> None:
    """An https endpoint is reached by CONNECT, over one connection for each flush."""
    with environment_behind_proxy(authority) as (endpoint, proxy):
        result = post(exporter_through(proxy.url, authority), times=3)
    assert result.outcome is Outcome.ANSWERED
    assert proxy.requests == [f"CONNECT {HOST}:443 HTTP/1.1"]
    assert [request.connection for request in endpoint.requests] == [1, 1, 1]
    assert endpoint.requests[0].target == "/api/v2/metrics/ingest"


def test_proxy_sees_no_token(authority: Authority) -> None:
    """With CONNECT the proxy sees the name of the host, and nothing of the request."""
    with environment_behind_proxy(authority) as (endpoint, proxy):
        post(exporter_through(proxy.url, authority))
    assert b"CANARY" not in proxy.heads
    assert b"Authorization" not in proxy.heads
    headers = endpoint.requests[0].headers
    assert headers["authorization"] == f"Api-Token {TOKEN}"
    assert "proxy-authorization" not in headers


def test_credentials(authority: Authority) -> None:
    """The credentials of the URL are decoded, and sent to the proxy alone."""
    with environment_behind_proxy(authority, credentials="user:CANARY-p@ss") as (
        endpoint,
        proxy,
    ):
        url = f"http://{CREDENTIALS}@{proxy.host}"
        assert post(exporter_through(url, authority)).outcome is Outcome.ANSWERED
    assert "proxy-authorization" not in endpoint.requests[0].headers


@pytest.mark.parametrize("url", ["http://{host}", "http://user:CANARY@{host}"])
def test_407(authority: Authority, url: str) -> None:
    """A 407 is a misconfiguration, and its reason names the proxy without credentials."""
    with environment_behind_proxy(authority, credentials="user:pass") as (
        endpoint,
        proxy,
    ):
        result = post(exporter_through(url.format(host=proxy.host), authority))
    assert result.outcome is Outcome.MISCONFIGURED
    assert symptom_of(result)[1] == f"status 407 at the proxy {proxy.host}"
    assert endpoint.connections == 0


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (403, Outcome.MISCONFIGURED),
        (405, Outcome.MISCONFIGURED),
        (302, Outcome.MISCONFIGURED),
        (429, Outcome.RETRY),
        (502, Outcome.RETRY),
        (504, Outcome.RETRY),
    ],
)
def test_refused_connect(authority: Authority, status: int, outcome: Outcome) -> None:
    """A CONNECT that the proxy refuses never sent the batch."""
    page = f"HTTP/1.1 {status} CANARY\r\nContent-Length: 6\r\n\r\nCANARY"
    with environment_behind_proxy(authority, answer=page) as (endpoint, proxy):
        result = post(exporter_through(proxy.url, authority))
    assert symptom_of(result) == (outcome, f"status {status} at the proxy {proxy.host}")
    assert endpoint.connections == 0


@pytest.mark.parametrize("answer", ["HTTP/1.1 2", "nonsense\r\n\r\n", "\r\n\r\n"])
def test_broken_answer(authority: Authority, answer: str) -> None:
    """A proxy that is none answers nonsense: the batch was certainly not sent."""
    with environment_behind_proxy(authority, answer=answer) as (endpoint, proxy):
        result = post(exporter_through(proxy.url, authority))
    assert result.outcome is Outcome.RETRY
    assert symptom_of(result)[1].endswith(f" at the proxy {proxy.host}")
    assert endpoint.connections == 0


def test_proxy_closes_the_tunnel(authority: Authority) -> None:
    """A tunnel that ends before its TLS handshake did not carry the batch."""
    opened = "HTTP/1.1 200 Connection established\r\n\r\n"
    with environment_behind_proxy(authority, answer=opened) as (endpoint, proxy):
        result = post(exporter_through(proxy.url, authority))
    assert result.outcome is Outcome.RETRY
    assert symptom_of(result)[1].endswith(f" at {HOST}")
    assert endpoint.connections == 0


def test_unreachable_proxy(authority: Authority) -> None:
    """A proxy that refuses connections is named, and not the endpoint."""
    host = f"127.0.0.1:{refusing_port()}"
    result = post(exporter_through(f"http://user:CANARY@{host}", authority))
    assert symptom_of(result) == (Outcome.RETRY, f"ConnectError at the proxy {host}")


def test_silent_proxy(authority: Authority) -> None:
    """A proxy that does not answer is named; the batch was certainly not sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        exporter = exporter_through(f"http://{host}", authority)
        result = exporter.export(a_batch(), 0.2)
    assert symptom_of(result) == (Outcome.RETRY, f"ReadTimeout at the proxy {host}")


def test_endpoint_behind_the_proxy_fails(authority: Authority) -> None:
    """Behind a tunnel the endpoint is named, and a lost answer is indeterminate."""
    with environment_behind_proxy(authority, hang_up()) as (_, proxy):
        result = post(exporter_through(proxy.url, authority))
    assert result.outcome is Outcome.INDETERMINATE
    assert symptom_of(result)[1].endswith(f" at {HOST}")


def test_untrusted_endpoint(authority: Authority, tmp_path: Path) -> None:
    """A proxy that breaks TLS open with a certificate of its own is refused."""
    other = Authority(tmp_path)
    with environment_behind_proxy(authority) as (endpoint, proxy):
        result = post(exporter_through(proxy.url, other))
    assert symptom_of(result) == (
        Outcome.MISCONFIGURED,
        f"SSLCertVerificationError at {HOST}",
    )
    assert endpoint.requests == []


def test_idle_connection_closed_behind_the_proxy(authority: Authority) -> None:
    """A batch is sent once more over a new tunnel if the idle one had been closed."""
    with environment_behind_proxy(authority, accept(), hang_up()) as (endpoint, proxy):
        result = post(exporter_through(proxy.url, authority), times=2)
    assert result.outcome is Outcome.ANSWERED
    assert len(proxy.requests) == 2
    assert [request.connection for request in endpoint.requests] == [1, 1, 2]


def test_forwarded(authority: Authority) -> None:
    """A plain http request goes through the proxy as a whole."""
    with (
        Endpoint() as endpoint,
        ProxyServer({"ag.example": endpoint.port}, credentials="u:p") as proxy,
    ):
        to = "http://ag.example/e/x"
        exporter = exporter_through(proxy.url, authority, to)
        assert post(exporter, times=2).outcome is Outcome.ANSWERED
        refused = f"http://{proxy.host}"
        result = post(exporter_through(refused, authority, to))
    assert proxy.requests[0] == "POST http://ag.example/e/x HTTP/1.1"
    assert symptom_of(result) == (
        Outcome.MISCONFIGURED,
        f"status 407 at the proxy {proxy.host}",
    )


def test_https_proxy(authority: Authority) -> None:
    """A proxy at an https URL is verified by the same certificates as the endpoint."""
    tls = authority.server("127.0.0.1")
    with environment_behind_proxy(authority, tls=tls, credentials="u:p") as (
        endpoint,
        proxy,
    ):
        result = post(exporter_through(proxy.url, authority), times=2)
        assert result.outcome is Outcome.ANSWERED
        untrusted = HttpExporter(URL, route=Route(Secret(proxy.url)))
        result = post(untrusted)
    assert endpoint.connections == 1
    assert symptom_of(result) == (
        Outcome.MISCONFIGURED,
        f"SSLCertVerificationError at the proxy {proxy.host}",
    )


def test_connection_is_not_kept(authority: Authority) -> None:
    """Without resend each batch has a tunnel of its own."""
    with environment_behind_proxy(authority) as (endpoint, proxy):
        post(exporter_through(proxy.url, authority, resend=False), times=2)
    assert len(proxy.requests) == 2
    assert endpoint.connections == 2


def test_credentials_are_not_shown(
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No log, repr or traceback with local variables shows a proxy's credentials."""
    caplog.set_level("DEBUG")
    with environment_behind_proxy(authority, credentials="user:CANARY-p@ss") as (
        _,
        proxy,
    ):
        exporter = exporter_through(f"http://{CREDENTIALS}@{proxy.host}", authority)
        post(exporter)
        assert "CANARY" not in repr(vars(exporter)) + repr(exporter._endpoint)

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(socket.socket, "send", interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            exporter.export(a_batch(), 5.0)
    shown = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    frames = [each for each in shown.stack if each.name != caught.traceback[0].name]
    assert "CANARY" not in "".join(str(frame.locals) for frame in frames)
    assert "CANARY" not in caplog.text


@pytest.mark.processes
def test_tinyproxy(authority: Authority, tmp_path: Path) -> None:
    """Through tinyproxy a batch arrives with its credentials, and gets a 407 without."""
    port = refusing_port()
    settings = tmp_path / "tinyproxy.conf"
    with Endpoint(tls=authority.server("localhost")) as endpoint:
        settings.write_text(
            f"Port {port}\nListen 127.0.0.1\nTimeout 30\nMaxClients 10\nLogLevel Info\n"
            f'LogFile "{tmp_path}/log"\nBasicAuth user p4ss\nAllow 127.0.0.1\n'
            f"ConnectPort {endpoint.port}\n"
        )
        command = [server_program("tinyproxy"), "-d", "-c", str(settings)]
        with SystemServer(command, port):
            to = f"https://localhost:{endpoint.port}/e/x"
            url = f"http://user:p4ss@127.0.0.1:{port}"
            result = post(exporter_through(url, authority, to), times=3)
            assert result.outcome is Outcome.ANSWERED
            refused = post(exporter_through(f"http://127.0.0.1:{port}", authority, to))
            beyond = f"https://localhost:{refusing_port()}/e/x"
            closed = post(exporter_through(url, authority, beyond))
    assert symptom_of(refused) == (
        Outcome.MISCONFIGURED,
        f"status 407 at the proxy 127.0.0.1:{port}",
    )
    # tinyproxy refuses a port that is not in its list.
    assert symptom_of(closed)[1] == f"status 403 at the proxy 127.0.0.1:{port}"
    assert [request.connection for request in endpoint.requests] == [1, 1, 1]
