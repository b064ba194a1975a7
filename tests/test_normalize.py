from __future__ import annotations

import enum
import http
import sys
import threading
import tracemalloc
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given

from dtmetrics._protocol.normalize import (
    DIMENSION_KEY_LIMIT,
    KEY_LIMIT,
    VALUE_LIMIT,
    Remembered,
    clean_dimension_key,
    clean_dimension_value,
    clean_key,
    one_line,
    text_of,
)
from tests.support import protocol_grammar, strategies

MEGABYTE = 1 << 20


# -- metric keys ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        pytest.param("orders.placed", "orders.placed", id="fine as it is"),
        pytest.param("a-b_C1.d-", "a-b_C1.d-", id="every legal character"),
        pytest.param("orders placed", "orders_placed", id="blank"),
        pytest.param("a,,, b", "a_b", id="a run is one underscore"),
        pytest.param("grüße", "gr_e", id="letters that are not latin"),
        pytest.param("a\n1 evil", "a_1_evil", id="line end"),
        pytest.param("a\ud800b", "a_b", id="half a surrogate pair"),
        pytest.param("1st", "_st", id="digit at the start"),
        pytest.param("000", "_00", id="digits only"),
        pytest.param("~0#key", "_0_key", id="bad, then a digit"),
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
        pytest.param("dt.host", "dt.host", id="a reserved one is refused elsewhere"),
        pytest.param("", None, id="empty"),
        pytest.param(".a", None, id="dot at the start"),
        pytest.param("...", None, id="dots only"),
    ],
)
def test_keys(raw: str, key: str | None) -> None:
    """A metric name is mended into a key, unless nothing in it can start one."""
    assert clean_key(raw) == key


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        pytest.param("a" * 251, "a" * 250, id="too long"),
        pytest.param("a" * 249 + ".b", "a" * 249, id="cut behind a dot"),
        pytest.param("a" * 248 + ".1", "a" * 248 + "._", id="cut in a mended section"),
        pytest.param(
            "a." + "b." * 110 + "1." * 20,
            "a." + "b." * 110 + "_1." * 9 + "_",
            id="mended sections",
        ),
        pytest.param(
            "a.1" + "x" * 245 + ".b", "a._1" + "x" * 245, id="mended, cut behind a dot"
        ),
        pytest.param("." * 250 + "a", None, id="only dots are left"),
    ],
)
def test_long_keys(raw: str, key: str | None) -> None:
    """A key is cut at 250 characters, and what the cut leaves is a key."""
    assert clean_key(raw) == key
    assert key is None or len(key) <= KEY_LIMIT


def test_keys_that_differ_stay_apart() -> None:
    """Mending a section's first digit keeps the digit: it may be all that differs."""
    assert len({clean_key(f"load.{minutes}m") for minutes in (1, 5, 15)}) == 3


@given(strategies.metric_names)
def test_any_key(raw: str) -> None:
    """Whatever a metric is called, its key is none or one of the protocol."""
    key = clean_key(raw)
    assert key is None or protocol_grammar.is_key(key)
    assert key is None or type(key) is str


@given(strategies.metric_names)
def test_clean_keys_stay(raw: str) -> None:
    """A clean key is its own clean key, and the same name always has the same."""
    key = clean_key(raw)
    assert clean_key(raw) == key
    assert key is None or clean_key(key) == key


# -- dimension keys -------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        pytest.param("http.route", "http.route", id="fine as it is"),
        pytest.param("a-b_c1:d.e-", "a-b_c1:d.e-", id="every legal character"),
        pytest.param("dt.entity.host", "dt.entity.host", id="dt. may be set"),
        pytest.param("Tenant Name", "tenant_name", id="capitals and a blank"),
        pytest.param("region=a,b", "region_a_b", id="what has a meaning"),
        pytest.param("a\nb", "a_b", id="line end"),
        pytest.param("---dim", "_--dim", id="hyphens at the start"),
        pytest.param(":dim", "_dim", id="colon at the start"),
        pytest.param("a.:b", "a._b", id="colon at the start of a section"),
        pytest.param("000", "_00", id="digits only"),
        pytest.param("dim.000", "dim._00", id="section of digits"),
        pytest.param("dim.\u0661", "dim._", id="digit that is not ascii"),
        pytest.param("ä_ätag", "___tag", id="bad, good, bad"),
        pytest.param(".a", "a", id="dot at the start"),
        pytest.param("a..b.", "a.b", id="empty sections"),
        pytest.param("\u212a", "k", id="kelvin sign"),
        pytest.param("\u0130", "i_", id="letter that grows in lower case"),
        pytest.param("\u0130" * 100, "i_" * 50, id="it may not grow too long"),
        pytest.param("a" * 101, "a" * 100, id="too long"),
        pytest.param("a" * 99 + ".b", "a" * 99, id="cut behind a dot"),
        pytest.param("@", "_", id="nothing legal"),
        pytest.param("", None, id="empty"),
        pytest.param("...", None, id="dots only"),
        pytest.param("." * 100 + "a", None, id="only dots are left"),
    ],
)
def test_dimension_keys(raw: str, key: str | None) -> None:
    """A dimension's name is mended into a key, unless nothing of it is left."""
    assert clean_dimension_key(raw) == key


