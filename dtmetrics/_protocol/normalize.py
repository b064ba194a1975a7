"""What may be called how: metric keys, dimension keys and dimension values.

Every function here turns what a caller wrote into what the endpoint accepts and
never refuses what can be mended. The rules are those of
https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/reference/metric-ingestion-protocol
and, where that page is silent, of dynatrace-metric-utils-java 2.5.0. Where limits
are published twice (250 and 255 characters), the lower one holds everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from threading import Lock

from cachetools import LRUCache

__all__ = [
    "DIMENSIONS_LIMIT",
    "DIMENSION_KEY_LIMIT",
    "KEY_LIMIT",
    "RESERVED_PREFIX",
    "VALUE_LIMIT",
    "Remembered",
    "clean_dimension_key",
    "clean_dimension_value",
    "clean_key",
    "one_line",
    "text_of",
]

KEY_LIMIT = 250
DIMENSION_KEY_LIMIT = 100
VALUE_LIMIT = 250
DIMENSIONS_LIMIT = 50
#: The endpoint refuses metric keys that start so; as dimensions they are allowed.
RESERVED_PREFIX = "dt."

_KEY_START = re.compile("[^A-Za-z_]")
_KEY_REST = re.compile("[^A-Za-z0-9_-]+")
_DIMENSION_START = re.compile("[^a-z_]")
_DIMENSION_REST = re.compile("[^a-z0-9_:-]+")
# Control characters would split or hide a line, and half a surrogate pair has no
# UTF-8 form at all; U+2028 and U+2029 are line ends to str.splitlines().
_NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def clean_key(raw: str) -> str | None:
    """Return *raw* as a metric key, or None where nothing in it can start one.

    >>> clean_key("orders placed")
    'orders_placed'
    >>> clean_key("load.1m")
    'load._1m'
    """
    first, *rest = raw[:KEY_LIMIT].split(".")
    first = _clean_section(first, _KEY_START, _KEY_REST)
    if not first:
        return None
    # A digit is legal here by the protocol page, yet tenants refused `load.1m`
    # in 2020 and 2023 (micrometer-metrics/micrometer#4058). An underscore before
    # it keeps `load.1m` and `load.5m` apart.
    later = (f"_{part}" if "0" <= part[:1] <= "9" else part for part in rest)
    sections = (_clean_section(part, _KEY_START, _KEY_REST) for part in later)
    return ".".join([first, *filter(None, sections)])[:KEY_LIMIT].rstrip(".")


def clean_dimension_key(raw: str) -> str | None:
    """Return *raw* as a dimension key, or None where nothing in it is left.

    >>> clean_dimension_key("Tenant Name")
    'tenant_name'
    """
    # Lower-casing can lengthen a text, so the cut comes last as well.
    lowered = raw[:DIMENSION_KEY_LIMIT].lower()[:DIMENSION_KEY_LIMIT]
    sections = (
        _clean_section(part, _DIMENSION_START, _DIMENSION_REST)
        for part in lowered.split(".")
    )
    return ".".join(filter(None, sections)) or None


def clean_dimension_value(text: str) -> str:
    r"""Return *text* without what a line cannot hold; empty means: no dimension.

    >>> clean_dimension_value("two\nlines")
    'two_lines'
    """
    return one_line(text[:VALUE_LIMIT])


def one_line(text: str, instead: str = "_") -> str:
    r"""Return *text* without what would split a line, hide it or has no UTF-8 form.

    Each run of it is replaced by *instead*.

    >>> one_line("a\r\nb")
    'a_b'
    """
    return _NOT_TEXT.sub(instead, text)


def text_of(value: object) -> str:
    """Return what *value* is called as a dimension; raises what its ``str`` raises.

    >>> text_of(True), text_of(200), text_of(b"GET"), text_of(None)
    ('true', '200', 'GET', '')
    """
    if type(value) is str:
        return value
    if isinstance(value, Enum):
        return text_of(value.value)
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, bytes | bytearray):
        # str() would write b'GET', and raises under `python -bb`. A character has
        # at most four bytes, and what is beyond the limit is cut anyway.
        return value[: 4 * VALUE_LIMIT].decode("utf-8", "replace")
    # str() may return an instance of a subclass; join copies it into a plain str.
    return "".join((str(value),))


def _clean_section(part: str, start: re.Pattern[str], rest: re.Pattern[str]) -> str:
    """Mend one dot section: a bad first character, then runs of bad ones."""
    if not part:
        return ""
    if start.match(part):
        tail = part[1:] if rest.fullmatch(part[0]) is None else rest.sub("", part, 1)
        return "_" + rest.sub("_", tail)
    return rest.sub("_", part)


_Known = tuple[str, str | None]


class Remembered:
    """A function of one text whose results are kept, bounded by their length.

    *characters* is how many are kept, those of the texts it was asked included.

    Recording may be re-entered by a signal handler or a finaliser, and a fork may
    copy a held lock: whoever does not get the lock at once computes instead.
    """

    def __init__(
        self, function: Callable[[str], str | None], characters: int = 1 << 19
    ) -> None:
        self._function = function
        self._known: LRUCache[str, _Known] = LRUCache(characters, getsizeof=_size)
        self._free = Lock()

    def __call__(self, raw: str) -> str | None:
        if len(raw) > KEY_LIMIT or not self._free.acquire(blocking=False):
            return self._function(raw)
        try:
            if raw in self._known:
                return self._known[raw][1]
            clean = self._function(raw)
            self._known[raw] = raw, clean
            return clean
        finally:
            self._free.release()


def _size(known: _Known) -> int:
    raw, clean = known
    return 64 + len(raw) + len(clean or "")
