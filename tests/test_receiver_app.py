from __future__ import annotations

import gzip
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from dtmetrics.receiver import create_app, running

NOW = 1_700_000_000.0
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
PATHS = ["/metrics/ingest", "/api/v2/metrics/ingest", "/e/abc/api/v2/metrics/ingest"]


@contextmanager
def served(**settings: Any) -> Iterator[httpx.Client]:
    """Serve an endpoint on a real socket, and yield a client of it."""
    app = create_app(clock=lambda: NOW, **settings)
    with running(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


@pytest.fixture(name="client", scope="module")
def _client() -> Iterator[httpx.Client]:
    with served() as client:
        yield client


def post(client: httpx.Client, content: Any, **headers: str) -> httpx.Response:
    """Post *content* as lines."""
    return client.post(PATHS[1], content=content, headers={**TEXT, **headers})


def fault(response: httpx.Response) -> tuple[int, str]:
    """Return what an ErrorEnvelope says, which has the status inside as well."""
    error = response.json()["error"]
    assert error["code"] == response.status_code
    return error["code"], error["message"]


@pytest.mark.parametrize("path", PATHS)
def test_takes_lines(client: httpx.Client, path: str) -> None:
    """Lines are taken in where a OneAgent or an environment takes them in."""
    response = client.post(path, content=b"a 1\nb 2", headers=TEXT)
    assert response.status_code == 202
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "linesOk": 2,
        "linesInvalid": 0,
        "error": None,
        "warnings": None,
    }


def test_refuses_lines(client: httpx.Client) -> None:
    """A bad line is answered with 400 and its number; the clock decides as well."""
    old = int(NOW * 1000) - 3_600_001
    answer = post(client, f"a 1\nb\na 1 {old}\n".encode())
    assert answer.status_code == 400
    lines = [line["line"] for line in answer.json()["error"]["invalidLines"]]
    assert lines == [2, 3]


def test_shows_what_arrived() -> None:
    """What arrived can be asked for as JSON, and so can the counts."""
    with served() as client:
        post(client, b"orders,region=eu count,delta=2\nbroken")
        post(client, b"orders,region=eu count,delta=3")
        post(client, b"x 1", **{"Content-Type": "application/json"})
        (series,) = client.get("/api/series").json()["series"]
        assert (series["key"], series["dimensions"]) == ("orders", {"region": "eu"})
        assert (series["sum"], series["points"]) == (5, 2)
        assert client.get("/api/stats").json() == {
            "requests": 3,
            "requests_refused": 1,
            "accepted": 2,
            "invalid": 1,
            "warnings": 2,
        }


def test_line_limit(client: httpx.Client) -> None:
    """Only the address of a OneAgent limits the lines of a request."""
    body = b"a 1\n" * 1001
    assert client.post(PATHS[1], content=body, headers=TEXT).status_code == 202
    answer = client.post(PATHS[0], content=body, headers=TEXT)
    assert fault(answer) == (400, "too many lines: 1001 > 1000")


@pytest.mark.parametrize(
    "authorization",
    [None, "Api-Token wrong", "Bearer right", "right", "Api-Token", "Api-Token \xff"],
)
def test_wrong_token(authorization: str | None) -> None:
    """Started with a token, lines without it are refused before they are read."""
    headers = {**TEXT}
    if authorization is not None:
        headers["Authorization"] = authorization
    with served(token="right") as client:
        encoded = [(name, text.encode("latin-1")) for name, text in headers.items()]
        answer = client.post(PATHS[1], content=b"a 1", headers=encoded)
        assert fault(answer) == (401, "Token Authentication failed")
        assert client.get("/api/stats").json()["accepted"] == 0


