"""Goals: promised ratios within one run on CPython 3.11, and the measured ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from benchmarks import forms, instrumented, outbound, web
from benchmarks.operations import NAMES
from benchmarks.peers import OURS
from benchmarks.stall import CALM, FLUSHED
from benchmarks.table import FLOOR, Table
from benchmarks.threads import row

__all__ = ["GOALS", "Cell", "Goal", "Verdict", "cells", "evaluate"]

PROMETHEUS, OTEL = "prometheus_client", "opentelemetry-sdk"


class Cell(NamedTuple):
    """The place of a figure."""

    table: str
    row: str
    column: str


class Goal(NamedTuple):
    """A bound for a figure, or for its ratio to another figure, the *unit*."""

    what: str
    against: str
    figure: Cell
    unit: Cell | None
    bound: float
    at_least: bool
    suffix: str = "x"

    def write(self, value: float) -> str:
        """Write a value of this goal."""
        return f"{value:.3g}{self.suffix}"


class Verdict(NamedTuple):
    """A goal and the measured value, which is None where a library was missing."""

    goal: Goal
    measured: float | None

    @property
    def result(self) -> str:
        """Return "met", "missed" or "not measured"."""
        if self.measured is None:
            return "not measured"
        bound = self.goal.bound
        reached = self.measured >= bound
        met = reached if self.goal.at_least else self.measured <= bound
        return "met" if met else "missed"


def _beats(table: str, row: str, peer: str, times: float, what: str = "") -> Goal:
    """Promise that *peer* costs at least *times* what dtmetrics costs."""
    ours, theirs = Cell(table, row, OURS), Cell(table, row, peer)
    return Goal(what or row, peer, theirs, ours, times, at_least=True)


def _within(table: str, row: str, times: float, of: str = FLOOR) -> Goal:
    """Promise that dtmetrics costs at most *times* the floor."""
    ours, floor = Cell(table, row, OURS), Cell(table, row, of)
    return Goal(row, of, ours, floor, times, at_least=False)


def _operation(
    key: str, prometheus: float, otel: float, floor: float | None = None
) -> list[Goal]:
    name = NAMES[key]
    peer = "prometheus-async" if key == "timed awaited" else PROMETHEUS
    goals = [
        _beats("operations", name, peer, prometheus),
        _beats("operations", name, OTEL, otel),
    ]
    return [*goals, _within("operations", name, floor)] if floor else goals


def _both(
    table: str, row: str, prometheus: float, otel: float, what: str = ""
) -> list[Goal]:
    return [
        _beats(table, row, PROMETHEUS, prometheus, what),
        _beats(table, row, OTEL, otel, what),
    ]


def _calm(row: str) -> Goal:
    flushed, calm = Cell("stall", row, FLUSHED), Cell("stall", row, CALM)
    what = f"request that records, {row}, while 100,000 series are flushed"
    return Goal(what, CALM, flushed, calm, 2.0, at_least=False)


def _middleware(key: str, best: str) -> list[Goal]:
    """Promise at most half of the best peer's overhead of a request, and 15 us."""
    row = web.NAMES[key]
    ours = Cell("web", row, OURS)
    what = f"request, {row}"
    return [
        _beats("web", row, best, 2, what),
        Goal(what, "none", ours, None, 15, at_least=False, suffix=" µs"),
    ]


_EIGHT = "8 threads on one counter"
_MEMORY = "memory of a series: counter, dimensions in the call"
_BOUND = "memory of a series: counter, bound handles"
_IMPORT = Cell("imports", "import", OURS)


def _kept(row: str, column: str, times: float) -> Goal:
    """Promise what a kept instrument costs beside contexts, against before any."""
    figure = Cell(forms.CONTEXTS, row, column)
    before = Cell(forms.CONTEXTS, row, forms.BEFORE)
    return Goal(f"{row}, {column}", forms.BEFORE, figure, before, times, at_least=False)


