"""The spool: processes killed while they store or send, and those that recover.

The programs use only ``configure(spool=DIRECTORY)`` and ``stats().spool``. They count a
batch as stored when the flush that could not deliver it has returned.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.faults.accelerated_clock import Origin
from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Program, Received, Server, new_tally, read_tally

#: Stores until it is killed. Two slots of the tally count what it recorded and stored.
STORING = """
place, slot = sys.argv[1], int(sys.argv[2])
configure(spool=place, interval=None, max_series_per_metric=100_000)
report(ready=True)
while True:
    tally[slot] += 1
    counter("orders").inc(who=slot, number=tally[slot])
    delivered = flush(1.0)
    stats = dtmetrics.stats()
    # A flush that timed out may leave batches in memory alone.
    if delivered or stats.spool["batches"] >= stats.waiting:
        tally[slot + 1] = tally[slot]
    time.sleep(0.005)
"""

#: Records one counter, and sends what dead processes left.
RECOVERING = """
place, seconds = sys.argv[1], float(sys.argv[2])
begin = time.perf_counter()
configure(spool=place, interval=1.0)
took = time.perf_counter() - begin
report(ready=True)
end = time.monotonic() + seconds
while time.monotonic() < end:
    counter("still.there").inc()
    flush(5.0)
    time.sleep(0.2)
finish(took=took)
"""

#: Lives on for longer than the five minutes between two looks for dead processes.
SURVIVOR = """
configure(spool=sys.argv[1], interval=10.0)
counter("still.there").inc()
report(ready=flush(5.0))
next_command()
end = time.monotonic() + 330.0
while time.monotonic() < end:
    counter("still.there").inc()
    time.sleep(1.0)
