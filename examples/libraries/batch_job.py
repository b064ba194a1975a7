"""A job that runs and ends: no thread, and one flush whose result it checks."""

import sys

from dtmetrics import configure, counter, flush, job, stats

configure(interval=None)

rows = counter("import.rows", unit="{row}")
bad_rows = counter("import.rows.bad", unit="{row}")


@job("nightly.import")
def run(lines: list[str]) -> None:
    """Parse numbers, and count the rows that are invalid."""
    for line in lines:
        try:
            float(line)
        except ValueError as error:
            bad_rows.inc(reason=type(error).__name__)
        rows.inc()


run(["1", "2.5", "three", "4"])
if not flush(timeout=5.0):
    print(f"{stats().waiting} data points were not delivered", file=sys.stderr)
