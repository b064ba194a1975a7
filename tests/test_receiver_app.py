from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from html import escape

import httpx
import pytest

from tests.support.receiver_client import NOW, PATHS, TEXT, error_of, post, served


@pytest.fixture(name="client", scope="module")
def _client() -> Iterator[httpx.Client]:
    with served() as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
def test_accepts_lines(client: httpx.Client, path: str) -> None:
    """Lines are accepted at the addresses of a OneAgent and of an environment."""
    response = client.post(path, content=b"a 1\nb 2", headers=TEXT)
    assert response.status_code == 202
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "linesOk": 2,
        "linesInvalid": 0,
        "error": None,
        "warnings": None,
    }


def test_as_oneagent() -> None:
    """As a OneAgent it takes lines at the path of a OneAgent alone, and shows them."""
    with served(as_oneagent=True) as client:
        found = [
            client.post(path, content=b"a 1", headers=TEXT).status_code
            for path in PATHS
        ]
        assert found == [202, 404, 404]
        assert client.get("/api/stats").json()["accepted"] == 1


def test_clients() -> None:
    """Two processes that send one gauge series are noticed, and one is not."""
    with served() as client:
        for agent in "one", "one", "two", "one":
            post(client, b"active 3", **{"User-Agent": "alone"})
            shared = f"jobs.active {len(agent + agent)}".encode()
            post(client, shared, **{"User-Agent": agent})
        assert client.get("/api/series").json()["warnings"] == []
        for value, agent in (1, "one"), (2, "two"), (3, "one"):
            post(client, f"jobs.active {value}".encode(), **{"User-Agent": agent})
        [warning] = client.get("/api/series").json()["warnings"]
        assert warning.startswith("gauge 'jobs.active' has different values")
        assert escape(warning) in client.get("/").text


def test_rejects_lines(client: httpx.Client) -> None:
    """A malformed line and one that is too old are answered with 400 and their numbers."""
    old = int(NOW * 1000) - 3_600_001
    answer = post(client, f"a 1\nb\na 1 {old}\n".encode())
    assert answer.status_code == 400
    lines = [line["line"] for line in answer.json()["error"]["invalidLines"]]
    assert lines == [2, 3]


def test_shows_what_arrived() -> None:
    """The series that arrived and the counts are available as JSON."""
    with served() as client:
        post(client, b"orders,region=eu count,delta=2\nbroken")
        post(client, b"orders,region=eu count,delta=3")
        post(client, b"x 1", **{"Content-Type": "application/json"})
        (series,) = client.get("/api/series").json()["series"]
        assert (series["key"], series["dimensions"]) == ("orders", {"region": "eu"})
        assert (series["sum"], series["points"]) == (5, 2)
        assert client.get("/api/stats").json() == {
            "requests": 3,
            "requests_rejected": 1,
            "accepted": 2,
            "rejected": 1,
            "warnings": 2,
        }


def test_line_limit(client: httpx.Client) -> None:
    """Only the address of a OneAgent limits the number of lines in a request."""
    body = b"a 1\n" * 1001
    assert client.post(PATHS[1], content=body, headers=TEXT).status_code == 202
    answer = client.post(PATHS[0], content=body, headers=TEXT)
    assert error_of(answer) == (400, "too many lines: 1001 > 1000")


@pytest.mark.parametrize(
    "authorization",
    [None, "Api-Token wrong", "Bearer right", "right", "Api-Token", "Api-Token \xff"],
)
def test_wrong_token(authorization: str | None) -> None:
    """Where a token is required, lines without it are rejected before they are read."""
    headers = {**TEXT}
    if authorization is not None:
        headers["Authorization"] = authorization
    with served(token="right") as client:
        encoded = [(name, text.encode("latin-1")) for name, text in headers.items()]
        answer = client.post(PATHS[1], content=b"a 1", headers=encoded)
        assert error_of(answer) == (401, "Token Authentication failed")
        assert client.get("/api/stats").json()["accepted"] == 0


def test_right_token() -> None:
    """Lines with the right token are accepted, and no page shows the token."""
    with served(token="canary-4711") as client:
        header = {"Authorization": "Api-Token canary-4711"}
        assert post(client, b"a 1\nb", **header).status_code == 400
        for path in ("/", "/api/series", "/api/stats"):
            shown = client.get(path)
            assert shown.status_code == 200
            assert "canary" not in shown.text


def test_error_envelope(client: httpx.Client) -> None:
    """A wrong address or method is answered with the endpoint's error envelope."""
    assert error_of(client.get("/nowhere")) == (404, "Not Found")
    assert error_of(client.get("/metrics/ingest")) == (405, "Method Not Allowed")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", ""],
)
def test_dns_rebinding(client: httpx.Client, host: str) -> None:
    """A page whose own name resolves to this computer can neither read nor post."""
    for path in ("/", "/api/series", "/api/stats"):
        assert client.get(path, headers={"Host": host}).status_code == 400
    assert post(client, b"a 1", Host=host).status_code == 400


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1", "127.0.0.1:80", "[::1]:9"]
)
def test_loopback_names(client: httpx.Client, host: str) -> None:
    """The names of this computer are allowed with any port."""
    assert post(client, b"a 1", Host=host).status_code == 202


def test_any_name_where_allowed() -> None:
    """An endpoint that allows any name answers to any."""
    with served(allowed_hosts=["*"]) as client:
        assert post(client, b"a 1", Host="receiver.test:8080").status_code == 202


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost"])
def test_cross_origin_post(client: httpx.Client, origin: str) -> None:
    """A web page cannot post lines: a browser would send text/plain without asking."""
    before = client.get("/api/stats").json()["accepted"]
    answer = post(client, b"a 1", Origin=origin)
    assert error_of(answer) == (403, "lines are not accepted from web pages")
    assert client.get("/api/stats").json()["accepted"] == before


@pytest.mark.parametrize("path", ["/", "/api/series", "/metrics/ingest", "/nowhere"])
def test_cross_origin_read(client: httpx.Client, path: str) -> None:
    """No answer allows another origin to read it, so browsers keep it from the page."""
    headers = client.get(path, headers={"Origin": "http://evil.example"}).headers
    assert not any(name.startswith("access-control") for name in headers)


def test_page_allows_no_script(client: httpx.Client) -> None:
    """The policy of the page forbids scripts, frames and all styles but its own."""
    policy = client.get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy


def import_error_without(module: str) -> str:
    """Import the receiver where *module* is missing; return the error."""
    script = f"import sys; sys.modules[{module!r}] = None; import dtmetrics.receiver"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    return result.stderr.splitlines()[-1]


def test_without_the_extra() -> None:
    """Without its extra, the import error of the receiver names the extra to install."""
    for absent in ("starlette", "uvicorn"):
        assert 'pip install "dtmetrics[receiver]"' in import_error_without(absent)


def test_without_a_module_of_ours() -> None:
    """A missing module of dtmetrics itself is not reported as a missing extra."""
    assert "pip" not in import_error_without("dtmetrics.receiver.page")
