from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.receiver_client import fault, post, served


@pytest.fixture(name="client", scope="module")
def _client() -> Iterator[httpx.Client]:
    with served() as client:
        yield client


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
