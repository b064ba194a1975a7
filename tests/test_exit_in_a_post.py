"""Programs that end while the flusher is waiting for an answer."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from dtmetrics._runtime.runtime import EXIT_SECONDS
from tests.support.endpoint import PATIENCE, Endpoint, Verdict, accept, dribble, never
from tests.support.script import Ended

WAITING = """
import os, sys
from dtmetrics import configure, counter

configure(interval=0.01)
counter("jobs.run").inc(3)
assert sys.stdin.readline() == "end\\n"
counter("jobs.run").inc(4)
"""

ENDINGS = {
    "the end": ("", 0, ""),
    "exit": ("sys.exit(3)", 3, ""),
    "exception": ("raise LookupError('own')", 1, "LookupError: own"),
}


class Program:
    """Runs *source* until it is told to end."""

    def __init__(self, source: str, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "DTMETRICS_ENDPOINT": url},
        )
        self.begin = 0.0

    def end(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.begin = time.monotonic()
        self.process.stdin.write("end\n")
        self.process.stdin.flush()

    def ended(self) -> Ended:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=PATIENCE)
        seconds = time.monotonic() - self.begin
        return Ended(self.process.returncode, out, err, seconds)


@contextmanager
def in_a_post(endpoint: Endpoint, source: str) -> Iterator[Program]:
    """Run a program, up to where it waits for an answer."""
    program = Program(WAITING + source, endpoint.url)
    with program.process:
        try:
            endpoint.wait_for(1)
            yield program
        finally:
            program.process.kill()


@pytest.mark.parametrize(
    ("source", "status", "said"), ENDINGS.values(), ids=ENDINGS.keys()
)
def test_slow(source: str, status: int, said: str) -> None:
    """The end waits for an answer that is under way, and sends what came after it."""
    go = threading.Event()
    with Endpoint(accept(until=go)) as endpoint, in_a_post(endpoint, source) as program:
        program.end()
        go.set()
        ended = program.ended()
        assert endpoint.total("jobs.run") == 7
    assert (ended.status, ended.out) == (status, "")
    assert said in ended.err
    assert "deliver" not in ended.err
    assert ended.seconds < EXIT_SECONDS


@pytest.mark.parametrize(
    "verdict",
    [never(), dribble("HTTP/1.1 202 OK\nX-Slow: ", taken=False)],
    ids=["hung", "dribbling"],
)
def test_hung(verdict: Verdict) -> None:
    """It gives up on one that does not come, in time, and says what was lost."""
    with (
        Endpoint(otherwise=verdict) as endpoint,
        in_a_post(endpoint, "sys.exit(3)") as program,
    ):
        program.end()
        ended = program.ended()
    assert ended.status == 3
    trouble = ended.err.splitlines()
    # Where both come after five seconds, either may be the first.
    trouble.remove("dtmetrics: shut down with 2 data points undelivered")
    assert len(trouble) <= 1
    assert ended.seconds < EXIT_SECONDS + 3


def test_dead() -> None:
    """An endpoint that goes away in the middle holds up nothing."""
    with ExitStack() as stack:
        with Endpoint(otherwise=never()) as endpoint:
            program = stack.enter_context(in_a_post(endpoint, "sys.exit(3)"))
        program.end()
        ended = program.ended()
    assert ended.status == 3
    trouble = ended.err.splitlines()
    # Where both come after five seconds, either may be the first.
    trouble.remove("dtmetrics: shut down with 2 data points undelivered")
    assert all(line.startswith("dtmetrics: cannot deliver") for line in trouble)
    assert ended.seconds < EXIT_SECONDS
