r"""One line as the endpoint reads it: a point, metadata, or why it is refused.

What the protocol page promises is accepted; so are the backslashes outside quotes
which the official libraries write. What neither promises (a second blank, fields of
a summary in another order, ``+1``, ``.5``) is refused, because nobody knows that it
arrives. InvalidValues are worded as the endpoint's own, where its words are known
(micrometer-metrics/micrometer#2295, #3007, #5037).

No pattern here can match a text in two ways, and the reader only ever moves
forward: the work grows with the length of the line, whatever stands in it.
"""

from __future__ import annotations

import math
import re
from typing import Literal, NamedTuple

from dtmetrics._protocol.normalize import (
    DIMENSION_KEY_LIMIT,
    DIMENSIONS_LIMIT,
    RESERVED_PREFIX,
)
from dtmetrics._protocol.point import CountDelta, GaugeSummary, GaugeValue, Payload
from dtmetrics._protocol.reader import Reader, Refusal, RefusedError

__all__ = ["LINE_LIMIT", "ParsedMetadata", "ParsedPoint", "Refusal", "parse"]

LINE_LIMIT = 50_000

# Reading takes the higher one of the two published limits, writing the lower one.
_KEY_LIMIT = 255
_VALUE_LIMIT = 255
# Enough for every double; int() refuses texts of some thousand digits with an error.
_NUMBER_LIMIT = 400
_TIMESTAMP_LIMIT = 15
# How far the endpoint lets a mean lie outside of min and max.
_TOLERANCE = 1e-6

_KEY = re.compile(r"[A-Za-z0-9_.-]*")
_KEY_FAULT = re.compile(r"^[0-9.-]|(?<=\.)[.-]|(?<=\.)$")
_DIMENSION_KEY = re.compile(r"[a-z0-9_:.-]*")
_DIMENSION_KEY_FAULT = re.compile(r"^[0-9:.-]|(?<=\.)[0-9:.-]|(?<=\.)$")
# The part before the group is there for speed: most values hold no backslash.
_BARE_CHARACTER = r'[^ ",=\\\x00-\x1f\ud800-\udfff]'
_BARE = re.compile(rf'{_BARE_CHARACTER}*(?:{_BARE_CHARACTER}|\\[ ",=\\])*')
_CHARACTER = r'[^"\\\x00-\x1f\ud800-\udfff]'
_QUOTED = re.compile(rf'{_CHARACTER}*(?:{_CHARACTER}|\\["\\])*')
_QUOTED_METADATA = re.compile(rf'{_CHARACTER}*(?:{_CHARACTER}|\\["\\n])*')
_ESCAPE = re.compile(r"\\(.)")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DIGITS = re.compile(r"[0-9]+")

# Both spellings of the first are in use, by the page's table and by its example.
_PROPERTIES = {
    "dt.meta.displayname": "dt.meta.displayName",
    "dt.meta.displayName": "dt.meta.displayName",
    "dt.meta.description": "dt.meta.description",
    "dt.meta.unit": "dt.meta.unit",
}
_PROPERTY = re.compile(r"[A-Za-z.]*")


class ParsedPoint(NamedTuple):
    """A line that is a data point; its dimension values are without escapes.

    ``absolute`` marks the deprecated form ``count,42``: the payload holds the
    running total then, not an increase.
    """

    key: str
    dimensions: dict[str, str]
    payload: Payload
    timestamp_ms: int | None
    absolute: bool = False


class ParsedMetadata(NamedTuple):
    """A line that says what a metric key means."""

    key: str
    kind: Literal["gauge", "count"]
    properties: dict[str, str]


def parse(line: str) -> ParsedPoint | ParsedMetadata | Refusal:
    """Return what *line* says, or why the endpoint would refuse it. Never raises.

    >>> parse("orders,region=eu count,delta=3").payload
    CountDelta(delta=3)
    >>> parse("load.-1 3").message
    "failed to parse metric key of message 'load.-1 3'; error at '-'  (index 5)"
    """
    if len(line) > LINE_LIMIT:
        return Refusal(f"line length exceeded: {len(line)} > {LINE_LIMIT}", LINE_LIMIT)
    reader = Reader(line)
    try:
        return _metadata(reader) if reader.skip("#") else _point(reader)
    except RefusedError as refused:
        return refused.refusal


def _point(reader: Reader) -> ParsedPoint:
    key = _metric_key(reader)
    dimensions = _dimensions(reader)
    reader.expect(" ", "invalid dimension value in")
    payload, absolute = _payload(reader)
    return ParsedPoint(key, dimensions, payload, _timestamp(reader), absolute)


def _metric_key(reader: Reader) -> str:
    fault = "failed to parse metric key of"
    start = reader.at
    key = reader.take(_KEY)
    if not key or not (reader.done() or reader.next_is(", ")):
        reader.refuse(fault)
    if found := _KEY_FAULT.search(key):
        reader.refuse(fault, start + found.start())
    if len(key) > _KEY_LIMIT:
        message = f"metric key length exceeded: {len(key)} > {_KEY_LIMIT}"
        raise RefusedError(message, start + _KEY_LIMIT)
    if key.startswith(RESERVED_PREFIX):
        message = f"invalid metric key '{key}': the prefix 'dt.' is reserved"
        raise RefusedError(message, start)
    return key


def _dimensions(reader: Reader) -> dict[str, str]:
    dimensions: dict[str, str] = {}
    count = 0
    while reader.skip(","):
        count += 1
        if count > DIMENSIONS_LIMIT:
            message = f"dimension count exceeded: {count} > {DIMENSIONS_LIMIT}"
            raise RefusedError(message, reader.at)
        key = _dimension_key(reader)
        value = _value(reader)
        # A key given twice is legal. Which value is kept is said for OTLP only.
        dimensions.setdefault(key, value)
    return dimensions


