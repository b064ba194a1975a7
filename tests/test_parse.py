from __future__ import annotations

import math
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dtmetrics._protocol.parse import (
    LINE_LIMIT,
    ParsedMetadata,
    ParsedPoint,
    Rejection,
    parse,
)
from dtmetrics._protocol.point import (
    CountDelta,
    DataPoint,
    GaugeSummary,
    GaugeValue,
    Payload,
)
from tests.support import strategies
from tests.support.protocol_grammar import read
from tests.support.recorder import MOMENT, one_line_of
from tests.support.vectors import Case, vectors


def point(line: str) -> ParsedPoint:
    """Return the point that *line* is."""
    parsed = parse(line)
    assert isinstance(parsed, ParsedPoint), parsed
    return parsed


def summary_of(number: int, times: int) -> DataPoint:
    """Return the summary of *number*, observed so many *times*."""
    payload = GaugeSummary(number, number, number * times, times)
    return DataPoint(strategies.Known("a", ()), payload, MOMENT)


def rejection(line: str) -> Rejection:
    """Return why *line* is rejected."""
    parsed = parse(line)
    assert isinstance(parsed, Rejection), parsed
    return parsed


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("42", GaugeValue(42)),
        ("-0", GaugeValue(0)),
        ("gauge,42", GaugeValue(42)),
        ("gauge,-4.5e-3", GaugeValue(-0.0045)),
        ("1e300", GaugeValue(1e300)),
        ("gauge,min=1,max=3,sum=4.5,count=2", GaugeSummary(1, 3, 4.5, 2)),
        ("gauge,min=0,max=0,sum=0,count=0", GaugeSummary(0, 0, 0, 0)),
        ("count,delta=7", CountDelta(7)),
        ("count,delta=-7.5", CountDelta(-7.5)),
        ("count,delta=" + "9" * 300, CountDelta(10**300 - 1)),
    ],
)
def test_payloads(payload: str, expected: Payload) -> None:
    """Each form of payload is read; an integer of any size stays an integer."""
    parsed = point(f"orders {payload}").payload
    assert parsed == expected
    assert type(parsed) is type(expected)
    assert [type(number) for number in parsed] == [type(number) for number in expected]


def test_running_total() -> None:
    """The deprecated running total is read and marked as absolute."""
    assert point("orders count,42").absolute
    assert point("orders count,42").payload == CountDelta(42)
    assert not point("orders count,delta=42").absolute


def test_timestamp() -> None:
    """The timestamp of a point is optional."""
    assert point("orders 1 1700000000000").timestamp_ms == 1_700_000_000_000
    assert point("orders 1").timestamp_ms is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eu", "eu"),
        ('"eu west"', "eu west"),
        ('"a,b=c"', "a,b=c"),
        (r'"say \"hi\" \\o/"', r'say "hi" \o/'),
        (r"eu\ west\,\=\"\\", 'eu west,="\\'),
        ("grüße\u2028🤠", "grüße\u2028🤠"),
        ("x" * 255, "x" * 255),
    ],
)
def test_dimension_values(text: str, expected: str) -> None:
    """A value is read in quotes or bare, without its escapes."""
    assert point(f"orders,region={text} 1").dimensions == {"region": expected}


def test_dimensions() -> None:
    """Quoted and bare values can be mixed; of a duplicate key the first value counts."""
    dimensions = point('orders,a="x y",dt.entity.host=HOST-1,a=z 1').dimensions
    assert dimensions == {"a": "x y", "dt.entity.host": "HOST-1"}


def test_fifty_dimensions() -> None:
    """A line can have 50 dimensions; 51 are rejected."""
    fifty = "orders" + "".join(f",d{number}=x" for number in range(50))
    assert len(point(f"{fifty} 1").dimensions) == 50
    assert rejection(f"{fifty},more=x 1").message == "dimension count exceeded: 51 > 50"


@pytest.mark.parametrize(
    "key", ["a", "_a", "A-b_C.d", "load.1m", "x" * 255, "dt", "dtx.y"]
)
def test_keys(key: str) -> None:
    """A metric key that the protocol page allows is accepted."""
    assert point(f"{key} 1").key == key


@pytest.mark.parametrize(
    ("line", "index"),
    [
        ("", 0),
        (" 1", 0),
        ("1st 1", 0),
        ("-a 1", 0),
        (".a 1", 0),
        ("a..b 1", 2),
        ("a.-b 1", 2),
        ("a. 1", 2),
        ("a.", 2),
        ("a", 1),
        ("grüße 1", 2),
        ("a\tb 1", 1),
        ("x" * 256 + " 1", 255),
        ("dt.host.cpu 1", 0),
        ("#a", 2),
    ],
)
def test_bad_keys(line: str, index: int) -> None:
    """An invalid metric key is rejected at the index of its first invalid character."""
    assert rejection(line).index == index


