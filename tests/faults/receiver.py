"""``dtmetrics dev`` against slow clients, compressed bombs and other origins."""

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

from tests.faults.application import memory, watch_memory
from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import ROOT, environment

MOST_MB = 20.0

_TEXT = {"Content-Type": "text/plain; charset=utf-8"}


class Receiver:
    """The command in a process of its own, and requests to it; a context manager."""

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

    def request(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, bytes]:
        """Send a request, and return the status and the body of the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def post(self, body: bytes, **headers: str) -> int:
        """Post lines, and return the status."""
        more = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.request("POST", "/metrics/ingest", body, **_TEXT, **more)[0]

    def accepted(self) -> int:
        """Return how many lines it has accepted, by its own statistics."""
        stats: dict[str, Any] = json.loads(self.request("GET", "/api/stats")[1])
        return int(stats["accepted"])

    def mark(self) -> None:
        """Measure the growth of its memory from here on."""
        self._before = watch_memory(self.process.pid)

    def enter(self, row: Row, sent: int) -> None:
        """Require that it accepted all *sent* lines, and grew by less than the limit."""
        row.expected, row.actual = sent, self.accepted()
        row.require_exact()
        grown = memory("VmHWM", self.process.pid) - self._before
        row.memory = round(grown, 1)
        row.require(grown < MOST_MB, f"grew by {grown:.0f} MB")


@scenario(packages=("uvicorn",))
def receiver_is_held_up(run: Run) -> Row:
    """500 slow connections cost a receiver less than 20 MB, and it answers afterwards."""
    row, seconds = Row(), 2 if run.quick else 20
    with Receiver() as receiver, ExitStack() as stack:
        lines = _warm(row, receiver)
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", receiver.port)))
            for _ in range(500)
        ]
        statuses, end = set(), time.monotonic() + seconds
        _send_to_each(slow, b"POST /metrics/ingest HTTP/1.1\r\nHost: localhost\r\n")
        while time.monotonic() < end:
            _send_to_each(slow, b"X-Slow: 1\r\n")
            status = receiver.post(b"a 1")
            lines += status == 202
            statuses.add(status)
            time.sleep(0.2)
        row.require(statuses <= {202, 503}, f"meanwhile it answered {statuses}")
        stack.close()
        begin = time.monotonic()
        while (status := receiver.post(b"a 1")) != 202:
            if not row.require(
                time.monotonic() - begin < 10, f"answered {status} for 10 s"
            ):
                return row
            time.sleep(0.05)
        receiver.enter(row, lines + 1)
        row.note(f"meanwhile it answered {statuses}")
    return row


@scenario(packages=("uvicorn",))
def receiver_is_bombed(run: Run) -> Row:
    """A receiver rejects 1 MB that inflates to 1 GB, and takes less than 20 MB."""
    row, bomb = Row(), _bomb()
    with Receiver() as receiver:
        lines = _warm(row, receiver)
        for _ in range(3 if run.quick else 30):
            status = receiver.post(bomb, Content_Encoding="gzip")
            row.require(status == 413, f"answered {status}")
        lines += receiver.post(b"a 1") == 202
        receiver.enter(row, lines)
        row.note(f"{len(bomb):,} bytes")
    return row


@scenario(fast=True, packages=("uvicorn",))
def receiver_rejects_other_origins(run: Run) -> Row:
    """A receiver answers 403 to requests of other origins or for other host names."""
    row = Row()
    foreign = [{"Origin": each} for each in ("http://evil.test", "null", "")]
    foreign += [
        {"Host": each} for each in ("evil.test", "127.0.0.1.evil.test", "[::2]")
    ]
    with Receiver() as receiver:
        lines = _warm(row, receiver)
        for headers in foreign:
            statuses = {
                receiver.post(b"evil 1", **headers),
                receiver.request("GET", "/", **headers)[0],
                receiver.request("GET", "/api/series", **headers)[0],
            }
            row.require(statuses == {403}, f"{headers}: {statuses}")
        receiver.enter(row, lines)
    return row


def _warm(row: Row, receiver: Receiver) -> int:
    """Request everything once, then mark; return how many lines were accepted."""
    row.require(receiver.post(b"a 1\nb 1") == 202, "it accepts nothing")
    row.require(receiver.request("GET", "/")[0] == 200, "there is no page")
    receiver.mark()
    return 2


def _send_to_each(connections: list[socket.socket], text: bytes) -> None:
    for connection in connections:
        with suppress(OSError):  # the receiver may have closed it
            connection.sendall(text)


def _bomb() -> bytes:
    """Return 1 GB of zeros in less than 1 MB, the limit of a compressed body."""
    packer = zlib.compressobj(9, wbits=-15)
    packer.compress(bytes(1 << 20))
    packer.flush(zlib.Z_FULL_FLUSH)
    parts = [packer.compress(bytes(1 << 20)) for _ in range(60)]
    block = b"".join(parts) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * 16
