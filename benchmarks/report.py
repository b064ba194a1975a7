"""The tables of a run, as text and as Markdown, and their short form in the README."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from textwrap import TextWrapper
from typing import NamedTuple

from benchmarks import goals, growth
from benchmarks.machine import date, machine, python
from benchmarks.operations import NAMES
from benchmarks.part import Result
from benchmarks.peers import OURS
from benchmarks.table import Cells, Table, figure, markdown, ratio, text

__all__ = ["BEGIN", "END", "Run", "between_marks"]

BEGIN, END = "<!-- python -m benchmarks --readme -->", "<!-- end -->"
QUICK_NOTE = "A quick run, to check that the command works: its figures mean nothing."

# The README is also shown by package indexes, where relative links lead nowhere.
_PICTURE = (
    "https://raw.githubusercontent.com/dtmetrics/dtmetrics/main/benchmarks/results.svg"
)
_ALL = "https://github.com/dtmetrics/dtmetrics/blob/main/benchmarks/results.md"

_COSTS = (
    "An increment of a counter costs {inc}, an observation of a summary {record}, and "
    "a call of a `@timed` function {timed} more than without ({where})."
)
_PEERS = "The same costs {peers}."
_REST = (
    "Before `configure()` a whole call of a `@timed` function takes {off}; "
    "[all figures]({url}) include other operations, threads, memory and web frameworks."
)
_WRAPPER = TextWrapper(88, break_long_words=False, break_on_hyphens=False)

#: The operations of the README, and the libraries that it compares.
_SHOWN = "inc", "record", "timed"
_COMPARED = "prometheus_client", "opentelemetry-sdk"


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
        """Return the README's part: a picture, and three sentences."""
        tables = {table.key: table for table in self.tables}
        rows = {key: tables["operations"].rows[name] for key, name in NAMES.items()}
        costs = {key: f"{figure(row[OURS])} ns" for key, row in rows.items()}
        sentences = [_COSTS.format(where=self.where, **costs)]
        peers = [_multiples(rows, peer) for peer in _COMPARED]
        if any(peers):
            sentences.append(_PEERS.format(peers=", and ".join(filter(None, peers))))
        sentences.append(_REST.format(url=_ALL, **costs))
        picture = f"![What one call costs in each library]({_PICTURE})"
        return f"{picture}\n\n{_WRAPPER.fill(' '.join(sentences))}"

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


def _multiples(rows: Mapping[str, Mapping[str, float]], peer: str) -> str:
    """Return how many times as much *peer* costs; empty if it was not measured."""
    measured = [rows[key] for key in _SHOWN if peer in rows[key]]
    if not measured:
        return ""
    times = sorted(row[peer] / row[OURS] for row in measured)
    least, most = (ratio(each, 1).removesuffix("x") for each in (times[0], times[-1]))
    return f"{least} to {most} times as much with {peer}"


def between_marks(page: str, shown: str) -> str:
    """Return *page* with the text between the two marks replaced by *shown*."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page must contain {BEGIN} and {END}")
    return f"{before}{begin}\n\n{shown}\n\n{end}{after}"
