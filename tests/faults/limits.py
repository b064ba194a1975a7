"""Resources that run out: file descriptors, and the limit on series."""

from __future__ import annotations

import tempfile

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server

#: Uses up all file descriptors for a second, and checks its own files afterwards.
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
report(scarce=True)
next_command()
work(1.0)
begin = time.perf_counter()
flushed = flush(1.0)
took = time.perf_counter() - begin
for file, name in files:
    file.write("x")
    file.close()
    assert os.path.getsize(name) == 1  # it is still that file
    os.unlink(name)
report(flushed=flushed, took=took)
next_command()
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
def out_of_descriptors(run: Run) -> Row:
    """Without a free file descriptor nothing is lost, and the program's files stay open."""
    row = Row()
    with (
        tempfile.TemporaryDirectory(prefix="faults-") as place,
        Server() as server,
        run.program(SCARCE, server, place) as program,
    ):
        program.receive("scarce")
        # Closes the connection, and the program cannot open another one.
        server.command("down")
        server.command("up")
        program.send("go on")
        during = program.receive("flushed")
        row.require(during, f"the application failed: {program.last_error}")
        row.require(during.get("took", 9) < 2, "a flush took over 2 s")
        program.send("go on")
        facts = program.receive("stats", 90)
        if row.check_account(program, facts):
            row.require_delivered(program, server.received(), facts)
            row.require(not during["flushed"], "there were descriptors left")
            row.require(facts["leaked"] <= 2, f"{facts['leaked']} files more")
            row.require("Traceback" not in "".join(program.err), program.last_error)
            row.note(f"counted: {facts['stats']['spool']}")
    return row


@scenario()
def ten_million_users(run: Run) -> Row:
    """Ten million ids as dimensions are all counted, and take less than 60 MB."""
    row = Row()
    seconds = 3.0 if run.quick else 60.0
    with Server() as server, run.program(IDS, server, 10_000_000, seconds) as program:
        facts = program.receive("stats", 150)
        if row.check_account(program, facts):
            received = server.received()
            row.require_delivered(program, received, facts)
            row.require(row.memory is not None and row.memory < 60, "memory")
            row.require(facts["p99"] < 200, f"p99 of a record {facts['p99']:.1f} us")
            series = len(received.series["orders"])
            row.require(series <= 2001, f"{series} series")
            row.note(f"{facts['ids']:,} ids, p99 of a record {facts['p99']:.1f} us")
            row.note("known: a record with new dimensions takes more than 10 us")
    return row
