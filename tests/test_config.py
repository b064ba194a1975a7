from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics import MemoryExporter
from dtmetrics._deliver.secret import Secret
from dtmetrics._setup.config import Config
from dtmetrics._setup.default import Process
from dtmetrics._setup.settings import LOCAL_ENDPOINT, is_loopback
from dtmetrics.errors import ConfigError

TOKEN = "dt0c01.CANARY.secret"
SAAS = "https://abc.live.dynatrace.com/api/v2/metrics/ingest"


def resolve(environ: dict[str, str] | None = None, **arguments: Any) -> Config:
    """Resolve as configure() does."""
    for name in {"endpoint", "token"} & arguments.keys():
        arguments[name] = Secret(arguments[name])
    return Config.resolve(arguments, environ or {})


def problems(environ: dict[str, str] | None = None, **arguments: Any) -> list[str]:
    """Return what is wrong with these settings."""
    with pytest.raises(ConfigError) as caught:
        resolve(environ, **arguments)
    assert str(caught.value) == "; ".join(caught.value.problems)
    assert "CANARY" not in str(caught.value)
    return list(caught.value.problems)


def test_defaults() -> None:
    """Nothing set means: the OneAgent of this host, every minute, without a token."""
    config = resolve()
    assert config == Config()
    assert config.endpoint == LOCAL_ENDPOINT
    assert config.local
    assert config.interval == 60.0
    assert config.token.reveal() == ""


@pytest.mark.parametrize(
    ("variable", "text", "setting", "value"),
    [
        ("DTMETRICS_PREFIX", "shop", "prefix", "shop"),
        (
            "DTMETRICS_DIMENSIONS",
            " a=1, b = x=y ",
            "dimensions",
            {"a": "1", "b": "x=y"},
        ),
        ("DTMETRICS_INTERVAL", " 10.5 ", "interval", 10.5),
        ("DTMETRICS_LEVEL", "debug", "level", logging.DEBUG),
        ("DTMETRICS_LEVEL", "15", "level", 15),
        (
            "DTMETRICS_ENDPOINT",
            "http://localhost:1/x",
            "endpoint",
            "http://localhost:1/x",
        ),
        ("DTMETRICS_INTERVAL", "  ", "interval", 60.0),
    ],
)
def test_environment(variable: str, text: str, setting: str, value: object) -> None:
    """A setting may come from the environment; empty there is as good as absent."""
    assert getattr(resolve({variable: text}), setting) == value


def test_precedence() -> None:
    """An argument beats the environment, whose own names beat the operator's."""
    environ = {
        "DT_METRICS_INGEST_URL": "https://operator.example/api/v2/metrics/ingest",
        "DT_METRICS_INGEST_API_TOKEN": "operator",
    }
    config = resolve(environ)
    assert urlsplit(config.endpoint).hostname == "operator.example"
    assert config.token.reveal() == "operator"
    environ |= {"DTMETRICS_ENDPOINT": "https://own.example", "DTMETRICS_TOKEN": "own"}
    config = resolve(environ)
    assert urlsplit(config.endpoint).hostname == "own.example"
    assert config.token.reveal() == "own"
    config = resolve(environ, endpoint="https://arg.example", token="arg")
    assert urlsplit(config.endpoint).hostname == "arg.example"
    assert config.token.reveal() == "arg"


def test_exporter_beats_the_environment() -> None:
    """With an exporter of one's own, where the environment would post is no matter."""
    exporter = MemoryExporter()
    environ = {"DTMETRICS_ENDPOINT": "nonsense", "DTMETRICS_TOKEN": TOKEN}
    config = resolve(environ, exporter=exporter)
    assert config.exporter is exporter
    assert problems(exporter=exporter, endpoint=SAAS) == [
        "exporter excludes endpoint and token"
    ]