finish()
"""


@scenario()
def killed_while_storing(run: Run) -> Row:
    """Killed by SIGKILL while it stores: each stored point arrives once."""
    row, chance = Row(expected=0, actual=0), random.Random(run.seed)
    rounds = 10 if run.quick else 200
    with Place() as (place, tally), Server() as server:
        server.command("down")
        for number in range(rounds):
            with run.program(
                STORING, server, place, 2 * number, tally=tally
            ) as program:
                if not program.receive("ready"):
                    row.check_account(program, {})
                    return row
                time.sleep(chance.uniform(0, 0.3))
                program.kill()
        server.command("up")
        counts = read_tally(tally)
        received = _recover(row, run, server, place, sum(counts[1::2]))
        _judge(row, received, counts, most_again=0)
    return row


@scenario()
def killed_while_sending(run: Run) -> Row:
    """Killed by SIGKILL while it sends: all arrive, one batch a kill may come twice."""
    row, chance = Row(expected=0, actual=0), random.Random(run.seed)
    rounds = 10 if run.quick else 100
    with Place() as (place, tally), Server() as server:
        if not store(row, run, server, place, tally, seconds=2.0):
            return row
        counts = read_tally(tally)
        server.script({"action": "accept", "wait": 0.05})
        kills = 0
        while kills < rounds and server.received().total("orders") < counts[0]:
            with run.program(RECOVERING, server, place, 60) as program:
                row.require(
                    program.receive("ready"), f"did not start: {program.last_error}"
                )
                time.sleep(chance.uniform(0.1, 0.6))
                program.kill()
                kills += 1
        received = _recover(row, run, server, place, sum(counts[1::2]))
        _judge(row, received, counts, most_again=kills)
        row.note(f"{kills} kills, {received.repeated_total('orders')} came twice")
    return row


@scenario()
def survivor_recovers(run: Run) -> Row:
    """A surviving process sends what a killed one left within 5 min 30 s."""
    row = Row(expected=0, actual=0)
    with (
        Place() as (place, tally),
        Server(Origin.now(changes=True)) as server,
        run.program(SURVIVOR, server, place) as survivor,
    ):
        row.require(
            survivor.receive("ready").get("ready"), f"said {survivor.last_error}"
        )
        if row.breaches or not store(row, run, server, place, tally, seconds=1.0):
            return row
        server.pace(20, survivor)
        survivor.send("go on")
        facts = survivor.receive("stats")
        if row.check_account(survivor, facts):
            _judge(row, server.received(), read_tally(tally), most_again=1)
            spool = facts["stats"]["spool"]
            row.require(spool["recovered"] >= row.expected, f"counted: {spool}")
    return row


@scenario()
def many_share_a_spool(run: Run) -> Row:
    """12 processes share a spool and are killed at random: each stored point arrives."""
    row, chance = Row(expected=0, actual=0), random.Random(run.seed)
    seconds = 5 if run.quick else 60
    with Place() as (place, tally), Server() as server, ExitStack() as stack:
        end, slot, kills, outages = time.monotonic() + seconds, 0, 0, 0
        running: list[Program] = []
        while time.monotonic() < end and slot < 4000:
            fresh = []
            while len(running) + len(fresh) < 12:
                made = run.program(STORING, server, place, slot, tally=tally)
                fresh.append(stack.enter_context(made))
                slot += 2
            for each in fresh:
                if not row.require(
                    each.receive("ready"), f"did not start: {each.last_error}"
                ):
                    return row
            running += fresh
            server.command("down")
            outages += 1
            time.sleep(chance.uniform(0, 0.5))
            server.command("up")
            for _ in range(chance.randrange(3)):
                victim = running.pop(0)
                victim.kill()
                victim.wait()
                kills += 1
            time.sleep(chance.uniform(0, 0.5))
        server.command("down")  # what is recorded from here on is stored
        for each in running:
            each.kill()
            each.wait()
        kills += len(running)
        server.command("up")
        counts = read_tally(tally)
        received = _recover(row, run, server, place, sum(counts[1::2]))
        # A request that `down` cut is indeterminate as well.
        _judge(row, received, counts, most_again=kills + 12 * (outages + 1))
        row.require(not (left := _batch_files(place)), f"{left} files are left")
        row.note(f"{kills} kills, {received.repeated_total('orders')} came twice")
    return row


class Place(ExitStack):
    """A directory for a spool, and a tally for all processes that use it."""

    def __enter__(self) -> tuple[str, str]:  # type: ignore[override]
        super().__enter__()
        tally = new_tally()
        self.callback(os.unlink, tally)
        place = self.enter_context(tempfile.TemporaryDirectory(prefix="faults-"))
        return os.path.join(place, "spool"), tally


def store(
    row: Row,
    run: Run,
    server: Server,
    place: str,
    tally: str,
    seconds: float,
    slot: int = 0,
) -> bool:
    """Let a process store batches for *seconds*, and kill it."""
    server.command("down")
    with run.program(STORING, server, place, slot, tally=tally) as program:
        if not program.receive("ready"):
            return row.check_account(program, {})
        time.sleep(seconds)
        program.kill(signal.SIGKILL)
        program.wait()
    server.command("up")
    return True


def _recover(row: Row, run: Run, server: Server, place: str, stored: int) -> Received:
    """Let a process recover and send until *stored* points have arrived.

    No batch is on disk then, unless 90 seconds were not enough.
    """
    end = time.monotonic() + 90
    with run.program(RECOVERING, server, place, 90) as program:
        while time.monotonic() < end and program.process.poll() is None:
            received = server.received()
            once = received.total("orders") - received.repeated_total("orders")
            # Also batches that their process had no time to count as stored.
            if once >= stored and not _batch_files(place):
                break
            time.sleep(0.2)
        row.require(program.process.poll() is None, f"ended: {program.last_error}")
    return server.received()


def _batch_files(place: str) -> int:
    """Return how many batches are on disk."""
    return sum(path.suffix in (".b", ".try") for path in Path(place).rglob("*"))


def _judge(row: Row, received: Received, counts: list[int], most_again: int) -> None:
    recorded, stored = sum(counts[::2]), sum(counts[1::2])
    once = received.total("orders") - received.repeated_total("orders")
    # Probes do not count: they have no lines.
    batches = sum(bool(each["repeated"] and each["lines"]) for each in received.journal)
    row.expected, row.actual = stored, once
    row.require(stored, "nothing was stored")
    row.require(once >= stored, f"{stored - once} of {stored} stored are missing")
    row.require(once <= recorded, f"{once} arrived of {recorded} recorded")
    row.require(batches <= most_again, f"{batches} came twice, {most_again} may")
    row.require(not received.unreadable, f"unreadable: {received.unreadable}")
