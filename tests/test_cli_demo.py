from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

from rich.console import Console

import dtmetrics
from dtmetrics._cli import demo


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "dtmetrics", "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_demo() -> None:
    """The main job: what a program recorded was accepted, and is shown."""
    done = run("--seconds", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    for key in ("shop.orders.placed", "function.duration", "shop.parcels.waiting"):
        assert key in done.stdout
    collected, accepted = re.search(
        r"collected=(\d+), accepted=(\d+)", done.stdout
    ).groups()  # type: ignore[union-attr]
    assert int(collected) == int(accepted) > 0


def test_demo_keep() -> None:
    """With --keep the receiver stays, on the address that is printed."""
    done = run("--seconds", "0.3", "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    address, pid = re.search(  # type: ignore[union-attr]
        r"(http://127\.0\.0\.1:\d+) \(stop it with: kill (\d+)\)", done.stdout
    ).groups()
    try:
        with urllib.request.urlopen(f"{address}/api/series") as answer:
            keys = {series["key"] for series in json.load(answer)["series"]}
    finally:
        os.kill(int(pid), signal.SIGTERM)
    assert "shop.orders.placed" in keys


def test_wrong_numbers_are_noticed() -> None:
    """A demo whose numbers are not the program's own does not pass."""
    series = [
        {"key": "a", "kind": "count", "sum": 3, "count": 1},
        {"key": "a", "kind": "count", "sum": 4, "count": 1},
        {"key": "b", "kind": "gauge", "sum": 9.5, "count": 2},
    ]
    assert list(demo._wrong(series, {"a": 7, "b": 2})) == []
    assert len(list(demo._wrong(series, {"a": 8, "b": 1, "c": 1}))) == 3


def test_shows_what_arrived_as_it_is() -> None:
    """Anybody on this computer can post: nothing of it commands the terminal."""
    values = {"a": "\x1b[31mred\x9b2J\u202e", "b": "[bold]x[/]"}
    row = {"key": "k", "kind": "count", "dimensions": values}
    numbers = dict.fromkeys(("count", "sum", "min", "max"), 1)
    console = Console(file=io.StringIO(), width=140, force_terminal=True)
    console.print(demo._table([{**row, **numbers}]))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "a=?[31mred?2J?, b=[bold]x[/]" in shown


def test_lost_points_are_noticed() -> None:
    """A demo that lost a point, or refused a value, does not pass."""
    assert list(demo._lost(dtmetrics.Stats(collected=2, accepted=2))) == []
    assert len(list(demo._lost(dtmetrics.Stats(collected=2, accepted=1)))) == 1
    refused = dtmetrics.Stats(collected=2, accepted=2, invalid={"not a number": 1})
    assert len(list(demo._lost(refused))) == 1
