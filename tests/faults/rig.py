"""Servers and programs from outside: started, told, looked at, and always ended."""

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

from tests.faults.clock import Origin
from tests.faults.inside import SLOTS
from tests.faults.lines import PROBE

ROOT = Path(__file__).resolve().parents[2]

#: Seconds after which a program has hung.
PATIENCE = 60.0

#: What the library says of its losses: points of its account, and none of the truth.
OWN = "dtmetrics.client.points.dropped", "dtmetrics.client.values.invalid"

PRELUDE = """
from tests.faults import inside
inside.begin()
from tests.faults.inside import *
import os, signal, sys, threading, time
import dtmetrics
from dtmetrics import configure, counter, flush, gauge, observe, shutdown, summary
"""


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process of ours: no setting of the machine's.

    Nor is it covered by coverage, whose own locks hang in a forked child.
    """
    foreign = ("DTMETRICS", "DT_", "COVERAGE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    return {**kept, "PYTHONPATH": str(ROOT), "DTMETRICS_ENRICH": "false", **more}


class Truth:
    """What the endpoint has seen."""

    def __init__(self, seen: dict[str, Any]) -> None:
        self.seen = seen
        for where in (seen["series"], seen["again"]):
            where.pop(PROBE, None)

    def __getattr__(self, name: str) -> Any:
        return self.seen[name]

    def total(self, key: str, part: str = "") -> Any:
        """Return the sum over all series of *key* whose dimensions hold *part*."""
        series = self.seen["series"].get(key, {})
        return sum(total for where, (_, total) in series.items() if part in where)

    def lines_of(self, key: str) -> int:
        """Return how many lines of *key* were taken."""
        return sum(lines for lines, _ in self.seen["series"].get(key, {}).values())

    def again_of(self, key: str) -> Any:
        """Return how much of *key* came in lines that had been taken before."""
        return self.seen["again"].get(key, (0, 0))[1]

    @property
    def points(self) -> int:
        """How many lines of data came, those that came twice counted once."""
        lines = sum(self.lines_of(key) for key in self.seen["series"])
        return lines - sum(lines for lines, _ in self.seen["again"].values())

    @property
    def own_points(self) -> int:
        """How many of them the library says of itself."""
        return sum(map(self.lines_of, OWN))

    def requests_with(self, *verdicts: object) -> list[dict[str, Any]]:
        """Return the journal's entries of these *verdicts*, in order."""
        wanted = set(map(str, verdicts))
        return [each for each in self.seen["journal"] if each["verdict"] in wanted]


class Server:
    """An endpoint in a process of its own; a context manager."""

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

    def ask(self, do: str, **options: Any) -> Any:
        """Tell it to *do* something, and return what it says."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **options}) + "\n")
        self.process.stdin.flush()
        return self._reply()

    def script(self, *steps: dict[str, Any]) -> None:
        """Go by these *steps* from now on."""
        self.ask("script", steps=steps)

    def pace(self, speed: float, *programs: Program) -> None:
        """Let it and its *programs* live so fast from a moment on."""
        at = time.monotonic() + 0.2
        self.ask("pace", speed=speed, at=at)
        for program in programs:
            program.say(f"pace {speed} {at}")
        time.sleep(0.2)

    def truth(self) -> Truth:
        """Return what it has seen so far."""
        return Truth(self.ask("truth"))

    def _reply(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


class Program:
    """An application in a fresh interpreter; a context manager.

    It lives by the clock of its server.
    """

    def __init__(
        self,
        source: str,
        server: Server,
        *arguments: object,
        sabotage: str = "",
        prefix: Sequence[str] = (),
        tally: str = "",
        **environ: str,
    ) -> None:
        self._own = "" if tally else new_tally()
        self.tally_path = tally or self._own
        asked = {
            "origin": server.origin,
            "tally": self.tally_path,
            "sabotage": sabotage,
        }
        given = {"DTMETRICS_ENDPOINT": server.url, "FAULTS": json.dumps(asked)}
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", PRELUDE + source, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(**given | environ),
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
        # Children of its own die with it: they are of its session.
        with suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for thread in self._threads:
            thread.join(10)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(OSError):
                stream and stream.close()
        if self._own:
            os.unlink(self._own)

    def hear(self, name: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """Wait until it tells a fact of this *name*; {} if it ends or hangs before."""
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

    def say(self, text: str = "") -> None:
        """Say a line to it."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.write(text + "\n")
            self.process.stdin.flush()

    def wait(self, seconds: float = PATIENCE) -> int | None:
        """Wait for its end; None: it hangs, and was killed."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        for thread in self._threads:
            thread.join(1)  # a child of its own may hold its output open
        return status

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal."""
        with suppress(OSError):
            self.process.send_signal(number)

    def tally(self) -> list[int]:
        """Return its tally, also when it is dead."""
        return read_tally(self.tally_path)

    @property
    def said(self) -> str:
        """Return the last line of what it said to standard error."""
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
    """Return the path of a tally that several programs may share, of many slots."""
    file, path = tempfile.mkstemp(prefix="faults-")
    os.truncate(file, SLOTS * 8)
    os.close(file)
    return path


def read_tally(path: str) -> list[int]:
    """Return what is in a tally."""
    return list(memoryview(Path(path).read_bytes()).cast("q"))
