from __future__ import annotations

import logging
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics import MemoryExporter
from dtmetrics._config.config import Config
from dtmetrics._config.invalid_setting import InvalidSettingError
from dtmetrics._config.settings import SETTINGS
from dtmetrics._core.level import OFF
from dtmetrics._core.secret import SECRET_SETTINGS, Secret
from dtmetrics._process.groups import GROUPS
from tests.support import protocol_grammar
from tests.support.strategies import texts, words

TOKEN = "dt0c01.CANARY.secret"


def check(name: str, value: Any) -> Any:
    """Check a setting as ``Config.resolve()`` does."""
    secret = name in SECRET_SETTINGS
    return SETTINGS[name](Secret(value) if secret else value)


def problem(name: str, value: Any) -> str:
    """Return the sentence about an invalid setting."""
    with pytest.raises(InvalidSettingError) as caught:
        check(name, value)
    sentence = caught.value.sentence(name)
    assert "CANARY" not in sentence
    return sentence


def test_every_setting_is_checked() -> None:
    """The checks and the fields of Config are the same."""
    # These are resolved, and not set by a caller.
    resolved = {"platform_directory", "endpoint_from_file", "notes", "proxies"}
    resolved.add("certificate_variables")
    names = {field.name for field in fields(Config)} - resolved
    assert SETTINGS.keys() == names


@pytest.mark.parametrize(
    ("text", "token"),
    [("abc\n", "abc"), ("abc\r\n", "abc"), ("  abc ", "abc"), ("\tabc", "abc")],
)
def test_token_from_a_file(text: str, token: str) -> None:
    """A token loses the spaces and line ends around it, which a mounted file has."""
    assert check("token", text).reveal() == token


INVALID_TOKENS: list[Any] = [
    5,
    TOKEN.encode(),
    f"{TOKEN}\r\nX-Injected: 1",
    f"{TOKEN}\nx",
    f"{TOKEN} x",
    f"{TOKEN}\0",
    f"{TOKEN}é",
    TOKEN * 60,
]


@pytest.mark.parametrize("token", INVALID_TOKENS, ids=range(len(INVALID_TOKENS)))
def test_invalid_token(token: Any) -> None:
    """A value that cannot be a token is refused, and no part of it is shown."""
    assert re.fullmatch(
        r"token must (be a str, got \*\*\*"
        r"|have at most 1024 characters, printable ASCII without spaces,"
        r" got \d+ characters)",
        problem("token", token),
    )


class Half:
    def export(self) -> None:
        """Stand for an exporter that lacks the other methods."""


class Hostile:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


INVALID: list[tuple[str, Any]] = [
    ("exporter", MemoryExporter),
    ("exporter", Hostile()),
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
    ("levels", "shop=LOUD"),
    ("levels", "shop=DEBUG;shop.db"),
    ("levels", {5: "INFO"}),
    ("budget", 0),
    ("budget", 1.5),
    ("max_series", 0),
    ("max_series", "many"),
    ("max_series", "0"),
    ("max_series", "9" * 5_000),
    ("max_series", b"5"),
    ("compression", "zip"),
    ("compression", ["gzip"]),
    ("compression", True),
    ("process_dimension", "pid"),
    ("process_dimension", None),
    ("process_dimension", 5),
    ("worker_dimension", "dtmetrics.worker"),
    ("worker_dimension", None),
    ("worker_dimension", 1),
    ("runtime", "all"),
    ("runtime", None),
    ("runtime", 1),
    ("runtime", {"cpu": True}),
    ("runtime", ["cpu", 5]),
    ("runtime", ["cpu", "CPU"]),
    ("max_series_per_metric", True),
    ("max_series_per_metric", 1.5),
    ("delivery", "exactly_once"),
    ("delivery", None),
    ("delivery", []),
    ("spool", ""),
    ("spool", 7),
    ("spool", b"x"),
    ("spool", "a\0b"),
    ("ca_file", ""),
    ("ca_file", 7),
    ("ca_file", "no/such/file"),
    ("ca_file", __file__),
    ("max_outbox_bytes", -1),
    ("max_outbox_bytes", None),
    ("allow_plain_http", "yes"),
    ("metadata", None),
    ("metadata", 0),
    ("strict", 1),
]


