"""The way to the endpoint, through configure(): tokens, proxies and certificates."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

import dtmetrics
from dtmetrics._core.secret import Secret
from dtmetrics._core.suppress_instrumentation import SUPPRESSED
from dtmetrics._runtime.runtime import Runtime
from tests.support.authority import Authority
from tests.support.endpoint import Endpoint, Verdict
from tests.support.proxy_server import ProxyServer
from tests.support.script import expect
from tests.support.thread_load import in_threads

HOST = "abc12345.live.dynatrace.com"


class Tokens:
    """The token that an endpoint accepts at the moment."""

    def __init__(self, token: str) -> None:
        self.accepted = token

    def verdict(self) -> Verdict:
        """Return the verdict that accepts this token and answers 401 to others."""

        def act(connection: socket.socket, endpoint: Endpoint) -> bool:
            request = endpoint.requests[-1]
            given = request.headers.get("authorization")
            request.accepted = given == f"Api-Token {self.accepted}"
            status = "202 Accepted" if request.accepted else "401 Unauthorized"
            connection.sendall(
                f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
            )
            return True

        return Verdict(act)


@pytest.mark.parametrize("kind", ["file", "callable"])
def test_rotation_under_load(kind: str, tmp_path: Path) -> None:
    """Tokens that are replaced while threads record lose nothing, and forget nothing.

    Each is revoked before the next one is known, so that a flush in between fails.
    """
    path = tmp_path / "token"
    tokens = Tokens("t0")
    path.write_text("t0")
    recorded = [0] * 3
    stop = threading.Event()

    def record(slot: int) -> None:
        while not stop.is_set():
            counter.inc(thread=slot)
            recorded[slot] += 1
            stop.wait(0.0005)

    def rotate(endpoint: Endpoint) -> None:
        try:
            for number in range(1, 10):
                tokens.accepted = f"t{number}"
                assert not dtmetrics.flush(1.0)
                path.write_text(f"t{number}\n")
                assert dtmetrics.flush(5.0)
        finally:
            stop.set()

    with Endpoint(otherwise=tokens.verdict()) as endpoint:
        source: dict[str, object] = (
            {"token_file": path} if kind == "file" else {"token": path.read_text}
        )
        url = endpoint.url
        dtmetrics.configure(endpoint=url, interval=None, **source)  # type: ignore[arg-type]
        counter = dtmetrics.counter("orders.placed")
        dtmetrics.gauge("queue.depth").set(7)
        assert dtmetrics.flush()
        in_threads(4, lambda slot: rotate(endpoint) if slot == 3 else record(slot))
        assert dtmetrics.flush()
        stats = dtmetrics.stats()
        assert dtmetrics.shutdown()
    assert endpoint.total("orders.placed") == sum(recorded)
    assert stats.dropped == {}
    assert stats.waiting == 0
    last = [line for line in endpoint.requests[-1].lines if "queue.depth" in line]
    assert last or any("queue.depth" in line for line in endpoint.lines[-9:])


def test_callable_in_the_flushers_thread() -> None:
    """The token's callable is called by the flusher, and never by configure().

    Its own requests are measured as the application's are.
    """
    seen: list[tuple[str, bool]] = []

    def token() -> str:
        seen.append((threading.current_thread().name, SUPPRESSED.get()))
        return "abc"

    with Endpoint() as endpoint:
        dtmetrics.configure(endpoint=endpoint.url, token=token, interval=0.05)
        assert seen == []
        dtmetrics.counter("orders.placed").inc()
        endpoint.wait_for(1)
        dtmetrics.shutdown()
    assert seen == [("dtmetrics-flusher", False)]
    assert endpoint.requests[0].headers["authorization"] == "Api-Token abc"


def test_pause_with_a_token_that_changes(tmp_path: Path, runtime: Runtime) -> None:
    """While such a token is rejected, attempts are a minute apart, and not up to five."""
    path = tmp_path / "token"
    path.write_text("abc")
    longest = {}
    for name, value in ("token_file", path), ("token", Secret("abc")):
        runtime.configure(
            endpoint=Secret("http://127.0.0.1:9/x"),
            interval=None,
            force=True,
            **{name: value},
        )
        assert runtime._delivery is not None
        policy = runtime._delivery.destinations[0].sender.backoff._policy
        longest[name] = policy.longest_slow_pause
    assert longest == {"token_file": 60.0, "token": 300.0}


def test_proxy_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment is reached through HTTPS_PROXY, and a OneAgent is not."""
    authority = Authority(tmp_path)
    with (
        Endpoint(tls=authority.server(HOST)) as endpoint,
        ProxyServer({f"{HOST}:443": endpoint.port}, credentials="u:p") as proxy,
        Endpoint() as oneagent,
    ):
        for name in "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY":
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("NO_PROXY", "other.example")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.path))
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        # Another test of this process may have described the key.
        once: Any = {"interval": None, "metadata": False}
        dtmetrics.configure(endpoint=f"https://{HOST}", token="abc", **once)
        dtmetrics.counter("orders.placed").inc()
        assert dtmetrics.flush()
        dtmetrics.configure(endpoint=oneagent.url, force=True, **once)
        dtmetrics.counter("orders.placed").inc()
        assert dtmetrics.flush()
        dtmetrics.shutdown()
    assert proxy.requests == [f"CONNECT {HOST}:443 HTTP/1.1"]
    assert len(endpoint.requests) == len(oneagent.requests) == 1


