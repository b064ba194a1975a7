"""``dtmetrics demo``: a small program, a real endpoint, and what arrived there."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any

from rich.console import Console
from rich.progress import Progress

import dtmetrics
from dtmetrics._cli.series_report import series_report
from dtmetrics._cli.workload import Shop

__all__ = ["run"]

_NEXT = """
Next, your own program. In one terminal:
    dtmetrics dev
In another, with a program that calls dtmetrics.configure():
    DTMETRICS_INTERVAL=1 python app.py
http://127.0.0.1:14499 then shows what arrives."""


def run(seconds: float, *, keep: bool) -> int:
    """Run the demo; return 0 only if everything that was recorded was accepted."""
    console = Console()
    if not console.is_terminal:  # in a file, lines need no wrapping
        console = Console(width=120)
    with _receiver(keep=keep) as (address, pid):
        expected = _record(console, address, seconds)
        with urllib.request.urlopen(f"{address}/api/series") as answer:  # noqa: S310
            series = json.load(answer)["series"]
    stats = dtmetrics.stats()
    console.print("\n[bold underline]What the endpoint accepted")
    console.print(series_report(series), highlight=False)
    console.print()
    problems = [*_differences(series, expected), *_not_accepted(stats)]
    for problem in problems:
        console.print(f"[bold red]{problem}")
    if not problems:
        console.print(
            f"All {stats.collected} data points were accepted, and their numbers are "
            "those that the program counted itself.",
            highlight=False,
        )
        console.print(_NEXT, highlight=False)
    if keep:
        console.print(
            f"The receiver is still running: {address} (stop it with: kill {pid})",
            highlight=False,
        )
    return 1 if problems else 0


@contextmanager
def _receiver(*, keep: bool) -> Iterator[tuple[str, int]]:
    """Run ``dtmetrics dev`` on a free port; yield its address and process id."""
    with TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "dtmetrics", "dev", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=keep,
        )
        leave_running = False
        try:
            assert process.stdout is not None
            address = process.stdout.readline().rpartition(" ")[2].strip()
            if not address:
                process.wait()
                errors.seek(0)
                raise SystemExit(f"the receiver did not start: {errors.read().strip()}")
            yield address, process.pid
            leave_running = keep
        finally:
            if not leave_running:
                process.terminate()
                process.wait()


def _record(console: Console, address: str, seconds: float) -> Mapping[str, int]:
    """Run the workload; return what it counted itself, by metric key."""
    dtmetrics.configure(endpoint=f"{address}/metrics/ingest", interval=1.0)
    shop = Shop(seconds)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Recording, and sending every second", total=1.0)
        shop.run(lambda share: progress.update(task, completed=share))
    dtmetrics.shutdown()
    return shop.counts


def _differences(
    series: Sequence[Mapping[str, Any]], expected: Mapping[str, int]
) -> Iterator[str]:
    """Compare the endpoint's numbers with those that the program counted itself."""
    for key, count in expected.items():
        rows = [row for row in series if row["key"] == key]
        got = sum(row["sum" if row["kind"] == "count" else "count"] for row in rows)
        if got != count:
            yield f"{key}: the program counted {count}, the endpoint got {got}"


def _not_accepted(stats: dtmetrics.Stats) -> Iterator[str]:
    missing = stats.collected - stats.accepted
    if missing or stats.invalid:
        yield f"{missing} of {stats.collected} data points were not accepted: {stats}"
