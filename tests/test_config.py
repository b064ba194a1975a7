from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from dtmetrics import MemoryExporter
from dtmetrics._config.config import Config
from dtmetrics._config.settings import LOCAL_ENDPOINT
from dtmetrics._core.secret import Secret
from dtmetrics._runtime.runtime import Process
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
    assert config.max_outbox_bytes == 32 << 20
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


def test_fault_names_its_source() -> None:
    """A fault begins with what was set: the argument, or the variable."""
    (problem,) = problems(endpoint=SAAS, token=f"{TOKEN}\x7f")
    assert problem.startswith("token ")
    (problem,) = problems({"DTMETRICS_TOKEN": f"{TOKEN}\x7f"}, endpoint=SAAS)
    assert problem.startswith("DTMETRICS_TOKEN ")


def test_long_prefix() -> None:
    """A prefix that would have keys cut where they differ is a ConfigError."""
    assert problems(prefix="x" * 101) == ["prefix has more than 100 characters"]
    assert problems({"DTMETRICS_PREFIX": "x" * 101}) == [
        "DTMETRICS_PREFIX has more than 100 characters"
    ]


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
    assert not resolve(
        endpoint="http://localhost:14499/metrics/ingest/", token="x"
    ).token
    assert resolve(endpoint="http://localhost:14500/metrics/ingest", token="x").token


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
