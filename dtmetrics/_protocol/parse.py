r"""One line as the endpoint reads it: a data point, metadata, or a rejection.

Accepted is what the protocol page documents, and the backslashes outside quotes that
the official libraries write. Rejected is what neither of them has, such as a second
blank, the fields of a summary in another order, ``+1`` or ``.5``.
https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/reference/metric-ingestion-protocol

Where messages of the endpoint are known, rejections have the same wording:
https://github.com/micrometer-metrics/micrometer/issues/2295
https://github.com/micrometer-metrics/micrometer/issues/3007
https://github.com/micrometer-metrics/micrometer/issues/5037

Each pattern matches a text in one way only, and the reader only moves forward. So the
time grows with the length of the line, whatever it contains.
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
from dtmetrics._protocol.reader import Reader, RejectedLineError, Rejection

__all__ = ["LINE_LIMIT", "ParsedMetadata", "ParsedPoint", "Rejection", "parse"]

#: Characters of a line.
#: https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics
LINE_LIMIT = 50_000

# Two limits are published, 250 and 255. Reading allows the higher, writing the lower.
_KEY_LIMIT = 255
_VALUE_LIMIT = 255
# Enough for each double. int() raises for texts of some thousand digits.
_NUMBER_LIMIT = 400
_TIMESTAMP_LIMIT = 15
# How far the mean of a summary may be outside of min and max, in absolute terms.
_TOLERANCE = 1e-6

_KEY = re.compile(r"[A-Za-z0-9_.-]*")
_BAD_IN_KEY = re.compile(r"^[0-9.-]|(?<=\.)[.-]|(?<=\.)$")
_DIMENSION_KEY = re.compile(r"[a-z0-9_:.-]*")
_BAD_IN_DIMENSION_KEY = re.compile(r"^[0-9:.-]|(?<=\.)[0-9:.-]|(?<=\.)$")
# The part before the group is for speed: most values have no backslash.
_BARE_CHARACTER = r'[^ ",=\\\x00-\x1f\ud800-\udfff]'
_BARE = re.compile(rf'{_BARE_CHARACTER}*(?:{_BARE_CHARACTER}|\\[ ",=\\])*')
_CHARACTER = r'[^"\\\x00-\x1f\ud800-\udfff]'
_QUOTED = re.compile(rf'{_CHARACTER}*(?:{_CHARACTER}|\\["\\])*')
_QUOTED_METADATA = re.compile(rf'{_CHARACTER}*(?:{_CHARACTER}|\\["\\n])*')
_ESCAPE = re.compile(r"\\(.)")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DIGITS = re.compile(r"[0-9]+")

# The protocol page spells displayName in its table and displayname in its example.
_PROPERTIES = {
    "dt.meta.displayname": "dt.meta.displayName",
    "dt.meta.displayName": "dt.meta.displayName",
    "dt.meta.description": "dt.meta.description",
    "dt.meta.unit": "dt.meta.unit",
}
_PROPERTY = re.compile(r"[A-Za-z.]*")


class ParsedPoint(NamedTuple):
    """A line that is a data point. Its dimension values are without escapes.

    ``absolute`` marks the deprecated form ``count,42``, whose payload is a running
    total and not an increase.
    """

    key: str
    dimensions: dict[str, str]
    payload: Payload
    timestamp_ms: int | None
    absolute: bool = False


class ParsedMetadata(NamedTuple):
    """A line that is the metadata of a metric key."""

    key: str
    kind: Literal["gauge", "count"]
    properties: dict[str, str]


def parse(line: str) -> ParsedPoint | ParsedMetadata | Rejection:
    """Return what *line* is, or why the endpoint would reject it. Never raises.

    >>> parse("orders,region=eu count,delta=3").payload
    CountDelta(delta=3)
    >>> parse("load.-1 3").message
    "failed to parse metric key of message 'load.-1 3'; error at '-'  (index 5)"
    """
    if len(line) > LINE_LIMIT:
        message = f"line length exceeded: {len(line)} > {LINE_LIMIT}"
        return Rejection(message, LINE_LIMIT)
    reader = Reader(line)
    try:
        return _metadata(reader) if reader.skip("#") else _point(reader)
    except RejectedLineError as error:
        return error.rejection


def _point(reader: Reader) -> ParsedPoint:
    key = _metric_key(reader)
    dimensions = _dimensions(reader)
    reader.expect(" ", "invalid dimension value in")
    payload, absolute = _payload(reader)
    return ParsedPoint(key, dimensions, payload, _timestamp(reader), absolute)


def _metric_key(reader: Reader) -> str:
    problem = "failed to parse metric key of"
    start = reader.position
    key = reader.take(_KEY)
    if not key or not (reader.at_end() or reader.next_is(", ")):
        reader.reject(problem)
    if bad := _BAD_IN_KEY.search(key):
        reader.reject(problem, start + bad.start())
    if len(key) > _KEY_LIMIT:
        message = f"metric key length exceeded: {len(key)} > {_KEY_LIMIT}"
        raise RejectedLineError(message, start + _KEY_LIMIT)
    if key.startswith(RESERVED_PREFIX):
        message = f"invalid metric key '{key}': the prefix 'dt.' is reserved"
        raise RejectedLineError(message, start)
    return key


def _dimensions(reader: Reader) -> dict[str, str]:
    dimensions: dict[str, str] = {}
    count = 0
    while reader.skip(","):
        count += 1
        if count > DIMENSIONS_LIMIT:
            message = f"dimension count exceeded: {count} > {DIMENSIONS_LIMIT}"
            raise RejectedLineError(message, reader.position)
        key = _dimension_key(reader)
        value = _value(reader)
        # A key may occur twice. That the first counts is documented for OTLP only.
        dimensions.setdefault(key, value)
    return dimensions


def _dimension_key(reader: Reader) -> str:
    problem = "invalid dimension key in"
    start = reader.position
    key = reader.take(_DIMENSION_KEY)
    if not (key and reader.skip("=")):
        reader.reject(problem)
    if bad := _BAD_IN_DIMENSION_KEY.search(key):
        reader.reject(problem, start + bad.start())
    if len(key) > DIMENSION_KEY_LIMIT:
        message = f"dimension key length exceeded: {len(key)} > {DIMENSION_KEY_LIMIT}"
        raise RejectedLineError(message, start + DIMENSION_KEY_LIMIT)
    return key


def _value(reader: Reader) -> str:
    problem = "invalid dimension value in"
    start = reader.position
    value = _text(reader, _QUOTED, problem)
    if not (reader.at_end() or reader.next_is(", ")):
        reader.reject(problem)
    if not value:
        reader.reject(problem, start)
    if len(value) > _VALUE_LIMIT:
        message = f"dimension value length exceeded: {len(value)} > {_VALUE_LIMIT}"
        raise RejectedLineError(message, start)
    return value


def _text(reader: Reader, quoted: re.Pattern[str], problem: str) -> str:
    """Read a text, in quotes or bare, and return it without escapes."""
    in_quotes = reader.skip('"')
    text = reader.take(quoted if in_quotes else _BARE)
    if reader.skip("\\"):
        reader.reject(problem)
    if in_quotes:
        reader.expect('"', problem)
    return _ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(escape: re.Match[str]) -> str:
    return "\n" if escape[1] == "n" else escape[1]


def _payload(reader: Reader) -> tuple[Payload, bool]:
    """Return the payload, and whether it is a running total, which is deprecated."""
    if reader.skip("gauge,"):
        return _gauge(reader), False
    if reader.skip("count,"):
        absolute = not reader.skip("delta=")
        return CountDelta(_last_number(reader)), absolute
    if not reader.next_is("-0123456789"):
        reader.reject("invalid metric type in")
    return GaugeValue(_last_number(reader)), False


def _gauge(reader: Reader) -> GaugeValue | GaugeSummary:
    if not reader.skip("min="):
        return GaugeValue(_last_number(reader))
    problem = "invalid gauge fields in"
    low = _number(reader)
    reader.expect(",max=", problem)
    high = _number(reader)
    reader.expect(",sum=", problem)
    total = _number(reader)
    reader.expect(",count=", problem)
    start = reader.position
    count = _last_number(reader)
    if not isinstance(count, int):
        reader.reject(problem, start)
    summary = GaugeSummary(low, high, total, count)
    if inconsistency := _inconsistency(summary):
        raise RejectedLineError(f"inconsistent gauge fields: {inconsistency}", start)
    return summary


def _inconsistency(summary: GaugeSummary) -> str | None:
    """Return the rule that *summary* breaks, in the words of the endpoint."""
    # The endpoint reads doubles: as a double 2**53 + 1 is 2**53.
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
    if not (reader.at_end() or reader.next_is(" ")):
        reader.reject("invalid number in")
    return number


def _number(reader: Reader) -> int | float:
    start = reader.position
    text = reader.take(_NUMBER)
    if not text:
        reader.reject("invalid number in")
    # An integer too large for a double raises OverflowError in arithmetic with floats.
    if len(text) > _NUMBER_LIMIT or not math.isfinite(number := float(text)):
        reader.reject("number out of range in", start)
    return number if _DIGITS.fullmatch(text.lstrip("-")) is None else int(text)


def _timestamp(reader: Reader) -> int | None:
    if reader.at_end():
        return None
    problem = "invalid timestamp in"
    reader.expect(" ", problem)
    start = reader.position
    text = reader.take(_DIGITS)
    if not (text and reader.at_end()):
        reader.reject(problem)
    if len(text) > _TIMESTAMP_LIMIT:
        reader.reject(problem, start)
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
        if reader.at_end():
            return ParsedMetadata(key, kind, properties)
        reader.expect(",", "invalid metadata in")


def _property(reader: Reader) -> tuple[str, str]:
    problem = "invalid metadata in"
    start = reader.position
    name = _PROPERTIES.get(reader.take(_PROPERTY))
    if name is None:
        reader.reject(problem, start)
    reader.expect("=", problem)
    start = reader.position
    text = _text(reader, _QUOTED_METADATA, problem)
    if not text:
        reader.reject(problem, start)
    return name, text
