from __future__ import annotations

import logging
import pickle
import re
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics import ConsoleExporter, MemoryExporter
from dtmetrics._config import environment
from dtmetrics._config.config import Config
from dtmetrics._config.endpoint_url import LOCAL_ENDPOINT
from dtmetrics._config.settings import SETTINGS
from dtmetrics._core.level import OFF
from dtmetrics._core.secret import SECRET_SETTINGS, Secret
from dtmetrics._record.dimensions import merge
from dtmetrics._record.invalid_values import ignore
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.errors import ConfigError
from tests.support.delivery_rig import Script

TOKEN = "dt0c01.CANARY.secret"


SAAS = "https://abc.live.dynatrace.com/api/v2/metrics/ingest"


def resolve(environ: dict[str, str] | None = None, **arguments: Any) -> Config:
    """Resolve as configure() does."""
    for name in SECRET_SETTINGS & arguments.keys():
        arguments[name] = Secret(arguments[name])
    return Config.resolve(arguments, environ or {})


def problems(environ: dict[str, str] | None = None, **arguments: Any) -> list[str]:
    """Return the problems of these settings."""
    with pytest.raises(ConfigError) as caught:
        resolve(environ, **arguments)
    assert str(caught.value) == "; ".join(caught.value.problems)
    assert "CANARY" not in str(caught.value)
    return list(caught.value.problems)


def test_defaults() -> None:
    """Without any setting, points go to this host's OneAgent every minute, without a token."""
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
        ("DTMETRICS_CA_FILE", "  ", "ca_file", None),
        ("DTMETRICS_COMPRESSION", "gzip", "compression", "gzip"),
        ("DTMETRICS_ALLOW_PLAIN_HTTP", "true", "allow_plain_http", True),
        ("DTMETRICS_LEVELS", "a=DEBUG,b=OFF", "levels", {"a": 10, "b": OFF}),
        ("DTMETRICS_RULES", '[{"deny": true}]', "rules", ({"deny": True},)),
        ("DTMETRICS_CAP", "auto", "cap", "auto"),
        ("DTMETRICS_MAX_SERIES", " 100 ", "max_series", 100),
        ("DTMETRICS_BUDGET", "1000", "budget", 1_000),
        ("DTMETRICS_MAX_SERIES_PER_METRIC", "10", "max_series_per_metric", 10),
        ("DTMETRICS_MAX_OUTBOX_BYTES", "1_000_000", "max_outbox_bytes", 1_000_000),
        ("DTMETRICS_DELIVERY", "at_most_once", "delivery", "at_most_once"),
        ("DTMETRICS_SPOOL", "/tmp/spool", "spool", "/tmp/spool"),
        ("DTMETRICS_METADATA", "false", "metadata", False),
        ("DTMETRICS_SELF_METRICS", "0", "self_metrics", False),
        ("DTMETRICS_ENRICH", "False", "enrich", False),
        ("DTMETRICS_ANNOUNCE", "false", "announce", False),
        ("DTMETRICS_STRICT", "1", "strict", True),
        ("DTMETRICS_RUNTIME", "gc,cpu", "runtime", ("cpu", "gc")),
        (
            "DTMETRICS_PROCESS_DIMENSION",
            "true",
            "process_dimension",
            "dt.process.pid",
        ),
    ],
)
def test_environment(variable: str, text: str, setting: str, value: object) -> None:
    """A setting may come from the environment; an empty variable counts as absent."""
    assert getattr(resolve({variable: text}), setting) == value


def test_every_setting_has_a_variable() -> None:
    """Each setting that a text can hold has a variable with its name in upper case.

    That of *exporters* is in the singular, because it may name only one.
    """
    for name in SETTINGS.keys() - {"exporter"}:
        variable = f"DTMETRICS_{name.upper()}".replace("EXPORTERS", "EXPORTER")
        assert environment._VARIABLES[variable] == name


