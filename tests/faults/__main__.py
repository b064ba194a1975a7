"""Run the campaign: ``python -m tests.faults [NAME ...] [--list] [--quick]``."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence

from tests.faults.campaign import Row, Run
from tests.faults.scenarios import SCENARIOS
from tests.support.progress import write

_HEADINGS = ("scenario", "expected", "actual", "diff", "hung", "MB", "s", "verdict")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen scenarios and print a table; return 1 if any claim is breached."""
    options = _parse(arguments)
    chosen = [SCENARIOS[name] for name in options.names or SCENARIOS]
    if options.list:
        for each in chosen:
            write(f"{each.name:38} {each.claim}")
        return 0
    write(f"seed {options.seed}")
    write(line(_HEADINGS))
    run = Run(options.quick, options.seconds, options.seed)
    rows = [show(each.run(run)) for each in chosen]
    breached = [row for row in rows if row.breaches]
    left_out = sum(bool(row.missing) for row in rows)
    passed = len(rows) - len(breached) - left_out
    write(f"{passed} passed, {len(breached)} breached, {left_out} not run")
    return 1 if breached else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Run the fault campaign and print a row for each scenario.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="scenarios to run (default: all)"
    )
    parser.add_argument("--list", action="store_true", help="list names and claims")
    parser.add_argument(
        "--quick", action="store_true", help="shorter lives and fewer rounds"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="duration of the soak"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=random.randrange(1 << 32),
        help="repeats the random choices of an earlier run",
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - SCENARIOS.keys():
        parser.error(f"unknown scenario: {', '.join(sorted(unknown))}")
    return options


def show(row: Row) -> Row:
    """Print a row as soon as its scenario has ended."""
    figures = (
        row.expected,
        row.actual,
        row.difference,
        row.hung,
        row.memory,
        row.seconds,
    )
    write(line((row.name, *("" if f is None else f for f in figures), row.verdict)))
    for note in row.notes:
        write(f"{'':38} {note}")
    return row


def line(cells: Sequence[object]) -> str:
    """Return the cells of a row, aligned for the table."""
    name, expected, actual, difference, hung, memory, seconds, verdict = cells
    counts = f"{expected!s:>9} {actual!s:>9} {difference!s:>6}"
    return f"{name!s:38} {counts} {hung!s:>4} {memory!s:>6} {seconds!s:>6}  {verdict}"


if __name__ == "__main__":
    sys.exit(main())
