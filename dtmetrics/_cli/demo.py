"""``dtmetrics demo``: a real program, a real endpoint, and what arrived there."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any

import dtmetrics

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add this command to the command line."""
    parser = commands.add_parser(
        "demo",
        help="measure a small program and show what an endpoint accepted",
        description="Start a receiver, run a small program that records for some "
        "seconds, and show what the receiver accepted.",
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="how long to work (default 5)"
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave the receiver running"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 only if all that was recorded was accepted."""
    try:
        # Another part of dtmetrics[receiver], and slow to load.
        from rich.console import Console  # noqa: PLC0415
    except ImportError:
        print('The demo needs more: pip install "dtmetrics[receiver]"')  # noqa: T201
        return 1
    console = Console()
    if not console.is_terminal:  # a log is as wide as its lines
        console = Console(width=140)
    with _receiver(keep=args.keep) as (address, pid):
        done = _work(console, address, args.seconds)
        series = _accepted(address)
    stats = dtmetrics.stats()
    console.print(_table(series))
    console.print(str(stats), highlight=False)
    problems = [*_wrong(series, done), *_lost(stats)]
    for problem in problems:
        console.print(f"[bold red]{problem}")
    if not problems:
        console.print(
            f"All {stats.collected} data points were accepted, and their numbers are "
            "those that the program counted itself."
        )
    if args.keep:
        console.print(
            f"The receiver is still running: {address} (stop it with: kill {pid})",
            highlight=False,
        )
    return 1 if problems else 0


@contextmanager
def _receiver(*, keep: bool) -> Iterator[tuple[str, int]]:
    """Run ``dtmetrics dev`` on a free port: give its address and process id."""
    with TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "dtmetrics", "dev", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=keep,
        )
        leave_running = False
        try:
            assert process.stdout is not None
            address = process.stdout.readline().rpartition(" ")[2].strip()
            if not address:
                process.wait()
                said.seek(0)
                raise SystemExit(f"the receiver did not start: {said.read().strip()}")
            yield address, process.pid
            leave_running = keep
        finally:
            if not leave_running:
                process.terminate()
                process.wait()


def _work(console: Any, address: str, seconds: float) -> Mapping[str, int]:
    from rich.progress import Progress  # noqa: PLC0415

    from dtmetrics._cli.workload import Shop  # noqa: PLC0415

    dtmetrics.configure(endpoint=f"{address}/metrics/ingest", interval=1.0)
    shop = Shop(seconds)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("RecordingOptions, sending every second", total=1.0)
        shop.run(lambda share: progress.update(task, completed=share))
    dtmetrics.shutdown()
    return shop.done


def _accepted(address: str) -> Sequence[Mapping[str, Any]]:
    with urllib.request.urlopen(f"{address}/api/series") as answer:  # noqa: S310
        series: Sequence[Mapping[str, Any]] = json.load(answer)["series"]
    return series


def _table(series: Sequence[Mapping[str, Any]]) -> Any:
    from rich.table import Table  # noqa: PLC0415

    table = Table(title="What the endpoint accepted")
    table.add_column("key", overflow="fold")
    table.add_column("kind", no_wrap=True)
    table.add_column("dimensions", overflow="fold")
    for name in ("count", "sum", "min", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in sorted(series, key=lambda row: (row["key"], str(row["dimensions"]))):
        dimensions = ", ".join(
            f"{key}={value}"
            for key, value in row["dimensions"].items()
            if key != "dt.metrics.source"
        )
        numbers = (f"{row[name]:.4g}" for name in ("count", "sum", "min", "max"))
        texts = (_plain(text) for text in (row["key"], row["kind"], dimensions))
        table.add_row(*texts, *numbers)
    return table


def _plain(text: str) -> Any:
    """Return *text* as rich shows it, no part of it a command to it or the terminal."""
    from rich.text import Text  # noqa: PLC0415

    return Text("".join(c if c.isprintable() else "?" for c in text))


def _wrong(
    series: Sequence[Mapping[str, Any]], done: Mapping[str, int]
) -> Iterator[str]:
    """Hold the endpoint's numbers against what the program counted itself."""
    for key, truth in done.items():
        rows = [row for row in series if row["key"] == key]
        got = sum(row["sum" if row["kind"] == "count" else "count"] for row in rows)
        if got != truth:
            yield f"{key}: the program counted {truth}, the endpoint got {got}"


def _lost(stats: dtmetrics.Stats) -> Iterator[str]:
    lost = stats.collected - stats.accepted
    if lost or stats.invalid:
        yield f"{lost} of {stats.collected} data points were not accepted: {stats}"
