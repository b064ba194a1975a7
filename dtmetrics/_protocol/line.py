"""A data point as one line of the Dynatrace metrics ingestion protocol.

https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/reference/metric-ingestion-protocol
"""

from __future__ import annotations

import re

from dtmetrics._protocol.normalize import one_line
from dtmetrics._protocol.point import (
    CountDelta,
    DataPoints,
    Dimensions,
    GaugeSummary,
    Identity,
)

__all__ = ["encode", "head_of", "identify", "number_text", "quoted"]

# The protocol page documents values in quotes, where only `"` and `\` are escaped;
# it shows plain ones bare. Escapes outside quotes are what the official libraries
# write and no page describes, so none is written here.
_BARE = re.compile("[A-Za-z0-9_.:/-]+")
_TO_ESCAPE = re.compile(r'(["\\])')


def head_of(key: str, dimensions: Dimensions) -> str:
    """Return what each line of a series starts with: cleaned *key* and *dimensions*.

    >>> head_of("orders", (("region", "eu west"), ("tier", "1")))
    'orders,region="eu west",tier=1'
    """
    pairs = (f",{name}={_value_text(value)}" for name, value in dimensions)
    # Cleaning took every line end out. Should one ever pass, the line would become
    # two, the second in its writer's own words; so none is let through here either.
    return one_line(key + "".join(pairs))


def identify(key: str, dimensions: Dimensions) -> Identity:
    """Return the identity of a series by its cleaned *key* and *dimensions*."""
    return Identity(key, head_of(key, dimensions))


def encode(points: DataPoints) -> list[str]:
    """Return *points* as lines, without their line ends.

    >>> orders = [identify("orders", ())]
    >>> encode(DataPoints(CountDelta, orders, [3], 1_700_000_000_000))
    ['orders count,delta=3 1700000000000']
    """
    kind, identities, values, timestamp_ms = points
    rows = zip(identities, values, strict=True)
    end = f" {timestamp_ms}"
    if kind is GaugeSummary:
        return [f"{each.head} gauge,{_summary_text(row)}{end}" for each, row in rows]
    form = "count,delta=" if kind is CountDelta else "gauge,"
    # Most numbers are an int: to write those without a call saves 0.04 us.
    return [
        f"{each.head} {form}{n if type(n) is int else number_text(n)}{end}"
        for each, n in rows
    ]


def number_text(number: int | float) -> str:
    """Return *number* so that it reads back as the same number.

    Integers are plain digits. A float is its shortest text; one that is whole has
    no decimals, and an exponent follows a decimal point, because the form ``1e-05``
    is nowhere promised to be read.

    >>> number_text(200.0), number_text(0.00001), number_text(1e300)
    ('200', '1.0e-05', '1.0e+300')
    """
    # Not repr(): that of a bool, an enum's member or a numpy scalar names its type.
    if isinstance(number, int):
        return int.__repr__(number)
    text = float.__repr__(number)
    if "e" in text:
        mantissa, exponent = text.split("e")
        return text if "." in mantissa else f"{mantissa}.0e{exponent}"
    if text.endswith(".0"):
        return "0" if text == "-0.0" else text[:-2]
    return text


def quoted(text: str) -> str:
    r"""Return *text* in quotes, where two characters are escaped.

    >>> print(quoted('say "hi"'))
    "say \"hi\""
    """
    return '"' + _TO_ESCAPE.sub(r"\\\1", text) + '"'


def _summary_text(payload: GaugeSummary) -> str:
    """Write a summary that passes ``min <= sum/count <= max``.

    The endpoint checks it with an absolute tolerance of 1e-6
    (micrometer-metrics/micrometer#5037), which the rounding of one float division
    breaks for means from about 1e9 on. Then the bound gives way, by one rounding.
    """
    low, high, total, count = payload
    if count == 1:
        # Also refused: one observation whose three fields differ.
        text = number_text(low)
        return f"min={text},max={text},sum={text},count=1"
    mean = float(total) / count
    if mean < float(low):
        low = mean
    elif mean > float(high):
        high = mean
    if type(low) is type(high) is type(total) is float:
        # Nine in ten summaries: 1.1 us instead of 1.7 us.
        text = f"min={low!r},max={high!r},sum={total!r},"
        if "e" not in text and ".0," not in text:
            return f"{text}count={count}"
    return (
        f"min={number_text(low)},max={number_text(high)},"
        f"sum={number_text(total)},count={count}"
    )


def _value_text(value: str) -> str:
    return value if _BARE.fullmatch(value) else quoted(value)
