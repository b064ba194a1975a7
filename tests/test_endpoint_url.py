from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._config.invalid_setting import InvalidSettingError
from dtmetrics._config.settings import SETTINGS, is_loopback
from dtmetrics._core.secret import Secret

TOKEN = "dt0c01.CANARY.secret"


def check(value: Any) -> str:
    """Return the endpoint that *value* stands for."""
    endpoint = SETTINGS["endpoint"](Secret(value))
    assert isinstance(endpoint, str)
    return endpoint


def problem(value: Any) -> str:
    """Return why *value* cannot be an endpoint."""
    with pytest.raises(InvalidSettingError) as caught:
        check(value)
    return caught.value.sentence("endpoint", TOKEN)


@pytest.mark.parametrize(
    ("path", "completed"),
    [
        ("", "/api/v2/metrics/ingest"),
        ("/", "/api/v2/metrics/ingest"),
        ("/e/abc-123", "/e/abc-123/api/v2/metrics/ingest"),
        ("/e/abc-123/", "/e/abc-123/api/v2/metrics/ingest"),
        ("/e/abc/api", "/e/abc/api/v2/metrics/ingest"),
        ("/api/v2", "/api/v2/metrics/ingest"),
        ("/api/v2/metrics/ingest", "/api/v2/metrics/ingest"),
        ("/metrics/ingest/", "/metrics/ingest"),
        ("/my/proxy", "/my/proxy"),
    ],
)
def test_ingest_path(path: str, completed: str) -> None:
    """The URL of an environment gets the ingest path; any other path stays."""
    endpoint = check(f"https://abc.example{path}")
    assert endpoint == f"https://abc.example{completed}"
    assert check(endpoint) == check(f"HTTPS://abc.example{path}") == endpoint


INVALID: list[Any] = [
    "http://:][A",
    "https://[1.2.3.4]",
    "user@abc.example://x",
    "https://abc.example\n.x",
    5,
    b"http://x",
    "",
    "abc.live.dynatrace.com",
    "ftp://abc.example",
    "https://",
    "https:///path",
    f"https://user:{TOKEN}@abc.example",
    f"https://abc.example/?api-token={TOKEN}",
    f"https://abc.example/#{TOKEN}",
    "https://abc.example:99999",
    "https://abc.example:0",
    "https://abc.example:x",
    "https://[::1",
    "https://[fe80::1%eth0]/",
    "https://a b.example",
    "https://abc.example/\r\nX: y",
    "https://zürich.example",
    "https://a..example",
    "https://" + "a" * 64 + ".example",
    "https://-a.example",
    "https://1.2.3.999",
    "https://1.2.3.4.5",
    "https://a%41.example",
    "https://abc.example/" + "x" * 3_000,
]


@pytest.mark.parametrize("endpoint", INVALID, ids=range(len(INVALID)))
def test_invalid(endpoint: Any) -> None:
    """A value that is not a URL to post to is refused, and no token of it is shown."""
    text = problem(endpoint)
    assert text.startswith("endpoint must be an http:// or https:// URL")
    assert "CANARY" not in text


@pytest.mark.parametrize(
    ("endpoint", "meant"),
    [
        ("localhost:14499", "http://localhost:14499"),
        ("127.0.0.1:14499/metrics/ingest", "http://127.0.0.1:14499/metrics/ingest"),
        ("[::1]:14499", "http://[::1]:14499"),
        ("abc.live.dynatrace.com", "https://abc.live.dynatrace.com"),
        ("abc.example/e/x", "https://abc.example/e/x"),
    ],
)
def test_hint(endpoint: str, meant: str) -> None:
    """A URL without a scheme is suggested with one, and can be used so."""
    assert problem(endpoint).endswith(f" (did you mean {meant}?)")
    assert check(meant)


@pytest.mark.parametrize(
    "endpoint",
    [
        "console",
        "https://",
        "[::1",
        "ftp://abc.example",
        "https://user:secret@abc.example",
        "abc.example?token=secret",
    ],
)
def test_no_hint(endpoint: str) -> None:
    """No URL is made of any word, or of one that holds a secret."""
    assert "did you mean" not in problem(endpoint)


@given(
    st.from_regex(r"https?://[ -~]{0,80}", fullmatch=True)
    | st.from_regex(r"https?://[a-z0-9.:\[\]-]{1,30}(/[ -~]{0,30})?", fullmatch=True)
)
def test_valid_endpoints_can_be_requested(text: str) -> None:
    """Every endpoint that passes the check is a URL that httpx can post to."""
    try:
        endpoint = check(text)
    except InvalidSettingError:
        return
    assert httpx.Request("POST", httpx.URL(endpoint)).url.host
    assert check(endpoint) == endpoint


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("127.1", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_is_loopback(host: str, loopback: bool) -> None:
    """This host is its name and its addresses, and nothing that looks like them."""
    assert is_loopback(host) == loopback