@pytest.mark.parametrize(
    ("given_path", "path"),
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
def test_ingest_path(given_path: str, path: str) -> None:
    """A bare environment's URL gets the ingest path; a path of one's own is kept."""
    config = resolve(endpoint=f"https://abc.example{given_path}", token="t")
    assert config.endpoint == f"https://abc.example{path}"


BAD_ENDPOINTS: list[Any] = [
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


@pytest.mark.parametrize("endpoint", BAD_ENDPOINTS, ids=range(len(BAD_ENDPOINTS)))
def test_bad_endpoint(endpoint: Any) -> None:
    """What is no URL, or holds what belongs elsewhere, is refused without an echo."""
    (problem,) = problems(endpoint=endpoint, token=TOKEN)
    assert problem.startswith("endpoint ")


@given(
    st.from_regex(r"https?://[ -~]{0,80}", fullmatch=True)
    | st.from_regex(r"https?://[a-z0-9.:\[\]-]{1,30}(/[ -~]{0,30})?", fullmatch=True)
)
def test_any_endpoint(text: str) -> None:
    """An endpoint that is not refused is one that can be posted to."""
    try:
        config = resolve(endpoint=text, token="t", allow_plain_http=True)
    except ConfigError:
        return
    httpx.Request("POST", httpx.URL(config.endpoint))


@pytest.mark.parametrize(
    ("given_token", "kept"),
    [("abc\n", "abc"), ("abc\r\n", "abc"), ("  abc ", "abc"), ("\tabc", "abc")],
)
def test_token_from_a_file(given_token: str, kept: str) -> None:
    """A token that was read from a mounted file loses the file's line end."""
    assert resolve(endpoint=SAAS, token=given_token).token.reveal() == kept


BAD_TOKENS: list[Any] = [
    5,
    TOKEN.encode(),
    f"{TOKEN}\r\nX-Injected: 1",
    f"{TOKEN}\nx",
    f"{TOKEN} x",
    f"{TOKEN}\0",
    f"{TOKEN}é",
    TOKEN * 60,
]


@pytest.mark.parametrize("token", BAD_TOKENS, ids=range(len(BAD_TOKENS)))
def test_bad_token(token: Any) -> None:
    """A token with what no token has is refused, and not shown."""
    (problem,) = problems(endpoint=SAAS, token=token)
    assert problem.startswith("token ")
    (problem,) = problems({"DTMETRICS_TOKEN": f"{TOKEN}\x7f"}, endpoint=SAAS)
    assert problem.startswith("DTMETRICS_TOKEN ")


@pytest.mark.parametrize("token", [None, "", "  \n"])
def test_token_needed(token: str | None) -> None:
    """Only the OneAgent of this host takes points without a token."""
    arguments = {} if token is None else {"token": token}
    assert problems(endpoint="https://abc.example", **arguments) == [
        "token is needed by the endpoint at abc.example"
    ]
    assert (
        resolve(endpoint="http://127.0.0.1:14500/metrics/ingest").token.reveal() == ""
    )


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]"]
)
def test_token_to_this_host(host: str) -> None:
    """Within this host a token needs no encryption."""
    config = resolve(endpoint=f"http://{host}:9999/e/abc", token=TOKEN)
    assert config.local
    assert config.token.reveal() == TOKEN


@pytest.mark.parametrize(
    "host", ["abc.example", "10.0.0.1", "localhost.example", "0.0.0.0", "127.0.0.1.nip"]
)
def test_token_in_the_clear(host: str) -> None:
    """To any other host a token goes by https, or where the user says so."""
    (problem,) = problems(endpoint=f"http://{host}/e/abc", token=TOKEN)
    assert problem.startswith(f"token would go to {host} unencrypted")
    for config in (
        resolve(endpoint=f"https://{host}", token=TOKEN),
        resolve(endpoint=f"http://{host}", token=TOKEN, allow_plain_http=True),
    ):
        assert not config.local
        assert config.token.reveal() == TOKEN


def test_oneagent_is_shown_no_token() -> None:
    """The OneAgent's own address needs no token, so it is shown none."""
    assert not resolve({"DTMETRICS_TOKEN": TOKEN}).token
    assert not resolve(token=TOKEN).token
    assert not resolve(
        endpoint="http://localhost:14499/metrics/ingest/", token="x"
    ).token
    assert resolve(endpoint="http://localhost:14500/metrics/ingest", token="x").token


class Half:
    def export(self) -> None:
        """Lack the other methods."""


