"""The unit and the description of a metric key, as one metadata line.

https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/reference/custom-metric-metadata
The endpoint keeps the first metadata of a key and ignores later ones.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dtmetrics._protocol.normalize import one_line, quoted

__all__ = ["DESCRIPTION_LIMIT", "UNIT_LIMIT", "Metadata", "encode_metadata"]

#: The lower of two published limits. The other, 65,535, is that of the official Java
#: library: https://github.com/dynatrace-oss/dynatrace-metric-utils-java
#: https://docs.dynatrace.com/docs/ingest-from/opentelemetry/otlp-api/ingest-otlp-metrics/about-metrics-ingest
DESCRIPTION_LIMIT = 1_023
#: That of the official Java library, as are the characters that a unit may have.
UNIT_LIMIT = 63

# UCUM units that have another name in Dynatrace. The unit 1 is left out, because it is
# the same as a missing unit. An annotation such as {order} is shown as a count.
_UNITS = {"By": "Byte", "%": "Percent", "1": ""}
# Units of time that are written out, singular or plural and in any case. Micrometer's
# DynatraceExporterV2 has the same: https://github.com/micrometer-metrics/micrometer
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
    """The meaning of a metric key. *kind* is that of its instrument."""

    key: str
    kind: str
    unit: str
    description: str


def encode_metadata(metadata: Metadata) -> str | None:
    """Return *metadata* as one line; None if there is neither unit nor description.

    A unit that is too long, or has a character that the endpoint does not accept, is
    left out.

    >>> encode_metadata(Metadata("orders", "counter", "{order}", "Orders taken"))
    '#orders count dt.meta.unit=Count,dt.meta.description="Orders taken"'
    """
    key, kind, unit, description = metadata
    properties = []
    shown = _shown_unit(unit)
    if len(shown) <= UNIT_LIMIT and _UNIT.fullmatch(shown):
        properties.append(f"dt.meta.unit={shown}")
    text = one_line(description[:DESCRIPTION_LIMIT], replacement=" ").strip()
    if text:
        properties.append(f"dt.meta.description={quoted(text)}")
    if not properties:
        return None
    return f"#{key} {'count' if kind == 'counter' else 'gauge'} {','.join(properties)}"


def _shown_unit(unit: str) -> str:
    """Return the name that Dynatrace has for *unit*."""
    if _ANNOTATION.fullmatch(unit):
        return "Count"
    return _TIMES.get(unit.lower().removesuffix("s")) or _UNITS.get(unit, unit)
