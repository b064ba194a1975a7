from __future__ import annotations

import enum
import math
import re
import subprocess
import sys
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dtmetrics._protocol.line import encode, identify, number_text
from dtmetrics._protocol.normalize import (
    DIMENSION_KEY_LIMIT,
    DIMENSIONS_LIMIT,
    KEY_LIMIT,
    VALUE_LIMIT,
)
from dtmetrics._protocol.point import (
    CountDelta,
    DataPoint,
    Dimensions,
    GaugeSummary,
    GaugeValue,
    Payload,
)
from tests.support import protocol_grammar, strategies
from tests.support.protocol_grammar import NotALineError, read
from tests.support.recorder import in_columns, one_line_of

MOMENT = 1_700_000_000_000


def line_of(payload: Payload, dimensions: Dimensions = ()) -> str:
    """Return the line of one point, without its timestamp."""
    line = one_line_of(DataPoint(identify("orders", dimensions), payload, MOMENT))
    text, _, moment = line.rpartition(" ")
    assert moment == str(MOMENT)
    return text


# -- the oracle -----------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("", id="empty"),
        pytest.param("a 1\n", id="line end"),
        pytest.param("a 1\u2028", id="line end of unicode"),
        pytest.param("a", id="no payload"),
        pytest.param("a  1", id="two blanks"),
        pytest.param("a 1 ", id="trailing blank"),
        pytest.param("#a gauge dt.meta.unit=s", id="metadata"),
        pytest.param("1a 1", id="key starts with a digit"),
        pytest.param("a.1 1", id="section starts with a digit"),
        pytest.param("a.-b 1", id="section starts with a hyphen"),
        pytest.param("a..b 1", id="empty section"),
        pytest.param("a. 1", id="dot at the end"),
        pytest.param("ä 1", id="letter outside Latin"),
        pytest.param("dt.a 1", id="reserved key"),
        pytest.param("a" * 251 + " 1", id="long key"),
        pytest.param("a,B=c 1", id="capital in a dimension key"),
        pytest.param("a,b.1=c 1", id="digit in a dimension key"),
        pytest.param("a," + "b" * 101 + "=c 1", id="long dimension key"),
        pytest.param("a,b= 1", id="no value"),
        pytest.param('a,b="" 1', id="empty value"),
        pytest.param('a,b=" 1', id="open quotes"),
        pytest.param('a,b="c"d" 1', id="quote in quotes"),
        pytest.param('a,b="c\\d" 1', id="backslash in quotes"),
        pytest.param('a,b="c\td" 1', id="control in quotes"),
        pytest.param('a,b="\ud800" 1', id="half a surrogate pair"),
        pytest.param("a,b=c\\ d 1", id="escape outside quotes"),
        pytest.param("a,b=c d 1", id="blank outside quotes"),
        pytest.param("a,b=" + "c" * 251 + " 1", id="long value"),
        pytest.param("a,b=c,b=c 1", id="duplicate dimension"),
        pytest.param("a, b=c 1", id="blank before a dimension"),
        pytest.param("a,b=c, 1", id="comma at the end"),
        pytest.param(
            "a" + "".join(f",b{number}=c" for number in range(51)) + " 1",
            id="51 dimensions",
        ),
        pytest.param("a 1e5", id="exponent without a point"),
        pytest.param("a .5", id="no digit before the point"),
        pytest.param("a 5.", id="no digit after the point"),
        pytest.param("a 1.e5", id="no digit between point and exponent"),
        pytest.param("a +1", id="plus"),
        pytest.param("a 01", id="leading zero"),
        pytest.param("a nan", id="nan"),
        pytest.param("a True", id="bool"),
        pytest.param("a 1_000", id="underscore"),
        pytest.param("a \u0661", id="digit outside ASCII"),
        pytest.param("a 1.0e999", id="too large for a double"),
        pytest.param("a " + "9" * 309, id="integer too large for a double"),
        pytest.param("a gauge,", id="no number"),
        pytest.param("a count,1", id="running total"),
        pytest.param("a count,delta=nan", id="delta of nan"),
        pytest.param("a gauge,min=1,max=1,sum=1", id="no count"),
        pytest.param("a gauge,max=1,min=1,sum=1,count=1", id="another order"),
        pytest.param("a gauge,min=1,max=1,sum=1,count=-1", id="negative count"),
        pytest.param("a gauge,min=1,max=1,sum=1,count=1.0", id="count with a point"),
        pytest.param(
            "a gauge,min=0,max=1,sum=0,count=0", id="count of zero with a max"
        ),
        pytest.param("a gauge,min=2,max=1,sum=3,count=2", id="min > max"),
        pytest.param("a gauge,min=1,max=2,sum=0.99,count=1", id="mean < min"),
        pytest.param("a gauge,min=1,max=2,sum=4.1,count=2", id="mean > max"),
        pytest.param("a 1 0", id="timestamp of zero"),
        pytest.param("a 1 1.5", id="timestamp with a point"),
        pytest.param("a 1 5 6", id="two timestamps"),
        pytest.param('a,b="' + "\\\\" * 25_000 + '" 1', id="long line"),
    ],
)
def test_the_oracle_is_strict(line: str) -> None:
    """The oracle rejects what the protocol does not document."""
    with pytest.raises(NotALineError):
        read(line)