@given(strategies.metric_names)
def test_any_dimension_key(raw: str) -> None:
    """Whatever a dimension is called, its key is none or one of the protocol."""
    key = clean_dimension_key(raw)
    assert key is None or protocol_grammar.is_dimension_key(key)
    assert key is None or len(key) <= DIMENSION_KEY_LIMIT


@given(strategies.metric_names)
def test_clean_dimension_keys_stay(raw: str) -> None:
    """A clean key is its own clean key, and the same name always has the same."""
    key = clean_dimension_key(raw)
    assert clean_dimension_key(raw) == key
    assert key is None or clean_dimension_key(key) == key


# -- dimension values -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("eu west", "eu west", id="blank"),
        pytest.param('a,b=c"d\\e', 'a,b=c"d\\e', id="what gets escaped"),
        pytest.param('"quoted"', '"quoted"', id="quotes are data"),
        pytest.param('"', '"', id="one quote"),
        pytest.param('""', '""', id="nothing in quotes"),
        pytest.param("two\r\nlines", "two_lines", id="a run is one underscore"),
        pytest.param("\x00\x1f\x7f\x80\x9f", "_", id="controls"),
        pytest.param("a\u2028b\u2029c\x85d", "a_b_c_d", id="line ends of unicode"),
        pytest.param("\ud83d\ude00 \udc80", "_ _", id="halves of surrogate pairs"),
        pytest.param(
            "\U0001f469\u200d\U0001f467", "\U0001f469\u200d\U0001f467", id="emoji"
        ),
        pytest.param("\ufeff\u202e\u00ad", "\ufeff\u202e\u00ad", id="formatting"),
        pytest.param("\u0378\ue000\uffff", "\u0378\ue000\uffff", id="no meaning"),
        pytest.param("Straße", "Straße", id="letters"),
        pytest.param("\U0001f600" * 251, "\U0001f600" * 250, id="too long"),
        pytest.param('"' * 251, '"' * 250, id="cut before it is escaped"),
        pytest.param("", "", id="empty"),
    ],
)
def test_dimension_values(text: str, value: str) -> None:
    """A value is what it was, but for what a line cannot hold and what is too long."""
    assert clean_dimension_value(text) == value


@given(strategies.texts)
def test_any_dimension_value(text: str) -> None:
    """Whatever a value holds, it is empty or one of the protocol, and stays it."""
    value = clean_dimension_value(text)
    assert value == "" or protocol_grammar.is_dimension_value(value)
    assert clean_dimension_value(value) == value
    assert (value == "") == (text == "")


@given(strategies.dimension_values)
def test_values_are_opaque(value: str) -> None:
    """What the protocol can hold is not touched, whatever it looks like."""
    assert clean_dimension_value(value) == value
    assert clean_dimension_value(f'"{value[:100]}"') == f'"{value[:100]}"'


@given(strategies.texts)
def test_one_line(text: str) -> None:
    """No text is more than one line, for any of the line ends Python knows."""
    assert len(one_line(text).splitlines()) == (text != "")
    one_line(text).encode()


@pytest.mark.parametrize(
    "clean", [clean_key, clean_dimension_key, clean_dimension_value]
)
@pytest.mark.parametrize("piece", ["a", "a.", ".", "\n", "\u0130", "\U0001f600"])
def test_long_texts_cost_little(clean: Callable[[str], str | None], piece: str) -> None:
    """Of a megabyte only what can be kept is looked at."""
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