# Set as nanoseconds on a machine with a floor of 19 ns.
_FORMS = {
    "with context()": 700,
    forms.TENANTS: 1_000,
    "counter().inc() in place": 200,
    "gauge().set() in place": 200,
    "bind().inc() in place": 1_500,
    "meter.bind().counter().inc()": 500,
    "a dimension: Enum": 400,
    "a dimension: HTTPStatus": 400,
    "a dimension: UUID": 2_000,
    "a dimension: Decimal": 2_000,
    "a dimension: str subclass": 2_000,
    "@timed with args=": 900,
    "@timed with result=": 1_200,
    "@timed that raises": 1_500,
    "first record of a set": 8_000,
}
_IN_PLACE = Cell(forms.FORMS, "with timed() in place", OURS)
_KEPT_TIMER = Cell(forms.CONTEXTS, "with timed(...)", forms.BEFORE)
_FEW, _MANY = (Cell(forms.FORMS, row, OURS) for row in forms.SETS)

GOALS = [
    *_operation("inc", 5, 60, 3.5),
    *_operation("inc dimensions", 4, 20),
    *_operation("set", 8, 100, 2.5),
    *_operation("record", 8, 60, 4.5),
    *_operation("timed", 6, 15, 3),
    *_operation("timed awaited", 5, 10, 4),
    *_operation("block", 3.5, 10, 4.5),
    _within("operations", NAMES["off"], 1.5),
    *_both("threads", row(8), 4, 40, _EIGHT),
    Goal(
        _EIGHT,
        "its own single thread",
        Cell("threads", row(8), OURS),
        Cell("threads", row(1), OURS),
        1.6,
        at_least=False,
    ),
    *_both("memory", "counter, dimensions in the call", 1.5, 3.5, _MEMORY),
    # OpenTelemetry has no bound handles.
    _beats("memory", "counter, bound handles", PROMETHEUS, 1.5, _BOUND),
    *_both("encoding", "counters", 30, 25, "100,000 counters collected and encoded"),
    *(
        _kept(row, column, times)
        for row in ("counter inc", "with timed(...)")
        for column, times in [
            (forms.AFTER, 1.05),
            (forms.OUTSIDE, 2.2),
            (forms.INSIDE, 2.2),
        ]
    ),
    *(_within(forms.FORMS, row, ns / 19) for row, ns in _FORMS.items()),
    Goal("with timed() in place", "kept", _IN_PLACE, _KEPT_TIMER, 2, at_least=False),
    Goal(forms.SETS[1], forms.SETS[0], _MANY, _FEW, 1.2, at_least=False),
    _beats("imports", "import", PROMETHEUS, 2),
    Goal("import", "a bare Python", _IMPORT, None, 25, at_least=False, suffix=" ms"),
    _calm("short, p99"),
    _calm("long, p99"),
    *_middleware("wsgi", instrumented.OTEL),
    *_middleware("flask", web.PROMETHEUS),
    *_middleware("django", web.PROMETHEUS),
    *_middleware("asgi", instrumented.OTEL),
    *_middleware("starlette", web.PROMETHEUS),
    *_middleware("fastapi", web.PROMETHEUS),
    *(
        _beats("outbound", name, instrumented.OTEL, 2, name)
        for name in outbound.NAMES.values()
    ),
]


def evaluate(tables: Iterable[Table], goals: Iterable[Goal] = GOALS) -> list[Verdict]:
    """Return the verdict on each goal."""
    figures = {
        Cell(table.key, row, column): value
        for table in tables
        for row, columns in table.rows.items()
        for column, value in columns.items()
    }
    return [Verdict(goal, _measured(goal, figures)) for goal in goals]


def _measured(goal: Goal, figures: dict[Cell, float]) -> float | None:
    value = figures.get(goal.figure)
    if goal.unit is None or value is None:
        return value
    unit = figures.get(goal.unit)
    return value / unit if unit else None


def cells(verdicts: Iterable[Verdict]) -> list[list[str]]:
    """Return a heading and a row for each goal."""
    rows = [["goal", "against", "bound", "measured", "result"]]
    for verdict in verdicts:
        goal, measured = verdict
        kind = "at least" if goal.at_least else "at most"
        bound = f"{kind} {goal.write(goal.bound)}"
        value = "-" if measured is None else goal.write(measured)
        rows.append([goal.what, goal.against, bound, value, verdict.result])
    return rows