def test_right_token() -> None:
    """The right token is let in, and is shown nowhere afterwards."""
    with served(token="canary-4711") as client:
        header = {"Authorization": "Api-Token canary-4711"}
        assert post(client, b"a 1\nb", **header).status_code == 400
        for path in ("/", "/api/series", "/api/stats"):
            shown = client.get(path)
            assert shown.status_code == 200
            assert "canary" not in shown.text


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/x-www-form-urlencoded", "", "text"],
)
def test_wrong_type(client: httpx.Client, content_type: str) -> None:
    """Only plain text is read."""
    answer = post(client, b"a 1", **{"Content-Type": content_type})
    assert fault(answer)[0] == 415


def test_type_without_charset(client: httpx.Client) -> None:
    """The bare media type, which some clients send, is good enough."""
    assert post(client, b"a 1", **{"Content-Type": "Text/Plain"}).status_code == 202


def test_empty(client: httpx.Client) -> None:
    """A request without a line says so."""
    assert fault(post(client, b"")) == (400, "empty request")


def test_gzip(client: httpx.Client) -> None:
    """A body may come compressed, and in no other coding than gzip."""
    packed = gzip.compress(b"a 1\nb 2")
    assert post(client, packed, **{"Content-Encoding": "gzip"}).json()["linesOk"] == 2
    assert fault(post(client, packed, **{"Content-Encoding": "br"}))[0] == 415


@pytest.mark.parametrize(
    "packed",
    [b"", b"a 1", gzip.compress(b"a 1")[:-4], gzip.compress(b"a 1") + b"more"],
)
def test_broken_gzip(client: httpx.Client, packed: bytes) -> None:
    """What does not unpack is refused as such."""
    answer = post(client, packed, **{"Content-Encoding": "gzip"})
    assert fault(answer) == (400, "invalid gzip")


def test_bombs(client: httpx.Client) -> None:
    """Compressed or not, a body is inflated and judged within bounds."""
    gzipped = {"Content-Encoding": "gzip"}
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 100_000
    answer = fault(post(client, bomb, **gzipped))
    assert answer == (
        413,
        "request body too large: more than 4000000 bytes when inflated",
    )
    answer = fault(post(client, gzip.compress(b"a 1\n" * 300_000), **gzipped))
    assert answer == (413, "request body too large: 1200000 > 1000000 bytes")


def test_too_large(client: httpx.Client) -> None:
    """A body that is too large is answered, and the connection can be used again."""
    answer = fault(post(client, bytes(20_000_000)))
    assert answer == (413, "request body too large: 20000000 > 1000000 bytes")
    chunks = (bytes(100_000) for _ in range(100))
    answer = fault(post(client, chunks))
    assert answer == (413, "request body too large: more than 1000000 bytes")
    assert post(client, b"a 1").status_code == 202


def raw(client: httpx.Client, request: bytes) -> bytes:
    """Return the first bytes answered to *request*, which may be half a request."""
    address = urlsplit(str(client.base_url))
    assert address.port
    with socket.create_connection(("127.0.0.1", address.port), timeout=10) as sock:
        sock.sendall(request)
        return sock.recv(1000)


def test_stops_reading_early(client: httpx.Client) -> None:
    """A body that is too large is refused before all of it was sent."""
    head = (
        b"POST /metrics/ingest HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain"
    )
    declared = head + b"\r\nContent-Length: 2000000\r\n\r\n"
    assert raw(client, declared).startswith(b"HTTP/1.1 413 ")
    chunk = b"\r\nTransfer-Encoding: chunked\r\n\r\nf4241\r\n" + bytes(1_000_001)
    assert raw(client, head + chunk).startswith(b"HTTP/1.1 413 ")