@pytest.mark.parametrize(("name", "value"), INVALID, ids=range(len(INVALID)))
def test_invalid_setting(name: str, value: Any) -> None:
    """An invalid value of any setting gives one short sentence that names the setting."""
    sentence = problem(name, value)
    assert sentence.startswith((f"{name} must ", f"{name}["))
    assert len(sentence) < 300


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("interval", -1, "interval must be between 0 and 86400 seconds, got -1"),
        (
            "interval",
            0,
            "interval must be between 0 and 86400 seconds, got 0 (did you mean None?)",
        ),
        (
            "exporter",
            MemoryExporter,
            "exporter must be an instance, got the class MemoryExporter "
            "(did you mean MemoryExporter()?)",
        ),
        (
            "exporter",
            Half(),
            "exporter must have the methods close, reset_after_fork, "
            "got an object of type Half",
        ),
        (
            "exporter",
            "console",
            "exporter must have the methods export, close, reset_after_fork, "
            "got 'console'",
        ),
        (
            "level",
            "warn ing",
            "level must be a logging level name or an int, got 'warn ing' "
            "(did you mean WARNING?)",
        ),
        (
            "levels",
            {"shop": 10, "shop.db": "DEBGU"},
            "levels['shop.db'] must be a logging level name or an int, got 'DEBGU' "
            "(did you mean DEBUG?)",
        ),
        ("levels", {5: "INFO"}, "levels must have only str keys, got 5"),
        (
            "levels",
            "DEBUG",
            "levels must have the form meter=LEVEL,meter=LEVEL, got 'DEBUG'",
        ),
        (
            "process_dimension",
            "yes",
            "process_dimension must be True, False, 'dt.process.pid' or "
            "'dt.process.id', got 'yes'",
        ),
        (
            "worker_dimension",
            "yes",
            "worker_dimension must be 'auto', True or False, got 'yes'",
        ),
        (
            "runtime",
            "cpu, memry",
            "runtime must be True, False or a list of 'cpu', 'memory', 'paging', "
            "'threads', 'descriptors', 'context_switches', 'gc', 'uptime', got 'memry' "
            "(did you mean memory?)",
        ),
        ("compression", "br", "compression must be 'gzip' or None, got 'br'"),
        (
            "delivery",
            "at-least-once",
            "delivery must be 'at_least_once' or 'at_most_once', got 'at-least-once'",
        ),
        ("metadata", "Off", "metadata must be True or False, got 'Off'"),
        (
            "dimensions",
            [1],
            "dimensions must be a mapping of keys to values, got an object of type list",
        ),
        (
            "ca_file",
            "no/such/file",
            "ca_file must name a readable file of PEM certificates, got 'no/such/file'",
        ),
    ],
    ids=range(17),
)
def test_sentences(name: str, value: Any, sentence: str) -> None:
    """A sentence says what was set, what it must be, what it was, and what was meant."""
    assert problem(name, value) == sentence


@pytest.mark.parametrize(
    "prefix", ["", " ", ".", "shop", "shop.", " .shop.eu. ", "shop-1_x"]
)
def test_prefix(prefix: str) -> None:
    """Dots and spaces around a prefix do not matter."""
    assert check("prefix", prefix) == prefix.strip(" .")


@given(words | texts)
def test_any_prefix(text: str) -> None:
    """A prefix that passes the check begins any key within the endpoint's limits."""
    try:
        prefix = check("prefix", text)
    except InvalidSettingError:
        return
    assert not prefix or protocol_grammar.is_key(f"{prefix}.key")
    assert len(prefix) <= 100