def test_merged_by_key() -> None:
    """Dimensions, levels and rules of the environment and the program are merged."""
    environ = {
        "DTMETRICS_RULES": '[{"deny": true}]',
        "DTMETRICS_DIMENSIONS": "stage=prod,Service=any,team=a",
        "DTMETRICS_LEVELS": "shop=DEBUG,shop.db=OFF",
    }
    config = resolve(
        environ,
        dimensions={"service": "checkout", "team": None, "region": "eu"},
        levels={"shop": "WARNING"},
        rules=[{"key": "a", "allow": True}],
    )
    assert config.rules == ({"key": "a", "allow": True}, {"deny": True})
    merged = merge((tuple(config.dimensions.items()),), ignore)
    assert dict(merged) == {"stage": "prod", "service": "checkout", "region": "eu"}
    assert config.levels == {"shop": 30, "shop.db": OFF}
    assert resolve(environ).dimensions == {
        "stage": "prod",
        "Service": "any",
        "team": "a",
    }


def test_merged_problems() -> None:
    """A problem of a variable is reported, also if an argument has the same setting."""
    environ = {"DTMETRICS_DIMENSIONS": "stage"}
    assert problems(environ, dimensions={"a": "b"}, levels={"x": "LOUD"}) == [
        "DTMETRICS_DIMENSIONS must have the form key=value,key=value, got 'stage'",
        "levels['x'] must be a logging level name or an int, got 'LOUD'",
    ]


def test_precedence() -> None:
    """An argument wins over the environment; DTMETRICS_ names win over the operator's."""
    environ = {
        "DT_METRICS_INGEST_URL": "https://operator.example/api/v2/metrics/ingest",
        "DT_METRICS_INGEST_API_TOKEN": "operator",
    }
    config = resolve(environ)
    assert urlsplit(config.endpoint).hostname == "operator.example"
    assert config.token.reveal() == "operator"
    environ |= {"DTMETRICS_ENDPOINT": "https://env.example", "DTMETRICS_TOKEN": "env"}
    config = resolve(environ)
    assert urlsplit(config.endpoint).hostname == "env.example"
    assert config.token.reveal() == "env"
    config = resolve(environ, endpoint="https://arg.example", token="arg")
    assert urlsplit(config.endpoint).hostname == "arg.example"
    assert config.token.reveal() == "arg"


def test_exporter_wins_over_the_environment() -> None:
    """With ``exporter=``, endpoint and token of the environment are not read."""
    exporter = MemoryExporter()
    environ = {"DTMETRICS_ENDPOINT": "nonsense", "DTMETRICS_TOKEN": TOKEN}
    config = resolve(environ, exporter=exporter)
    assert config.exporter is exporter
    assert problems(exporter=exporter, endpoint=SAAS) == [
        "exporter must be set without endpoint and token, got one with endpoint"
    ]


def test_problem_names_its_source() -> None:
    """A problem begins with the argument or the environment variable that was set."""
    (problem,) = problems(endpoint=SAAS, token=f"{TOKEN}\x7f")
    assert problem.startswith("token ")
    (problem,) = problems({"DTMETRICS_TOKEN": f"{TOKEN}\x7f"}, endpoint=SAAS)
    assert problem.startswith("DTMETRICS_TOKEN ")


@pytest.mark.parametrize("token", [None, "", "  \n"])
def test_token_needed(token: str | None) -> None:
    """Only an endpoint on this host may be used without a token."""
    arguments = {} if token is None else {"token": token}
    assert problems(endpoint="https://abc.example", **arguments) == [
        "token must be set for the endpoint at 'abc.example', got none"
    ]
    assert (
        resolve(endpoint="http://127.0.0.1:14500/metrics/ingest").token.reveal() == ""
    )


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]"]
)
def test_token_to_this_host(host: str) -> None:
    """A token may go to this host unencrypted."""
    config = resolve(endpoint=f"http://{host}:9999/e/abc", token=TOKEN)
    assert config.local
    assert config.token.reveal() == TOKEN


