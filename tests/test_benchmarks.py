"""The commands of the benchmarks, and what they make of measured figures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import compare, journeys
from benchmarks.chart import chart
from benchmarks.goals import Cell, Goal, Verdict, cells, evaluate
from benchmarks.growth import LIMITS, too_fast
from benchmarks.operations import NAMES
from benchmarks.part import ROOT, Result
from benchmarks.peers import OURS
from benchmarks.report import BEGIN, END, Run, between_marks
from benchmarks.table import FLOOR, Table, figure, markdown, ratio, text

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.processes
@pytest.mark.timeout(180)
def test_command(tmp_path: Path) -> None:
    """The command runs with any set of installed peers, and writes both files."""
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


def test_readme_requires_a_whole_run() -> None:
    """The command rejects --readme together with --quick or --only."""
    for half in (["--quick"], ["--only", "threads"]):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", "--readme", *half],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert "--readme requires a whole run" in done.stderr


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
    """A goal is met at its bound and missed beyond it, for both kinds of bounds."""
    table = Table("t", "", "ns", {"inc": {OURS: 10.0, "peer": 40.0}})
    goal = Goal("inc", "peer", *_cells("peer", OURS), bound, at_least)
    [verdict] = evaluate([table], [goal])
    assert verdict == Verdict(goal, 4.0)
    assert verdict.result == result
    assert cells([verdict])[1][3:] == ["4x", result]


def test_goal_without_a_figure() -> None:
    """A goal against a library that is not installed is neither met nor missed."""
    table = Table("t", "", "ns", {"inc": {OURS: 10.0}})
    goal = Goal("inc", "peer", *_cells("peer", OURS), 1.0, at_least=True)
    [verdict] = evaluate([table], [goal])
    assert (verdict.measured, verdict.result) == (None, "not measured")


def test_growth() -> None:
    """A cost that grows beyond its limit is reported, and one at the limit is not."""
    limit = LIMITS[0]

    def broken(factor: float) -> bool:
        row = {limit.of: 10.0, limit.to: 10.0 * factor}
        [(checked, _, broke)] = too_fast(
            [Table(limit.table, "", "ns", {limit.row: row})]
        )
        assert checked == limit
        return broke

    assert not broken(limit.factor)
    assert broken(limit.factor * 1.01)


def test_failed_run() -> None:
    """A run fails if a part has no table, or if a cost grows too fast in a full run."""
    limit = LIMITS[0]
    row = {limit.of: 1.0, limit.to: 2 * limit.factor}
    grown = Result([Table(limit.table, "", "ns", {limit.row: row})])
    assert Run([grown], "here", quick=False).failed
    assert not Run([grown], "here", quick=True).failed
    assert Run(
        [Result([], {}, {"the part growth": "a bug"})], "here", quick=True
    ).failed


def test_tables() -> None:
    """Floor and dtmetrics come first, peers have a ratio, a missing figure is a dash."""
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
    """A figure is written with its significant digits."""
    assert figure(value) == written


def test_ratio_to_zero() -> None:
    """A ratio to a cost that is too small to measure is infinite, not an error."""
    assert ratio(1.0, 0.0) == "infx"


def test_chart_of_odd_names_and_figures() -> None:
    """A chart escapes names, and draws a figure of zero or less at the left end."""
    rows = {"a < b & c": {OURS: -1.0, FLOOR: 0.0, "peer": 1e6}}
    picture = ElementTree.fromstring(chart(Table("t", "", "ns", rows), ["here", "x 1"]))
    assert "a < b & c" in [element.text for element in picture.iter(f"{SVG}text")]
    height = float(picture.get("height", "0"))
    for bar in picture.iter(f"{SVG}rect"):
        assert float(bar.get("width", "0")) >= 1
        assert float(bar.get("y", "0")) + float(bar.get("height", "0")) <= height


def test_readme() -> None:
    """The README has both marks, and only the text between them is replaced."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    before, after = readme.partition(BEGIN)[0], readme.partition(END)[2]
    page = between_marks(readme, "new")
    assert page == f"{before}{BEGIN}\n\nnew\n\n{END}{after}"
    assert between_marks(page, "new") == page
    with pytest.raises(ValueError, match="the page must contain"):
        between_marks("no marks", "new")


def operations(*peers: str) -> Run:
    """Return a run of which only the operations are known; each costs more than the last."""
    rows = {name: {OURS: 100.0} for name in NAMES.values()}
    for place, row in enumerate(rows.values()):
        row.update(dict.fromkeys(peers, 300.0 + 100.0 * place))
    table = Table("operations", "operation", "ns", rows)
    return Run([Result([table])], "a machine", quick=False)


