"""What is on disk: killed while writing, killed while sending, damaged, full.

Only ``configure(spool=DIRECTORY)`` is used, and that a flush which could not deliver
has written before it returns: that is what a program here takes as kept.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Program, Server, Truth, new_tally

#: Begins, and once it is kept: two slots of the tally for each process.
KEEPING = """
place, slot = sys.argv[1], int(sys.argv[2])
configure(spool=place, interval=None)
tell(ready=True)
while True:
    tally[slot] += 1
    counter("orders").inc(who=slot, number=tally[slot])
    flush(1.0)
    tally[slot + 1] = tally[slot]
    time.sleep(0.005)
"""

#: Records next to nothing, and sends what others have left.
COLLECTING = """
place, seconds = sys.argv[1], float(sys.argv[2])
begin = time.perf_counter()
configure(spool=place, interval=1.0)
took = time.perf_counter() - begin
tell(ready=True)
end = time.monotonic() + seconds
while time.monotonic() < end:
    counter("still.there").inc()
    flush(5.0)
    time.sleep(0.2)
finish(took=took)
"""

#: Waits for an endpoint that is down with more than the disk holds.
FULL = """
import random
place, how = sys.argv[1], sys.argv[2]
configure(spool=place, interval=None, max_series_per_metric=100_000)
if how == "read only":
    assert os.system(f"mount -o remount,ro {place}") == 0
durations, chance = [], random.Random(0)
for number in range(12):
    for line in range(400):
        begin = time.perf_counter()
        counter("orders").inc(number=f"{number}.{line}", filling=chance.randbytes(100).hex())
        durations.append(time.perf_counter() - begin)
        tally[0] += 1
    flush(1.0)
