"""The order in which the system is asked: what is told to be kept is on disk by then."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server
from tests.support.spool_directory import disk_call

#: Each body is put off once, and so kept, and then taken. It says itself when.
TRACED = """
place, bodies = sys.argv[1], int(sys.argv[2])
configure(spool=place, interval=None)

def say(text):
    if number:  # the first also makes the directories
        os.write(2, text + b"\\n")

for number in range(bodies + 1):
    counter("orders").inc()
    tally[0] += 1
    say(b"begins")
    say(b"is sent at once" if flush(5.0) else b"is kept")
    say(b"is sent" if flush(5.0) else b"still waits")
finish(delivered=deliver())
"""

_CALLS = "write,fsync,rename,renameat,renameat2,unlink,unlinkat,sendto,recvfrom"
_STRACE = ("strace", "-f", "-qq", "-y", "-e", f"trace={_CALLS}")

_KEPT = ["send", "answer", "write .tmp", "fsync .tmp", "rename .b", "fsync directory", "is kept"]  # fmt: skip
_SENT = ["rename .try", "send", "answer", "unlink .try", "is sent"]


@scenario(needs=("strace",))
def order_of_calls(run: Run) -> Row:
    """A body is whole on disk before a flush says so, and deleted after its answer."""
    row, bodies = Row(), 30 if run.quick else 1_000
    if subprocess.run([*_STRACE, "true"], capture_output=True, check=False).returncode:
        return Row(missing="permission to trace")
    with tempfile.TemporaryDirectory(prefix="faults-") as place, Server() as server:
        trace = Path(place, "trace")
        server.script(
            *[
                {"verdict": "status", "status": 503, "times": 1},
                {"verdict": "accept", "times": 1},
            ]
            * (bodies + 1)
        )
        with run.program(
            TRACED,
            server,
            f"{place}/spool",
            bodies,
            prefix=(*_STRACE, "-o", str(trace)),
        ) as program:
            facts = program.hear("stats", 150)
            if not row.told(program, facts):
                return row
            row.require(program.wait(30) == 0, f"said {program.said}")
            row.truth, row.got = program.tally()[0], server.truth().total("orders")
        row.exact()
        lives = list(_lives(trace.read_text(), f"{place}/spool"))
    good = sum(life == [*_KEPT, *_SENT] for life in lives)
    wrong = [life for life in lives if life != [*_KEPT, *_SENT]]
    row.require(good == bodies, f"{bodies - good} of {bodies} otherwise: {wrong[:1]}")
    row.note(f"in this order, {good} of {bodies} times: {', '.join(_KEPT + _SENT)}")
    return row


def _lives(trace: str, root: str) -> Iterator[list[str]]:
    """Yield for each body what happened to it, in order; what repeats, once.

    A call that another thread's interrupts in the trace stands where it begins, but for
    those that wait for something: they stand where they end.
    """
    life: list[str] = []
    for line in trace.splitlines():
        step = _step(line, root)
        if step == "begins":
            life = []
        elif step and step not in life[-1:]:
            life.append(step)
        if step in ("is sent", "still waits"):
            yield [*life]


def _step(line: str, root: str) -> str:
    if said := re.search(
        r'write\(2<[^>]*>, "(begins|is [a-z ]+|still waits)\\n"', line
    ):
        return said[1]
    if "recvfrom" in line:
        return "answer" if re.search(r"= [1-9]\d*$", line) else ""
    if "sendto(" in line:
        return "send"
    return disk_call(line, root)