def test_the_oracle_reads() -> None:
    """The oracle reads key, dimensions, payload and timestamp of a line."""
    summary = "gauge,min=-1,max=2.5,sum=1.0e+0,count=2"
    assert read(
        rf'a.b,c="d \"e\" \\",f=g:h {summary} {MOMENT}'
    ) == protocol_grammar.Line(
        "a.b",
        {"c": 'd "e" \\', "f": "g:h"},
        "summary",
        {"min": -1, "max": 2.5, "sum": 1.0, "count": 2},
        MOMENT,
    )
    assert read("a 1").timestamp is None
    assert read("a -1.5").numbers == read("a gauge,-1.5").numbers == {"value": -1.5}


# -- line prefixes --------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("eu", "eu"),
        ("EU-1.a:b/c_d", "EU-1.a:b/c_d"),
        ("-", "-"),
        ("eu west", '"eu west"'),
        (" ", '" "'),
        ("a,b", '"a,b"'),
        ("a=b", '"a=b"'),
        ("grün", '"grün"'),
        ("{a}", '"{a}"'),
        ('"', r'"\""'),
        ('""', r'"\"\""'),
        ('"eu"', r'"\"eu\""'),
        ("\\", r'"\\"'),
        ("a\\", r'"a\\"'),
        ("\\n", r'"\\n"'),
        ('\\"', r'"\\\""'),
        ('x" gauge,1', r'"x\" gauge,1"'),
    ],
)
def test_values(value: str, text: str) -> None:
    """A plain value is written bare, others in quotes, where two characters are escaped."""
    identity = identify("orders", (("region", value),))
    assert identity.line_prefix == f"orders,region={text}"
    assert read(f"{identity.line_prefix} 1").dimensions == {"region": value}


