"""A chart of the operations: bars on a logarithmic scale, one panel for each.

It is plain SVG with a background of its own, and follows the reader's preference for
light or dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import NamedTuple
from xml.sax.saxutils import escape

from benchmarks.peers import OURS
from benchmarks.table import FLOOR, Table, figure, ratio

__all__ = ["chart"]

_WIDTH, _MARGIN, _GAP = 900, 24, 32
_PANEL = (_WIDTH - 2 * _MARGIN - _GAP) / 2
_NAMES, _VALUES = 168, 96  # left and right of the bars
_BARS = _PANEL - _NAMES - _VALUES
_STEP, _THICK = 17, 11
_TITLE, _AXIS = 26, 34  # above and below the bars
_HEAD = 84

_OPEN = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"
 viewBox="0 0 {width} {height}" role="img">
<title>The cost of one call in each library</title>"""

_STYLE = """
  .ground { fill: #ffffff; stroke: #d0d7de }
  text { font: 11px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif;
         fill: #57606a }
  .value { paint-order: stroke; stroke: #ffffff; stroke-width: 3px }
  .title { font-size: 19px; font-weight: 600; fill: #1f2328 }
  .panel, .ours { font-weight: 600; fill: #1f2328 }
  .panel { font-size: 12.5px }
  .small { font-size: 10px }
  .peer-bar { fill: #afb8c1 }
  .ours-bar { fill: #0969da }
  .grid { stroke: #d8dee4 }
  .floor { stroke: #bc4c00; stroke-dasharray: 3 2 }
  .floor-text { fill: #bc4c00 }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #30363d }
    text { fill: #9198a1 }
    .value { stroke: #0d1117 }
    .title, .panel, .ours { fill: #f0f6fc }
    .peer-bar { fill: #545d68 }
    .ours-bar { fill: #4493f8 }
    .grid { stroke: #262c36 }
    .floor { stroke: #f0883e }
    .floor-text { fill: #f0883e }
  }
"""


class _Scale(NamedTuple):
    """A logarithmic scale from nanoseconds to pixels; it starts at a whole decade."""

    low: int
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> _Scale:
        """Return a scale that covers all *values*."""
        least, most = max(min(values), 0.1), max(values)
        return cls(math.floor(math.log10(least)), math.log10(most))

    def at(self, value: float) -> float:
        """Return the pixels from the left end, 0 for values below the scale."""
        decades = math.log10(max(value, 10.0**self.low)) - self.low
        return _BARS * decades / (self.high - self.low)


def chart(table: Table, footer: Sequence[str]) -> str:
    """Return the rows of *table* as a chart, with machine and versions as *footer*."""
    scale = _Scale.of([value for row in table.rows.values() for value in row.values()])
    panels = list(table.rows.items())
    parts: list[str] = []
    top = float(_HEAD)
    for left in range(0, len(panels), 2):
        pair = panels[left : left + 2]
        for place, (name, row) in enumerate(pair):
            parts += _panel(name, row, scale, _MARGIN + place * (_PANEL + _GAP), top)
        top += max(_height(row) for _, row in pair)
    # Lines break between libraries, not between a name and its version.
    versions = ", ".join(each.replace(" ", "\N{NO-BREAK SPACE}") for each in footer[1:])
    lines = [footer[0], *wrap(versions, 160, break_on_hyphens=False)]
    for line in lines:
        parts.append(_text(_MARGIN, top + 6, line, "small"))
        top += 15
    return _whole(top + 12, table.unit, parts)


def _whole(height: float, unit: str, parts: Sequence[str]) -> str:
    legend = (
        f"In {unit}, on a logarithmic scale; less is better. In brackets: the multiple "
        "of the cost of dtmetrics. Dashed: the least possible cost."
    )
    return "\n".join(
        [
            _OPEN.format(width=_WIDTH, height=f"{height:.0f}"),
            f"<style>{_STYLE}</style>",
            _rect("ground", 0.5, 0.5, _WIDTH - 1, height - 1),
            _text(_MARGIN, 40, "The cost of one call", "title"),
            _text(_MARGIN, 60, legend),
            *parts,
            "</svg>\n",
        ]
    )


def _libraries(row: dict[str, float]) -> list[tuple[str, float]]:
    """Return the bars of a row, the cheapest first."""
    bars = [(name, value) for name, value in row.items() if name != FLOOR]
    return sorted(bars, key=lambda bar: bar[1])


def _height(row: dict[str, float]) -> float:
    return _TITLE + _STEP * len(_libraries(row)) + _AXIS


def _panel(
    name: str, row: dict[str, float], scale: _Scale, left: float, top: float
) -> list[str]:
    bars = _libraries(row)
    zero, first = left + _NAMES, top + 10
    bottom = first + _STEP * len(bars)
    parts = [_text(left, top, name, "panel")]
    for power in range(scale.low, math.floor(scale.high) + 1):
        x = zero + scale.at(10.0**power)
        parts.append(_line(x, first, bottom, "grid"))
        parts.append(_text(x, bottom + 13, f"{10.0**power:,.0f}", "small middle"))
    for number, (library, value) in enumerate(bars):
        parts += _bar(
            library, value, row.get(OURS), scale, zero, first + _STEP * number
        )
    if FLOOR in row:
        x = zero + scale.at(row[FLOOR])
        parts.append(_line(x, first, bottom, "floor"))
        floor = f"floor {figure(row[FLOOR])} ns"
        parts.append(_text(left + _PANEL, top, floor, "small end floor-text"))
    return parts


def _bar(
    library: str, value: float, ours: float | None, scale: _Scale, x: float, y: float
) -> list[str]:
    is_ours = library == OURS
    length = max(1.0, scale.at(value))
    label = f"{figure(value)} ns"
    if not is_ours and ours:
        label += f" ({ratio(value, ours)})"
    base = y + (_STEP + _THICK) / 2 - 2
    return [
        _text(x - 6, base, library, "end ours" if is_ours else "end"),
        _rect(
            "ours-bar" if is_ours else "peer-bar",
            x,
            y + (_STEP - _THICK) / 2,
            length,
            _THICK,
        ),
        _text(x + length + 5, base, label, "value ours" if is_ours else "value small"),
    ]


def _text(x: float, y: float, content: str, kind: str = "") -> str:
    css = f' class="{kind}"' if kind else ""
    return f'<text{css} x="{x:.1f}" y="{y:.1f}">{escape(content)}</text>'


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{kind}" {place} rx="2"/>'


def _line(x: float, top: float, bottom: float, kind: str) -> str:
    return f'<path class="{kind}" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>'