def test_proxy_credentials_are_logged_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """A proxy that rejects the credentials is named without them."""
    caplog.set_level("DEBUG")
    with ProxyServer({}, credentials="user:pass") as proxy:
        url = f"http://user:CANARY@{proxy.host}"
        dtmetrics.configure(
            endpoint=f"https://{HOST}", token="abc", proxy=url, interval=None
        )
        dtmetrics.counter("orders.placed").inc()
        assert not dtmetrics.flush()
        reason = dtmetrics.stats().last_error
        dtmetrics.shutdown(0.0)
    assert reason.startswith(f"status 407 at the proxy {proxy.host}: ")
    assert reason in caplog.text
    assert "CANARY" not in caplog.text


def test_changed_authority_with_force(tmp_path: Path) -> None:
    """``configure(force=True)`` reads changed certificates at once."""
    old, new = Authority(tmp_path), Authority(tmp_path)
    bundle = tmp_path / "bundle.pem"
    for authority in old, new:
        bundle.write_bytes(authority.path.read_bytes())
        with Endpoint(tls=authority.server()) as endpoint:
            dtmetrics.configure(
                endpoint=endpoint.url, ca_file=bundle, interval=None, force=True
            )
            dtmetrics.counter("orders.placed").inc()
            assert dtmetrics.flush()
            dtmetrics.shutdown()
        assert endpoint.total("orders.placed") == 1


def test_client_certificate(tmp_path: Path) -> None:
    """A client certificate of the settings is presented to the endpoint."""
    authority = Authority(tmp_path)
    cert, key = authority.client()
    with Endpoint(tls=authority.server(client_ca=authority.path)) as endpoint:
        dtmetrics.configure(
            endpoint=endpoint.url,
            ca_file=authority.path,
            client_cert=cert,
            client_key=key,
            interval=None,
        )
        dtmetrics.counter("orders.placed").inc()
        assert dtmetrics.flush()
        dtmetrics.shutdown()
    assert endpoint.total("orders.placed") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_rotated_token_in_a_child(tmp_path: Path) -> None:
    """A forked child reads a rotated token itself."""
    tokens = Tokens("old")
    path = tmp_path / "token"
    path.write_text("old")
    with Endpoint(otherwise=tokens.verdict()) as endpoint:
        dtmetrics.configure(endpoint=endpoint.url, token_file=path, interval=None)
        counter = dtmetrics.counter("orders.placed")
        counter.inc()
        assert dtmetrics.flush()
        tokens.accepted = "new"
        path.write_text("new")
        pid = os.fork()
        if not pid:
            counter.inc(10)
            os._exit(not dtmetrics.flush())
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        counter.inc(100)
        assert dtmetrics.flush()
        dtmetrics.shutdown()
    assert endpoint.total("orders.placed") == 111


IMPORTS = """
import os, sys, threading
import dtmetrics
dtmetrics.configure(
    endpoint="https://abc12345.live.dynatrace.com", token=lambda: "abc", interval=None,
    proxy=os.environ["PROXY"], ca_file=os.environ["CA"],
    client_cert=os.environ["CERT"], client_key=os.environ["KEY"],
)
dtmetrics.counter("orders.placed").inc()
known = set(sys.modules)
print(dtmetrics.flush(), sorted(set(sys.modules) - known))
"""


@pytest.mark.processes
def test_first_request_imports_nothing(tmp_path: Path) -> None:
    """The first request through a proxy imports nothing: a fork would inherit its lock."""
    authority = Authority(tmp_path)
    cert, key = authority.client()
    with (
        Endpoint(tls=authority.server(HOST, client_ca=authority.path)) as endpoint,
        ProxyServer({f"{HOST}:443": endpoint.port}, credentials="u:p") as proxy,
    ):
        environ = {"PROXY": proxy.url, "CA": str(authority.path)}
        environ |= {"CERT": str(cert), "KEY": str(key)}
        assert expect(IMPORTS, **environ) == "True []\n"
