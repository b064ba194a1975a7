from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest

from dtmetrics.receiver import create_app, running, serve
from dtmetrics.receiver.store import Store
from tests.support.endpoint import PATIENCE
from tests.support.receiver_client import TEXT


def get(url: str, **headers: str) -> int:
    """Ask for the counts; return the status answered."""
    answer = httpx.get(f"{url}/api/stats", headers=headers, trust_env=False)
    return answer.status_code


def port_of(url: str) -> int:
    """Return the port of an address."""
    return urlsplit(url).port or 0


def test_runs_by_default() -> None:
    """In a test of another program, one line starts an endpoint and stops it."""
    with running() as url:
        assert get(url) == 200
    with pytest.raises(httpx.ConnectError):
        get(url)


def test_runs_an_app_of_ones_own() -> None:
    """What is posted to it can be looked at in a store of one's own."""
    store = Store()
    with running(create_app(store=store)) as url:
        lines = httpx.post(
            f"{url}/metrics/ingest", content=b"a 1", headers=TEXT, trust_env=False
        )
    assert lines.status_code == 202
    assert [series["key"] for series in store.snapshot()["series"]] == ["a"]


def test_several_at_once() -> None:
    """Each has a port of its own, so that tests may run side by side."""
    with running() as first, running() as second:
        assert port_of(first) != port_of(second)
        assert (get(first), get(second)) == (200, 200)


def test_stops_when_the_block_fails() -> None:
    """A test that fails inside leaves neither a thread nor a port behind."""
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
    """A client that keeps its connection does not keep the endpoint."""
    with ExitStack() as stack:
        with running() as url:
            connection = stack.enter_context(
                socket.create_connection(("127.0.0.1", port_of(url)))
            )
            assert get(url) == 200
        assert connection.recv(1) == b""


def test_only_for_this_computer() -> None:
    """On its loopback address it answers to this computer's names alone."""
    with running() as url:
        assert get(url, Host="localhost:1") == 200
        assert get(url, Host="evil.example") == 403


def test_another_interface_on_purpose() -> None:
    """On an address that somebody chose it answers to any name."""
    try:
        socket.create_server(("127.0.0.2", 0)).close()
    except OSError:
        pytest.skip("this host has one loopback address")
    with running(host="127.0.0.2") as url:
        assert urlsplit(url).hostname == "127.0.0.2"
        assert get(url, Host="receiver.test") == 200


def test_ipv6() -> None:
    """An address of IPv6 is written as URLs have it, and is loopback as well."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this host has no IPv6")
    with running(host="::1") as url:
        assert url.startswith("http://[::1]:")
        assert get(url) == 200
        assert get(url, Host="evil.example") == 403


def test_connections_are_bounded() -> None:
    """Who opens connections without end is answered with 503, and nothing grows."""
    with running() as url, ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(socket.create_connection(("127.0.0.1", port_of(url))))
        assert get(url) == 503


HEAD = b"POST /metrics/ingest HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("sent", [b"", HEAD + b"X: "], ids=["silent", "half a head"])
@pytest.mark.parametrize("first", [False, True], ids=["at first", "later"])
def test_slow_heads(sent: bytes, first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opens connections and asks nothing keeps nobody out for long."""
    monkeypatch.setattr("dtmetrics.receiver.server._HEAD_SECONDS", 0.2)
    with running() as url, ExitStack() as stack:
        for _ in range(63):
            slow = stack.enter_context(
                socket.create_connection(("127.0.0.1", port_of(url)), PATIENCE)
            )
            if first:
                slow.sendall(HEAD.replace(b"POST", b"GET") + b"\r\n")
                while not slow.recv(65_536).endswith(b"}}"):
                    pass
            slow.sendall(sent)
        while slow.recv(65_536):
            pass
        assert get(url) == 200


def test_slow_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does who sends a body that never ends: it is answered."""
    monkeypatch.setattr("dtmetrics.receiver.body._BODY_SECONDS", 0.1)
    head = HEAD + b"Content-Type: text/plain\r\nContent-Length: 9\r\n\r\na 1"
    with running() as url:
        slow = socket.create_connection(("127.0.0.1", port_of(url)), PATIENCE)
        with slow:
            slow.sendall(head)
            assert slow.recv(65_536).startswith(b"HTTP/1.1 408 ")


def test_patient_with_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that goes on asking on one connection is not hung up on."""
    monkeypatch.setattr("dtmetrics.receiver.server._HEAD_SECONDS", 0.1)
    with running() as url:
        begin = time.monotonic()
        with socket.create_connection(("127.0.0.1", port_of(url)), PATIENCE) as busy:
            while time.monotonic() - begin < 0.5:
                busy.sendall(HEAD.replace(b"POST", b"GET") + b"\r\n")
                answer = b""
                while not answer.endswith(b"}}"):
                    part = busy.recv(65_536)
                    assert part
                    answer += part


def test_says_little_of_itself() -> None:
    """An answer does not tell which server it is from."""
    with running() as url:
        answer = httpx.get(f"{url}/api/stats", trust_env=False)
    assert "server" not in answer.headers


@pytest.mark.parametrize("host", ["127.0.0.1", "no such host"])
def test_cannot_listen(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it cannot listen, one line says why, and the status is 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert serve(host=host, port=port) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"dtmetrics: cannot listen on {host}:{port}: ")
    assert said.err.count("\n") == 1
