"""The tables of a run, as text, as Markdown and as the README shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks import goals, growth
from benchmarks.machine import date, machine, python
from benchmarks.part import Result
from benchmarks.peers import OURS
from benchmarks.table import FLOOR, Cells, Table, figure, markdown, ratio, text
from benchmarks.threads import row as threads

__all__ = ["BEGIN", "END", "Run", "between_marks"]

BEGIN, END = "<!-- python -m benchmarks --readme -->", "<!-- end -->"
QUICK_NOTE = "A quick run, to check that the command works: its figures mean nothing."
_READS = "The cost of dtmetrics, and the peers' cost as a multiple of it:"
_GOALS = (
    "{met} of the {all} goals set for CPython 3.11 are met; "
    "[all figures](benchmarks/results.md) say which are not."
)

#: The rows that the README shows beside the operations: table, row, label.
_CHOSEN = [
    ("threads", threads(8), "8 threads on one counter, an inc"),
    ("memory", "counter, dimensions in the call", "memory of a counter's series"),
    ("encoding", "counters", "100,000 counters to bytes"),
    ("imports", "import", "import"),
]


class Run(NamedTuple):
    """The results of all measured parts, with the machine and the date."""

    results: Sequence[Result]
    where: str
    quick: bool

    @classmethod
    def of(cls, results: Sequence[Result], *, quick: bool) -> Run:
        """Add the date, this machine and this Python to *results*."""
        return cls(results, f"{date()}, {machine()}, {python()}", quick)

    @property
    def tables(self) -> list[Table]:
        """All tables of all parts."""
        return [table for result in self.results for table in result.tables]

    @property
    def versions(self) -> list[str]:
        """Each library and its version, once."""
        found = [v for result in self.results for v in result.versions.values()]
        return [*dict.fromkeys(found)]

    @property
    def left_out(self) -> list[str]:
        """What was left out, and why."""
        found = [pair for result in self.results for pair in result.left_out.items()]
        return [f"{name}: {reason}" for name, reason in found]

    @property
    def failed(self) -> bool:
        """Whether a part returned no table, or a cost broke its limit.

        The limits do not apply to a quick run, whose figures mean nothing.
        """
        checked = [] if self.quick else growth.too_fast(self.tables)
        broken = any(too_fast for *_, too_fast in checked)
        return broken or not all(result.tables for result in self.results)

    def as_text(self) -> str:
        """Return everything for a terminal."""
        return "\n\n".join([*self._head(), *self._all(text)])

    def as_markdown(self) -> str:
        """Return everything as a page."""
        parts = ["# The cost of dtmetrics", *self._head(), *self._all(markdown)]
        return "\n\n".join(parts) + "\n"

    def as_readme(self) -> str:
        """Return the README's part: a picture, a table, and how many goals are met."""
        verdicts = goals.evaluate(self.tables)
        met = sum(verdict.result == "met" for verdict in verdicts)
        parts = [
            "![What one call costs in each library](benchmarks/results.svg)",
            f"Measured on {self.where}. {_READS}",
            markdown(self._chosen()),
            _GOALS.format(met=met, all=len(verdicts)),
        ]
        return "\n\n".join(parts)

    def _head(self) -> list[str]:
        lines = [f"Measured on {self.where}.", f"Versions: {', '.join(self.versions)}."]
        if self.left_out:
            lines.append(
                "\n".join(["Left out:\n", *(f"- {each}" for each in self.left_out)])
            )
        return [*lines, QUICK_NOTE] if self.quick else lines

    def _all(self, write: Callable[[Cells], str]) -> list[str]:
        tables = [
            write(table.cells()) + (f"\n\n{table.note}" if table.note else "")
            for table in self.tables
        ]
        ends = [write(cells) for cells in (self._growth(), self._goals()) if cells]
        return [*tables, *ends]

    def _goals(self) -> list[list[str]]:
        return goals.cells(goals.evaluate(self.tables))

    def _growth(self) -> list[list[str]]:
        """Return each growth with its limit; an empty list if none was measured."""
        rows = [
            [
                f"{limit.row}, {limit.table.split()[-1]}",
                f"{limit.of} to {limit.to}",
                f"at most {limit.factor:.0f}x",
                f"{grew:.1f}x",
                "too fast" if broken else "ok",
            ]
            for limit, grew, broken in growth.too_fast(self.tables)
        ]
        heading = ["growth", "from", "limit", "measured", "result"]
        return [heading, *rows] if rows else []

    def _chosen(self) -> list[list[str]]:
        tables = {table.key: table for table in self.tables}
        rows = {
            (name, "ns"): columns for name, columns in tables["operations"].rows.items()
        }
        for key, name, label in _CHOSEN:
            rows[label, tables[key].unit] = tables[key].rows[name]
        columns = tables["operations"].columns
        names = [name for name in columns if name != "prometheus-async"]
        cells = [["", *names]]
        for (label, unit), row in rows.items():
            merged = _merged(row)
            cells.append([label, *(_shown(merged, name, unit) for name in names)])
        return cells


def _merged(columns: dict[str, float]) -> dict[str, float]:
    """Show prometheus-async, which only times coroutines, as prometheus_client."""
    if "prometheus-async" not in columns:
        return columns
    return {**columns, "prometheus_client": columns["prometheus-async"]}


def _shown(columns: dict[str, float], name: str, unit: str) -> str:
    if name not in columns:
        return "-"
    if name in (OURS, FLOOR):
        return f"{figure(columns[name])} {unit}"
    return ratio(columns[name], columns[OURS])


def between_marks(page: str, shown: str) -> str:
    """Return *page* with the text between the two marks replaced by *shown*."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page must contain {BEGIN} and {END}")
    return f"{before}{begin}\n\n{shown}\n\n{end}{after}"
