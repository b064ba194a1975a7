"""One attempt: how long it may take, and how much memory, whatever the other side does."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Program, Server

#: Seconds that an attempt at an endpoint of this host may take, and at any other.
LOCAL_SECONDS, REMOTE_SECONDS = 5.0, 15.0

#: What a machine that others use as well may add.
ROOM = 1.0

#: What `dtmetrics.shutdown()` waits at the end of a program.
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
tell(took=time.monotonic() - begin)
hear()
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

NOWHERE = """
import socket
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.77", 53))
configure(interval=1.0, token="dt0c01.A.canary", allow_plain_http=True)
cuts, before = [], 0
end = time.monotonic() + float(sys.argv[1])
while (now := time.monotonic()) < end:
    counter("orders").inc()
    tally[0] += 1
    flushes = dtmetrics.stats().flushes
    if flushes != before:
        before = flushes
        cuts.append(now)
    time.sleep(0.02)
tell(gaps=[b - a for a, b in zip(cuts, cuts[1:] + [now])])
if hear():
    finish(delivered=deliver())
else:
    tell(leaving=True)
"""


@scenario()
def head_dribbles(run: Run) -> Row:
    """An answer that comes a header at a time ends the attempt at its deadline."""
    return _held(run, {"verdict": "dribble", "where": "head"})


@scenario()
def body_dribbles(run: Run) -> Row:
    """An answer that comes a byte at a time ends the attempt at its deadline."""
    return _held(run, {"verdict": "dribble", "where": "body"})


@scenario()
def never_answers(run: Run) -> Row:
    """An answer that never comes ends the attempt at its deadline."""
    return _held(run, {"verdict": "silent"})


@scenario()
def never_reads(run: Run) -> Row:
    """Who reads nothing of a body of 0.9 MB ends the attempt at its deadline."""
    return _held(run, {"verdict": "deaf"}, lines=900)


@scenario(fast=True)
def answer_inflates(run: Run) -> Row:
    """An answer of 300 KB that inflate to 300 MB costs less than 5 MB."""
    return _flooded(run, "bomb")


@scenario(fast=True)
def answer_of_100_mb(run: Run) -> Row:
    """An answer of 100 MB costs less than 5 MB."""
    return _flooded(run, "plain")


@scenario(fast=True)
def million_headers(run: Run) -> Row:
    """An answer with a million headers costs less than 5 MB."""
    return _flooded(run, "headers")


@scenario(needs=("root", "unshare", "nsenter", "ip", "mount"))
def name_server_hangs(run: Run) -> Row:
    """While no name is resolved the rhythm of collecting is kept; nothing is lost."""
    row = Row()
    with _Nowhere(run, 12 if run.quick else 120) as (server, program, hosts):
        gaps = program.hear("gaps", 150).get("gaps", [])
        row.require(gaps, f"nothing was collected: {program.said}")
        if gaps:
            row.require(max(gaps) < 2, f"{max(gaps):.1f} s between two collections")
            row.note(f"{len(gaps)} collections, at most {max(gaps):.1f} s apart")
        with hosts.open("a") as file:
            file.write("127.0.0.1 metrics.faults.test\n")
        program.say("go on")
        facts = program.hear("stats", 90)
        if row.told(program, facts):
            truth = server.truth()
            row.delivered(program, truth, facts)
    return row


@scenario(needs=("root", "unshare", "nsenter", "ip", "mount"))
def exit_while_name_server_hangs(run: Run) -> Row:
    """A program ends in time while no name is resolved, and with its own status."""
    row = Row()
    with _Nowhere(run, 2) as (_, program, _hosts):
        program.hear("gaps")
        program.say()
        left = program.hear("leaving")
        begin = time.monotonic()
        status = program.wait(30)
        took = time.monotonic() - begin
        row.require(left, f"ended early: {program.said}")
        row.hung = int(status is None)
        row.require(status == 0, f"ended with {status}")
        row.require(took < EXIT_SECONDS + ROOM, f"took {took:.1f} s to end")
        row.note(f"ended in {took:.1f} s")
    return row


class _Nowhere(ExitStack):
    """A server and a program where the only name server says nothing."""

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
                NOWHERE,
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
        # From inside: an endpoint that reads nothing never sees the other side leave.
        took = program.hear("took", 40).get("took", 40.0)
        row.note(f"the attempt took {took:.2f} s")
        most = LOCAL_SECONDS + 0.5 + ROOM
        if not row.require(took <= most, f"the attempt took {took:.1f} s"):
            return row
        tried = server.truth().requests_with(verdict["verdict"])[0]
        if verdict["verdict"] != "deaf":
            row.require(tried.get("held", 40) <= most, f"was held: {tried}")
        program.say("go on")
        facts = program.hear("stats")
        if row.told(program, facts):
            truth = server.truth()
            row.truth, row.got = program.tally()[0], truth.total("orders")
            again = truth.again_of("orders")
            row.require(row.got - again == row.truth, f"lost {row.truth - row.got}")
            row.require(again <= lines, f"{again} came twice, of one body of {lines}")
    return row


def _flooded(run: Run, of: str) -> Row:
    row = Row()
    with Server() as server, run.program(FLOODED, server) as program:
        server.script(
            {"verdict": "accept", "times": 2},  # of data and of metadata
            {"verdict": "flood", "of": of, "times": 6},
        )
        facts = program.hear("stats")
        if row.told(program, facts):
            truth = server.truth()
            row.truth, row.got = program.tally()[0], truth.total("orders")
            again = truth.again_of("orders")
            row.require(row.got - again == row.truth, f"lost {row.truth - row.got}")
            row.require(truth.requests_with("flood"), "no flood was seen")
            row.require(row.memory is not None and row.memory < 5, "memory")
    return row
