"""Programs that end while the flusher waits for a response."""

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
    """Runs *source*, which ends after ``end()``."""

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
        """Let the program end."""
        assert self.process.stdin is not None
        self.begin = time.monotonic()
        self.process.stdin.write("end\n")
        self.process.stdin.flush()

    def ended(self) -> Ended:
        """Wait for the end of the program."""
        out, err = self.process.communicate(timeout=PATIENCE)
        seconds = time.monotonic() - self.begin
        return Ended(self.process.returncode, out, err, seconds)


@contextmanager
def in_a_post(endpoint: Endpoint, source: str) -> Iterator[Program]:
    """Run a program until it waits for a response of *endpoint*."""
    program = Program(WAITING + source, endpoint.url)
    with program.process:
        try:
            endpoint.wait_for(1)
            yield program
        finally:
            program.process.kill()


@pytest.mark.parametrize(
    ("source", "status", "message"), ENDINGS.values(), ids=ENDINGS.keys()
)
def test_slow_response(source: str, status: int, message: str) -> None:
    """The exit waits for the response, and then sends what was recorded since."""
    go = threading.Event()
    with Endpoint(accept(until=go)) as endpoint, in_a_post(endpoint, source) as program:
        program.end()
        go.set()
        ended = program.ended()
        assert endpoint.total("jobs.run") == 7
    assert (ended.status, ended.out) == (status, "")
    assert message in ended.err
    assert "deliver" not in ended.err
    assert ended.seconds < EXIT_SECONDS


@pytest.mark.processes
@pytest.mark.parametrize(
    "verdict",
    [never(), dribble("HTTP/1.1 202 OK\nX-Slow: ", accepted=False)],
    ids=["hung", "dribbling"],
)
def test_no_response(verdict: Verdict) -> None:
    """Without a response the program ends in time and logs what is undelivered."""
    with (
        Endpoint(otherwise=verdict) as endpoint,
        in_a_post(endpoint, "sys.exit(3)") as program,
    ):
        program.end()
        ended = program.ended()
    assert ended.status == 3
    lines = ended.err.splitlines()
    # Both may come at the end of the time, and then in either order.
    lines.remove("dtmetrics: shut down with 2 data points undelivered")
    assert len(lines) <= 1
    assert ended.seconds < EXIT_SECONDS + 3


def test_endpoint_disappears() -> None:
    """An endpoint that disappears during a request does not delay the exit."""
    with ExitStack() as stack:
        with Endpoint(otherwise=never()) as endpoint:
            program = stack.enter_context(in_a_post(endpoint, "sys.exit(3)"))
        program.end()
        ended = program.ended()
    assert ended.status == 3
    lines = ended.err.splitlines()
    # Both may come at the end of the time, and then in either order.
    lines.remove("dtmetrics: shut down with 2 data points undelivered")
    assert all(line.startswith("dtmetrics: cannot deliver") for line in lines)
    assert ended.seconds < EXIT_SECONDS
