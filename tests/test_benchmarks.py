from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.chart import chart
from benchmarks.goals import Cell, Goal, Verdict, cells, judge
from benchmarks.growth import LIMITS, too_fast
from benchmarks.operations import NAMES
from benchmarks.part import ROOT, Result
from benchmarks.peers import OURS
from benchmarks.report import BEGIN, END, Run, between_marks
from benchmarks.table import FLOOR, Table, figure, markdown, ratio, text

SVG = "{http://www.w3.org/2000/svg}"


def test_command(tmp_path: Path) -> None:
    """The command runs to its end with whatever is installed, and leaves both files."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--out", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    picture = ElementTree.parse(tmp_path / "results.svg").getroot()
    written = {element.text for element in picture.iter(f"{SVG}text")}
    for name in NAMES.values():
        assert f"| {name} |" in page
        assert name in done.stdout
        assert name in written
    assert OURS in written
    assert "its figures mean nothing" in page


def test_command_refuses_half_a_readme() -> None:
    """The README is only ever written from a whole run."""
    for half in (["--quick"], ["--only", "threads"]):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", "--readme", *half],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert "whole run" in done.stderr


@pytest.mark.parametrize(
    ("bound", "at_least", "result"),
    [
        (4.0, True, "met"),
        (4.1, True, "missed"),
        (4.0, False, "met"),
        (3.9, False, "missed"),
    ],
)
def test_goals(bound: float, *, at_least: bool, result: str) -> None:
    """A goal is met up to its bound and missed beyond it, in both directions."""
    table = Table("t", "", "ns", {"inc": {OURS: 10.0, "peer": 40.0}})
    goal = Goal("inc", "peer", *_cells("peer", OURS), bound, at_least)
    [verdict] = judge([table], [goal])
    assert verdict == Verdict(goal, 4.0)
    assert verdict.result == result
    assert cells([verdict])[1][3:] == ["4x", result]


def test_goals_not_measured() -> None:
    """A goal against a library that is missing is neither met nor missed."""
    table = Table("t", "", "ns", {"inc": {OURS: 10.0}})
    goal = Goal("inc", "peer", *_cells("peer", OURS), 1.0, at_least=True)
    [verdict] = judge([table], [goal])
    assert (verdict.got, verdict.result) == (None, "not measured")


def test_growth() -> None:
    """A cost that grows beyond its limit is found, one that stays below is not."""
    limit = LIMITS[0]

    def broken(factor: float) -> bool:
        row = {limit.of: 10.0, limit.to: 10.0 * factor}
        [(judged, _, broke)] = too_fast(
            [Table(limit.table, "", "ns", {limit.row: row})]
        )
        assert judged == limit
        return broke

    assert not broken(limit.factor)
    assert broken(limit.factor * 1.01)


def test_a_run_that_fails() -> None:
    """A run fails when a part comes to nothing or a cost grows too fast, if it counts."""
    limit = LIMITS[0]
    row = {limit.of: 1.0, limit.to: 2 * limit.factor}
    grown = Result([Table(limit.table, "", "ns", {limit.row: row})])
    assert Run([grown], "here", quick=False).failed
    assert not Run([grown], "here", quick=True).failed
    assert Run(
        [Result([], {}, {"the part growth": "a bug"})], "here", quick=True
    ).failed


def test_tables() -> None:
    """The floor and ours come first; what is missing is a dash, the rest has a ratio."""
    rows = {"inc": {"peer": 40.0, OURS: 10.0}, "set": {OURS: 1234.0, FLOOR: 617.0}}
    shown = Table("t", "call", "ns", rows).cells()
    assert shown == [
        ["call, ns", FLOOR, OURS, "peer"],
        ["inc", "-", "10.0", "40 (4.0x)"],
        ["set", "617 (0.5x)", "1,234", "-"],
    ]
    assert markdown(shown).splitlines()[1] == "|---|--:|--:|--:|"
    heading, rule, *lines = text(shown).splitlines()
    assert len(heading) == len(rule) == max(map(len, lines))


@pytest.mark.parametrize(
    ("value", "written"),
    [(3.14, "3.1"), (31.4, "31"), (3141.6, "3,142"), (-1.0, "-1.0")],
)
def test_figures(value: float, written: str) -> None:
    """A figure is written with the digits that mean something."""
    assert figure(value) == written


def test_ratio_to_nothing() -> None:
    """What is too small to be measured breaks no table."""
    assert ratio(1.0, 0.0) == "infx"


def test_chart_of_anything() -> None:
    """Names are escaped, and a figure of zero or below is drawn at the left end."""
    rows = {"a < b & c": {OURS: -1.0, FLOOR: 0.0, "peer": 1e6}}
    picture = ElementTree.fromstring(chart(Table("t", "", "ns", rows), ["here", "x 1"]))
    assert "a < b & c" in [element.text for element in picture.iter(f"{SVG}text")]
    height = float(picture.get("height", "0"))
    for bar in picture.iter(f"{SVG}rect"):
        assert float(bar.get("width", "0")) >= 1
        assert float(bar.get("y", "0")) + float(bar.get("height", "0")) <= height


def test_readme() -> None:
    """The README has the marks, and only what stands between them is replaced."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    before, after = readme.partition(BEGIN)[0], readme.partition(END)[2]
    page = between_marks(readme, "new")
    assert page == f"{before}{BEGIN}\n\nnew\n\n{END}{after}"
    assert between_marks(page, "new") == page
    with pytest.raises(ValueError, match="in the page"):
        between_marks("no marks", "new")


def _cells(*columns: str) -> list[Cell]:
    return [Cell("t", "inc", column) for column in columns]
