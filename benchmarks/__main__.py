"""The command: measure everything, print the tables, and write them to files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import part
from benchmarks.chart import chart
from benchmarks.report import Run, between_marks


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if a part failed or a cost grows faster than it may."""
    options = _parse(arguments)
    results = []
    for name in options.only or part.PARTS:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        results.append(part.run(name, quick=options.quick))
    run = Run.of(results, quick=options.quick)
    print(run.as_text())
    _write(run, part.ROOT / "benchmarks" if options.readme else options.out)
    if options.readme:
        readme = part.ROOT / "README.md"
        page = readme.read_text(encoding="utf-8")
        readme.write_text(between_marks(page, run.as_readme()), encoding="utf-8")
    return int(run.failed)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure dtmetrics beside its peers, in one run of 3 minutes.",
    )
    parser.add_argument(
        "--only", action="append", choices=part.PARTS, help="measure this part alone"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="check that it runs; the figures mean nothing",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(".benchmarks"),
        help="directory of the results (default: .benchmarks)",
    )
    parser.add_argument(
        "--readme", action="store_true", help="put the results into the README"
    )
    options = parser.parse_args(arguments)
    if options.readme and (options.quick or options.only):
        parser.error("--readme requires a whole run")
    return options


def _write(run: Run, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(run.as_markdown(), encoding="utf-8")
    for table in run.tables:
        if table.key == "operations":
            picture = chart(table, [run.where, *run.versions])
            (folder / "results.svg").write_text(picture, encoding="utf-8")
    print(f"\nwritten to {folder}/results.*", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