@pytest.mark.parametrize(
    ("line", "index"),
    [
        ("a,regionName=x 1", 8),
        ("a, b=x 1", 2),
        ("a,=x 1", 2),
        ("a,b 1", 3),
        ("a,1b=x 1", 2),
        ("a,b..c=x 1", 4),
        ("a,b.=x 1", 4),
        (f"a,{'b' * 101}=x 1", 102),
        ("a,b= 1", 4),
        ('a,b="" 1', 4),
        ('a,b="x 1', 8),
        ('a,b="x"y 1', 7),
        (r'a,b="\n" 1', 6),
        (r"a,b=\n 1", 5),
        ('a,b=x"y 1', 5),
        ("a,b=x=y 1", 5),
        ("a,b=x\ty 1", 5),
        ("a,b=\udc80 1", 4),
        ('a,b="x\ny" 1', 6),
        ("a,b=x, 1", 6),
        ("a,b=x,", 6),
        ("a,b=x", 5),
    ],
)
def test_bad_dimensions(line: str, index: int) -> None:
    """An invalid dimension is rejected at the index where reading stops."""
    assert rejection(line).index == index


@pytest.mark.parametrize(
    ("line", "index"),
    [
        ("a b=Space 1", 2),
        ("a  1", 2),
        ("a NaN", 2),
        ("a gauge,NaN", 8),
        ("a gauge,Infinity", 8),
        ("a count,delta=-Inf", 14),
        ("a +1", 2),
        ("a .5", 2),
        ("a 5.", 3),
        ("a 1,5", 3),
        ("a \u0661", 2),
        ("a 0x10", 3),
        ("a 1_000", 3),
        ("a 1e", 3),
        ("a 1e999", 2),
        ("a " + "9" * 309, 2),
        ("a " + "0" * 20_000, 2),
        ("a gauge", 2),
        ("a gauge,", 8),
        ("a meter,5", 2),
        ("a count,delta=", 14),
        ("a gauge,min=1,max=1,sum=1", 25),
        ("a gauge,max=1,min=1,sum=1,count=1", 8),
        ("a gauge,min=1,max=1,sum=1,count=1.0", 32),
        ("a gauge,min=1,max=1,sum=1,count=1,", 33),
        ("a 1 ", 4),
        ("a 1  5", 4),
        ("a 1 1.5", 5),
        ("a 1 -5", 4),
        ("a 1 5\r", 5),
        ("a 1 5 6", 5),
        ("a 1 " + "9" * 16, 4),
    ],
)
def test_bad_payloads(line: str, index: int) -> None:
    """An invalid payload is rejected at the index where reading stops."""
    assert rejection(line).index == index


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "system.load.average.-1m 2",
            (
                "failed to parse metric key of message 'system.load.average.-1m 2'; "
                "error at '-'  (index 20)"
            ),
        ),
        (
            "cache.size,cacheManager=x 1",
            (
                "invalid dimension key in message 'cache.size,cacheManager=x 1'; "
                "error at 'M'  (index 16)"
            ),
        ),
        (
            "jvm.max,id=Class Space 1",
            (
                "invalid metric type in message 'jvm.max,id=Class Space 1'; "
                "error at 'S'  (index 17)"
            ),
        ),
        (f"a,b={'x' * 401} 1", "dimension value length exceeded: 401 > 255"),
        ("a", "unexpected end of input"),
        (
            "a gauge,min=0,max=1642,sum=0,count=0",
            (
                "inconsistent gauge fields: count == 0 => min, max, sum == 0: "
                "min: 0.000000, max: 1642.000000, sum: 0.000000, count: 0"
            ),
        ),
        (
            "a gauge,min=35.689672,max=35.689672,sum=35.669104,count=1",
            (
                "inconsistent gauge fields: min <= avg <= max doesn't hold: "
                "min: 35.689672, max: 35.689672, sum: 35.669104, count: 1, "
                "avg: 35.669104, tolerance: 0.000001"
            ),
        ),
    ],
)
def test_messages(line: str, message: str) -> None:
    """Rejections have the wording of the endpoint, where it is known."""
    assert rejection(line).message == message


def test_no_tolerance_of_bounds() -> None:
    """The tolerance applies to the mean of a summary, not to min > max."""
    point("a gauge,min=1,max=1,sum=1.0000005,count=1")
    message = rejection("a gauge,min=1.0000005,max=1,sum=1,count=1").message
    assert message.startswith("inconsistent gauge fields: min <= avg <= max")


def test_negative_count() -> None:
    """A summary with a negative count is rejected."""
    message = rejection("a gauge,min=0,max=0,sum=0,count=-1").message
    assert message.startswith("inconsistent gauge fields: count >= 0 doesn't hold")


def test_messages_are_bounded_and_printable() -> None:
    """The message of a rejection is short and has no control characters."""
    message = rejection("a," + "b" * 40_000 + "\x1b[2J\x9b\u2028" + "c" * 5_000).message
    assert len(message) < 300
    assert message.isprintable()
    assert "error at '?'  (index 40002)" in message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "#orders count dt.meta.unit=1",
            ParsedMetadata("orders", "count", {"dt.meta.unit": "1"}),
        ),
        (
            "#a gauge dt.meta.unit=s,dt.meta.unit=ms",
            ParsedMetadata("a", "gauge", {"dt.meta.unit": "s"}),
        ),
        (
            (
                r'#a gauge dt.meta.displayname="A \"b\"",dt.meta.description="x\ny",'
                "dt.meta.unit={order}/s"
            ),
            ParsedMetadata(
                "a",
                "gauge",
                {
                    "dt.meta.displayName": 'A "b"',
                    "dt.meta.description": "x\ny",
                    "dt.meta.unit": "{order}/s",
                },
            ),
        ),
    ],
)
def test_metadata(line: str, expected: ParsedMetadata) -> None:
    """A metadata line is read in both spellings; of duplicates the first counts."""
    assert parse(line) == expected


