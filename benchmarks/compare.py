"""The cost of each operation here and in another checkout, measured in one run.

``python -m benchmarks.compare PATH`` measures the package ``dtmetrics`` of both
checkouts with the benchmarks of this one. Each section is repeated in fresh processes
that alternate between the two checkouts. Compared with itself, as ``PATH`` ``.`` does,
a checkout shows how far the figures of this machine can be trusted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time, thread_time
from timeit import Timer
from types import ModuleType

from benchmarks.measure import Size, quiet
from benchmarks.part import ROOT, Result
from benchmarks.peers import OURS, PEERS
from benchmarks.table import figure, text

__all__ = ["LIMIT", "compare", "main", "measure", "table"]

#: A form is marked when it costs this many times what it costs in the other checkout.
LIMIT = 1.05
FULL = Size(rounds=40, turns=1, series=10_000, seconds=0.05)
QUICK = Size(rounds=2, turns=1, series=100, seconds=0.05)

Costs = dict[str, float]
#: The costs of a form, by section and name, in each process that measured it.
Samples = dict[tuple[str, str], list[float]]

#: ``dtmetrics`` comes from one checkout, and ``benchmarks`` always from this one.
_CHILD = """
import sys
from time import process_time
sys.path[0] = sys.argv[1]
start = process_time()
import dtmetrics
took = process_time() - start
sys.path[0] = sys.argv[2]
from benchmarks.compare import measure
measure(*sys.argv[3:], took)
"""


def main(arguments: list[str] | None = None) -> None:
    """Print the costs of both checkouts, in nanoseconds."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description="What each operation costs here and in another checkout.",
    )
    parser.add_argument("other", type=Path, metavar="PATH", help="the other checkout")
    parser.add_argument(
        "--only",
        action="append",
        choices=["import", *SECTIONS],
        help="measure this section",
    )
    parser.add_argument("--rounds", type=int, default=8, help="processes of a section")
    parser.add_argument("--quick", action="store_true", help="only see that it works")
    options = parser.parse_args(arguments)
    sections = options.only or ["import", *SECTIONS]
    before, after = compare(options.other.resolve(), sections, options)
    print(text(table(before, after)))


def compare(
    other: Path, sections: list[str], options: argparse.Namespace
) -> tuple[Samples, Samples]:
    """Return what each form cost in the other checkout and in this one."""
    before: Samples = {}
    after: Samples = {}
    quick = "quick" if options.quick else ""
    # Compiled files go into a directory of their own, not into the other checkout.
    with TemporaryDirectory() as cache:
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(options.rounds):
            # The checkouts take turns in being the first of a pair.
            pair = [(other, before), (ROOT, after)][:: -1 if number % 2 else 1]
            for section, (checkout, samples) in product(sections, pair):
                costs = _run(checkout, section, quick, environ)
                for form, cost in costs.items():
                    samples.setdefault((section, form), []).append(cost)
    return before, after


def table(before: Samples, after: Samples) -> list[list[str]]:
    """Return a row for each form that both checkouts have.

    The least of several costs is one that no other process disturbed. Where the cost of
    a bare application was subtracted, the least means nothing, and the median counts.
    A form is marked as slower if both ratios say so.
    """
    rows = [["form, ns", "before", "after", "of the least", "of the medians", ""]]
    for (section, form), old in before.items():
        if (section, form) not in after:
            continue
        new = after[section, form]
        is_difference = section in DIFFERENCES
        typical = median if is_difference else min
        ratios = [_ratio(min(old), min(new)), _ratio(median(old), median(new))]
        checked = ratios[1:] if is_difference else ratios
        shown = ["-" if is_difference else f"{ratios[0]:.2f}", f"{ratios[1]:.2f}"]
        mark = "SLOWER" if min(checked) > LIMIT else ""
        rows.append([form, figure(typical(old)), figure(typical(new)), *shown, mark])
    return rows


def _ratio(before: float, after: float) -> float:
    return after / before if before > 0 else 1.0


