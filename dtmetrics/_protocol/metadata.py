"""What a metric key means, as one metadata line: its unit and its description.

https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/reference/custom-metric-metadata
The endpoint keeps the first metadata of a key and ignores later ones.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dtmetrics._protocol.line import quoted
from dtmetrics._protocol.normalize import one_line

__all__ = ["DESCRIPTION_LIMIT", "UNIT_LIMIT", "Metadata", "encode_metadata"]

#: The lower of two published limits (65,535 is the other): it holds everywhere.
DESCRIPTION_LIMIT = 1_023
UNIT_LIMIT = 63

# Units that Dynatrace shows by another name than UCUM's. An annotation such as
# {order} counts things, and a bare 1 says nothing.
_UNITS = {"By": "Byte", "%": "Percent", "1": ""}
# Times written out, singular or plural and in any case, as micrometer reads them.
_TIMES = {
    "nanosecond": "ns",
    "microsecond": "us",
    "millisecond": "ms",
    "second": "s",
    "minute": "min",
    "hour": "h",
}
_UNIT = re.compile(r"[A-Za-z0-9%\[\]{}/_]+")
_ANNOTATION = re.compile(r"\{[^{}]*\}")


class Metadata(NamedTuple):
    """What a metric key means. *kind* is that of its instrument."""

    key: str
    kind: str
    unit: str
    description: str


def encode_metadata(metadata: Metadata) -> str | None:
    """Return *metadata* as one line, or None if there is nothing to say.

    A unit with characters that the endpoint does not take is left out.

    >>> encode_metadata(Metadata("orders", "counter", "{order}", "Orders taken"))
    '#orders count dt.meta.unit=Count,dt.meta.description="Orders taken"'
    """
    key, kind, unit, description = metadata
    properties = []
    shown = _unit(unit)
    if len(shown) <= UNIT_LIMIT and _UNIT.fullmatch(shown):
        properties.append(f"dt.meta.unit={shown}")
    text = one_line(description[:DESCRIPTION_LIMIT], instead=" ").strip()
    if text:
        properties.append(f"dt.meta.description={quoted(text)}")
    if not properties:
        return None
    return f"#{key} {'count' if kind == 'counter' else 'gauge'} {','.join(properties)}"


def _unit(unit: str) -> str:
    """Return what Dynatrace calls *unit*."""
    if _ANNOTATION.fullmatch(unit):
        return "Count"
    return _TIMES.get(unit.lower().removesuffix("s")) or _UNITS.get(unit, unit)
