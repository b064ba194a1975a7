"""``dtmetrics dev`` as a process of its own, and who is not its user."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
import zlib
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import urlsplit

from tests.faults.campaign import Row, Run, scenario
from tests.faults.inside import memory, watch_memory
from tests.faults.rig import ROOT, environment

MOST_MB = 20.0

_TEXT = {"Content-Type": "text/plain; charset=utf-8"}


class Receiver:
    """The command, and what can be asked of it; a context manager."""

    def __enter__(self) -> Receiver:
        command = [sys.executable, "-m", "dtmetrics", "dev", "--port", "0"]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(),
        )
        assert self.process.stdout is not None
        address = self.process.stdout.readline().split()[-1]
        self.port = urlsplit(address).port
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, bytes]:
        """Ask, and return the status and what was answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def post(self, body: bytes, **headers: str) -> int:
        """Post lines, and return the status."""
        more = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.ask("POST", "/metrics/ingest", body, **_TEXT, **more)[0]

    def accepted(self) -> int:
        """Return how many lines it says that it took."""
        told: dict[str, Any] = json.loads(self.ask("GET", "/api/stats")[1])
        return int(told["accepted"])

    def mark(self) -> None:
        """From here on its memory may not grow."""
        self._before = watch_memory(self.process.pid)

    def enter(self, row: Row, truth: int) -> None:
        """Enter what it took of so many lines, and by how much it grew."""
        row.truth, row.got = truth, self.accepted()
        row.exact()
        grown = memory("VmHWM", self.process.pid) - self._before
        row.memory = round(grown, 1)
        row.require(grown < MOST_MB, f"grew by {grown:.0f} MB")


@scenario(packages=("uvicorn",))
def receiver_is_held_up(run: Run) -> Row:
    """500 connections that dribble cost a receiver < 20 MB, and its user has it back."""
    row, seconds = Row(), 2 if run.quick else 20
    with Receiver() as receiver, ExitStack() as stack:
        lines = _warm(row, receiver)
        held = [
            stack.enter_context(socket.create_connection(("127.0.0.1", receiver.port)))
            for _ in range(500)
        ]
        said, end = set(), time.monotonic() + seconds
        _dribble(held, b"POST /metrics/ingest HTTP/1.1\r\nHost: localhost\r\n")
        while time.monotonic() < end:
            _dribble(held, b"X-Slow: 1\r\n")
            status = receiver.post(b"a 1")
            lines += status == 202
            said.add(status)
            time.sleep(0.2)
        row.require(said <= {202, 503}, f"its user was told {said}")
        stack.close()
        begin = time.monotonic()
        while (status := receiver.post(b"a 1")) != 202:
            if not row.require(
                time.monotonic() - begin < 10, f"said {status} for 10 s"
            ):
                return row
            time.sleep(0.05)
        receiver.enter(row, lines + 1)
        row.note(f"meanwhile its user was told {said}")
    return row


@scenario(packages=("uvicorn",))
def receiver_is_bombed(run: Run) -> Row:
    """A body of 1 MB that inflates to 1 GB is refused, and costs a receiver < 20 MB."""
    row, bomb = Row(), _bomb()
    with Receiver() as receiver:
        lines = _warm(row, receiver)
        for _ in range(3 if run.quick else 30):
            status = receiver.post(bomb, Content_Encoding="gzip")
            row.require(status == 413, f"said {status}")
        lines += receiver.post(b"a 1") == 202
        receiver.enter(row, lines)
        row.note(f"{len(bomb):,} bytes")
    return row


@scenario(fast=True, packages=("uvicorn",))
def receiver_is_asked_by_strangers(run: Run) -> Row:
    """Posts from other origins, and requests to names of others, are rejected."""
    row = Row()
    strange = [{"Origin": each} for each in ("http://evil.test", "null", "")]
    strange += [{"Host": each} for each in ("evil.test", "127.0.0.1.evil.test")]
    with Receiver() as receiver:
        lines = _warm(row, receiver)
        for headers in strange:
            posted = receiver.post(b"evil 1", **headers)
            row.require(posted in (400, 403), f"{headers}: {posted}")
            if "Host" in headers:  # an Origin alone may read: browsers keep it away
                for path in ("/", "/api/series"):
                    read, _ = receiver.ask("GET", path, **headers)
                    row.require(read == 400, f"{headers}: {path} {read}")
        receiver.enter(row, lines)
    return row


def _warm(row: Row, receiver: Receiver) -> int:
    """Ask for everything once, and mark; return how many lines were taken."""
    row.require(receiver.post(b"a 1\nb 1") == 202, "it takes nothing")
    row.require(receiver.ask("GET", "/")[0] == 200, "there is no page")
    receiver.mark()
    return 2


def _dribble(held: list[socket.socket], drop: bytes) -> None:
    for each in held:
        with suppress(OSError):  # it may have hung up
            each.sendall(drop)


def _bomb() -> bytes:
    """Return 1 GB of zeros as less than 1 MB, which is all that is read of a body."""
    packer = zlib.compressobj(9, wbits=-15)
    packer.compress(bytes(1 << 20))
    packer.flush(zlib.Z_FULL_FLUSH)
    parts = [packer.compress(bytes(1 << 20)) for _ in range(60)]
    block = b"".join(parts) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * 16