def test_readme_has_a_chart_and_three_sentences() -> None:
    """The README gets a chart and three sentences, which compare the peers."""
    shown = operations("prometheus_client", "opentelemetry-sdk").as_readme()
    chart, text = shown.split("\n\n")
    assert chart.startswith("![What one call costs in each library](https://")
    assert "3.0 to 7.0 times as much with prometheus_client" in " ".join(text.split())
    assert len(re.findall(r"\.(?= |$)", " ".join(text.split()))) == 3


def test_readme_without_peers() -> None:
    """A library that was not measured is left out of the README's sentences."""
    text = " ".join(operations("opentelemetry-sdk").as_readme().split())
    assert "times as much with opentelemetry-sdk" in text
    assert "prometheus_client" not in text
    assert "times as much" not in operations().as_readme()


def test_readme_figures_are_those_of_the_results() -> None:
    """Each cost and each multiple in the README is in the table of the last whole run."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    results = (ROOT / "benchmarks" / "results.md").read_text(encoding="utf-8")
    shown = readme.partition(BEGIN)[2].partition(END)[0]
    costs = re.findall(r"([0-9.,]+) ns", shown)
    multiples = re.findall(r"([0-9.]+) to ([0-9.]+)\stimes", shown)
    assert len(costs) == 4
    assert len(multiples) == 2
    for cost in costs:
        assert f"| {cost} |" in results
    for multiple in [each for pair in multiples for each in pair]:
        assert f"({multiple}x)" in results
    where = re.findall(r"more than without \((.*?)\)", " ".join(shown.split()))
    assert f"Measured on {where[0]}." in results


@pytest.mark.processes
def test_compare_with_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """The comparison measures every section in both checkouts, and prints the forms."""
    compare.main([str(ROOT), "--quick", "--rounds", "1", "--only", "decorate"])
    heading, _, *rows = capsys.readouterr().out.splitlines()
    assert heading.split()[:2] == ["form,", "ns"]
    assert [row.partition("  ")[0] for row in rows] == [
        "@timed, decorate a function",
        "@timed, decorate a coroutine function",
        "@timed, decorate a function and call it",
    ]


@pytest.mark.parametrize(
    ("section", "costs", "mark"),
    [
        ("record", [10.4, 10.4, 10.4], ""),
        ("record", [10.6, 10.6, 10.6], "SLOWER"),
        ("record", [10.0, 10.6, 10.6], ""),  # the least shows no change
        ("record", [10.6, 10.0, 10.0], ""),  # the median shows no change
        ("web", [10.0, 10.6, 10.6], "SLOWER"),  # the least of differences means nothing
        ("web", [-3.0, 10.0, 12.0], ""),
    ],
)
def test_compare_marks(section: str, costs: list[float], mark: str) -> None:
    """A form is marked if its least and median, or the median of differences, grew 5 %."""
    before = {(section, "form"): [10.0, 10.0, 10.0]}
    [_, row] = compare.table(before, {(section, "form"): costs})
    assert row[0] == "form"
    assert row[-1] == mark


def test_compare_skips_what_one_checkout_lacks() -> None:
    """A form that only one of the checkouts has is left out."""
    table = compare.table({("record", "old"): [1.0]}, {("record", "new"): [1.0]})
    assert len(table) == 1


@pytest.mark.processes
def test_journeys(capfd: pytest.CaptureFixture[str]) -> None:
    """Each journey has a row, and a warm one passes through fewer files than a cold one."""
    journeys.main([])
    heading, *rows = capfd.readouterr().out.splitlines()
    assert heading.split() == ["journey", "files", "functions", "crossings"]
    files = {row[:38].strip(): int(row.split()[-3]) for row in rows}
    assert len(files) == len(journeys.JOURNEYS)
    assert files["counter.inc(region=...), warm"] > 0
    assert (
        files["counter.inc(region=...), warm"] < files["counter.inc(region=...), first"]
    )
    assert files["one ASGI request: warm"] < files["one ASGI request: first"]


def test_unknown_journey() -> None:
    """The name of an unknown journey is an error that lists the known ones."""
    with pytest.raises(SystemExit, match="must be one of inc_first, .*, got teleport"):
        journeys.main(["teleport"])


def _cells(*columns: str) -> list[Cell]:
    return [Cell("t", "inc", column) for column in columns]