BAD: list[tuple[str, Any]] = [
    ("exporter", 5),
    ("exporter", Half()),
    ("exporter", "console"),
    ("prefix", 5),
    ("prefix", "dt"),
    ("prefix", "dt.x"),
    ("prefix", "dt." + "x" * 5_000),
    ("dimensions", 5),
    ("dimensions", "region"),
    ("dimensions", ["region"]),
    ("dimensions", {5: "x"}),
    ("dimensions", {"": "x"}),
    ("dimensions", {"." * 5_000: "x"}),
    ("interval", "soon"),
    ("interval", 0),
    ("interval", -1.0),
    ("interval", True),
    ("interval", float("nan")),
    ("interval", float("inf")),
    ("interval", 10**400),
    ("interval", 1e300),
    ("interval", 86_401),
    ("interval", [60]),
    ("level", "LOUD"),
    ("level", "9" * 5_000),
    ("level", None),
    ("level", 1.5),
    ("level", True),
    ("levels", "INFO"),
    ("levels", {"shop": "LOUD"}),
    ("levels", {5: "INFO"}),
    ("max_series", 0),
    ("max_series", "many"),
    ("max_series_per_metric", True),
    ("max_series_per_metric", 1.5),
    ("max_outbox_bytes", -1),
    ("max_outbox_bytes", None),
    ("allow_plain_http", "yes"),
    ("strict", 1),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=range(len(BAD)))
def test_bad_setting(name: str, value: Any) -> None:
    """Every setting of a wrong type or value is one short sentence of an error."""
    (problem,) = problems(**{name: value})
    assert problem.startswith(f"{name} ")
    assert len(problem) < 300


def test_all_faults_at_once() -> None:
    """One run shows everything that is wrong, and says where it was set."""
    found = problems(
        {"DTMETRICS_INTERVAL": "soon", "DTMETRICS_DIMENSIONS": "region"},
        endpoint=f"https://x.example/?t={TOKEN}",
        token=f"{TOKEN}\r\nx",
        prefix="dt",
        strict=None,
    )
    assert sorted(problem.partition(" ")[0] for problem in found) == [
        "DTMETRICS_DIMENSIONS",
        "DTMETRICS_INTERVAL",
        "endpoint",
        "prefix",
        "strict",
        "token",
    ]


@pytest.mark.parametrize(
    "prefix", ["", " ", ".", "shop", "shop.", " .shop.eu. ", "shop-1_x"]
)
def test_prefix(prefix: str) -> None:
    """Dots and blanks around a prefix do not matter."""
    assert resolve(prefix=prefix).prefix == prefix.strip(" .")


def test_levels() -> None:
    """Levels are given by name or number, for all or by meter."""
    config = resolve(level="warning", levels={"shop.db": "DEBUG", "shop": 35})
    assert (config.level, config.levels) == (30, {"shop.db": 10, "shop": 35})


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


def test_config_shows_no_token() -> None:
    """Settings can be printed, and cannot be pickled with a token."""
    config = resolve(endpoint=SAAS, token=TOKEN)
    assert "CANARY" not in repr(config) + str(config)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(config)


def given_by_hand(process: Process) -> None:
    """Configure with everything wrong, and the token in every place it may be in."""
    process.configure(
        endpoint=f"https://user:{TOKEN}@abc.example/?api-token={TOKEN}",
        token=f"{TOKEN}\r\nX-Injected: 1",
        interval=-1,
    )


def given_half_right(process: Process) -> None:
    """Configure with a good token, and something else wrong."""
    process.configure(endpoint=SAAS, token=TOKEN, interval=-1)


def given_by_environment(process: Process) -> None:
    """Configure with a bad environment."""
    process.configure(interval=-1)


@pytest.mark.parametrize(
    "configure", [given_by_hand, given_half_right, given_by_environment]
)
def test_token_in_no_traceback(
    configure: Callable[[Process], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing configure() shows no token, in any local variable of any frame."""
    monkeypatch.setenv("DTMETRICS_TOKEN", f"{TOKEN}\x7f")
    monkeypatch.setenv("DTMETRICS_ENDPOINT", f"https://abc.example/?token={TOKEN}")
    process = Process()
    with pytest.raises(ConfigError) as caught:
        configure(process)
    error = caught.value
    shown = "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format()
    )
    assert "in resolve" in shown
    lines = [line for line in shown.splitlines() if "CANARY" in line]
    assert lines == []
    assert "CANARY" not in repr(error) + str(error) + repr(error.args)
    assert b"CANARY" not in pickle.dumps(error)
    assert pickle.loads(pickle.dumps(error)).problems == error.problems
