"""What runs out: file descriptors, and room for series."""

from __future__ import annotations

import tempfile

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server

#: Has no descriptor left for a second, in which the application's own stay open.
SCARCE = """
import resource, tempfile
configure(interval=0.05, spool=sys.argv[1])
orders = counter("orders")

def work(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        orders.inc()
        tally[0] += 1
        time.sleep(0.001)

def descriptors():
    return len(os.listdir("/proc/self/fd"))

work(0.3)
deliver()
before = descriptors()
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
files = []
try:
    while True:
        file, name = tempfile.mkstemp()
        files.append((open(file, "w"), name))
except OSError:
    pass
tell(scarce=True)
hear()
work(1.0)
begin = time.perf_counter()
flushed = flush(1.0)
took = time.perf_counter() - begin
for file, name in files:
    file.write("x")
    file.close()
    assert os.path.getsize(name) == 1  # it is still that file
    os.unlink(name)
tell(flushed=flushed, took=took)
hear()
delivered = deliver()
time.sleep(0.2)
finish(delivered=delivered, leaked=descriptors() - before)
"""

IDS = """
from time import perf_counter_ns as now
most, end = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
configure(interval=10.0)
orders, number, taken = counter("orders"), 0, []
orders.inc(user=0)
tally[0] += 1
flush(5.0)
mark()
while number < most and time.monotonic() < end:
    for number in range(number + 1, number + 100):
        orders.inc(user=number)
    number += 1
    begin = now()
    orders.inc(user=number)
    taken.append(now() - begin)
    tally[0] += 100
taken.sort()
finish(delivered=deliver(), ids=number, p99=taken[len(taken) * 99 // 100] / 1000)
"""


@scenario(fast=True)
def no_descriptor_is_left(run: Run) -> Row:
    """Where no file can be opened the application keeps its own, and loses nothing."""
    row = Row()
    with (
        tempfile.TemporaryDirectory(prefix="faults-") as place,
        Server() as server,
        run.program(SCARCE, server, place) as program,
    ):
        program.hear("scarce")
        # Ends the connection: another cannot be made.
        server.ask("down")
        server.ask("up")
        program.say("go on")
        during = program.hear("flushed")
        row.require(during, f"the application failed: {program.said}")
        row.require(during.get("took", 9) < 2, "a flush took over 2 s")
        program.say("go on")
        facts = program.hear("stats", 90)
        if row.told(program, facts):
            row.delivered(program, server.truth(), facts)
            row.require(not during["flushed"], "there were descriptors left")
            row.require(facts["leaked"] <= 2, f"{facts['leaked']} files more")
            row.require("Traceback" not in "".join(program.err), program.said)
            row.note(f"counted: {facts['stats']['spool']}")
    return row


@scenario()
def ten_million_users(run: Run) -> Row:
    """10 million ids as dimensions, or 60 s of them: all counted, and < 60 MB more."""
    row = Row()
    seconds = 3.0 if run.quick else 60.0
    with Server() as server, run.program(IDS, server, 10_000_000, seconds) as program:
        facts = program.hear("stats", 150)
        if row.told(program, facts):
            truth = server.truth()
            row.delivered(program, truth, facts)
            row.require(row.memory is not None and row.memory < 60, "memory")
            row.require(facts["p99"] < 200, f"p99 of a record {facts['p99']:.1f} us")
            kept = len(truth.series["orders"])
            row.require(kept <= 2001, f"{kept} series")
            row.note(f"{facts['ids']:,} ids, p99 of a record {facts['p99']:.1f} us")
            row.note(
                "known: what was not there before takes more than the planned 10 us"
            )
    return row
