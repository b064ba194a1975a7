"""Run the campaign: ``python -m tests.faults [NAME ...] [--list] [--quick]``."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence

from tests.faults.campaign import Row, Run
from tests.faults.scenarios import SCENARIOS

_HEADINGS = ("scenario", "truth", "got", "diff", "hung", "MB", "s", "verdict")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and print the table; 1 if anything was breached."""
    parser = argparse.ArgumentParser(prog="tests.faults", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="all, if none is given"
    )
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument(
        "--quick", action="store_true", help="shorter, and fewer rounds"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="length of the soak"
    )
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - SCENARIOS.keys():
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    chosen = [SCENARIOS[name] for name in given.names or SCENARIOS]
    if given.list:
        for each in chosen:
            say(f"{each.name:32} {each.claim}")
        return 0
    say(f"seed {given.seed}")
    say(line(_HEADINGS))
    run = Run(given.quick, given.seconds, given.seed)
    rows = [show(each.run(run)) for each in chosen]
    breached = [row for row in rows if row.breaches]
    left_out = sum(bool(row.missing) for row in rows)
    passed = len(rows) - len(breached) - left_out
    say(f"{passed} passed, {len(breached)} breached, {left_out} not run")
    return 1 if breached else 0


def show(row: Row) -> Row:
    """Print a row as soon as it is there."""
    figures = (row.truth, row.got, row.difference, row.hung, row.memory, row.seconds)
    say(line((row.name, *("" if f is None else f for f in figures), row.verdict)))
    for note in row.notes:
        say(f"{'':32} {note}")
    return row


def line(cells: Sequence[object]) -> str:
    """Return the cells of a row, below each other in the table."""
    name, truth, got, difference, hung, memory, seconds, verdict = cells
    figures = f"{truth!s:>9} {got!s:>9} {difference!s:>6} {hung!s:>4} {memory!s:>6} {seconds!s:>6}"
    return f"{name!s:32} {figures}  {verdict}"


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