@pytest.mark.parametrize(
    "host", ["abc.example", "10.0.0.1", "localhost.example", "0.0.0.0", "127.0.0.1.nip"]
)
def test_token_in_the_clear(host: str) -> None:
    """A token goes to another host by https only, unless the user allows plain http."""
    (problem,) = problems(endpoint=f"http://{host}/e/abc", token=TOKEN)
    assert problem == (
        f"endpoint must begin with https:// to encrypt the token on its way to '{host}', "
        f"unless allow_plain_http=True, got 'http://{host}/e/abc/api/v2/metrics/ingest'"
    )
    for config in (
        resolve(endpoint=f"https://{host}", token=TOKEN),
        resolve(endpoint=f"http://{host}", token=TOKEN, allow_plain_http=True),
    ):
        assert not config.local
        assert config.token.reveal() == TOKEN


def test_oneagent_gets_no_token() -> None:
    """The address of the OneAgent gets no token, because it needs none."""
    assert not resolve(
        endpoint="http://localhost:14499/metrics/ingest/", token="x"
    ).token
    assert resolve(endpoint="http://localhost:14500/metrics/ingest", token="x").token


def test_all_problems_at_once() -> None:
    """One error lists every problem, each with the place where it was set."""
    listed = problems(
        {"DTMETRICS_INTERVAL": "soon", "DTMETRICS_DIMENSIONS": "region"},
        endpoint=f"https://x.example/?t={TOKEN}",
        token=f"{TOKEN}\r\nx",
        prefix="dt",
        strict=None,
    )
    assert sorted(problem.partition(" ")[0] for problem in listed) == [
        "DTMETRICS_DIMENSIONS",
        "DTMETRICS_INTERVAL",
        "endpoint",
        "prefix",
        "strict",
        "token",
    ]


def test_with_destination() -> None:
    """A destination from a file keeps the other settings, and a token that was set."""
    config = resolve(interval=5, prefix="shop")
    found = config.with_destination(Secret("https://abc.example"), Secret(" file\n"))
    assert (found.interval, found.prefix, found.endpoint_from_file) == (
        5.0,
        "shop",
        False,
    )
    assert (found.endpoint, found.token.reveal()) == (
        "https://abc.example/api/v2/metrics/ingest",
        "file",
    )
    with_token = resolve(token="argument").with_destination(
        Secret(SAAS), Secret("file")
    )
    assert with_token.token.reveal() == "argument"
    with pytest.raises(ConfigError) as caught:
        config.with_destination(Secret("abc.example"), Secret(TOKEN))
    assert caught.value.problems == (
        "DT_METRICS_INGEST_URL must be an http:// or https:// URL, got 'abc.example' "
        "(did you mean https://abc.example?)",
    )


def test_config_shows_no_token() -> None:
    """Printed settings show no token, and settings with a token cannot be pickled."""
    config = resolve(endpoint=SAAS, token=TOKEN)
    assert "CANARY" not in repr(config) + str(config)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(config)


#: The form of every problem: setting, requirement, value, and perhaps a hint.
SENTENCE = re.compile(
    r"(?P<source>[a-z_]+|DT[A-Z_]+)(\[[^\n]+\])? must [a-z][^\n]*, got [^\n]+"
    r"( \(did you mean [^\n]+\?\))?"
)

tokens = st.from_regex(
    r"dt0[cs]0[0-9]\.[A-Z0-9]{8,24}\.[A-Z0-9]{16,64}", fullmatch=True
)
# Hypothesis tries words of the code, such as "at_least_once", which messages may show.
other_secrets = st.text(
    st.characters(min_codepoint=33, max_codepoint=126), min_size=5, max_size=80
).map("CANARY-{}".format)
templates = st.sampled_from(
    [
        "{0}",
        "https://{0}",
        "https://{0}@abc.example",
        "https://user:{0}@abc.example/e/x",
        "https://abc.example/{0}",
        "https://abc.example/?api-token={0}",
        "https://abc.example/#{0}",
        "http://abc.example/?a@b={0}",
        "{0}:14499",
        "localhost/{0}?{0}",
        "Api-Token {0}",
        "{0}\r\nX: y",
        "{0}=1",
        "region={0},x",
    ]
)
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
names = st.sampled_from(
    [
        "endpoint",
        "prefix",
        "dimensions",
        "interval",
        "level",
        "delivery",
        "spool",
        "ca_file",
        "exporter",
        "max_series",
        "strict",
        "enrich",
        "announce",
    ]
)