@pytest.mark.parametrize(
    ("line", "index"),
    [
        ("# a comment", 1),
        ("#a,b=c gauge dt.meta.unit=s", 2),
        ("#a histogram dt.meta.unit=s", 3),
        ("#a gauge", 3),
        ("#a gauge ", 9),
        ("#a gauge unit=s", 9),
        ("#a gauge dt.meta.unit", 21),
        ("#a gauge dt.meta.unit=", 22),
        ("#a gauge dt.meta.unit=s, dt.meta.unit=s", 24),
        ("#a gauge dt.meta.unit=s 1700000000000", 23),
        ('#a gauge dt.meta.description="open', 34),
        ("#dt.a gauge dt.meta.unit=s", 1),
    ],
)
def test_bad_metadata(line: str, index: int) -> None:
    """Comments, unknown types and unknown properties are rejected."""
    assert rejection(line).index == index


@vectors("line", "accepted_by_docs")
def test_documented_lines(case: Case) -> None:
    """Each line that the documentation shows is accepted."""
    point(case["input"])


@vectors("number", "is_valid_summary")
def test_official_summaries(case: Case) -> None:
    """A summary is accepted if the official library accepts it."""
    fields = ",".join(f"{name}={number}" for name, number in case["input"].items())
    assert isinstance(parse(f"a gauge,{fields}"), ParsedPoint) is case["expected"]


@given(strategies.points)
@example(summary_of(2**60 + 1, times=3))
@example(summary_of(2**64 + 1, times=1))
def test_lines_are_read_back(original: DataPoint) -> None:
    """A line that the encoder wrote is read back as the same point."""
    line = one_line_of(original)
    identity, payload, timestamp_ms = original
    if type(payload) is GaugeSummary:
        # The encoder may have moved a bound by one rounding (tests/test_line.py).
        payload = GaugeSummary(**read(line).numbers)  # type: ignore[arg-type]
    dimensions = dict(identity.dimensions)
    assert parse(line) == ParsedPoint(identity.key, dimensions, payload, timestamp_ms)


@pytest.mark.parametrize(("count", "accepted"), [(1, True), (3, False)])
def test_summaries_are_of_doubles(count: int, accepted: bool) -> None:
    """The rule for means applies to doubles, as the endpoint reads them.

    As a double 2**53 + 1 is 2**53; the mean of three of them is 2**53 + 2.
    """
    number = 2**53 + 1
    fields = f"min={number},max={number},sum={number * count},count={count}"
    assert isinstance(parse(f"a gauge,{fields}"), ParsedPoint) is accepted


@given(
    st.text()
    | st.text("a.-1Z,=\" \\#gaugecount{}\t\n'")
    | st.from_regex(r"a(,b=[ab\"\\]*)* (gauge|count),[a-z0-9=,.eE+-]*( [0-9.]*)?")
)
def test_never_raises(text: str) -> None:
    """For any text the parser returns a value and does not raise."""
    parsed = parse(text)
    if isinstance(parsed, Rejection):
        assert 0 <= parsed.index <= len(text)
        assert parsed.message
    elif isinstance(parsed, ParsedPoint):
        assert all(math.isfinite(number) for number in parsed.payload)


def test_long_lines() -> None:
    """A line of more than 50,000 characters is rejected before it is read."""
    line = "a,b=" + "\\," * 500_000
    rejected = rejection(line)
    assert rejected.message == f"line length exceeded: {len(line)} > {LINE_LIMIT}"
    assert steps(line) == steps("a" * (LINE_LIMIT + 1))


def steps(line: str) -> int:
    """Return how many calls it takes to parse *line*."""
    count = 0

    def counting(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(counting)
    try:
        parse(line)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    ("start", "hostile"),
    [
        ("a,b=", "\\,"),
        ('a,b="', '\\"'),
        ("a,b=", "\\"),
        ("a", ".a"),
        ("a", ".-"),
        ("a", ",b=c"),
        ("a ", "1"),
        ("a 1.", "1e1"),
        ("a gauge,min=", "1,max="),
        ("#a gauge ", "dt.meta.unit=s,"),
        ('#a gauge dt.meta.unit="', "\\n"),
        ("", "\x00"),
    ],
)
def test_work_is_linear(start: str, hostile: str) -> None:
    """Four times the hostile text takes at most four times the calls."""
    few = (LINE_LIMIT // 4 - 100) // len(hostile)
    assert steps(start + hostile * few * 4) <= 4 * steps(start + hostile * few) + 50
