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
    """Run the command in a new process."""
    command = [sys.executable, "-m", "dtmetrics", "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_demo() -> None:
    """Everything that the demo records is accepted and shown."""
    result = run("--seconds", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    for key in ("shop.orders.placed", "function.duration", "shop.parcels.waiting"):
        assert key in result.stdout
    assert re.search(r"\nAll \d+ data points were accepted", result.stdout)
    assert "\n    dtmetrics dev\n" in result.stdout


def test_demo_keep() -> None:
    """With --keep the receiver stays at the printed address."""
    result = run("--seconds", "0.3", "--keep")
    assert result.returncode == 0, result.stdout + result.stderr
    address, pid = re.search(  # type: ignore[union-attr]
        r"(http://127\.0\.0\.1:\d+) \(stop it with: kill (\d+)\)", result.stdout
    ).groups()
    try:
        with urllib.request.urlopen(f"{address}/api/series") as answer:
            keys = {series["key"] for series in json.load(answer)["series"]}
    finally:
        os.kill(int(pid), signal.SIGTERM)
    assert "shop.orders.placed" in keys


def test_different_numbers() -> None:
    """The demo fails if the endpoint's numbers differ from the program's."""
    series = [
        {"key": "a", "kind": "count", "sum": 3, "count": 1},
        {"key": "a", "kind": "count", "sum": 4, "count": 1},
        {"key": "b", "kind": "gauge", "sum": 9.5, "count": 2},
    ]
    assert list(demo._differences(series, {"a": 7, "b": 2})) == []
    assert len(list(demo._differences(series, {"a": 8, "b": 1, "c": 1}))) == 3


def test_points_not_accepted() -> None:
    """The demo fails if a point was not accepted or a value was invalid."""
    assert list(demo._not_accepted(dtmetrics.Stats(collected=2, accepted=2))) == []
    assert len(list(demo._not_accepted(dtmetrics.Stats(collected=2, accepted=1)))) == 1
    invalid = dtmetrics.Stats(collected=2, accepted=2, invalid={"not a number": 1})
    assert len(list(demo._not_accepted(invalid))) == 1
