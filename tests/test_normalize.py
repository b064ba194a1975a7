from __future__ import annotations

import enum
import http
import sys
import tracemalloc
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given

from dtmetrics._protocol import normalize
from dtmetrics._protocol.normalize import (
    DIMENSION_KEY_LIMIT,
    KEY_LIMIT,
    VALUE_LIMIT,
    clean_dimension_key,
    clean_dimension_value,
    clean_key,
    one_line,
    text_of,
)
from tests.support import protocol_grammar, strategies
from tests.support.raising_signal import instructions

MEGABYTE = 1 << 20

# The cached function, which the public one calls with the text cut.
cached = normalize._clean_dimension_key


# -- metric keys ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        pytest.param("orders.placed", "orders.placed", id="valid"),
        pytest.param("a-b_C1.d-", "a-b_C1.d-", id="every legal character"),
        pytest.param("orders placed", "orders_placed", id="blank"),
        pytest.param("a,,, b", "a_b", id="a run is one underscore"),
        pytest.param("grüße", "gr_e", id="letters that are not latin"),
        pytest.param("a\n1 evil", "a_1_evil", id="line end"),
        pytest.param("a\ud800b", "a_b", id="half a surrogate pair"),
        pytest.param("1st", "_st", id="digit at the start"),
        pytest.param("000", "_00", id="digits only"),
        pytest.param("~0#key", "_0_key", id="invalid, then a digit"),
        pytest.param("-a", "_a", id="hyphen at the start"),
        pytest.param("--", "_-", id="hyphens only"),
        pytest.param("!@#$", "_", id="nothing legal"),
        pytest.param("a-b.-c", "a-b._c", id="hyphen at the start of a section"),
        pytest.param("load.1m", "load._1m", id="digit at the start of a section"),
        pytest.param("load.15", "load._15", id="section of digits"),
        pytest.param("load.\u0661m", "load._m", id="digit that is not ascii"),
        pytest.param("load.\u00b2", "load._", id="superscript digit"),
        pytest.param("a..b", "a.b", id="empty section"),
        pytest.param("a.", "a", id="dot at the end"),
        pytest.param("a...", "a", id="dots at the end"),
        pytest.param("dt.host", "dt.host", id="reserved prefix"),
        pytest.param("", None, id="empty"),
        pytest.param(".a", None, id="dot at the start"),
        pytest.param("...", None, id="dots only"),
    ],
)
def test_keys(raw: str, key: str | None) -> None:
    """A metric name becomes a valid key; without a first section it has none."""
    assert clean_key(raw) == key


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        pytest.param("a" * 251, "a" * 250, id="too long"),
        pytest.param("a" * 249 + ".b", "a" * 249, id="cut after a dot"),
        pytest.param("a" * 248 + ".1", "a" * 248 + "._", id="cut in a changed section"),
        pytest.param(
            "a." + "b." * 110 + "1." * 20,
            "a." + "b." * 110 + "_1." * 9 + "_",
            id="changed sections",
        ),
        pytest.param(
            "a.1" + "x" * 245 + ".b", "a._1" + "x" * 245, id="changed, cut after a dot"
        ),
        pytest.param("." * 250 + "a", None, id="only dots are left"),
    ],
)
def test_long_keys(raw: str, key: str | None) -> None:
    """A key is cut at 250 characters, and is valid after the cut."""
    assert clean_key(raw) == key
    assert key is None or len(key) <= KEY_LIMIT


@given(strategies.metric_names)
def test_any_key(raw: str) -> None:
    """Any text has either no key or one that the protocol allows and cleaning keeps."""
    key = clean_key(raw)
    if key is not None:
        assert type(key) is str
        assert protocol_grammar.is_key(key)
        assert clean_key(key) == key