@given(tokens | other_secrets, st.data())
def test_no_problem_shows_the_token(token: str, data: st.DataObject) -> None:
    """No message shows the token, whichever settings hold it and however it is invalid."""
    arguments: dict[str, Any] = {
        "token": data.draw(st.sampled_from([token, f"{token}é"]))
    }
    for name in data.draw(st.sets(names, min_size=1)):
        text = data.draw(templates).format(token)
        wrap = data.draw(st.sampled_from([str, lambda x: [x], lambda x: {x: x}]))
        arguments[name] = wrap(text)
    arguments["levels"] = {token: "LOUD", "shop": token}
    listed = _problems_of(arguments)
    assert listed
    # In any case, because a host is lower-cased.
    assert token.lower() not in "\n".join(listed).lower()
    assert all(SENTENCE.fullmatch(problem) for problem in listed)


@given(
    st.dictionaries(names | st.just("levels"), plain | st.dictionaries(plain, plain))
)
def test_every_problem_has_one_form(arguments: dict[str, Any]) -> None:
    """Every problem names setting, requirement and value, in a bounded length."""
    for problem in _problems_of(arguments):
        match = SENTENCE.fullmatch(problem)
        assert match
        assert match["source"] in {*arguments, "token"}
        assert len(problem) < 1_500


def _problems_of(arguments: dict[str, Any]) -> tuple[str, ...]:
    """Return the problems of these settings, if any."""
    try:
        resolve(**arguments)
    except ConfigError as error:
        return error.problems
    return ()


def configure_by_arguments(runtime: Runtime) -> None:
    """Configure with invalid settings, and the token in each of them."""
    runtime.configure(
        endpoint=f"https://user:{TOKEN}@abc.example/?api-token={TOKEN}",
        token=f"{TOKEN}\r\nX-Injected: 1",
        interval=-1,
    )


def configure_with_valid_token(runtime: Runtime) -> None:
    """Configure with a valid token and another setting that is invalid."""
    runtime.configure(endpoint=SAAS, token=TOKEN, interval=-1)


def configure_by_environment(runtime: Runtime) -> None:
    """Configure with an invalid environment."""
    runtime.configure(interval=-1)


@pytest.mark.parametrize(
    "configure",
    [configure_by_arguments, configure_with_valid_token, configure_by_environment],
)
def test_token_in_no_traceback(
    configure: Callable[[Runtime], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traceback of a failing configure() shows no token, even with local variables."""
    monkeypatch.setenv("DTMETRICS_TOKEN", f"{TOKEN}\x7f")
    monkeypatch.setenv("DTMETRICS_ENDPOINT", f"https://abc.example/?token={TOKEN}")
    runtime = Runtime()
    with pytest.raises(ConfigError) as caught:
        configure(runtime)
    error = caught.value
    shown = "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format()
    )
    assert "in _checked" in shown
    lines = [line for line in shown.splitlines() if "CANARY" in line]
    assert lines == []
    assert "CANARY" not in repr(error) + str(error) + repr(error.args)
    assert b"CANARY" not in pickle.dumps(error)
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


@pytest.mark.parametrize(
    ("settings", "stays"),
    [
        ({}, True),
        ({"endpoint": "http://127.0.0.1:9"}, True),
        ({"exporter": MemoryExporter()}, True),
        ({"exporter": ConsoleExporter()}, True),
        ({"exporter": Script()}, False),
        ({"endpoint": "https://abc.example", "token": "x"}, False),
    ],
)
def test_what_stays_on_this_host(settings: dict[str, Any], stays: bool) -> None:
    """Only an endpoint on this host, and our own exporters, need no random delay."""
    assert resolve(**settings).stays_here is stays


def test_operators_file_names_another_host(tmp_path: Path) -> None:
    """With the operator's file, batches may leave this host."""
    config = replace(resolve(), platform_directory=str(tmp_path))
    assert config.stays_here
    path = tmp_path / "endpoint" / "endpoint.properties"
    path.parent.mkdir()
    path.write_text("DT_METRICS_INGEST_URL=https://abc.example\n")
    assert not config.stays_here
