"""Endpoints and programs in processes of their own: start, command, read, end."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.faults.accelerated_clock import Origin
from tests.faults.application import SLOTS
from tests.faults.lines import PROBE

ROOT = Path(__file__).resolve().parents[2]

#: A program that takes longer than so many seconds counts as hung.
HANG_SECONDS = 60.0

#: The library's metrics about itself: part of its account, but not of the tally.
SELF_METRICS = "dtmetrics.client.points.dropped", "dtmetrics.client.values.invalid"

PRELUDE = """
from tests.faults import application
application.begin()
from tests.faults.application import *
import os, signal, sys, threading, time
import dtmetrics
from dtmetrics import configure, counter, flush, gauge, observe, shutdown, summary
"""


def environment(**more: str) -> dict[str, str]:
    """Return an environment without the machine's own settings of dtmetrics.

    Coverage is switched off as well: its locks hang in a forked child.
    """
    removed = ("DTMETRICS", "DT_", "COVERAGE")
    rest = {k: v for k, v in os.environ.items() if not k.startswith(removed)}
    return {**rest, "PYTHONPATH": str(ROOT), "DTMETRICS_ENRICH": "false", **more}


class Received:
    """The requests and lines that the endpoint has received, and their sums."""

    def __init__(self, seen: dict[str, Any]) -> None:
        self.seen = seen
        for where in (seen["series"], seen["repeated"]):
            where.pop(PROBE, None)

    def __getattr__(self, name: str) -> Any:
        return self.seen[name]

    def total(self, key: str, part: str = "") -> Any:
        """Return the sum over all series of *key* whose dimensions contain *part*."""
        series = self.seen["series"].get(key, {})
        return sum(total for where, (_, total) in series.items() if part in where)

    def lines_of(self, key: str) -> int:
        """Return how many lines of *key* were accepted."""
        return sum(lines for lines, _ in self.seen["series"].get(key, {}).values())

    def repeated_total(self, key: str) -> Any:
        """Return the part of the sum of *key* that is due to repeated lines."""
        return self.seen["repeated"].get(key, (0, 0))[1]

    @property
    def points(self) -> int:
        """The number of distinct data lines: a repeated line counts once."""
        lines = sum(self.lines_of(key) for key in self.seen["series"])
        return lines - sum(lines for lines, _ in self.seen["repeated"].values())

    @property
    def self_metric_points(self) -> int:
        """The number of points of the library's metrics about itself."""
        return sum(map(self.lines_of, SELF_METRICS))

    def requests_with(self, *actions: object) -> list[dict[str, Any]]:
        """Return the journal's entries with one of these *actions*, in order."""
        wanted = set(map(str, actions))
        return [each for each in self.seen["journal"] if each["action"] in wanted]


class Server:
    """A scripted endpoint in a process of its own; a context manager."""

    def __init__(
        self, origin: Origin | None = None, *, prefix: Sequence[str] = ()
    ) -> None:
        self.origin = origin or Origin.now()
        command = [sys.executable, "-m", "tests.faults.endpoint"]
        self.process = subprocess.Popen(
            [*prefix, *command, json.dumps({"origin": self.origin})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(),
        )
        self.port = self._reply()
        self.url = f"http://127.0.0.1:{self.port}/metrics/ingest"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        # It ends with its input.
        with suppress(OSError):
            self.process.communicate(timeout=10)
        self.process.kill()
        self.process.wait()

    def command(self, name: str, **options: Any) -> Any:
        """Send a command to the endpoint, and return its reply."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"command": name, **options}) + "\n")
        self.process.stdin.flush()
        return self._reply()

    def script(self, *steps: dict[str, Any]) -> None:
        """Follow these *steps* from now on."""
        self.command("script", steps=steps)

    def pace(self, speed: float, *programs: Program) -> None:
        """Set the speed of the clocks of the endpoint and *programs*, all at once."""
        at = time.monotonic() + 0.2
        self.command("pace", speed=speed, at=at)
        for program in programs:
            program.send(f"pace {speed} {at}")
        time.sleep(0.2)

    def received(self) -> Received:
        """Return what the endpoint has received so far."""
        return Received(self.command("received"))

    def _reply(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


class Program:
    """An application in a fresh interpreter; a context manager.

    Its clock runs as fast as that of its server.
    """

    def __init__(
        self,
        source: str,
        server: Server,
        *arguments: object,
        broken: str = "",
        prefix: Sequence[str] = (),
        tally: str = "",
        **environ: str,
    ) -> None:
        self._private_tally = "" if tally else new_tally()
        self.tally_path = tally or self._private_tally
        options = {
            "origin": server.origin,
            "tally": self.tally_path,
            "broken": broken,
        }
        settings = {"DTMETRICS_ENDPOINT": server.url, "FAULTS": json.dumps(options)}
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", PRELUDE + source, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(**settings | environ),
            start_new_session=True,
        )
        self.err: list[str] = []
        self._facts: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._read_out, daemon=True),
            threading.Thread(target=self._read_err, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.process.wait()
        # Its children are in its session, and are killed with it.
        with suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for thread in self._threads:
            thread.join(10)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(OSError):
                stream and stream.close()
        if self._private_tally:
            os.unlink(self._private_tally)

    def receive(self, name: str, seconds: float = HANG_SECONDS) -> dict[str, Any]:
        """Wait for a report that holds *name*; return {} if the program ends or hangs."""
        end = time.monotonic() + seconds
        while True:
            try:
                facts = self._facts.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return {}
            if facts is None:
                self._facts.put(None)
                return {}
            if name in facts:
                return facts

    def send(self, text: str = "") -> None:
        """Write a line to the program's standard input."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.write(text + "\n")
            self.process.stdin.flush()

    def wait(self, seconds: float = HANG_SECONDS) -> int | None:
        """Return the exit status; kill a program that hangs, and return None."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        for thread in self._threads:
            thread.join(1)  # a child may keep its output open
        return status

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the program."""
        with suppress(OSError):
            self.process.send_signal(number)

    def tally(self) -> list[int]:
        """Return the program's tally; it survives the program."""
        return read_tally(self.tally_path)

    @property
    def last_error(self) -> str:
        """The last line that the program wrote to standard error."""
        return self.err[-1] if self.err else ""

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with suppress(ValueError):
                self._facts.put(json.loads(line))
        self._facts.put(None)

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.err.append(line.rstrip("\n"))
            del self.err[:-1000]


def new_tally() -> str:
    """Create a tally file, which several programs may share, and return its path."""
    file, path = tempfile.mkstemp(prefix="faults-")
    os.truncate(file, SLOTS * 8)
    os.close(file)
    return path


def read_tally(path: str) -> list[int]:
    """Return the numbers in a tally file."""
    return list(memoryview(Path(path).read_bytes()).cast("q"))