def test_long_prefix() -> None:
    """A prefix has at most 100 characters: a longer one would cut keys where they differ."""
    assert check("prefix", "x" * 100) == "x" * 100
    for prefix in ("x" * 101, f"{'x' * 50}.{'y' * 50}"):
        assert problem("prefix", prefix) == (
            "prefix must have at most 100 characters, got 101 characters"
        )


def test_levels() -> None:
    """A level is a name or a number, for all instruments or for a meter."""
    assert check("level", "warning") == logging.WARNING
    assert check("level", " 15 ") == 15
    assert check("level", logging.ERROR) == logging.ERROR
    assert check("levels", {"shop.db": "DEBUG", "shop": 35}) == {
        "shop.db": 10,
        "shop": 35,
    }


@given(
    st.dictionaries(words, st.text("abc =.-", max_size=8).map(str.strip), min_size=1)
)
def test_dimensions_from_text(dimensions: dict[str, str]) -> None:
    """Dimensions may be one text, with spaces around keys and values."""
    text = " , ".join(f"{key} = {value}" for key, value in dimensions.items())
    assert check("dimensions", text) == dimensions


def test_dimensions_are_copied() -> None:
    """A mapping that the caller changes later does not change the setting."""
    mapping = {"region": "eu"}
    dimensions = check("dimensions", mapping)
    mapping["region"] = "us"
    assert dimensions == {"region": "eu"}
    assert check("dimensions", None) == {}


def test_ca_file(certificate: Path) -> None:
    """The file of certificates is read when it is set."""
    assert check("ca_file", certificate) == str(certificate)
    assert check("ca_file", None) is None


def test_levels_from_text() -> None:
    """The levels of meters may be one text, with spaces around names and levels."""
    assert check("levels", " shop.db = debug , shop=OFF") == {
        "shop.db": 10,
        "shop": OFF,
    }


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (True, "dt.process.pid"),
        ("TRUE", "dt.process.pid"),
        ("1", "dt.process.pid"),
        ("dt.process.pid", "dt.process.pid"),
        ("dt.process.id", "dt.process.id"),
        (False, ""),
        ("false", ""),
    ],
)
def test_process_dimension(value: Any, key: str) -> None:
    """The dimension of the process is switched on and off, or chosen by its key."""
    assert check("process_dimension", value) == key


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("auto", "auto"),
        ("AUTO", "auto"),
        (True, True),
        ("true", True),
        ("1", True),
        (False, False),
        ("0", False),
    ],
)
def test_worker_dimension(value: Any, meaning: object) -> None:
    """Gauges have the number of the worker always, never or where it is needed."""
    assert check("worker_dimension", value) == meaning


@given(st.floats(0, 86_400, exclude_min=True))
def test_interval(seconds: float) -> None:
    """Any positive number of seconds up to a day is an interval, also as text."""
    assert check("interval", seconds) == seconds
    assert check("interval", f" {seconds!r} ") == seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("interval", None),
        ("compression", None),
        ("compression", "gzip"),
        ("exporter", None),
        ("exporter", MemoryExporter()),
        ("max_series", 1),
        ("max_series_per_metric", 10**9),
        ("delivery", "at_most_once"),
        ("spool", "some/where"),
        ("max_outbox_bytes", 1),
        ("metadata", False),
        ("self_metrics", False),
        ("allow_plain_http", True),
        ("strict", True),
    ],
)
def test_valid_as_it_is(name: str, value: Any) -> None:
    """A value that is valid already is taken unchanged."""
    assert check(name, value) is value


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        (True, GROUPS),
        ("TRUE", GROUPS),
        (False, ()),
        ("0", ()),
        ([], ()),
        ("gc", ("gc",)),
        (" gc, cpu,", None),
        ("uptime , cpu", ("cpu", "uptime")),
        ({"gc", "cpu"}, ("cpu", "gc")),
        (("gc", "gc"), ("gc",)),
    ],
)
def test_runtime(value: Any, groups: object) -> None:
    """Groups are named in any order, by a list or by a text with commas."""
    if groups is None:
        assert "got ''" in problem("runtime", value)
    else:
        assert check("runtime", value) == groups
