from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._config import environment
from dtmetrics._config.config import Config
from dtmetrics._config.invalid_setting import InvalidSettingError
from dtmetrics._config.proxy_setting import bypasses_proxy, environment_proxy, proxy
from dtmetrics._core.secret import Secret

SAAS = "https://abc12345.live.dynatrace.com"
PROXY = "http://proxy.example:3128"


def in_use(
    environ: dict[str, str] | None = None, endpoint: str = SAAS, **settings: Any
) -> str | None:
    """Return the URL of the proxy through which these settings post."""
    arguments = {"endpoint": endpoint, "token": "abc", **settings}
    for name in {"endpoint", "token", "proxy"} & arguments.keys():
        arguments[name] = Secret(arguments[name])
    found = Config.resolve(arguments, environ or {}).proxy_in_use
    return None if found is None else found.reveal()


VALID = {
    PROXY: PROXY,
    "proxy.example:3128": "http://proxy.example:3128",
    " HTTPS://proxy.example ": "HTTPS://proxy.example",
    "http://user:p%40ss@10.1.2.3:8080/": "http://user:p%40ss@10.1.2.3:8080/",
    "http://user@[::1]:3128": "http://user@[::1]:3128",
    "user:pass@proxy_1:3128": "http://user:pass@proxy_1:3128",
}


@pytest.mark.parametrize("text", VALID)
def test_valid(text: str) -> None:
    """A proxy is an http or https URL, with credentials or without a scheme."""
    found = proxy(Secret(text))
    assert isinstance(found, Secret)
    assert found.reveal() == VALID[text]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "socks5://proxy.example:1080",
        "ftp://proxy.example",
        "http://",
        "http://user:CANARY@",
        "http://user:CANARY@proxy.example:0",
        "http://user:CANARY@proxy.example:99999",
        "http://user:CANARY@proxy.example:x",
        "http://user:CAN/ARY@proxy.example",
        "http://user:CAN#ARY@proxy.example",
        "http://user:CAN?ARY@proxy.example",
        "http://user:CAN ARY@proxy.example",
        "http://proxy.example/path",
        "http://prüxy.example",
        "http://[::1",
        "http://[CANARY]",
        True,
        3128,
        b"http://proxy.example",
    ],
)
def test_invalid(value: object) -> None:
    """Anything else is invalid, and no part of it is shown: it may hold a password."""
    with pytest.raises(InvalidSettingError) as caught:
        proxy(Secret(value))
    sentence = caught.value.sentence("proxy")
    assert sentence.startswith("proxy must be the http:// or https:// URL of a proxy")
    assert sentence.endswith((", got another one", ", got one with more", ", got ***"))


@pytest.mark.parametrize("value", [False, "false", " False ", "0"])
def test_off(value: object) -> None:
    """With False, or the text for it, the environment's proxies are not used."""
    assert proxy(Secret(value)) is False
    environ = {"HTTPS_PROXY": PROXY}
    assert in_use(environ) == PROXY
    assert in_use(environ, proxy=value) is None


def test_setting_wins() -> None:
    """The setting wins over the environment, and no exception of NO_PROXY holds for it."""
    environ = {"HTTPS_PROXY": "http://other.example", "NO_PROXY": "*"}
    assert in_use(environ, proxy=PROXY) == PROXY
    assert in_use(environ | {"DTMETRICS_PROXY": PROXY}) == PROXY


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"HTTPS_PROXY": "a"}, "http://a"),
        ({"https_proxy": "a"}, "http://a"),
        ({"https_proxy": "a", "HTTPS_PROXY": "b"}, "http://a"),
        ({"https_proxy": "", "HTTPS_PROXY": "b"}, None),
        ({"ALL_PROXY": "a"}, "http://a"),
        ({"all_proxy": "a", "HTTPS_PROXY": "b"}, "http://b"),
        ({"HTTP_PROXY": "a", "http_proxy": "a"}, None),
        ({"HTTPS_PROXY": "a", "NO_PROXY": "live.dynatrace.com"}, None),
        ({"HTTPS_PROXY": "a", "no_proxy": "localhost, .dynatrace.com"}, None),
        ({"HTTPS_PROXY": "a", "no_proxy": "", "NO_PROXY": "*"}, "http://a"),
        ({"HTTPS_PROXY": "a", "NO_PROXY": "localhost,127.0.0.1"}, "http://a"),
        ({}, None),
    ],
)
def test_environment(environ: dict[str, str], found: str | None) -> None:
    """An https endpoint is reached through HTTPS_PROXY, or else ALL_PROXY."""
    assert in_use(environ) == found


