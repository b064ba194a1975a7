"""What an endpoint received, in the words of the code that recorded it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

__all__ = ["series_report"]

Series = Mapping[str, Any]

_MOST_ROWS = 6
# A dimension that every program has.
_SOURCE = "dt.metrics.source"


def series_report(series: Iterable[Series]) -> RenderableType:
    """Return a block for each key: its instrument, its unit and a row for each series.

    *series* are those of the receiver's ``/api/series``. A key is never cut. In a
    narrow terminal the dimensions are.
    """
    rows = sorted(series, key=lambda row: (row["key"], str(row["dimensions"])))
    blocks: list[RenderableType] = []
    for key, of_key in groupby(rows, key=lambda row: row["key"]):
        blocks += _block(key, list(of_key))
    return Group(*blocks)


def _block(key: str, rows: Sequence[Series]) -> Iterator[RenderableType]:
    dimensions = [_shown_dimensions(row) for row in rows]
    shared = dict(set.intersection(*(set(each.items()) for each in dimensions)))
    recorded = [_recorded(row) for row in rows[:_MOST_ROWS]]
    about = [_instrument(rows[0]), _text_of(shared)]
    if len(rows) == 1:
        about.append(recorded[0])
    title = _plain(key)
    title.stylize("bold")
    yield Text.assemble(title, "  ", _plain("  ".join(filter(None, about))))
    if len(rows) == 1:
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(no_wrap=True, min_width=max(map(len, recorded)))
    for text, each in zip(recorded, dimensions, strict=False):
        rest = {name: value for name, value in each.items() if name not in shared}
        grid.add_row(_plain(_text_of(rest)), text)
    yield Padding(grid, (0, 0, 0, 2), expand=False)
    if len(rows) > _MOST_ROWS:
        yield Text(f"  and {len(rows) - _MOST_ROWS:,} more series")


def _instrument(row: Series) -> str:
    """Return the instrument with its unit, unless that only says what is counted."""
    unit = row["metadata"].get("dt.meta.unit", "")
    return (
        f"{row['instrument']} ({unit})"
        if unit not in ("", "Count")
        else row["instrument"]
    )


def _shown_dimensions(row: Series) -> dict[str, str]:
    shown = {k: v for k, v in row["dimensions"].items() if k != _SOURCE}
    for name in ("code.function.name", "error.type"):
        if name in shown:  # the module is long, and their ends differ
            shown[name] = ".".join(shown[name].split(".")[-2:])
    return shown


def _text_of(dimensions: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(dimensions.items()))


def _recorded(row: Series) -> str:
    """Return what the instrument's user wants to know of a series.

    >>> _recorded({"instrument": "counter", "sum": 1361, "metadata": {}})
    'total 1,361'
    """
    unit = row["metadata"].get("dt.meta.unit", "")
    kind = row["instrument"]
    if kind == "counter":
        return f"total {_number(row['sum'])}"
    if kind == "gauge":
        return f"latest {_number(row['last'])}"
    count = row["count"]
    mean = (row["sum"] or 0) / count if count else 0
    if kind == "timer" and unit == "s":
        mean, most = _seconds(mean), _seconds(row["max"])
        return f"{count:,} call{'s'[: count != 1]}, mean {mean}, max {most}"
    least, most = _number(row["min"]), _number(row["max"])
    word = f"value{'s'[: count != 1]}"
    return f"{count:,} {word}, mean {_number(mean)}, min {least}, max {most}"


def _number(value: float | None) -> str:
    """Return *value* with four digits, and groups of three where it is long.

    >>> _number(1234567), _number(14.628), _number(0.000123), _number(None)
    ('1,234,567', '14.63', '0.000123', '?')
    """
    if value is None:
        return "?"
    if value == int(value) or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _seconds(value: float | None) -> str:
    """Return a time with three digits, in the unit that fits.

    >>> _seconds(0.0000231), _seconds(0.36), _seconds(75)
    ('23.1 us', '360 ms', '75 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value is not None and value >= size:
            return f"{value / size:.3g} {unit}"
    return "?" if value is None else f"{value * 1e9:.3g} ns"


def _plain(text: str) -> Text:
    """Return *text* without markup of rich and without control characters."""
    return Text("".join(c if c.isprintable() else "?" for c in text))
