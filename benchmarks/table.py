"""The table of figures that every part returns, and its text and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benchmarks.peers import OURS

__all__ = ["FLOOR", "Cells", "Table", "figure", "markdown", "ratio", "text"]

FLOOR = "floor"

Cells = Sequence[Sequence[str]]


class Table(NamedTuple):
    """Figures of one unit by row and column; less is better in all of them."""

    key: str
    title: str
    unit: str
    rows: dict[str, dict[str, float]]
    note: str = ""

    @property
    def columns(self) -> list[str]:
        """Return the names of the columns: the floor, dtmetrics, then the peers."""
        first = [FLOOR, OURS]
        names = dict.fromkeys(name for row in self.rows.values() for name in row)
        return [
            *(n for n in first if n in names),
            *(n for n in names if n not in first),
        ]

    def cells(self) -> list[list[str]]:
        """Return a heading and all rows; peers show their multiple of dtmetrics."""
        columns = self.columns
        heading = [f"{self.title}, {self.unit}", *columns]
        return [
            heading,
            *([name, *_cells(row, columns)] for name, row in self.rows.items()),
        ]


def _cells(row: dict[str, float], columns: Sequence[str]) -> Iterable[str]:
    ours = row.get(OURS)
    for column in columns:
        if column not in row:
            yield "-"
        elif ours is None or column == OURS:
            yield figure(row[column])
        else:
            yield f"{figure(row[column])} ({ratio(row[column], ours)})"


def figure(value: float) -> str:
    """Write a figure with its significant digits."""
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 20 else f"{value:.1f}"


def ratio(value: float, to: float) -> str:
    """Write *value* as a multiple of *to*; "infx" if *to* was too small to measure."""
    times = value / to if to > 0 else float("inf")
    return (
        f"{times:.0f}x"
        if times >= 20
        else f"{times:.2g}x"
        if times < 1
        else f"{times:.1f}x"
    )


def text(cells: Cells) -> str:
    """Align *cells* for a terminal, the first row over a line."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [
                cell.rjust(width)
                for cell, width in zip(row[1:], widths[1:], strict=True)
            ]
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def markdown(cells: Cells) -> str:
    """Write *cells* as a table of Markdown."""
    rows = ["| " + " | ".join(row) + " |" for row in cells]
    rule = "|---" + "|--:" * (len(cells[0]) - 1) + "|"
    return "\n".join([rows[0], rule, *rows[1:]])
