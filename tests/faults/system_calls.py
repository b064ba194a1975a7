"""The order of system calls: a batch that counts as stored is on disk by then."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server
from tests.support.spool_directory import disk_call

#: Each batch is answered by 503 first, hence stored, and then accepted. The program
#: writes to standard error, and so into the trace, where it is.
TRACED = """
place, batches = sys.argv[1], int(sys.argv[2])
configure(spool=place, interval=None)

def mark_trace(text):
    if number:  # the first batch also creates the directories
        os.write(2, text + b"\\n")

for number in range(batches + 1):
    counter("orders").inc()
    tally[0] += 1
    mark_trace(b"begins")
    mark_trace(b"is sent at once" if flush(5.0) else b"is stored")
    mark_trace(b"is sent" if flush(5.0) else b"still waits")
finish(delivered=deliver())
"""

_CALLS = "write,fsync,rename,renameat,renameat2,unlink,unlinkat,sendto,recvfrom"
_STRACE = ("strace", "-f", "-qq", "-y", "-e", f"trace={_CALLS}")

_STORED = ["send", "answer", "write .tmp", "fsync .tmp", "rename .b", "fsync directory", "is stored"]  # fmt: skip
_SENT = ["rename .try", "send", "answer", "unlink .try", "is sent"]


@scenario(needs=("strace",))
def order_of_calls(run: Run) -> Row:
    """A batch is on disk before flush() returns False, and deleted after its answer."""
    row, batches = Row(), 30 if run.quick else 1_000
    if subprocess.run([*_STRACE, "true"], capture_output=True, check=False).returncode:
        return Row(missing="permission to trace")
    with tempfile.TemporaryDirectory(prefix="faults-") as place, Server() as server:
        trace = Path(place, "trace")
        server.script(
            *[
                {"action": "status", "status": 503, "times": 1},
                {"action": "accept", "times": 1},
            ]
            * (batches + 1)
        )
        with run.program(
            TRACED,
            server,
            f"{place}/spool",
            batches,
            prefix=(*_STRACE, "-o", str(trace)),
        ) as program:
            facts = program.receive("stats", 150)
            if not row.check_account(program, facts):
                return row
            row.require(program.wait(30) == 0, f"wrote {program.last_error}")
            row.expected, row.actual = (
                program.tally()[0],
                server.received().total("orders"),
            )
        row.require_exact()
        lives = list(_lives(trace.read_text(), f"{place}/spool"))
    order = [*_STORED, *_SENT]
    other = [life for life in lives if life != order]
    good = len(lives) - len(other)
    row.require(good == batches, f"{batches - good} of {batches} differ: {other[:1]}")
    row.note(f"in this order, {good} of {batches} times: {', '.join(order)}")
    return row


def _lives(trace: str, root: str) -> Iterator[list[str]]:
    """Yield the steps of each batch in order, repeated steps once.

    A call that is interrupted in the trace by another thread's counts where it begins;
    a call that waits, where it ends.
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
    if mark := re.search(
        r'write\(2<[^>]*>, "(begins|is [a-z ]+|still waits)\\n"', line
    ):
        return mark[1]
    if "recvfrom" in line:
        return "answer" if re.search(r"= [1-9]\d*$", line) else ""
    if "sendto(" in line:
        return "send"
    return disk_call(line, root)
