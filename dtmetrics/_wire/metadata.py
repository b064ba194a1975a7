"""What a metric key means, as one metadata line: its unit and its description.

https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/reference/custom-metric-metadata
The endpoint keeps the first metadata of a key and ignores later ones.
"""

from __future__ import annotations

import re

__all__ = ["DESCRIPTION_LIMIT", "UNIT_LIMIT", "encode_metadata"]

#: The lower of two published limits (65,535 is the other): it holds everywhere.
DESCRIPTION_LIMIT = 1_023
UNIT_LIMIT = 63

# Units that Dynatrace shows by another name than UCUM's. An annotation such as
# {order} counts things, and a bare 1 says nothing.
_UNITS = {"By": "Byte", "%": "Percent", "1": ""}
_UNIT = re.compile(r"[A-Za-z0-9%\[\]{}/_]+")
_ANNOTATION = re.compile(r"\{[^{}]*\}")
_NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_TO_ESCAPE = re.compile(r'(["\\])')


def encode_metadata(key: str, kind: str, unit: str, description: str) -> str | None:
    """Return the metadata of *key* as one line, or None if there is nothing to say.

    *kind* is that of the instrument; a unit with characters that the endpoint does
    not take is left out.

    >>> encode_metadata("orders", "counter", "{order}", "Orders taken")
    '#orders count dt.meta.unit=Count,dt.meta.description="Orders taken"'
    """
    properties = []
    shown = "Count" if _ANNOTATION.fullmatch(unit) else _UNITS.get(unit, unit)
    if len(shown) <= UNIT_LIMIT and _UNIT.fullmatch(shown):
        properties.append(f"dt.meta.unit={shown}")
    text = _NOT_TEXT.sub(" ", description[:DESCRIPTION_LIMIT]).strip()
    if text:
        escaped = _TO_ESCAPE.sub(r"\\\1", text)
        properties.append(f'dt.meta.description="{escaped}"')
    if not properties:
        return None
    return f"#{key} {'count' if kind == 'counter' else 'gauge'} {','.join(properties)}"
