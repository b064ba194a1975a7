"""The grammar of the protocol, written a second time, as an oracle for tests.

It reads the lines that the package writes and shares no code with it. It accepts only
what is documented:
https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/reference/metric-ingestion-protocol
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, NoReturn

KEY_LIMIT = 250
DIMENSION_KEY_LIMIT = 100
VALUE_LIMIT = 250
DIMENSIONS_LIMIT = 50
LINE_LIMIT = 50_000
TOLERANCE = 1e-6

# -- names ----------------------------------------------------------------------

SECTION = r"[A-Za-z_][A-Za-z0-9_-]*"
KEY = rf"{SECTION}(?:\.{SECTION})*"
RESERVED = "dt."

DIMENSION_SECTION = r"[a-z_][a-z0-9_:-]*"
DIMENSION_KEY = rf"{DIMENSION_SECTION}(?:\.{DIMENSION_SECTION})*"

# C0, delete, C1, the line ends of Unicode, and halves of surrogate pairs.
FORBIDDEN = "\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
BARE = rf'[^ ,="\\{FORBIDDEN}]+'
QUOTED = rf'"(?:[^"\\{FORBIDDEN}]|\\["\\])+"'
ESCAPE = r'\\(["\\])'
DIMENSION = rf"({DIMENSION_KEY})=({QUOTED}|{BARE})"
DIMENSIONS = rf"(?:,{DIMENSION})*"

# -- numbers --------------------------------------------------------------------

DIGITS = r"(?:0|[1-9][0-9]*)"
INTEGER = rf"-?{DIGITS}"
EXPONENT = r"[eE][+-]?[0-9]+"
NUMBER = rf"{INTEGER}(?:\.[0-9]+(?:{EXPONENT})?)?"

# -- payload and timestamp ------------------------------------------------

GAUGE = rf"(?:gauge,)?(?P<value>{NUMBER})"
SUMMARY = (
    rf"gauge,min=(?P<min>{NUMBER}),max=(?P<max>{NUMBER})"
    rf",sum=(?P<sum>{NUMBER}),count=(?P<count>{DIGITS})"
)
COUNT = rf"count,delta=(?P<delta>{NUMBER})"
PAYLOADS = {"gauge": GAUGE, "summary": SUMMARY, "count": COUNT}
TIMESTAMP = r"(?: (?P<timestamp>[1-9][0-9]*))?"


class Line(NamedTuple):
    """The parts of a line. The kind is a key of PAYLOADS, which names the numbers."""

    key: str
    dimensions: dict[str, str]
    kind: str
    numbers: dict[str, int | float]
    timestamp: int | None


class NotALineError(Exception):
    """The reason why a text is not a line of the protocol."""


def is_key(text: str) -> bool:
    """Whether *text* is a valid metric key, apart from the reserved prefix."""
    return len(text) <= KEY_LIMIT and re.fullmatch(KEY, text) is not None


def is_dimension_key(text: str) -> bool:
    """Whether *text* is a valid dimension key."""
    fits = len(text) <= DIMENSION_KEY_LIMIT
    return fits and re.fullmatch(DIMENSION_KEY, text) is not None


def is_dimension_value(text: str) -> bool:
    """Whether *text* is a valid dimension value, before it is escaped."""
    legal = re.search(f"[{FORBIDDEN}]", text) is None
    return legal and 0 < len(text) <= VALUE_LIMIT


def read(line: str) -> Line:
    """Return the parts of *line*; raise NotALineError with the reason otherwise."""
    if len(line) > LINE_LIMIT:
        _reject("too long", len(line))
    if line.splitlines() != [line]:
        _reject("not exactly one line", line)
    start = _match(rf"({KEY})({DIMENSIONS}) ", line, "no key and dimensions")
    kind, texts = _payload(line[start.end() :])
    timestamp = texts.pop("timestamp")
    numbers = {name: _number(text) for name, text in texts.items()}
    if kind == "summary":
        _check_summary(**numbers)
    return Line(
        _key(start[1]),
        _dimensions(start[2]),
        kind,
        numbers,
        None if timestamp is None else int(timestamp),
    )


def lines_of(texts: Iterable[str], key: str = "") -> list[Line]:
    """Return the parts of each data line in *texts*, of one *key* or of all.

    Lines that begin with ``#`` hold metadata, and are left out.
    """
    lines = [read(text) for text in texts if not text.startswith("#")]
    return [line for line in lines if key in ("", line.key)]


def _payload(text: str) -> tuple[str, dict[str, str]]:
    for kind, payload in PAYLOADS.items():
        if found := re.fullmatch(payload + TIMESTAMP, text):
            return kind, found.groupdict()
    return _reject("no payload", text)


def _key(key: str) -> str:
    if not is_key(key):
        _reject("key too long", key)
    if key.startswith(RESERVED):
        _reject("reserved key", key)
    return key


def _dimensions(text: str) -> dict[str, str]:
    dimensions: dict[str, str] = {}
    for key, written in re.findall(f",{DIMENSION}", text):
        quoted = written.startswith('"')
        value = re.sub(ESCAPE, r"\1", written[1:-1]) if quoted else written
        if key in dimensions:
            _reject("duplicate dimension", key)
        if not is_dimension_key(key):
            _reject("dimension key too long", key)
        if not is_dimension_value(value):
            _reject("dimension value too long", value)
        dimensions[key] = value
    if len(dimensions) > DIMENSIONS_LIMIT:
        _reject("too many dimensions", len(dimensions))
    return dimensions


def _number(text: str) -> int | float:
    if abs(float(text)) == float("inf"):
        _reject("too large for a double", text)
    return int(text) if re.fullmatch(INTEGER, text) else float(text)


def _check_summary(**numbers: int | float) -> None:
    # The endpoint reads doubles.
    fields = ("min", "max", "sum", "count")
    low, high, total, count = (float(numbers[name]) for name in fields)
    if low > high:
        _reject("min > max", numbers)
    if count == 0:
        if (low, high, total) != (0, 0, 0):
            _reject("count is 0, but not min, max and sum", numbers)
    elif not low - TOLERANCE <= total / count <= high + TOLERANCE:
        _reject("min <= sum/count <= max does not hold", numbers)


def _match(pattern: str, line: str, reason: str) -> re.Match[str]:
    return re.match(pattern, line) or _reject(reason, line)


def _reject(reason: str, part: object) -> NoReturn:
    raise NotALineError(f"{reason}: {part!a:.200}")
