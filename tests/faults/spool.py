"""What is on disk: killed while writing, killed while sending, left to neighbours.

Only ``configure(spool=DIRECTORY)`` is used, what ``stats().spool`` says, and that a
flush which could not deliver has written before it returns: that is what a program here
takes as kept.
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

#: Begins, and once it is kept: two slots of the tally for each process.
KEEPING = """
place, slot = sys.argv[1], int(sys.argv[2])
configure(spool=place, interval=None, max_series_per_metric=100_000)
report(ready=True)
while True:
    tally[slot] += 1
    counter("orders").inc(who=slot, number=tally[slot])
    delivered = flush(1.0)
    told = dtmetrics.stats()
    # A flush whose time is over leaves what it has not come to in memory alone.
    if delivered or told.spool["bodies"] >= told.waiting:
        tally[slot + 1] = tally[slot]
    time.sleep(0.005)
"""

#: Records next to nothing, and sends what others have left.
COLLECTING = """
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

#: Is there when others die, and for as long as it takes to look for what they left.
NEIGHBOUR = """
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
def killed_while_keeping(run: Run) -> Row:
    """Killed by -9 while bodies are written: all that was kept arrives, and once."""
    row, chance = Row(expected=0, actual=0), random.Random(run.seed)
    rounds = 10 if run.quick else 200
    with Place() as (place, tally), Server() as server:
        server.command("down")
        for number in range(rounds):
            with run.program(
                KEEPING, server, place, 2 * number, tally=tally
            ) as program:
                if not program.receive("ready"):
                    row.check_account(program, {})
                    return row
                time.sleep(chance.uniform(0, 0.3))
                program.kill()
        server.command("up")
        counts = read_tally(tally)
        received = _collect(row, run, server, place, sum(counts[1::2]))
        _kept(row, received, counts, most_again=0)
    return row


@scenario()
def killed_while_sending(run: Run) -> Row:
    """Killed by -9 while kept bodies are sent: all arrive, one for each kill comes twice."""
    row, chance = Row(expected=0, actual=0), random.Random(run.seed)
    rounds = 10 if run.quick else 100
    with Place() as (place, tally), Server() as server:
        if not keep(row, run, server, place, tally, seconds=2.0):
            return row
        counts = read_tally(tally)
        server.script({"action": "accept", "wait": 0.05})
        kills = 0
        while kills < rounds and server.received().total("orders") < counts[0]:
            with run.program(COLLECTING, server, place, 60) as program:
                row.require(
                    program.receive("ready"), f"did not start: {program.last_error}"
                )
                time.sleep(chance.uniform(0.1, 0.6))
                program.kill()
                kills += 1
        received = _collect(row, run, server, place, sum(counts[1::2]))
        _kept(row, received, counts, most_again=kills)
        row.note(f"{kills} kills, {received.repeated_total('orders')} came twice")
    return row


@scenario()
def neighbour_adopts(run: Run) -> Row:
    """Who lives on sends what others leave at their death, all of it in 5 min and 30 s."""
    row = Row(expected=0, actual=0)
    with (
        Place() as (place, tally),
        Server(Origin.now(changes=True)) as server,
        run.program(NEIGHBOUR, server, place) as neighbour,
    ):
        row.require(
            neighbour.receive("ready").get("ready"), f"said {neighbour.last_error}"
        )
        if row.breaches or not keep(row, run, server, place, tally, seconds=1.0):
            return row
        server.pace(20, neighbour)
        neighbour.send("go on")
        facts = neighbour.receive("stats")
        if row.check_account(neighbour, facts):
            _kept(row, server.received(), read_tally(tally), most_again=1)
            told = facts["stats"]["spool"]
            row.require(told["adopted"] >= row.expected, f"counted: {told}")
    return row


@scenario()
def many_share_a_spool(run: Run) -> Row:
    """12 processes are killed and started anew on one spool: all arrives, once a kill."""
    row, chance = Row(expected=0, actual=0), random.Random(run.seed)
    seconds = 5 if run.quick else 60
    with Place() as (place, tally), Server() as server, ExitStack() as stack:
        end, slot, kills, outages = time.monotonic() + seconds, 0, 0, 0
        running: list[Program] = []
        while time.monotonic() < end and slot < 4000:
            fresh = []
            while len(running) + len(fresh) < 12:
                made = run.program(KEEPING, server, place, slot, tally=tally)
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
        server.command("down")  # what comes from here on is kept
        for each in running:
            each.kill()
            each.wait()
        kills += len(running)
        server.command("up")
        counts = read_tally(tally)
        received = _collect(row, run, server, place, sum(counts[1::2]))
        # A post that `down` cut leaves a doubt as well.
        _kept(row, received, counts, most_again=kills + 12 * (outages + 1))
        left = [p.name for p in Path(place).rglob("*") if p.suffix in (".b", ".try")]
        row.require(not left, f"{len(left)} files are left")
        row.note(f"{kills} kills, {received.repeated_total('orders')} came twice")
    return row


class Place(ExitStack):
    """A directory for a spool, and a tally for all that use it."""

    def __enter__(self) -> tuple[str, str]:  # type: ignore[override]
        super().__enter__()
        tally = new_tally()
        self.callback(os.unlink, tally)
        place = self.enter_context(tempfile.TemporaryDirectory(prefix="faults-"))
        return os.path.join(place, "spool"), tally


def keep(
    row: Row,
    run: Run,
    server: Server,
    place: str,
    tally: str,
    seconds: float,
    slot: int = 0,
) -> bool:
    """Let a process keep what it can for so long, and kill it."""
    server.command("down")
    with run.program(KEEPING, server, place, slot, tally=tally) as program:
        if not program.receive("ready"):
            return row.check_account(program, {})
        time.sleep(seconds)
        program.kill(signal.SIGKILL)
        program.wait()
    server.command("up")
    return True


def _collect(row: Row, run: Run, server: Server, place: str, kept: int) -> Received:
    """Let a process send what was left, until all that was *kept* is there."""
    end = time.monotonic() + 90
    with run.program(COLLECTING, server, place, 90) as program:
        while time.monotonic() < end and program.process.poll() is None:
            received = server.received()
            if received.total("orders") - received.repeated_total("orders") >= kept:
                break
            time.sleep(0.2)
        row.require(program.process.poll() is None, f"ended: {program.last_error}")
    return server.received()


def _kept(row: Row, received: Received, counts: list[int], most_again: int) -> None:
    begun, kept = sum(counts[::2]), sum(counts[1::2])
    once = received.total("orders") - received.repeated_total("orders")
    # The harmless lines that ask whether anybody is there are all the same.
    bodies = sum(bool(each["repeated"] and each["lines"]) for each in received.journal)
    row.expected, row.actual = kept, once
    row.require(kept, "nothing was kept")
    row.require(once >= kept, f"{kept - once} of {kept} kept are missing")
    row.require(once <= begun, f"{once} came of {begun} that were ever recorded")
    row.require(bodies <= most_again, f"{bodies} came twice, {most_again} may")
    row.require(not received.unreadable, f"unreadable: {received.unreadable}")