def _dimension_key(reader: Reader) -> str:
    fault = "invalid dimension key in"
    start = reader.at
    key = reader.take(_DIMENSION_KEY)
    if not (key and reader.skip("=")):
        reader.refuse(fault)
    if found := _DIMENSION_KEY_FAULT.search(key):
        reader.refuse(fault, start + found.start())
    if len(key) > DIMENSION_KEY_LIMIT:
        message = f"dimension key length exceeded: {len(key)} > {DIMENSION_KEY_LIMIT}"
        raise RefusedError(message, start + DIMENSION_KEY_LIMIT)
    return key


def _value(reader: Reader) -> str:
    fault = "invalid dimension value in"
    start = reader.at
    value = _text(reader, _QUOTED, fault)
    if not (reader.done() or reader.next_is(", ")):
        reader.refuse(fault)
    if not value:
        reader.refuse(fault, start)
    if len(value) > _VALUE_LIMIT:
        message = f"dimension value length exceeded: {len(value)} > {_VALUE_LIMIT}"
        raise RefusedError(message, start)
    return value


def _text(reader: Reader, quoted: re.Pattern[str], fault: str) -> str:
    """Read a text, in quotes or bare, and resolve its escapes."""
    in_quotes = reader.skip('"')
    text = reader.take(quoted if in_quotes else _BARE)
    if reader.skip("\\"):
        reader.refuse(fault)
    if in_quotes:
        reader.expect('"', fault)
    return _ESCAPE.sub(_meaning, text) if "\\" in text else text


def _meaning(escape: re.Match[str]) -> str:
    return "\n" if escape[1] == "n" else escape[1]


def _payload(reader: Reader) -> tuple[Payload, bool]:
    """Read a payload, and whether it is the deprecated running total."""
    if reader.skip("gauge,"):
        return (_summary(reader) if reader.skip("min=") else _gauge(reader)), False
    if reader.skip("count,"):
        absolute = not reader.skip("delta=")
        return CountDelta(_last_number(reader)), absolute
    if not reader.next_is("-0123456789"):
        reader.refuse("invalid metric type in")
    return _gauge(reader), False


def _gauge(reader: Reader) -> GaugeValue:
    return GaugeValue(_last_number(reader))


def _summary(reader: Reader) -> GaugeSummary:
    fault = "invalid gauge fields in"
    low = _number(reader)
    reader.expect(",max=", fault)
    high = _number(reader)
    reader.expect(",sum=", fault)
    total = _number(reader)
    reader.expect(",count=", fault)
    start = reader.at
    count = _last_number(reader)
    if not isinstance(count, int):
        reader.refuse(fault, start)
    summary = GaugeSummary(low, high, total, count)
    if complaint := _inconsistency(summary):
        raise RefusedError(f"inconsistent gauge fields: {complaint}", start)
    return summary


def _inconsistency(summary: GaugeSummary) -> str | None:
    """Say which of the endpoint's rules for summaries *summary* breaks."""
    # The endpoint reads doubles, and to a double 2**53 + 1 is 2**53.
    low, high, total = map(float, summary[:3])
    count = summary.count
    fields = f"min: {low:f}, max: {high:f}, sum: {total:f}, count: {count}"
    if count < 0:
        return f"count >= 0 doesn't hold: {fields}"
    if count == 0:
        if low or high or total:
            return f"count == 0 => min, max, sum == 0: {fields}"
        return None
    mean = total / count
    if low > high or low > mean + _TOLERANCE or high < mean - _TOLERANCE:
        return (
            f"min <= avg <= max doesn't hold: {fields}, "
            f"avg: {mean:f}, tolerance: {_TOLERANCE:f}"
        )
    return None


def _last_number(reader: Reader) -> int | float:
    number = _number(reader)
    if not (reader.done() or reader.next_is(" ")):
        reader.refuse("invalid number in")
    return number


def _number(reader: Reader) -> int | float:
    start = reader.at
    text = reader.take(_NUMBER)
    if not text:
        reader.refuse("invalid number in")
    # What no double can hold has no average either, and ends in an OverflowError
    # wherever it meets a float.
    if len(text) > _NUMBER_LIMIT or not math.isfinite(number := float(text)):
        reader.refuse("number out of range in", start)
    return number if _DIGITS.fullmatch(text.lstrip("-")) is None else int(text)


def _timestamp(reader: Reader) -> int | None:
    if reader.done():
        return None
    fault = "invalid timestamp in"
    reader.expect(" ", fault)
    start = reader.at
    text = reader.take(_DIGITS)
    if not (text and reader.done()):
        reader.refuse(fault)
    if len(text) > _TIMESTAMP_LIMIT:
        reader.refuse(fault, start)
    return int(text)


def _metadata(reader: Reader) -> ParsedMetadata:
    key = _metric_key(reader)
    reader.expect(" ", "failed to parse metric key of")
    kind: Literal["gauge", "count"] = "gauge"
    if not reader.skip("gauge "):
        reader.expect("count ", "invalid metric type in")
        kind = "count"
    properties: dict[str, str] = {}
    while True:
        name, text = _property(reader)
        properties.setdefault(name, text)
        if reader.done():
            return ParsedMetadata(key, kind, properties)
        reader.expect(",", "invalid metadata in")


def _property(reader: Reader) -> tuple[str, str]:
    fault = "invalid metadata in"
    start = reader.at
    name = _PROPERTIES.get(reader.take(_PROPERTY))
    if name is None:
        reader.refuse(fault, start)
    reader.expect("=", fault)
    start = reader.at
    text = _text(reader, _QUOTED_METADATA, fault)
    if not text:
        reader.refuse(fault, start)
    return name, text
