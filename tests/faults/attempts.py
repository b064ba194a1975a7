"""One export attempt: its duration and its memory, whatever the endpoint does."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Program, Received, Server

#: Seconds after which an attempt at an endpoint of this host ends.
LOCAL_SECONDS = 5.0

#: Seconds that a busy machine may add to a measured duration.
ROOM = 1.0

#: The default timeout of `dtmetrics.shutdown()` at the end of a program.
EXIT_SECONDS = 5.0

HELD = """
lines = int(sys.argv[1])
configure(interval=None)
filling = {f"filling{n}": "x" * 240 for n in range(4)} if lines > 1 else {}
for n in range(lines):
    counter("orders").inc(number=n, **filling)
    tally[0] += 1
begin = time.monotonic()
flush(20.0)
report(took=time.monotonic() - begin)
next_command()
finish(delivered=deliver())
"""

FLOODED = """
configure(interval=None)
for number in range(4):
    if number == 1:
        mark()
    counter("orders").inc()
    tally[0] += 1
    flush(10.0)
    time.sleep(0.01)
finish(delivered=deliver())
"""

UNRESOLVED = """
import socket
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.77", 53))
configure(interval=1.0, token="dt0c01.A.canary", allow_plain_http=True)
collections, before = [], 0
end = time.monotonic() + float(sys.argv[1])
while (now := time.monotonic()) < end:
    counter("orders").inc()
    tally[0] += 1
    flushes = dtmetrics.stats().flushes
    if flushes != before:
        before = flushes
        collections.append(now)
    time.sleep(0.02)
report(gaps=[b - a for a, b in zip(collections, collections[1:] + [now])])
if next_command():
    finish(delivered=deliver())
else:
    report(leaving=True)
"""


@scenario()
def head_dribbles(run: Run) -> Row:
    """An answer that arrives one header at a time ends the attempt at its deadline."""
    return _held(run, {"action": "dribble", "where": "head"})


@scenario()
def body_dribbles(run: Run) -> Row:
    """An answer that arrives one byte at a time ends the attempt at its deadline."""
    return _held(run, {"action": "dribble", "where": "body"})


@scenario()
def never_answers(run: Run) -> Row:
    """A missing answer ends the attempt at its deadline."""
    return _held(run, {"action": "silent"})


@scenario()
def never_reads(run: Run) -> Row:
    """An endpoint that does not read a batch of 0.9 MB ends the attempt at its deadline."""
    return _held(run, {"action": "deaf"}, lines=900)


@scenario(fast=True)
def answer_inflates(run: Run) -> Row:
    """An answer of 300 KB that inflates to 300 MB costs less than 5 MB of memory."""
    return _flooded(run, "bomb")


@scenario(fast=True)
def answer_of_100_mb(run: Run) -> Row:
    """An answer of 100 MB costs less than 5 MB of memory."""
    return _flooded(run, "plain")


@scenario(fast=True)
def million_headers(run: Run) -> Row:
    """An answer with a million headers costs less than 5 MB of memory."""
    return _flooded(run, "headers")


@scenario(needs=("root", "unshare", "nsenter", "ip", "mount"))
def name_server_hangs(run: Run) -> Row:
    """A name server that hangs delays no collection, and nothing is lost."""
    row = Row()
    with _SilentNameServer(run, 12 if run.quick else 120) as (server, program, hosts):
        gaps = program.receive("gaps", 150).get("gaps", [])
        row.require(gaps, f"nothing was collected: {program.last_error}")
        if gaps:
            row.require(max(gaps) < 2, f"{max(gaps):.1f} s between two collections")
            row.note(f"{len(gaps)} collections, at most {max(gaps):.1f} s apart")
        with hosts.open("a") as file:
            file.write("127.0.0.1 metrics.faults.test\n")
        program.send("go on")
        facts = program.receive("stats", 90)
        if row.check_account(program, facts):
            received = server.received()
            row.require_delivered(program, received, facts)
    return row


@scenario(needs=("root", "unshare", "nsenter", "ip", "mount"))
def exit_while_name_server_hangs(run: Run) -> Row:
    """A name server that hangs does not delay a program's exit or change its status."""
    row = Row()
    with _SilentNameServer(run, 2) as (_, program, _hosts):
        program.receive("gaps")
        program.send()
        left = program.receive("leaving")
        begin = time.monotonic()
        status = program.wait(30)
        took = time.monotonic() - begin
        row.require(left, f"ended early: {program.last_error}")
        row.hung = int(status is None)
        row.require(status == 0, f"ended with {status}")
        row.require(took < EXIT_SECONDS + ROOM, f"took {took:.1f} s to end")
        row.note(f"ended in {took:.1f} s")
    return row


