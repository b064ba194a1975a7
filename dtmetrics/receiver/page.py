"""What arrived, as one HTML page without a script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from operator import itemgetter

from dtmetrics.receiver.store import SeriesView, Snapshot

__all__ = ["CONTENT_SECURITY_POLICY", "render"]

_SHOWN = 500

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #1b1c1d; }
table { border-collapse: collapse; margin-bottom: 2rem; }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; }
th { border-bottom: 1px solid #999; }
td { border-bottom: 1px solid #eee; overflow-wrap: anywhere; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
@media (prefers-color-scheme: dark) {
  body { background: #1b1c1d; color: #e8e8e8; }
  td { border-color: #333; }
}
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

#: Allows the page's own style and nothing else: a second defence, after escaping,
#: against text that arrives from anywhere on this computer.
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_NUMBERS = ("points", "count", "sum", "min", "max", "last")


def render(snapshot: Snapshot, stats: Mapping[str, int]) -> str:
    """Return the page. Everything that arrived is escaped in it."""
    series, rejected, warnings = itemgetter("series", "rejected", "warnings")(snapshot)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>dtmetrics receiver</title>\n<style>{_STYLE}</style>\n"
        "</head>\n<body>\n<h1>dtmetrics receiver</h1>\n"
        f"<p>For development only. {stats['requests']} requests, "
        f"{stats['accepted']} lines accepted, {stats['rejected']} rejected, "
        f"{stats['warnings']} warnings since the start.</p>\n"
        f"<h2>{len(series)} series</h2>\n{_series_table(series)}"
        f"<h2>{len(rejected)} rejected lines</h2>\n"
        + _table(
            ("line", "reason"),
            ((_number(line["line"]), _text(line["error"])) for line in rejected[::-1]),
        )
        + f"<h2>{len(warnings)} warnings</h2>\n"
        + _table(("warning",), ([_text(text)] for text in warnings))
        + "</body>\n</html>\n"
    )


def _series_table(series: list[SeriesView]) -> str:
    table = _table(
        ("key", "kind", "dimensions", *_NUMBERS, "unit"),
        (_series_cells(view) for view in series[:_SHOWN]),
    )
    hidden = len(series) - _SHOWN
    return f"{table}<p>{hidden} more are not shown.</p>\n" if hidden > 0 else table


def _series_cells(view: SeriesView) -> list[str]:
    dimensions = ", ".join(f"{key}={text}" for key, text in view["dimensions"].items())
    return [
        _text(view["key"]),
        _text(view["kind"]),
        _text(dimensions),
        *map(_number, itemgetter(*_NUMBERS)(view)),
        _text(view["metadata"].get("dt.meta.unit", "")),
    ]


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(cells)}</tr>\n" for cells in rows)
    return (
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"
    )


def _text(text: str) -> str:
    return f"<td>{escape(text)}</td>"


def _number(number: int | float | None) -> str:
    shown = "overflow" if number is None else f"{number:.6g}"
    if isinstance(number, int):
        shown = str(number)
    return f'<td class="number">{shown}</td>'