def test_plain_http() -> None:
    """Through a proxy, plain http needs ``allow_plain_http``: it would see the token."""
    environ = {"HTTP_PROXY": "a", "HTTPS_PROXY": "b"}
    endpoint = "http://ag.example/e/abc"
    allowed = in_use(environ, endpoint, allow_plain_http=True)
    assert allowed == "http://a"
    config = Config(endpoint=endpoint, proxy=Secret(PROXY))
    assert config.proxy_in_use is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_never_for_this_host(host: str) -> None:
    """No proxy leads to this host, whatever names one."""
    environ = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), PROXY)
    for scheme in "http", "https":
        endpoint = f"{scheme}://{host}:9999/e/abc"
        assert in_use(environ, endpoint, allow_plain_http=True, proxy=PROXY) is None


def test_cgi() -> None:
    """In a CGI program HTTP_PROXY is a header of the request, and http_proxy is not."""
    environ = {"HTTP_PROXY": "a", "REQUEST_METHOD": "GET", "HTTPS_PROXY": "b"}
    assert environment.proxies(environ).keys() == {"https"}
    assert environment.proxies(environ | {"http_proxy": "c"}).keys() == {
        "http",
        "https",
    }


def test_unusable_variable(caplog: pytest.LogCaptureFixture) -> None:
    """A proxy of the environment that cannot be used is logged, and raises nothing."""
    assert in_use({"ALL_PROXY": "socks5://user:CANARY@a"}) is None
    assert in_use({"HTTPS_PROXY": "false"}) is None
    assert caplog.messages == [
        "dtmetrics: ALL_PROXY must be the http:// or https:// URL of a proxy, or False, "
        "got another one, and is not used"
    ]


@pytest.mark.parametrize(
    ("host", "exception", "bypassed"),
    [
        ("ag.corp.example", "*", True),
        ("ag.corp.example", "ag.corp.example", True),
        ("AG.corp.example", "ag.CORP.example", True),
        ("ag.corp.example.", "ag.corp.example", True),
        ("ag.corp.example", "corp.example", True),
        ("ag.corp.example", ".corp.example", True),
        ("ag.corp.example", "*.corp.example", True),
        ("corp.example", ".corp.example", True),
        ("agcorp.example", "corp.example", False),
        ("ag.corp.example", "ag", False),
        ("ag.corp.example", "corp.example:443", True),
        ("ag.corp.example", "corp.example:9999", False),
        ("ag.corp.example", ".", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.9/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3", "10.1.2.3:9999", False),
        ("10.1.2.3", "2.3", False),
        ("10.1.2.3", "x.2.3:443", False),
        ("fd00::1", "[fd00::1]:443", True),
        ("fd00::1", "[fd00::1]", True),
        ("fd00::1", "fd00::/8", True),
        ("fd00::1", "10.0.0.0/8", False),
        ("ag.corp.example", "10.0.0.0/8", False),
    ],
)
def test_bypasses(host: str, exception: str, bypassed: bool) -> None:
    """Exceptions are domains with their subdomains, addresses, networks, and ports."""
    assert bypasses_proxy(host, 443, ["other.example", exception]) is bypassed


@given(st.text(max_size=30), st.lists(st.text(max_size=30)))
def test_any_exception(host: str, exceptions: list[str]) -> None:
    """No text in NO_PROXY raises."""
    bypasses_proxy(host, 443, exceptions)


def test_endpoint_with_a_port() -> None:
    """An exception with a port compares it with the port of the endpoint."""
    proxies = environment.proxies({"HTTPS_PROXY": "a", "NO_PROXY": "ag.example:9999"})
    assert environment_proxy(proxies, "https://ag.example:9999/e/x") is None
    assert environment_proxy(proxies, "https://ag.example/e/x") is not None
