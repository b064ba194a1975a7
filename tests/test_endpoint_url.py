from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._config.invalid_setting import InvalidSettingError
from dtmetrics._config.settings import SETTINGS
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


@pytest.mark.parametrize(
    ("written", "endpoint"),
    [
        ("http://localhost:14499", "http://localhost:14499/metrics/ingest"),
        ("http://127.0.0.1:15000/", "http://127.0.0.1:15000/metrics/ingest"),
        ("http://[::1]", "http://[::1]/metrics/ingest"),
        ("https://localhost:9999", "https://localhost:9999/api/v2/metrics/ingest"),
        (
            "http://localhost:9999/e/abc12345",
            "http://localhost:9999/e/abc12345/api/v2/metrics/ingest",
        ),
    ],
)
def test_this_host(written: str, endpoint: str) -> None:
    """A plain http URL of this host without a path is that of a OneAgent."""
    assert check(written) == endpoint


SAAS = "https://abc12345.live.dynatrace.com"


@pytest.mark.parametrize(
    "written",
    [
        f" {SAAS}// ",
        f"{SAAS}/api//v2/",
        f"{SAAS}/api/v2/metrics",
        f"{SAAS}:/",
        "HTTPS://ABC12345.Live.Dynatrace.COM",
        "https://abc12345.apps.dynatrace.com",
        "https://abc12345.apps.dynatrace.com/api/v2/metrics/ingest",
        "https://abc12345.apps.dynatrace.com/platform/classic/environment-api/v2",
        "https://abc12345.apps.dynatrace.com"
        "/platform/classic/environment-api/v2/metrics/ingest",
    ],
)
def test_one_environment(written: str) -> None:
    """Every form of an environment's URL is the same endpoint."""
    assert check(written) == f"{SAAS}/api/v2/metrics/ingest"


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/dynatrace/e/abc12345", "/dynatrace/e/abc12345/api/v2/metrics/ingest"),
        ("/dynatrace/api/v2/metrics", "/dynatrace/api/v2/metrics/ingest"),
        ("/e/abc12345//", "/e/abc12345/api/v2/metrics/ingest"),
        ("/my/ui", "/my/ui"),
        ("/platform", "/platform"),
        ("/api/v2/my-own", "/api/v2/my-own"),
    ],
)
def test_gateway(path: str, endpoint: str) -> None:
    """A gateway may have any path before that of an environment, or one of its own."""
    assert (
        check(f"https://gateway.example{path}") == f"https://gateway.example{endpoint}"
    )


OTHER_ADDRESSES = [
    (f"{SAAS}/api/v2/otlp", "the OTLP API"),
    (f"{SAAS}/api/v2/otlp/v1/metrics", "the OTLP API"),
    (f"{SAAS}/api/v1", "the API v1"),
    (f"{SAAS}/api/v1/timeseries", "the API v1"),
    (f"{SAAS}/api/config/v1/dashboards", "the API v1"),
    (f"{SAAS}/api/v2/metrics/query", "another API"),
    (f"{SAAS}/api/v2/logs/ingest", "another API"),
    (f"{SAAS}/ui/apps/dynatrace.classic.dashboards", "the user interface"),
    (f"{SAAS}/rest/x", "another address of Dynatrace"),
    (f"{SAAS}/api/v1/metrics/ingest", "the API v1"),
    (
        f"{SAAS}/api/v2/metrics/ingest/api/v2/metrics/ingest",
        "another address of Dynatrace",
    ),
    ("https://abc12345.apps.dynatrace.com/ui", "the user interface"),
    (
        "https://abc12345.apps.dynatrace.com/platform/x",
        "another address of Dynatrace",
    ),
]


@pytest.mark.parametrize(("written", "what"), OTHER_ADDRESSES)
def test_other_address_of_an_environment(written: str, what: str) -> None:
    """An address that cannot take metrics is refused, and the right one is suggested."""
    text = problem(written)
    assert text.startswith(f"endpoint must name the metrics API v2, not {what}, got ")
    assert text.endswith(f" (did you mean {SAAS}/api/v2/metrics/ingest?)")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (
            "https://managed.example/e/abc/ui/x",
            "https://managed.example/e/abc/api/v2/metrics/ingest",
        ),
        (
            "https://gateway.example/dt/api/v2/otlp/v1/metrics",
            "https://gateway.example/dt/api/v2/metrics/ingest",
        ),
        ("http://localhost:4318/v1/metrics", "http://localhost:4318/metrics/ingest"),
    ],
)
def test_other_address_of_another_host(written: str, meant: str) -> None:
    """The right address keeps the environment, and what a gateway has before the API."""
    assert problem(written).endswith(f" (did you mean {meant}?)")


def test_no_environment() -> None:
    """A path that ends before the name of an environment is refused."""
    assert problem("https://activegate.example:9999/e/") == (
        "endpoint must name an environment after /e/, "
        "got 'https://activegate.example:9999/e/'"
    )


@pytest.mark.parametrize(
    "written",
    [
        "https://{your-environment-id}.live.dynatrace.com",
        "https://<environment>.live.dynatrace.com/api",
        "https://${DT_TENANT}.live.dynatrace.com",
        "https://$DT_TENANT.live.dynatrace.com",
        "https://managed.example/e/{your-environment-id}/api/v2/metrics/ingest",
    ],
)
def test_placeholder(written: str) -> None:
    """The placeholders of a document are refused as such, without a suggestion."""
    expected = f"endpoint must have its placeholders filled in, got '{written[:60]}'"
    assert problem(written).removesuffix("...") == expected


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
        ("abc12345", SAAS),
        ("//abc12345.live.dynatrace.com", SAAS),
        ("https:/abc12345.live.dynatrace.com", SAAS),
        ("https//abc12345.live.dynatrace.com", SAAS),
        ("https:\\\\abc12345.live.dynatrace.com", SAAS),
        (f"https://{SAAS}", SAAS),
        ("http://https:/abc12345.live.dynatrace.com", SAAS),
        ("https://http://localhost:14499", "http://localhost:14499"),
        (f'"{SAAS}"', SAAS),
        (f"<{SAAS}/>", SAAS),
        (f"\u201c{SAAS}\u201d", SAAS),
        (f"[{SAAS}]({SAAS})", SAAS),
        (f"DTMETRICS_ENDPOINT={SAAS};", SAAS),
        (f"{SAAS}/#dashboards;gtf=-2h", SAAS),
        (f"{SAAS}/api/v2?Api-Token=x", f"{SAAS}/api/v2"),
        (f"{SAAS}/ui/x#y", f"{SAAS}/api/v2/metrics/ingest"),
        ("abc12345.apps.dynatrace.com", f"{SAAS}/api/v2/metrics/ingest"),
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
        "https://https://",
        "https://[https://[",
        "[::1",
        "ftp://abc.example",
        "https://user:secret@abc.example",
        "https://abc.example/#secret@b",
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
