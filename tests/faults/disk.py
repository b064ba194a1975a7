"""Disks that are full or read-only, and files that are damaged."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server
from tests.faults.spool import RECOVERING, Place, store

#: Stores more than the disk holds, while the endpoint is down.
FULL = """
import random
place, how = sys.argv[1], sys.argv[2]
if how == "forbidden":
    # Permissions do not bind root: continue as another user, after all imports.
    configure(spool=place, interval=None)
    shutdown()
    os.chown(place, 65534, 65534)
    os.seteuid(65534)
configure(spool=place, interval=None, max_series_per_metric=100_000)
if how == "read only":
    assert os.system(f"mount -o remount,ro {place}") == 0
if how == "forbidden":
    os.chmod(place, 0o500)
durations, chance = [], random.Random(0)
for number in range(12):
    for line in range(400):
        begin = time.perf_counter()
        counter("orders").inc(number=f"{number}.{line}", filling=chance.randbytes(100).hex())
        durations.append(time.perf_counter() - begin)
        tally[0] += 1
    flush(1.0)
report(over=True)
next_command()
durations.sort()
finish(delivered=deliver(), p99=durations[len(durations) * 99 // 100])
"""


@scenario()
def damaged_files(run: Run) -> Row:
    """Flipped, cut and random files are not sent, and do not delay the start."""
    row, chance = Row(expected=0, actual=0), random.Random(run.seed)
    with Place() as (place, tally), Server() as server:
        if not store(row, run, server, place, tally, seconds=1.0):
            return row
        damaged = 0
        for path in [p for p in Path(place).rglob("*") if p.is_file()]:
            text = bytearray(path.read_bytes())
            if not text:
                continue  # the lock
            damaged += 1
            if chance.random() < 0.5:
                text[chance.randrange(len(text))] ^= 1 << chance.randrange(8)
            else:
                del text[chance.randrange(len(text)) :]
            path.write_bytes(bytes(text))
            for name in ("{}.b", "{}.try", "{}", "{}.tmp"):
                foreign = path.with_name(name.format(chance.randrange(1 << 40)))
                foreign.write_bytes(chance.randbytes(chance.randrange(500)))
        row.require(damaged > 10, f"only {damaged} files were there")
        with run.program(RECOVERING, server, place, 3.0) as program:
            facts = program.receive("stats")
            if row.check_account(program, facts):
                received = server.received()
                row.actual = received.total("orders")
                row.require_exact()
                row.require(received.total("still.there"), "it sent nothing of its own")
                row.require(facts["took"] < 1, f"took {facts['took']:.1f} s to start")
                row.require("Traceback" not in "".join(program.err), program.last_error)
                spool = facts["stats"]["spool"]
                row.require(spool.get("corrupt", 0) >= damaged, f"counted: {spool}")
                row.note(f"{damaged} damaged files, and {4 * damaged} foreign ones")
    return row


@scenario(needs=("root", "unshare", "mount"))
def disk_is_full(run: Run) -> Row:
    """A full disk raises nothing, and what memory holds is delivered."""
    return _with_disk(run, "full")


@scenario(needs=("root", "unshare", "mount"))
def disk_is_read_only(run: Run) -> Row:
    """A disk that turns read-only raises nothing and loses nothing."""
    return _with_disk(run, "read only")


@scenario(needs=("root", "unshare", "mount"))
def disk_is_forbidden(run: Run) -> Row:
    """A directory that becomes unwritable raises nothing and loses nothing."""
    return _with_disk(run, "forbidden")


def _with_disk(run: Run, how: str) -> Row:
    row = Row()
    # 12 batches of 100 KB and more that hardly compress.
    shell = 'mount -t tmpfs -o size=256k,mode=700 none "$0" && exec "$@"'
    with tempfile.TemporaryDirectory(prefix="faults-") as place, Server() as server:
        apart: dict[str, Any] = {"prefix": ("unshare", "-m", "sh", "-c", shell, place)}
        with run.program(FULL, server, place, how, **apart) as program:
            server.command("down")
            if not program.receive("over"):
                row.check_account(program, {})
                return row
            server.command("up")
            program.send("go on")
            facts = program.receive("stats", 90)
            if row.check_account(program, facts):
                row.require_delivered(program, server.received(), facts)
                row.require("Traceback" not in "".join(program.err), program.last_error)
                spool = facts["stats"]["spool"]
                row.require(any("failed" in key for key in spool), f"counted: {spool}")
                row.note(f"counted: {spool}")
                row.note(f"p99 of a record {facts['p99'] * 1e6:.1f} us")
    return row