@pytest.mark.parametrize("flags", [[], ["-O"]], ids=["asserts", "no asserts"])
def test_no_second_line(flags: list[str]) -> None:
    """A line end that cleaning missed cannot start a second line, under -O either."""
    code = """if True:
        from dtmetrics._protocol.line import identify
        for end in "\\n\\r\\v\\f\\x1c\\x1d\\x1e\\x85\\u2028\\u2029":
            print(identify(f"a{end}b", ((f"c{end}", f"d{end}evil 1"),)).line_prefix)
    """
    command = [sys.executable, *flags, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ['a_b,c_="d_evil 1"'] * 10


@given(st.lists(st.tuples(strategies.texts, strategies.texts)), strategies.texts)
def test_any_text_makes_one_line(pairs: list[tuple[str, str]], key: str) -> None:
    """Any texts, cleaned or not, make one line that has a UTF-8 form."""
    line = one_line_of(DataPoint(identify(key, tuple(pairs)), GaugeValue(1), MOMENT))
    assert len(line.splitlines()) == 1
    line.encode()


def test_the_longest_line_fits() -> None:
    """The longest line, with each character of each value escaped, is within the limit."""
    dimensions = tuple(
        (f"d{number:03}".ljust(DIMENSION_KEY_LIMIT, "d"), '"' * VALUE_LIMIT)
        for number in range(DIMENSIONS_LIMIT)
    )
    huge = -int(sys.float_info.max)
    payload = GaugeSummary(huge, huge, huge, 10**18)
    identity = identify("k" * KEY_LIMIT, dimensions)
    line = one_line_of(DataPoint(identity, payload._replace(sum=0, max=-huge), MOMENT))
    assert read(line).dimensions == dict(dimensions)
    assert len(line) < protocol_grammar.LINE_LIMIT


# -- numbers --------------------------------------------------------------------


class Small(enum.IntEnum):
    ONE = 1


class Named(int):
    def __repr__(self) -> str:
        return "Named(7)"

    __str__ = __repr__


class Unit(float):
    def __repr__(self) -> str:
        return "Unit(1.5)"

    __str__ = __repr__


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (-3, "-3"),
        (2**53 + 1, "9007199254740993"),
        (2**1000, str(2**1000)),
        (0.0, "0"),
        (-0.0, "0"),
        (200.0, "200"),
        (-200.0, "-200"),
        (1e15, "1000000000000000"),
        (1e16, "1.0e+16"),
        (1.5e16, "1.5e+16"),
        (1e-4, "0.0001"),
        (1e-5, "1.0e-05"),
        (-1.5e-5, "-1.5e-05"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (5e-324, "5.0e-324"),
        (sys.float_info.max, "1.7976931348623157e+308"),
        (True, "1"),
        (False, "0"),
        (Small.ONE, "1"),
        (Named(7), "7"),
        (Unit(1.5), "1.5"),
        (Unit(2.0), "2"),
    ],
    ids=repr,
)
def test_number_texts(number: float, text: str) -> None:
    """A number is written with all digits, a point before an exponent, and no type."""
    assert number_text(number) == text


@given(strategies.numbers)
def test_numbers_are_read_back(number: float) -> None:
    """A number is read back as the same integer or the same double."""
    text = number_text(number)
    assert re.fullmatch(protocol_grammar.NUMBER, text)
    assert float(text) == float(number)
    if isinstance(number, int):
        assert int(text) == number


# -- points ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (CountDelta(3), "count,delta=3"),
        (CountDelta(0.5), "count,delta=0.5"),
        (CountDelta(True), "count,delta=1"),
        (CountDelta(2**1000), f"count,delta={2**1000}"),
        (CountDelta(1e-9), "count,delta=1.0e-09"),
        (GaugeValue(12), "gauge,12"),
        (GaugeValue(-0.5), "gauge,-0.5"),
        (GaugeValue(True), "gauge,1"),
        (GaugeSummary(1, 3, 4, 2), "gauge,min=1,max=3,sum=4,count=2"),
        (GaugeSummary(0.5, 2.0, 2.5, 2), "gauge,min=0.5,max=2,sum=2.5,count=2"),
        (
            GaugeSummary(2**53 + 1, 2**53 + 1, 2**54 + 2, 2),
            f"gauge,min={2**53 + 1},max={2**53 + 1},sum={2**54 + 2},count=2",
        ),
        (GaugeSummary(9.5, 9.5, 9.5, 1), "gauge,min=9.5,max=9.5,sum=9.5,count=1"),
    ],
    ids=repr,
)
def test_payloads(payload: Payload, text: str) -> None:
    """Each kind of payload is written in one form."""
    assert line_of(payload) == f"orders {text}"
    assert line_of(payload, (("a", "b c"),)) == f'orders,a="b c" {text}'


