"""Run the suites: ``python -m tests.framework_suites [NAME ...] [--place DIRECTORY]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.framework_suites.comparison import Comparison, compare
from tests.framework_suites.environment import prepare
from tests.framework_suites.suites import SUITES, Suite
from tests.support.progress import write

_PLACE = Path(tempfile.gettempdir(), "dtmetrics-framework-suites")
_HEADINGS = ("suite", "tests", "passed", "wrapped", "expected", "recorded", "s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen suites and print a table; return 1 if any test differs."""
    options = _parse(arguments)
    write(line(*_HEADINGS, "verdict"))
    breached = False
    for name in options.names or SUITES:
        suite = SUITES[name]
        breached |= show(suite, compare(suite, prepare(suite, options.place)))
    return int(breached)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.framework_suites",
        description="Run the suites of frameworks plain and wrapped, and compare them.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(SUITES)} (default: all)",
    )
    parser.add_argument(
        "--place",
        type=Path,
        default=_PLACE,
        metavar="DIRECTORY",
        help="where sources and environments are put (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - SUITES.keys():
        parser.error(f"unknown suite: {', '.join(sorted(unknown))}")
    return options


def show(suite: Suite, found: Comparison) -> bool:
    """Print a row, and what differs; return whether a claim is breached."""
    plain, wrapped = (
        [*each.outcomes.values()].count("passed")
        for each in (found.plain, found.wrapped)
    )
    breaches = found.breaches
    row = (
        f"{suite.name} {suite.version}",
        len(found.plain.outcomes),
        plain,
        wrapped,
        len(found.differences.keys() & suite.expected.keys()),
        found.wrapped.recorded,
        round(found.plain.seconds + found.wrapped.seconds),
    )
    write(line(*row, "breached" if breaches else "passed"))
    for text in breaches:
        write(f"  {text}")
    for name, reason in suite.expected.items():
        write(f"  expected: {name}: {reason}")
    return bool(breaches)


def line(name: object, *cells: object) -> str:
    """Return the cells of a row, aligned for the table."""
    *figures, verdict = cells
    aligned = "".join(f"{figure!s:>10}" for figure in figures)
    return f"{name!s:18}{aligned}  {verdict}"


if __name__ == "__main__":
    sys.exit(main())
