from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

import dtmetrics
from dtmetrics._cli import demo
from tests.support.script import run as run_script


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a new process; *environ* is added to the environment."""
    command = [sys.executable, "-m", "dtmetrics", "demo", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
    )


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


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals on Windows")
def test_demo_on_a_terminal() -> None:
    """On a terminal no line of the demo is wider than the terminal."""
    controller, terminal = os.openpty()
    command = [sys.executable, "-m", "dtmetrics", "demo", "--seconds", "0.3"]
    environ = {**os.environ, "COLUMNS": "72", "TERM": "xterm"}
    shown = bytearray()
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=environ
    ) as process:
        os.close(terminal)
        with open(controller, "rb", buffering=0) as screen, suppress(OSError):
            while piece := screen.read(4096):  # EIO at the end, on Linux
                shown += piece
    assert process.returncode == 0, shown.decode()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "shop.orders.placed" in plain
    assert max(len(line.rstrip()) for line in re.split(r"[\r\n]+", plain)) <= 72


MISCOUNTING = """
import sys
from dtmetrics._cli import demo

class Miscounting(demo.Shop):
    def run(self, progress):
        super().run(progress)
        self.counts["shop.orders.placed"] += 1

demo.Shop = Miscounting
sys.exit(demo.run(0.3, keep=False))
"""


def test_demo_that_differs() -> None:
    """The demo returns 1, and prints how the endpoint's numbers differ."""
    ended = run_script(MISCOUNTING)
    assert (ended.status, ended.err) == (1, "")
    assert "shop.orders.placed: the program counted" in ended.out
    assert "data points were accepted, and" not in ended.out


def test_demo_without_a_receiver(tmp_path: Path) -> None:
    """If the receiver does not start, the demo fails with the receiver's own error."""
    (tmp_path / "uvicorn.py").write_text("raise ImportError('a broken uvicorn')")
    result = run("--seconds", "0.3", PYTHONPATH=str(tmp_path))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("the receiver did not start: ")
    assert "a broken uvicorn" in result.stderr


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