# -- dimension keys -------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        pytest.param("http.route", "http.route", id="valid"),
        pytest.param("a-b_c1:d.e-", "a-b_c1:d.e-", id="every legal character"),
        pytest.param("dt.entity.host", "dt.entity.host", id="reserved prefix"),
        pytest.param("Tenant Name", "tenant_name", id="capitals and a blank"),
        pytest.param("region=a,b", "region_a_b", id="separators"),
        pytest.param("a\nb", "a_b", id="line end"),
        pytest.param("---dim", "_--dim", id="hyphens at the start"),
        pytest.param(":dim", "_dim", id="colon at the start"),
        pytest.param("a.:b", "a._b", id="colon at the start of a section"),
        pytest.param("000", "_00", id="digits only"),
        pytest.param("dim.000", "dim._00", id="section of digits"),
        pytest.param("dim.\u0661", "dim._", id="digit that is not ascii"),
        pytest.param("ä_ätag", "___tag", id="invalid, valid, invalid"),
        pytest.param(".a", "a", id="dot at the start"),
        pytest.param("a..b.", "a.b", id="empty sections"),
        pytest.param("\u212a", "k", id="kelvin sign"),
        pytest.param("\u0130", "i_", id="letter that is two in lower case"),
        pytest.param("\u0130" * 100, "i_" * 50, id="too long in lower case"),
        pytest.param("a" * 101, "a" * 100, id="too long"),
        pytest.param("a" * 99 + ".b", "a" * 99, id="cut after a dot"),
        pytest.param("@", "_", id="nothing legal"),
        pytest.param("", None, id="empty"),
        pytest.param("...", None, id="dots only"),
        pytest.param("." * 100 + "a", None, id="only dots are left"),
    ],
)
def test_dimension_keys(raw: str, key: str | None) -> None:
    """A dimension name becomes a valid key; a name of dots has none."""
    assert clean_dimension_key(raw) == key


@given(strategies.metric_names)
def test_any_dimension_key(raw: str) -> None:
    """Any text has either no dimension key or one that is valid and that cleaning keeps.

    The first and the cached result are those of cleaning without a cache.
    """
    key = cached.__wrapped__(raw[:DIMENSION_KEY_LIMIT])
    assert clean_dimension_key(raw) == clean_dimension_key(raw) == key
    if key is not None:
        assert protocol_grammar.is_dimension_key(key)
        assert len(key) <= DIMENSION_KEY_LIMIT
        assert clean_dimension_key(key) == key


# -- dimension values -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("eu west", "eu west", id="blank"),
        pytest.param('a,b=c"d\\e', 'a,b=c"d\\e', id="escaped later"),
        pytest.param('"quoted"', '"quoted"', id="quotes"),
        pytest.param('"', '"', id="one quote"),
        pytest.param('""', '""', id="empty quotes"),
        pytest.param("two\r\nlines", "two_lines", id="a run is one underscore"),
        pytest.param("\x00\x1f\x7f\x80\x9f", "_", id="controls"),
        pytest.param("a\u2028b\u2029c\x85d", "a_b_c_d", id="line ends of unicode"),
        pytest.param("\ud83d\ude00 \udc80", "_ _", id="halves of surrogate pairs"),
        pytest.param(
            "\U0001f469\u200d\U0001f467", "\U0001f469\u200d\U0001f467", id="emoji"
        ),
        pytest.param("\ufeff\u202e\u00ad", "\ufeff\u202e\u00ad", id="formatting"),
        pytest.param("\u0378\ue000\uffff", "\u0378\ue000\uffff", id="unassigned"),
        pytest.param("Straße", "Straße", id="letters"),
        pytest.param("\U0001f600" * 251, "\U0001f600" * 250, id="too long"),
        pytest.param('"' * 251, '"' * 250, id="cut before it is escaped"),
        pytest.param("", "", id="empty"),
    ],
)
def test_dimension_values(text: str, value: str) -> None:
    """A value changes only where a line cannot hold it, or where it is too long."""
    assert clean_dimension_value(text) == value


@given(strategies.texts)
def test_any_dimension_value(text: str) -> None:
    """Any text becomes a value that the protocol allows; only an empty text is empty."""
    value = clean_dimension_value(text)
    assert value == "" or protocol_grammar.is_dimension_value(value)
    assert clean_dimension_value(value) == value
    assert (value == "") == (text == "")


@given(strategies.dimension_values)
def test_values_are_opaque(value: str) -> None:
    """A value that the protocol allows is not changed, in quotes or not."""
    assert clean_dimension_value(value) == value
    assert clean_dimension_value(f'"{value[:100]}"') == f'"{value[:100]}"'


@given(strategies.texts)
def test_one_line(text: str) -> None:
    """Any text becomes one line, for each of the line ends that Python has."""
    assert len(one_line(text).splitlines()) == (text != "")
    one_line(text).encode()