def test_one_observation() -> None:
    """A summary of one observation has one number as min, max and sum."""
    assert line_of(GaugeSummary(0.1, 0.1, 0.1, 1)) == (
        "orders gauge,min=0.1,max=0.1,sum=0.1,count=1"
    )


def test_extremes_of_one_value() -> None:
    """The extremes of a gauge that is sent as one value are written, round its value."""
    assert line_of(GaugeSummary(0, 7, 2, 1)) == "orders gauge,min=0,max=7,sum=2,count=1"
    assert line_of(GaugeSummary(0.1, 0.2, 0.3, 1)) == (
        "orders gauge,min=0.1,max=0.3,sum=0.3,count=1"
    )


@pytest.mark.parametrize("times", [2, 3, 7, 1000, 10**6])
@pytest.mark.parametrize(
    "value",
    [
        1_234_567_890.123,
        -1_234_567_890.123,
        0.1,
        5e-324,
        2.2250738585072014e-308,
        1e300,
        -1e300,
        2**1000,
        2**53 + 1,
        10**30 + 7,
    ],
    ids=repr,
)
@pytest.mark.parametrize("drift", [0, 2e-17, -2e-17])
def test_equal_observations(value: float, times: int, drift: float) -> None:
    """The mean of equal values is within min and max, however the sum is rounded."""
    total: Any = value * times if type(value) is int else float(Fraction(value) * times)
    total = total if type(value) is int else total * (1 + drift * times)
    numbers = read(line_of(GaugeSummary(value, value, total, times))).numbers
    mean = float(numbers["sum"]) / numbers["count"]
    assert float(numbers["min"]) <= mean <= float(numbers["max"])
    assert numbers["sum"] == total
    assert math.isclose(numbers["min"], value, rel_tol=1e-10, abs_tol=1e-320)
    assert math.isclose(numbers["max"], value, rel_tol=1e-10, abs_tol=1e-320)


@given(strategies.summaries())
@example(GaugeSummary(0.1, 0.1, math.fsum([0.1] * 3), 3))
@example(GaugeSummary(2**1000, 2**1000 + 1, 2**1001 + 1, 2))
def test_summaries_hold(summary: GaugeSummary) -> None:
    """In each summary min <= sum/count <= max holds for the doubles that are read."""
    numbers = read(line_of(summary)).numbers
    low, high, total = (float(numbers[name]) for name in ("min", "max", "sum"))
    assert low <= total / numbers["count"] <= high
    assert numbers["count"] == summary.count
    if summary.count > 1:
        assert numbers["sum"] == summary.sum
        assert math.isclose(low, summary.min, rel_tol=1e-15, abs_tol=5e-324)
        assert math.isclose(high, summary.max, rel_tol=1e-15, abs_tol=5e-324)


KINDS = {CountDelta: "count", GaugeValue: "gauge", GaugeSummary: "summary"}


@given(strategies.points)
def test_lines_are_valid(point: DataPoint) -> None:
    """The line of any point is valid and has its key, dimensions, time and number."""
    line = read(one_line_of(point))
    assert line.key == point.identity.key
    assert line.dimensions == dict(point.identity.dimensions)
    assert line.kind == KINDS[type(point.payload)]
    assert line.timestamp == point.timestamp_ms
    if type(point.payload) is not GaugeSummary:
        (number,), (found,) = point.payload, line.numbers.values()
        assert found == number
        assert type(found) is int or type(number) is float


@given(st.lists(strategies.points, max_size=6))
def test_many_at_once(points: list[DataPoint]) -> None:
    """Points that are encoded together have the lines of each alone."""
    for kind in KINDS:
        same_kind = [
            p._replace(timestamp_ms=5) for p in points if type(p.payload) is kind
        ]
        if same_kind:
            assert encode(in_columns(same_kind)) == [*map(one_line_of, same_kind)]
