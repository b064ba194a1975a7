from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import dtmetrics
from dtmetrics import configure, counter, flush, shutdown, stats
from tests.support.authority import Authority
from tests.support.endpoint import Endpoint, refusing_port
from tests.support.nginx import Nginx

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the authority of nginx's certificate."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """Return an endpoint that accepts everything."""
    with Endpoint() as running:
        yield running


@pytest.fixture
def nginx(authority: Authority, endpoint: Endpoint, tmp_path: Path) -> Iterator[Nginx]:
    """Return nginx in front of the endpoint."""
    with Nginx(tmp_path, endpoint.port, *authority.issue("nginx")) as running:
        yield running


def record(url: str, **settings: object) -> bool:
    """Record 20 series, which make more than 1 kB; flush to *url*."""
    configure(
        endpoint=url,
        interval=None,
        self_metrics=False,
        metadata=False,
        force=True,
        **settings,  # type: ignore[arg-type]
    )
    for number in range(20):
        counter("orders").inc(number=number, filling="x" * 40)
    return flush(10.0)


def test_plain_http_to_the_tls_port(
    nginx: Nginx, endpoint: Endpoint, authority: Authority
) -> None:
    """The page of nginx for plain HTTP on its TLS port takes one request and no data point."""
    assert not record(f"http://127.0.0.1:{nginx.tls_port}/metrics/ingest")
    assert (stats().waiting, stats().dropped, endpoint.total("orders")) == (20, {}, 0)
    assert "this port speaks TLS; begin endpoint with https://" in stats().last_error
    url = f"https://localhost:{nginx.tls_port}/metrics/ingest"
    assert record(url, ca_file=authority.path)
    assert endpoint.total("orders") == 40  # also what the first exporter could not send


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/forbidden", "status 403 at {}: access is denied; "),
        ("/elsewhere", "status 404 at {}: no metrics API is served at the path /else"),
    ],
)
def test_html_errors(path: str, words: str, nginx: Nginx, endpoint: Endpoint) -> None:
    """The pages of nginx keep what was recorded, and none of their text is logged."""
    assert not record(nginx.url(path))
    assert (stats().waiting, stats().dropped) == (20, {})
    assert words.format(f"127.0.0.1:{nginx.port}") in stats().last_error
    assert "nginx" not in stats().last_error


def test_limit_of_a_request(nginx: Nginx, endpoint: Endpoint) -> None:
    """A batch above nginx's limit for requests arrives in parts."""
    assert record(nginx.url())
    assert endpoint.total("orders") == 20
    assert len(endpoint.requests) > 1


def test_stopped_backend(authority: Authority, tmp_path: Path) -> None:
    """While nginx has no backend everything waits; later it arrives once."""
    port = refusing_port()
    with Nginx(tmp_path, port, *authority.issue("nginx")) as nginx:
        assert not record(nginx.url())
        assert "status 502 at " in stats().last_error
        assert not flush()
        assert sum(stats().dropped.values()) == 0
        waiting = stats().waiting
        with Endpoint(port=port) as endpoint:
            assert waiting == 20
            assert flush(20.0)
            assert endpoint.total("orders") == 20


def test_idle_connections(nginx: Nginx, endpoint: Endpoint) -> None:
    """Flushes around the moment at which nginx closes an idle connection count once."""
    configure(endpoint=nginx.url(), interval=None, self_metrics=False, metadata=False)
    for number in range(20):
        counter("jobs").inc()
        assert flush()
        threading.Event().wait(0.19 + number / 1_000)
    assert shutdown()
    assert endpoint.total("jobs") == 20
    assert dtmetrics.stats().dropped == {}
