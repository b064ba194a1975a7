from __future__ import annotations

import inspect
import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics import MemoryExporter
from dtmetrics._config.config import Config
from dtmetrics._config.settings import READERS, Fault, is_loopback
from dtmetrics._core.secret import Secret
from dtmetrics._runtime.runtime import Process
from tests.support import protocol_grammar
from tests.support.strategies import texts, words

TOKEN = "dt0c01.CANARY.secret"


def read(name: str, value: Any) -> Any:
    """Read a setting as ``Config.resolve()`` does."""
    secret = name in ("endpoint", "token")
    return READERS[name](Secret(value) if secret else value)


def fault(name: str, value: Any) -> str:
    """Return why a setting cannot work."""
    with pytest.raises(Fault) as caught:
        read(name, value)
    assert "CANARY" not in str(caught.value)
    return str(caught.value)


def test_every_setting_is_read() -> None:
    """Each argument of configure() has its reader, and each reader its setting."""
    found = {"directory", "follow"}  # and not set
    names = {field.name for field in fields(Config)} - found
    assert READERS.keys() == names
    assert inspect.signature(Process().configure).parameters.keys() == names | {"force"}


# -- endpoint ---------------------------------------------------------------------


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
    read_path = read("endpoint", f"https://abc.example{given_path}")
    assert read_path == f"https://abc.example{path}"
    assert read("endpoint", read_path) == read_path


BAD_ENDPOINTS: list[Any] = [
    "http://:][A",
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
    assert fault("endpoint", endpoint)


@given(
    st.from_regex(r"https?://[ -~]{0,80}", fullmatch=True)
    | st.from_regex(r"https?://[a-z0-9.:\[\]-]{1,30}(/[ -~]{0,30})?", fullmatch=True)
)
def test_any_endpoint(text: str) -> None:
    """An endpoint that is not refused is one that can be posted to."""
    try:
        endpoint = read("endpoint", text)
    except Fault:
        return
    assert httpx.Request("POST", httpx.URL(endpoint)).url.host
    assert read("endpoint", endpoint) == endpoint


@pytest.mark.parametrize(
    ("given_token", "kept"),
    [("abc\n", "abc"), ("abc\r\n", "abc"), ("  abc ", "abc"), ("\tabc", "abc")],
)
def test_token_from_a_file(given_token: str, kept: str) -> None:
    """A token that was read from a mounted file loses the file's line end."""
    assert read("token", given_token).reveal() == kept


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
    assert fault("token", token)


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


@pytest.mark.parametrize(("name", "value"), BAD, ids=range(len(BAD)))
def test_bad_setting(name: str, value: Any) -> None:
    """Every setting of a wrong type or value is one short sentence of an error."""
    assert 0 < len(fault(name, value)) < 300


@pytest.mark.parametrize(
    "prefix", ["", " ", ".", "shop", "shop.", " .shop.eu. ", "shop-1_x"]
)
def test_prefix(prefix: str) -> None:
    """Dots and blanks around a prefix do not matter."""
    assert read("prefix", prefix) == prefix.strip(" .")


@given(words | texts)
def test_any_prefix(text: str) -> None:
    """A prefix that is not refused starts any key within the endpoint's limits."""
    try:
        prefix = read("prefix", text)
    except Fault:
        return
    assert not prefix or protocol_grammar.is_key(f"{prefix}.key")
    assert len(prefix) <= 100


def test_long_prefix() -> None:
    """A prefix of a hundred characters is the longest: keys are cut where they differ."""
    assert read("prefix", "x" * 100) == "x" * 100
    assert fault("prefix", "x" * 101) == "has more than 100 characters"
    assert fault("prefix", f"{'x' * 60}.{'y' * 60}") == "has more than 100 characters"


def test_levels() -> None:
    """Levels are given by name or number, for all or by meter."""
    assert read("level", "warning") == logging.WARNING
    assert read("level", " 15 ") == 15
    assert read("level", logging.ERROR) == logging.ERROR
    assert read("levels", {"shop.db": "DEBUG", "shop": 35}) == {
        "shop.db": 10,
        "shop": 35,
    }


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


# -- what is right ----------------------------------------------------------------


@given(
    st.dictionaries(words, st.text("abc =.-", max_size=8).map(str.strip), min_size=1)
)
def test_dimensions_from_a_text(dimensions: dict[str, str]) -> None:
    """Dimensions may be written as one text, blanks around them and all."""
    text = " , ".join(f"{key} = {value}" for key, value in dimensions.items())
    assert read("dimensions", text) == dimensions


def test_dimensions_are_copied() -> None:
    """What a caller does to its mapping later changes no setting."""
    given_mapping = {"region": "eu"}
    dimensions = read("dimensions", given_mapping)
    given_mapping["region"] = "us"
    assert dimensions == {"region": "eu"}
    assert read("dimensions", None) == {}


def test_ca_file(certificate: Path) -> None:
    """A file of certificates is looked at when it is set."""
    assert read("ca_file", certificate) == str(certificate)
    assert read("ca_file", None) is None


@given(st.floats(0, 86_400, exclude_min=True))
def test_interval(seconds: float) -> None:
    """Any positive number of seconds up to a day is an interval, as a text too."""
    assert read("interval", seconds) == seconds
    assert read("interval", f" {seconds!r} ") == seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("interval", None),
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
def test_kept_as_it_is(name: str, value: Any) -> None:
    """What is right already is taken as it is."""
    assert read(name, value) is value