def _run(checkout: Path, section: str, quick: str, environ: dict[str, str]) -> Costs:
    """Return what a fresh process measured with the package of *checkout*."""
    python = checkout / ".venv" / "bin" / "python"
    interpreter = str(python) if python.exists() else sys.executable
    done = subprocess.run(  # noqa: S603 -- our own modules
        [interpreter, "-c", _CHILD, str(checkout), str(ROOT), section, quick],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    costs: Costs = json.loads(done.stdout.splitlines()[-1])
    return costs


def measure(section: str, quick: str, imported: float) -> None:
    """Measure a section in this process, and print nanoseconds by form as JSON.

    *imported* is the time in seconds that importing dtmetrics has taken.
    """
    import dtmetrics

    if section == "import":
        print(json.dumps({"import dtmetrics": 1e9 * imported}))
        return
    if find_spec("dtmetrics.integrations") is None:
        _use_former_layout(dtmetrics)
    for name in PEERS.keys() - {OURS}:
        del PEERS[name]
    print(json.dumps(SECTIONS[section](QUICK if quick else FULL)))


def _use_former_layout(package: ModuleType) -> None:
    """Find integrations and exporters where they were before they had these names."""
    integrations = ModuleType("dtmetrics.integrations")
    integrations.__path__ = package.__path__
    exporters = importlib.import_module("dtmetrics._deliver.exporter")
    exporters.Batch = exporters.Body  # type: ignore[attr-defined]
    sys.modules["dtmetrics.integrations"] = integrations
    sys.modules["dtmetrics.exporters"] = exporters


def _record(size: Size) -> Costs:
    from benchmarks import operations

    [found] = operations.measure(size).tables
    return {form: costs[OURS] for form, costs in found.rows.items()}


def _flush(size: Size) -> Costs:
    from benchmarks.many import COUNTERS, COUNTERS_OF_THREE, SUMMARIES, pairs

    costs: Costs = {}
    for kind, makers in [
        ("counter", COUNTERS),
        ("counter by three", COUNTERS_OF_THREE),
        ("summary", SUMMARIES),
    ]:
        many = makers[OURS](pairs(size.series))
        first = _seconds(many.touch, thread_time)
        many.encode()  # writes the part of each line that stays
        least = float("inf")
        for _ in range(6):
            many.touch()
            least = min(least, _seconds(many.encode, process_time))
        costs[f"first record of a series, {kind}"] = 1e9 * first / size.series
        costs[f"flush, a line of a {kind}"] = 1e9 * least / size.series
    return costs


def _decorate(size: Size) -> Costs:
    import dtmetrics
    from benchmarks.peers import nothing, nothing_awaited

    dtmetrics.configure(
        exporter=dtmetrics.MemoryExporter(), interval=None, enrich=False
    )
    made = dtmetrics.timed("a.b")
    steps: dict[str, Callable[[], object]] = {
        "decorate a function": lambda: made(nothing),
        "decorate a coroutine function": lambda: made(nothing_awaited),
        "decorate a function and call it": lambda: made(nothing)(1),
    }
    timers = {form: Timer(step, timer=thread_time) for form, step in steps.items()}
    with quiet():
        return {
            f"@timed, {form}": 1e9 * min(timer.repeat(size.rounds // 2, 100)) / 100
            for form, timer in timers.items()
        }


def _seconds(step: Callable[[], object], clock: Callable[[], float]) -> float:
    with quiet():
        start = clock()
        step()
        return clock() - start


def _web(size: Size) -> Costs:
    from benchmarks import web

    web.PEERS[:] = [peer for peer in web.PEERS if peer.column == OURS]
    return _in_nanoseconds(web.measure(size))


def _outbound(size: Size) -> Costs:
    from benchmarks import outbound

    return _in_nanoseconds(outbound.measure(size))


def _in_nanoseconds(found: Result) -> Costs:
    rows = found.tables[0].rows.items()
    return {form: 1e3 * row[OURS] for form, row in rows if OURS in row}


SECTIONS: dict[str, Callable[[Size], Costs]] = {
    "record": _record,
    "flush": _flush,
    "decorate": _decorate,
    "web": _web,
    "outbound": _outbound,
}
#: Sections whose costs are differences to the same application without dtmetrics.
DIFFERENCES = {"web", "outbound"}

if __name__ == "__main__":
    main()