class _SilentNameServer(ExitStack):
    """An endpoint and a program on a network whose only name server never answers."""

    def __init__(self, run: Run, seconds: float) -> None:
        super().__init__()
        self._run, self._seconds = run, seconds

    def __enter__(self) -> tuple[Server, Program, Path]:  # type: ignore[override]
        super().__enter__()
        place = Path(self.enter_context(tempfile.TemporaryDirectory()))
        resolver, hosts = place / "resolv.conf", place / "hosts"
        resolver.write_text("nameserver 127.0.0.77\n")
        hosts.write_text("127.0.0.1 localhost\n")
        shell = (
            'ip link set lo up && mount --bind "$0" /etc/resolv.conf && '
            'mount --bind "$1" /etc/hosts && shift && exec "$@"'
        )
        alone = ("unshare", "-n", "-m", "sh", "-c", shell, str(resolver), str(hosts))
        server = self.enter_context(Server(prefix=alone))
        program = self.enter_context(
            self._run.program(
                UNRESOLVED,
                server,
                self._seconds,
                prefix=("nsenter", "-t", str(server.process.pid), "-n", "-m"),
                DTMETRICS_ENDPOINT=f"http://metrics.faults.test:{server.port}/metrics/ingest",
            )
        )
        return server, program, hosts


def _held(run: Run, verdict: dict[str, Any], lines: int = 1) -> Row:
    row = Row()
    with Server() as server, run.program(HELD, server, lines) as program:
        server.script({**verdict, "times": 1})
        # Measured by the program: an endpoint that does not read never sees the close.
        took = program.receive("took", 40).get("took", 40.0)
        row.note(f"the attempt took {took:.2f} s")
        most = LOCAL_SECONDS + 0.5 + ROOM
        if not row.require(took <= most, f"the attempt took {took:.1f} s"):
            return row
        tried = server.received().requests_with(verdict["action"])[0]
        if verdict["action"] != "deaf":
            row.require(tried.get("held", 40) <= most, f"was held: {tried}")
        program.send("go on")
        facts = program.receive("stats")
        if row.check_account(program, facts):
            _, again = _require_all(row, program, server)
            row.require(
                again <= lines, f"{again} of one batch of {lines} arrived twice"
            )
    return row


def _require_all(row: Row, program: Program, server: Server) -> tuple[Received, int]:
    """Require that no order is missing; return what arrived, and how many repeat."""
    received = server.received()
    row.expected, row.actual = program.tally()[0], received.total("orders")
    again = received.repeated_total("orders")
    row.require(row.actual - again == row.expected, f"lost {row.expected - row.actual}")
    return received, again


def _flooded(run: Run, of: str) -> Row:
    row = Row()
    with Server() as server, run.program(FLOODED, server) as program:
        server.script(
            {"action": "accept", "times": 2},  # one for data, one for metadata
            {"action": "flood", "of": of, "times": 6},
        )
        facts = program.receive("stats")
        if row.check_account(program, facts):
            received, _ = _require_all(row, program, server)
            row.require(received.requests_with("flood"), "no flood was sent")
            row.require(row.memory is not None and row.memory < 5, "memory")
    return row
