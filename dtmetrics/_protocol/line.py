"""Data points as lines of the Dynatrace metrics ingestion protocol.

https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/reference/metric-ingestion-protocol
"""

from __future__ import annotations

from dtmetrics._protocol.normalize import line_prefix
from dtmetrics._protocol.point import (
    CountDelta,
    DataPoints,
    Dimensions,
    GaugeSummary,
    Identity,
)

__all__ = ["encode", "identify", "number_text"]


def identify(key: str, dimensions: Dimensions) -> Identity:
    """Return the identity of a series by its cleaned *key* and *dimensions*."""
    return Identity(key, line_prefix(key, dimensions))


def encode(points: DataPoints) -> list[str]:
    """Return *points* as lines, without line ends.

    >>> orders = [identify("orders", ())]
    >>> encode(DataPoints(CountDelta, orders, [3], 1_700_000_000_000))
    ['orders count,delta=3 1700000000000']
    """
    kind, identities, values, timestamp_ms = points
    rows = zip(identities, values, strict=True)
    end = f" {timestamp_ms}"
    if kind is GaugeSummary:
        return [
            f"{identity.line_prefix} gauge,{_summary_text(summary)}{end}"
            for identity, summary in rows
        ]
    form = "count,delta=" if kind is CountDelta else "gauge,"
    # Most numbers are integers. Writing those without a call saves 0.04 us each.
    return [
        f"{identity.line_prefix} {form}{n if type(n) is int else number_text(n)}{end}"
        for identity, n in rows
    ]


def number_text(number: int | float) -> str:
    """Return *number* as text that is read as the same number.

    An integer is written in plain digits. A float is written as its shortest text,
    without decimals if it is whole. An exponent always follows a decimal point: the
    official Go library requires that of Dynatrace's numbers, and no page documents the
    form ``1e-05``.
    https://github.com/dynatrace-oss/dynatrace-metric-utils-go

    >>> number_text(200.0), number_text(0.00001), number_text(1e300)
    ('200', '1.0e-05', '1.0e+300')
    """
    # Not repr(), which for a bool, an enum member or a numpy scalar includes the type.
    if isinstance(number, int):
        return int.__repr__(number)
    text = float.__repr__(number)
    if "e" in text:
        mantissa, exponent = text.split("e")
        return text if "." in mantissa else f"{mantissa}.0e{exponent}"
    if text.endswith(".0"):
        return "0" if text == "-0.0" else text[:-2]
    return text


def _summary_text(summary: GaugeSummary) -> str:
    """Return the fields of *summary* so that ``min <= sum/count <= max`` holds.

    The endpoint rejects a summary whose mean is outside by more than 1e-6, an absolute
    tolerance. For means from about 1e9 on, the rounding of one float division exceeds
    it; the bound is then moved to the mean.
    https://github.com/micrometer-metrics/micrometer/issues/5037
    """
    low, high, total, count = summary
    if count == 1 and low == high:
        # One observation. A sum that differs from it is rejected here:
        # https://github.com/micrometer-metrics/micrometer/issues/3985
        text = number_text(low)
        return f"min={text},max={text},sum={text},count=1"
    mean = float(total) / count
    if mean < float(low):
        low = mean
    elif mean > float(high):
        high = mean
    if type(low) is type(high) is type(total) is float:
        # Holds for nine in ten summaries, and takes 1.1 us instead of 1.7 us.
        text = f"min={low!r},max={high!r},sum={total!r},"
        if "e" not in text and ".0," not in text:
            return f"{text}count={count}"
    return (
        f"min={number_text(low)},max={number_text(high)},"
        f"sum={number_text(total)},count={count}"
    )
