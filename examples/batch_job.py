"""A job that runs and ends: no thread, one flush, and its own account."""

import sys

from dtmetrics import configure, counter, flush, stats, timed

configure(interval=None, dimensions={"job": "nightly-import"})

rows = counter("import.rows", unit="{row}")
bad_rows = counter("import.rows.bad", unit="{row}")


@timed("import.duration")
def run(lines: list[str]) -> None:
    """Read numbers, and count those that are none."""
    for line in lines:
        try:
            float(line)
        except ValueError as error:
            bad_rows.inc(reason=type(error).__name__)
        rows.inc()


run(["1", "2.5", "three", "4"])
if not flush(timeout=5.0):
    print(f"{stats().waiting} data points could not be sent", file=sys.stderr)