class Shy(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError("not telling")


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
    """A value is called what its readers call it, on every version of Python."""
    found = text_of(value)
    assert found == text
    assert type(found) is str


@pytest.mark.skipif(sys.version_info < (3, 11), reason="StrEnum came with Python 3.11")
def test_string_enums() -> None:
    """A member of a StrEnum is called what its value says."""
    assert text_of(enum.StrEnum("Region", {"EU": "eu"}).EU) == "eu"


def test_hostile_texts() -> None:
    """What a value's own text raises is the caller's to handle."""
    with pytest.raises(ValueError, match="not telling"):
        text_of(Shy("eu"))


@pytest.mark.parametrize("piece", [b"a", b"\xff", "é".encode(), "\U0001f600".encode()])
def test_long_bytes(piece: bytes) -> None:
    """Of a megabyte of bytes no more is decoded than a value can hold."""
    text = text_of(piece * (MEGABYTE // len(piece)))
    assert len(text) <= 4 * VALUE_LIMIT
    whole = (piece * VALUE_LIMIT).decode("utf-8", "replace")
    assert clean_dimension_value(text) == whole[:VALUE_LIMIT]


# -- remembering ----------------------------------------------------------------


class Asked:
    """A function that notes what it was asked."""

    def __init__(self, answer: Callable[[str], str | None] = str.upper) -> None:
        self.answer = answer
        self.names: list[str] = []

    def __call__(self, raw: str) -> str | None:
        self.names.append(raw)
        return self.answer(raw)


@given(strategies.metric_names)
def test_remembered(raw: str) -> None:
    """The first answer and the remembered one are the function's."""
    remembered = Remembered(clean_key)
    assert [remembered(raw), remembered(raw)] == [clean_key(raw)] * 2


@pytest.mark.parametrize("answer", [str.upper, lambda raw: None])
def test_asked_once(answer: Callable[[str], str | None]) -> None:
    """What is remembered is not asked again, none included."""
    asked = Asked(answer)
    remembered = Remembered(asked)
    assert remembered("a") == remembered("a") == answer("a")
    assert asked.names == ["a"]


def test_long_names_are_not_remembered() -> None:
    """A name that is longer than any key costs no memory."""
    asked = Asked()
    remembered = Remembered(asked)
    for name in ("a" * KEY_LIMIT, "a" * (KEY_LIMIT + 1)) * 2:
        assert remembered(name) == name.upper()
    assert [len(name) for name in asked.names] == [250, 251, 251]


def test_the_oldest_is_forgotten() -> None:
    """What was not asked for the longest time makes room."""
    asked = Asked()
    remembered = Remembered(asked, characters=1000)
    for number in range(100):
        remembered("kept")
        remembered(f"name{number}")
    assert asked.names.count("kept") == 1
    remembered("name0")
    assert asked.names.count("name0") == 2


def test_memory_is_bounded() -> None:
    """However many names there are, and however long: what is kept is bounded."""
    remembered = Remembered(clean_dimension_key)
    tracemalloc.start()
    try:
        for number in range(12_000):
            remembered(f"{number}".ljust(KEY_LIMIT, "\U0001f600"))
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()


def test_never_waits_for_a_thread() -> None:
    """While one thread is asking, another computes for itself."""
    asking, answer = threading.Event(), threading.Event()

    def slow(raw: str) -> str:
        if raw == "slow":
            asking.set()
            assert answer.wait(10)
        return raw.upper()

    remembered = Remembered(slow)
    thread = threading.Thread(target=remembered, args=("slow",))
    thread.start()
    try:
        assert asking.wait(10)
        assert remembered("quick") == "QUICK"
        assert thread.is_alive()
    finally:
        answer.set()
        thread.join(10)


def test_never_waits_for_itself() -> None:
    """A signal handler or a finaliser may ask while its own thread is asking."""
    remembered = Remembered(lambda raw: remembered(raw[1:]) if raw else "end")
    assert remembered("aaa") == "end"


def test_survives_what_the_function_raises() -> None:
    """After an error the name is asked again, and remembering goes on."""
    asked = Asked(lambda raw: str(1 // (len(asked.names) - 1)))
    remembered = Remembered(asked)
    with pytest.raises(ZeroDivisionError):
        remembered("a")
    assert remembered("a") == remembered("a") == "1"
    assert asked.names == ["a", "a"]