tell(over=True)
hear()
durations.sort()
finish(delivered=deliver(), p99=durations[len(durations) * 99 // 100])
"""


@scenario()
def killed_while_keeping(run: Run) -> Row:
    """Killed by -9 while bodies are written: all that was kept arrives, and once."""
    row, chance = Row(truth=0, got=0), random.Random(run.seed)
    rounds = 10 if run.quick else 200
    with _Place() as (place, tally), Server() as server:
        server.ask("down")
        for number in range(rounds):
            with run.program(
                KEEPING, server, place, 2 * number, tally=tally
            ) as program:
                if not program.hear("ready"):
                    row.told(program, {})
                    return row
                time.sleep(chance.uniform(0, 0.3))
                program.kill()
        server.ask("up")
        counts = _counts(tally)
        truth = _collect(row, run, server, place, sum(counts[1::2]))
        _kept(row, truth, counts, most_again=0)
    return row


@scenario()
def killed_while_sending(run: Run) -> Row:
    """Killed by -9 while kept bodies are sent: all arrive, one for each kill comes twice."""
    row, chance = Row(truth=0, got=0), random.Random(run.seed)
    rounds = 10 if run.quick else 100
    with _Place() as (place, tally), Server() as server:
        if not _keep(row, run, server, place, tally, seconds=2.0):
            return row
        counts = _counts(tally)
        server.script({"verdict": "accept", "wait": 0.05})
        kills = 0
        while kills < rounds and server.truth().total("orders") < counts[0]:
            with run.program(COLLECTING, server, place, 60) as program:
                row.require(program.hear("ready"), f"did not start: {program.said}")
                time.sleep(chance.uniform(0.1, 0.6))
                program.kill()
                kills += 1
        truth = _collect(row, run, server, place, sum(counts[1::2]))
        _kept(row, truth, counts, most_again=kills)
        row.note(f"{kills} kills, {truth.again_of('orders')} came twice")
    return row


@scenario()
def damaged_files(run: Run) -> Row:
    """Of files with a flipped byte, cut, or random nothing is sent; the start is quick."""
    row, chance = Row(truth=0, got=0), random.Random(run.seed)
    with _Place() as (place, tally), Server() as server:
        if not _keep(row, run, server, place, tally, seconds=1.0):
            return row
        damaged = 0
        for path in [p for p in Path(place).rglob("*") if p.is_file()]:
            text = bytearray(path.read_bytes())
            if not text:
                continue  # a lock
            damaged += 1
            if chance.random() < 0.5:
                text[chance.randrange(len(text))] ^= 1 << chance.randrange(8)
            else:
                del text[chance.randrange(len(text)) :]
            path.write_bytes(bytes(text))
            for name in ("{}.b", "{}.try", "{}", "{}.tmp"):
                strange = path.with_name(name.format(chance.randrange(1 << 40)))
                strange.write_bytes(chance.randbytes(chance.randrange(500)))
        row.require(damaged > 10, f"only {damaged} files were there")
        with run.program(COLLECTING, server, place, 3.0) as program:
            facts = program.hear("stats")
            if row.told(program, facts):
                truth = server.truth()
                row.got = truth.total("orders")
                row.exact()
                row.require(truth.total("still.there"), "it sent nothing of its own")
                row.require(facts["took"] < 1, f"took {facts['took']:.1f} s to start")
                row.require("Traceback" not in "".join(program.err), program.said)
                row.note(f"{damaged} damaged files, and {4 * damaged} strange ones")
    return row


@scenario(needs=("root", "unshare", "mount"))
def disk_is_full(run: Run) -> Row:
    """A full disk raises nothing, and loses nothing that memory still holds."""
    return _ailing(run, "full")


@scenario(needs=("root", "unshare", "mount"))
def disk_is_read_only(run: Run) -> Row:
    """A disk that can no longer be written raises nothing and loses nothing."""
    return _ailing(run, "read only")


@scenario()
def many_share_a_spool(run: Run) -> Row:
    """12 processes are killed and started anew on one spool: all arrives, once a kill."""
    row, chance = Row(truth=0, got=0), random.Random(run.seed)
    seconds = 5 if run.quick else 60
    with _Place() as (place, tally), Server() as server, ExitStack() as stack:
        end, slot, kills = time.monotonic() + seconds, 0, 0
        running: list[Program] = []
        while time.monotonic() < end and slot < 4000:
            fresh = []
            while len(running) + len(fresh) < 12:
                made = run.program(KEEPING, server, place, slot, tally=tally)
                fresh.append(stack.enter_context(made))
                slot += 2
            for each in fresh:
                if not row.require(each.hear("ready"), f"did not start: {each.said}"):
                    return row
            running += fresh
            server.ask("down")
            time.sleep(chance.uniform(0, 0.5))
            server.ask("up")
            for _ in range(chance.randrange(3)):
                victim = running.pop(0)
                victim.kill()
                victim.wait()
                kills += 1
            time.sleep(chance.uniform(0, 0.5))
        server.ask("down")  # what comes from here on is kept
        for each in running:
            each.kill()
            each.wait()
        kills += len(running)
        server.ask("up")
        counts = _counts(tally)
        truth = _collect(row, run, server, place, sum(counts[1::2]))
        # A connection that `down` cut in the middle of a post leaves a doubt as well.
        _kept(row, truth, counts, most_again=kills + truth.connections)
        left = [p.name for p in Path(place).rglob("*") if p.suffix in (".b", ".try")]
        row.require(not left, f"{len(left)} files are left")
        row.note(f"{kills} kills, {truth.again_of('orders')} came twice")
    return row


class _Place(ExitStack):
    """A directory for a spool, and a tally for all that use it."""

    def __enter__(self) -> tuple[str, str]:  # type: ignore[override]
        super().__enter__()
        tally = new_tally()
        self.callback(os.unlink, tally)
        place = self.enter_context(tempfile.TemporaryDirectory(prefix="faults-"))
        return os.path.join(place, "spool"), tally


def _keep(
    row: Row, run: Run, server: Server, place: str, tally: str, seconds: float
) -> bool:
    """Let a process keep what it can for so long, and kill it."""
    server.ask("down")
    with run.program(KEEPING, server, place, 0, tally=tally) as program:
        if not program.hear("ready"):
            return row.told(program, {})
        time.sleep(seconds)
        program.kill(signal.SIGKILL)
        program.wait()
    server.ask("up")
    return True


def _collect(row: Row, run: Run, server: Server, place: str, kept: int) -> Truth:
    """Let a process send what was left, until all that was *kept* is there."""
    end = time.monotonic() + 90
    with run.program(COLLECTING, server, place, 90) as program:
        while time.monotonic() < end and program.process.poll() is None:
            truth = server.truth()
            if truth.total("orders") - truth.again_of("orders") >= kept:
                break
            time.sleep(0.2)
        row.require(program.process.poll() is None, f"ended: {program.said}")
    return server.truth()


def _kept(row: Row, truth: Truth, counts: list[int], most_again: int) -> None:
    begun, kept = sum(counts[::2]), sum(counts[1::2])
    once = truth.total("orders") - truth.again_of("orders")
    lines = truth.again.get("orders", (0, 0))[0]
    row.truth, row.got = kept, once
    row.require(kept, "nothing was kept")
    row.require(once >= kept, f"{kept - once} of {kept} kept are missing")
    row.require(once <= begun, f"{once} came of {begun} that were ever recorded")
    row.require(lines <= most_again, f"{lines} came twice, {most_again} may")
    row.require(not truth.unreadable, f"unreadable: {truth.unreadable}")


def _counts(tally: str) -> list[int]:
    return list(memoryview(Path(tally).read_bytes()).cast("q"))


def _ailing(run: Run, how: str) -> Row:
    row = Row()
    # 12 bodies of 100 KB and more that do not compress by much.
    shell = 'mount -t tmpfs -o size=256k,mode=700 none "$0" && exec "$@"'
    with tempfile.TemporaryDirectory(prefix="faults-") as place, Server() as server:
        apart: dict[str, Any] = {"prefix": ("unshare", "-m", "sh", "-c", shell, place)}
        with run.program(FULL, server, place, how, **apart) as program:
            server.ask("down")
            if not program.hear("over"):
                row.told(program, {})
                return row
            server.ask("up")
            program.say("go on")
            facts = program.hear("stats", 90)
            if row.told(program, facts):
                row.truth, row.got = program.tally()[0], server.truth().total("orders")
                row.exact()
                row.require(facts["delivered"], "not delivered")
                row.require("Traceback" not in "".join(program.err), program.said)
                row.note(f"p99 of a record {facts['p99'] * 1e6:.1f} us")
    return row
