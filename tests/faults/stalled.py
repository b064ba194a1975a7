"""A disk that stands still: what is written to it neither fails nor returns."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Program, Server

#: Records all the time; in each part of its life it tells what a record cost, and how
#: long a flush took that was given a second.
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
tell(ready=True)
while what := hear():
    tell(part=part(float(what)))
finish(delivered=deliver())
"""

#: Mounts the image $0 at $1, and runs the rest there.
_ON_AN_IMAGE = 'mount -o loop "$0" "$1" && shift && exec "$@"'

#: Freezes, and thaws when nobody is at the other end of its input any more.
_FREEZE = 'fsfreeze -f "$0" && echo frozen && read _; fsfreeze -u "$0"'


@scenario(needs=("root", "unshare", "nsenter", "mkfs.ext4", "mount", "fsfreeze"))
def disk_stands_still(run: Run) -> Row:
    """While a disk stands still all is sent from memory, and a record costs the same."""
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
            program.hear("ready")
            server.ask("down")  # from here on all is kept on disk as well
            before = _part(program, seconds)
            with _frozen(program.process.pid, disk):
                during = _part(program, seconds)
                server.ask("up")
                again = _part(program, 2)
                sent = server.truth().total("orders")
            program.say()
            facts = program.hear("stats", 90)
            row.require(before and during and again, "it stood still as well")
            if not row.told(program, facts) or row.breaches:
                return row
            row.delivered(program, server.truth(), facts)
            row.require("Traceback" not in "".join(program.err), program.said)
            row.require(during["late"] < 6, f"a flush was {during['late']:.1f} s late")
            # The endpoint comes back while the disk does not.
            row.require(sent > row.truth // 2, f"{sent} were sent in the meantime")
            row.require(during["p99"] < 2 * before["p99"] + 1000, "p99 of a record")
            row.note(f"p99 of a record {before['p99']} ns, and then {during['p99']} ns")
            row.note(
                f"a flush of 1 s was {max(0.0, during['late']):.2f} s late at most"
            )
            row.note(f"counted: {facts['stats']['spool']}")
    return row


def _part(program: Program, seconds: float) -> dict[str, Any]:
    """Let it record for so long, and return what it tells of that."""
    program.say(str(seconds))
    part: dict[str, Any] = program.hear("part", seconds + 15).get("part", {})
    return part


@contextmanager
def _frozen(process: int, disk: Path) -> Iterator[None]:
    """Let a *disk*, which *process* sees, stand still; not even a kill helps then."""
    enter = "nsenter", "-t", str(process), "-m", "sh", "-c", _FREEZE, str(disk)
    with subprocess.Popen(
        enter, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as freezer:
        assert freezer.stdout is not None
        assert freezer.stdout.readline() == b"frozen\n"
        yield
