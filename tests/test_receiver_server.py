from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest

from dtmetrics.receiver import create_app, running, serve
from dtmetrics.receiver.store import Store
from tests.support.endpoint import PATIENCE
from tests.support.receiver_client import TEXT


def get(url: str, **headers: str) -> int:
    """Request the counts; return the status of the answer."""
    answer = httpx.get(f"{url}/api/stats", headers=headers, trust_env=False)
    return answer.status_code


def port_of(url: str) -> int:
    """Return the port of an address."""
    return urlsplit(url).port or 0


def test_runs_by_default() -> None:
    """A ``with`` statement starts an endpoint and stops it."""
    with running() as url:
        assert get(url) == 200
    with pytest.raises(httpx.ConnectError):
        get(url)


def test_runs_a_given_app() -> None:
    """A given app runs with its own store, which shows what was posted."""
    store = Store()
    with running(create_app(store=store)) as url:
        lines = httpx.post(
            f"{url}/metrics/ingest", content=b"a 1", headers=TEXT, trust_env=False
        )
    assert lines.status_code == 202
    assert [series["key"] for series in store.snapshot()["series"]] == ["a"]


def test_several_at_once() -> None:
    """Endpoints that run at once have different ports."""
    with running() as first, running() as second:
        assert port_of(first) != port_of(second)
        assert (get(first), get(second)) == (200, 200)


def test_stops_when_the_block_fails() -> None:
    """A block that raises leaves neither a thread nor an open port behind."""
    urls = []

    def fail() -> None:
        with running() as url:
            urls.append(url)
            raise KeyError(url)

    with pytest.raises(KeyError):
        fail()
    names = [thread.name for thread in threading.enumerate()]
    assert "dtmetrics-receiver" not in names
    with socket.create_server(("127.0.0.1", port_of(urls[0]))):
        pass


def test_stops_beside_an_open_connection() -> None:
    """The endpoint stops while a client has an open connection."""
    with ExitStack() as stack:
        with running() as url:
            connection = stack.enter_context(
                socket.create_connection(("127.0.0.1", port_of(url)))
            )
            assert get(url) == 200
        assert connection.recv(1) == b""


def test_names_on_loopback() -> None:
    """On a loopback address the endpoint answers only to this computer's names."""
    with running() as url:
        assert get(url, Host="localhost:1") == 200
        assert get(url, Host="evil.example") == 400


def test_names_on_another_interface() -> None:
    """On another interface the endpoint answers to any name."""
    try:
        socket.create_server(("127.0.0.2", 0)).close()
    except OSError:
        pytest.skip("this host has one loopback address")
    with running(host="127.0.0.2") as url:
        assert urlsplit(url).hostname == "127.0.0.2"
        assert get(url, Host="receiver.test") == 200


def test_ipv6() -> None:
    """An IPv6 address is in brackets, and its loopback answers only to local names."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this host has no IPv6")
    with running(host="::1") as url:
        assert url.startswith("http://[::1]:")
        assert get(url) == 200
        assert get(url, Host="evil.example") == 400


def test_connections_are_limited() -> None:
    """Beyond 128 connections at once, requests are answered with 503."""
    with running() as url, ExitStack() as stack:
        for _ in range(128):
            stack.enter_context(socket.create_connection(("127.0.0.1", port_of(url))))
        assert get(url) == 503


HEAD = b"POST /metrics/ingest HTTP/1.1\r\nHost: localhost\r\n"
HALF_BODY = HEAD + b"Content-Type: text/plain\r\nContent-Length: 9\r\n\r\na 1"


@pytest.mark.parametrize(
    "sent",
    [b"", HEAD + b"X: ", HALF_BODY],
    ids=["silent", "half a head", "half a body"],
)
def test_slow_clients(sent: bytes) -> None:
    """Clients that stop in a request neither block others nor the end of the receiver.

    On this computer, a client stops in a debugger or by Ctrl+Z. A browser opens a few
    silent connections in advance.
    """
    with ExitStack() as stack:
        with running() as url:
            for _ in range(20):
                slow = stack.enter_context(
                    socket.create_connection(("127.0.0.1", port_of(url)), PATIENCE)
                )
                slow.sendall(sent)
            for _ in range(3):
                assert get(url) == 200
        while slow.recv(65_536):
            pass


@pytest.mark.parametrize("path", ["/", "/api/stats", "/metrics/ingest", "/nowhere"])
def test_headers(path: str) -> None:
    """Every answer forbids caching, sniffing and referrers, and names no server."""
    with running() as url:
        headers = httpx.get(f"{url}{path}", trust_env=False).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


@pytest.mark.parametrize("host", ["127.0.0.1", "no such host"])
def test_cannot_listen(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    """If it cannot listen, one line on stderr says why, and the status is 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert serve(host=host, port=port) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(f"dtmetrics: cannot listen on {host}:{port}: ")
    assert errors.count("\n") == 1
