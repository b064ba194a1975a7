"""A disk that stands still: writes to it neither fail nor return."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Program, Server

#: Records all the time. After each part of its life it reports the cost of a record, and
#: how late a flush with a timeout of 1 s was.
STALLED = """
from time import perf_counter_ns as now
configure(spool=sys.argv[1], interval=0.2)
orders = counter("orders")

def part(seconds):
    taken, end, late = [], time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        for _ in range(1000):
            begin = now()
            orders.inc()
            taken.append(now() - begin)
        tally[0] += 1000
        begin = time.monotonic()
        flush(1.0)
        late = max(late, time.monotonic() - begin - 1.0)
        time.sleep(0.01)
    taken.sort()
    return {"p99": taken[len(taken) * 99 // 100], "late": late}

part(0.5)
report(ready=True)
while seconds := next_command():
    report(part=part(float(seconds)))
finish(delivered=deliver())
"""

#: Mounts the image $0 at $1, and runs the remaining arguments.
_ON_AN_IMAGE = 'mount -o loop "$0" "$1" && shift && exec "$@"'

#: Freezes the disk, and thaws it when its standard input is closed.
_FREEZE = 'fsfreeze -f "$0" && echo frozen && read _; fsfreeze -u "$0"'


@scenario(needs=("root", "unshare", "nsenter", "mkfs.ext4", "mount", "fsfreeze"))
def disk_stands_still(run: Run) -> Row:
    """A disk that stands still delays no record, and everything is sent from memory."""
    row, seconds = Row(), 2 if run.quick else 10
    with tempfile.TemporaryDirectory(prefix="faults-") as place, Server() as server:
        image, disk = Path(place, "image"), Path(place, "disk")
        disk.mkdir()
        subprocess.run(["truncate", "-s", "16M", image], check=True)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        apart = "unshare", "-m", "sh", "-c", _ON_AN_IMAGE, str(image), str(disk)
        if subprocess.run(
            [*apart, "true"], capture_output=True, check=False
        ).returncode:
            return Row(missing="loop device")
        with run.program(STALLED, server, disk / "spool", prefix=apart) as program:
            program.receive("ready")
            server.command("down")  # from here on batches are written to disk as well
            before = _part(program, seconds)
            with _frozen(program.process.pid, disk):
                during = _part(program, seconds)
                server.command("up")
                again = _part(program, 2)
                sent = server.received().total("orders")
            program.send()
            facts = program.receive("stats", 90)
            row.require(before and during and again, "the program stood still as well")
            if not row.check_account(program, facts) or row.breaches:
                return row
            row.require_delivered(program, server.received(), facts)
            row.require("Traceback" not in "".join(program.err), program.last_error)
            row.require(during["late"] < 6, f"a flush was {during['late']:.1f} s late")
            # The endpoint is up again while the disk still stands.
            row.require(sent > row.expected // 2, f"only {sent} were sent meanwhile")
            row.require(during["p99"] < 2 * before["p99"] + 1000, "p99 of a record")
            row.note(f"p99 of a record {before['p99']} ns, and then {during['p99']} ns")
            row.note(
                f"a flush of 1 s was {max(0.0, during['late']):.2f} s late at most"
            )
            row.note(f"counted: {facts['stats']['spool']}")
    return row


def _part(program: Program, seconds: float) -> dict[str, Any]:
    """Let the program record for some *seconds*, and return its report."""
    program.send(str(seconds))
    part: dict[str, Any] = program.receive("part", seconds + 15).get("part", {})
    return part


@contextmanager
def _frozen(process: int, disk: Path) -> Iterator[None]:
    """Freeze a *disk* that is mounted for *process*; writers cannot even be killed."""
    enter = "nsenter", "-t", str(process), "-m", "sh", "-c", _FREEZE, str(disk)
    with subprocess.Popen(
        enter, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as freezer:
        assert freezer.stdout is not None
        assert freezer.stdout.readline() == b"frozen\n"
        yield