def test_survives_a_client_that_leaves() -> None:
    """A request that ends early is counted as refused, and nothing else happens."""
    with served() as client:
        port = urlsplit(str(client.base_url)).port
        with socket.create_connection(("127.0.0.1", port or 0), timeout=10) as sock:
            sock.sendall(
                b"POST /metrics/ingest HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: text/plain\r\nContent-Length: 100\r\n\r\na 1\n"
            )
        # The server sees the end of the other connection at its next look at it.
        for _ in range(1000):
            stats = client.get("/api/stats").json()
            if stats["requests_refused"]:
                break
        assert stats["requests_refused"] == 1
        assert stats["accepted"] == 0


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:80",
        "",
        "[::2]",
    ],
)
def test_strange_host(client: httpx.Client, host: str) -> None:
    """A name that was made to point here is refused, to read and to write."""
    assert fault(client.get("/api/series", headers={"Host": host}))[0] == 403
    assert fault(post(client, b"a 1", Host=host))[0] == 403


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:9"]
)
def test_own_host(client: httpx.Client, host: str) -> None:
    """This computer's own names are answered, with any port."""
    assert post(client, b"a 1", Host=host).status_code == 202


def test_any_host_on_purpose() -> None:
    """Bound to another interface on purpose, it answers to any name."""
    with served(hosts=None) as client:
        assert post(client, b"a 1", Host="receiver.test:8080").status_code == 202


def test_origin(client: httpx.Client) -> None:
    """Another page in the browser can neither post nor read; our own can."""
    for origin in ("http://evil.example", "null", "http://localhost:1", ""):
        assert fault(post(client, b"a 1", Origin=origin))[0] == 403
        assert client.get("/api/series", headers={"Origin": origin}).status_code == 403
    own = str(client.base_url).rstrip("/")
    assert client.get("/api/series", headers={"Origin": own}).status_code == 200


def test_page_is_text() -> None:
    """Nothing of what arrives becomes markup, in a good line or in a bad one."""
    hostile = '<script>alert(1)</script><img src="x">'
    with served() as client:
        quoted = hostile.replace('"', '\\"')
        post(client, f'a,b="{quoted}" 1\n{hostile}\n#a gauge dt.meta.unit=<b>'.encode())
        page = client.get("/")
        assert "a" in page.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
        for tag in ("<script", "<img", "<b>"):
            assert tag not in page.text
        assert page.headers["content-type"] == "text/html; charset=utf-8"


def test_page_is_bounded() -> None:
    """The page shows the first 500 series, and says how many it leaves out."""
    with served() as client:
        post(client, b"".join(b"a%d 1\n" % number for number in range(600)))
        page = client.get("/").text
        assert "<h2>600 series</h2>" in page
        assert "100 more are not shown" in page


def test_page_shows_any_number() -> None:
    """Long fractions are cut on the page, and what no double holds is named so."""
    with served() as client:
        post(client, b"big 1e308\nbig 1e308\nhalf 0.123456789")
        page = client.get("/").text
        assert "0.123457" in page
        assert "overflow" in page


@pytest.mark.parametrize("path", ["/", "/api/series", "/metrics/ingest", "/nowhere"])
def test_security_headers(client: httpx.Client, path: str) -> None:
    """Every answer forbids scripts, framing, sniffing and referrers."""
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert not any(name.startswith("access-control") for name in headers)


def test_errors_are_enveloped(client: httpx.Client) -> None:
    """A wrong address or method is answered in the endpoint's form."""
    assert fault(client.get("/nowhere")) == (404, "Not Found")
    assert fault(client.get("/metrics/ingest")) == (405, "Method Not Allowed")


def test_runs_by_default() -> None:
    """In a test of another program, one line starts an endpoint and stops it."""
    with running() as url:
        assert httpx.get(f"{url}/api/stats", trust_env=False).status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/api/stats", trust_env=False)


def complaint_without(module: str) -> str:
    """Import the receiver where *module* is missing; return the error."""
    script = f"import sys; sys.modules[{module!r}] = None; import dtmetrics.receiver"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    return result.stderr.splitlines()[-1]


def test_without_the_extra() -> None:
    """Without its extra, importing the receiver says what to install."""
    for absent in ("starlette", "uvicorn"):
        assert 'pip install "dtmetrics[receiver]"' in complaint_without(absent)


def test_without_something_else() -> None:
    """A fault of our own is not mistaken for a missing extra."""
    assert "pip" not in complaint_without("dtmetrics.receiver.page")