@pytest.mark.parametrize(
    "clean", [clean_key, clean_dimension_key, clean_dimension_value]
)
@pytest.mark.parametrize("piece", ["a", "a.", ".", "\n", "\u0130", "\U0001f600"])
def test_long_texts_cost_little(clean: Callable[[str], str | None], piece: str) -> None:
    """Cleaning a text of a megabyte takes the memory of the part that is used."""
    text = piece * (MEGABYTE // len(piece))
    tracemalloc.start()
    try:
        assert clean(text) == clean(text[:VALUE_LIMIT])
        assert tracemalloc.get_traced_memory()[1] < 64 << 10
    finally:
        tracemalloc.stop()


# -- texts of values ------------------------------------------------------------


class Level(enum.Enum):
    HIGH = "high"
    NONE = None


class Code(enum.IntEnum):
    LOST = 404


class Mixed(str, enum.Enum):
    EU = "eu"


class Loud(str, enum.Enum):
    EU = "eu"

    def __str__(self) -> str:
        return "LOUD"


class Raising(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError("no text")


class Nested(str):
    __slots__ = ()

    def __str__(self) -> str:
        return Nested("inner")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("eu", "eu"),
        ("", ""),
        (None, ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (200, "200"),
        (2**100, "1267650600228229401496703205376"),
        (1.5, "1.5"),
        (-0.0, "-0.0"),
        (1e300, "1e+300"),
        (float("nan"), "nan"),
        (Fraction(1, 3), "1/3"),
        (b"GET", "GET"),
        (bytearray(b"gr\xc3\xbcn"), "grün"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", ""),
        (Level.HIGH, "high"),
        (Level.NONE, ""),
        (Code.LOST, "404"),
        (Mixed.EU, "eu"),
        (Loud.EU, "eu"),
        (http.HTTPStatus.OK, "200"),
        (enum.Flag("Flag", ["A", "B"])(3), "3"),
        (ValueError("why"), "why"),
        (Nested("outer"), "inner"),
    ],
    ids=repr,
)
def test_texts(value: object, text: str) -> None:
    """A value has the text that its readers expect, on each version of Python."""
    found = text_of(value)
    assert found == text
    assert type(found) is str


@pytest.mark.skipif(sys.version_info < (3, 11), reason="StrEnum came with Python 3.11")
def test_string_enums() -> None:
    """The text of a StrEnum member is its value."""
    assert text_of(enum.StrEnum("Region", {"EU": "eu"}).EU) == "eu"


def test_text_that_raises() -> None:
    """An error in the ``__str__`` of a value is raised to the caller."""
    with pytest.raises(ValueError, match="no text"):
        text_of(Raising("eu"))


@pytest.mark.parametrize("piece", [b"a", b"\xff", "é".encode(), "\U0001f600".encode()])
def test_long_bytes(piece: bytes) -> None:
    """Of a megabyte of bytes, only what a value can hold is decoded."""
    text = text_of(piece * (MEGABYTE // len(piece)))
    assert len(text) <= 4 * VALUE_LIMIT
    whole = (piece * VALUE_LIMIT).decode("utf-8", "replace")
    assert clean_dimension_value(text) == whole[:VALUE_LIMIT]


# -- the cache of dimension keys ------------------------------------------------


@pytest.mark.parametrize("raw", ["Tenant Name", "..."])
def test_dimension_key_is_cleaned_once(raw: str) -> None:
    """A dimension name is cleaned once, also if it has no key."""
    cached.cache_clear()
    for _ in range(3):
        clean_dimension_key(raw)
    assert cached.cache_info().misses == 1


def test_cache_holds_short_texts_only() -> None:
    """Names that differ only beyond the limit share one entry of the cache."""
    cached.cache_clear()
    for end in ("b", "c", "c" * MEGABYTE):
        assert clean_dimension_key("a" * DIMENSION_KEY_LIMIT + end) == "a" * 100
    assert cached.cache_info().currsize == 1


def test_memory_of_the_cache_is_bounded() -> None:
    """However many dimension names there are, and however long, the cache is small."""
    cached.cache_clear()
    tracemalloc.start()
    try:
        for number in range(12_000):
            clean_dimension_key(f"{number}".ljust(KEY_LIMIT, "\U0001f600"))
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()


def test_cleaning_can_be_interrupted_by_itself() -> None:
    """At each instruction of cleaning a key, a signal handler can clean the same key."""
    seen = 0

    def interrupt(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == interrupted_at:
            assert clean_dimension_key("Tenant Name") == "tenant_name"
            assert clean_dimension_key(f"Tenant {seen}") == f"tenant_{seen}"

    interrupted_at = 0
    while seen >= interrupted_at:
        interrupted_at, seen = interrupted_at + 1, 0
        cached.cache_clear()
        with instructions(interrupt, normalize.__file__):
            assert clean_dimension_key("Tenant Name") == "tenant_name"
        assert cached("Tenant Name") == "tenant_name"
    assert interrupted_at > 50
