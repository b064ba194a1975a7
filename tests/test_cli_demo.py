from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

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


def test_lost_points_are_noticed() -> None:
    """A demo that lost a point, or refused a value, does not pass."""
    assert list(demo._lost(dtmetrics.Stats(collected=2, accepted=2))) == []
    assert len(list(demo._lost(dtmetrics.Stats(collected=2, accepted=1)))) == 1
    refused = dtmetrics.Stats(collected=2, accepted=2, refused={"not a number": 1})
    assert len(list(demo._lost(refused))) == 1
