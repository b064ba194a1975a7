"""Settings that are replaced while the program runs, and several exporters at once."""

from __future__ import annotations

import os
import tempfile
import time

from tests.faults.campaign import Row, Run, scenario
from tests.faults.endpoint import digest
from tests.faults.rig import Server

#: The secret parts occur in no other text.
TOKENS = [f"dt0c01.PUBLIC{n}.SECRET{n}" for n in range(40)]

LOAD = """
tokens, others = sys.argv[1].split(","), sys.argv[2].split(",")
stop = threading.Event()
orders, jobs = counter("orders"), counter("jobs")
depth, active = gauge("depth"), gauge("active")
stopped = []

def load(number):
    while not stop.is_set():
        with active:
            orders.inc()
            tally[number] += 1
            depth.inc()
        time.sleep(0.0005)

def settings(number):
    chosen = dict(token=tokens[number % len(tokens)], interval=0.05)
    if others != [""]:
        chosen["endpoint"] = others[number % len(others)]
        chosen["dimensions"] = {"stage": number % 3}
    return chosen

configure(**settings(0))
threads = [threading.Thread(target=load, args=(n,)) for n in range(3)]
for thread in threads:
    thread.start()
"""

ROTATED = """
report(ready=True)
number = 0
while next_command() == "rotate":
    number += 1
    begin = time.perf_counter()
    configure(**settings(number), force=True)
    report(took=time.perf_counter() - begin)
stop.set()
for thread in threads:
    thread.join()
finish(delivered=deliver(), tokens=number)
"""

REPLACED = """
bad = []
for number in range(int(sys.argv[3])):
    configure(**settings(number), force=True)
    if number % 5 == 0:
        pid = os.fork()
        if not pid:
            jobs.inc(3)
            configure(**settings(number + 1), force=True)
            jobs.inc(4)
            tally[100 + number] = 7
            os._exit(not deliver(15.0))
        bad.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
stop.set()
for thread in threads:
    thread.join()
finish(delivered=deliver(), bad=bad)
"""

SEVERAL = """
from dtmetrics.exporters import DynatraceExporter
urls, seconds = sys.argv[1].split(","), float(sys.argv[2])
configure(exporters=[DynatraceExporter(endpoint=url) for url in urls], interval=0.1)
orders = counter("orders")
late, end = 0.0, time.monotonic() + seconds
while time.monotonic() < end:
    begin = time.perf_counter()
    for _ in range(10):
        orders.inc()
        tally[0] += 1
    late = max(late, time.perf_counter() - begin)
    time.sleep(0.01)
flush(1.0)
stats = dtmetrics.stats().exporters
report(counts=[list(each[:5]) for each in stats.values()], late=late)
dtmetrics.shutdown(1.0)
"""

SPOOLED = """
place, token, amount = sys.argv[1], sys.argv[2], int(sys.argv[3])
configure(token=token, spool=place, interval=None)
counter("orders").inc(amount)
tally[0] += amount
delivered = flush(2.0)
report(delivered=delivered, spool=dict(dtmetrics.stats().spool))
os._exit(9)
"""


@scenario(fast=True)
def token_rotated_under_load(run: Run) -> Row:
    """A token revoked under load and replaced by force=True loses nothing."""
    row, rounds = Row(), 3 if run.quick else len(TOKENS) - 1
    with Server() as server:
        server.script({"action": "token", "digest": digest(TOKENS[0]), "times": 10**6})
        with run.program(LOAD + ROTATED, server, ",".join(TOKENS), "") as program:
            row.require(program.receive("ready"), f"failed: {program.last_error}")
            longest = 0.0
            for number in range(1, rounds + 1):
                step = {"action": "token", "digest": digest(TOKENS[number])}
                server.script({**step, "times": 10**6})
                time.sleep(0.2)
                program.send("rotate")
                longest = max(longest, program.receive("took").get("took", 60.0))
            program.send("end")
            facts = program.receive("stats")
            if not row.check_account(program, facts):
                return row
            counts = program.tally()
        received = server.received()
        row.expected, row.actual = sum(counts[:3]), received.total("orders")
        row.require_exact()
        row.require(facts["delivered"], "not delivered")
        row.require(not facts["stats"]["dropped"], f"dropped {facts['stats']}")
        refused = len(received.requests_with(401))
        row.require(refused, "no token was rejected")
        row.require(longest < 1.0, f"configure() took {longest:.1f} s")
        row.note(f"{rounds} tokens, {refused} requests rejected, {longest:.3f} s")
    return row


@scenario(fast=True)
def replaced_under_load(run: Run) -> Row:
    """Endpoint and dimensions replaced under load, and in forks: each count arrives."""
    row, rounds = Row(), 10 if run.quick else 200
    with Server() as first, Server() as second:
        urls = ",".join([first.url, second.url])
        with run.program(LOAD + REPLACED, first, "", urls, rounds) as program:
            facts = program.receive("stats", 30.0 + rounds)
            if not row.check_account(program, facts):
                return row
            counts = program.tally()
        both = first.received(), second.received()
        row.expected = sum(counts)
        row.actual = sum(r.total("orders") + r.total("jobs") for r in both)
        row.require_exact()
        row.require(facts["delivered"], "not delivered")
        row.require(not any(facts["bad"]), f"children: {facts['bad']}")
        row.require(not facts["stats"]["dropped"], f"dropped {facts['stats']}")
        row.note(f"{rounds} times, {len(facts['bad'])} forks")
    return row


@scenario(fast=True)
def one_of_several_is_dead(run: Run) -> Row:
    """Of three endpoints one hangs and one is down: the third gets all, on time."""
    row, seconds = Row(), 3.0 if run.quick else 30.0
    with Server() as good, Server() as hangs, Server() as down:
        hangs.script({"action": "silent", "times": 10**6})
        down.command("down")
        urls = ",".join(each.url for each in (good, hangs, down))
        with run.program(SEVERAL, good, urls, seconds) as program:
            facts = program.receive("counts")
            status = program.wait()
            row.hung = int(status is None)
            counts = facts.get("counts", [])
            row.expected = program.tally()[0]
        row.actual = good.received().total("orders")
        row.require_exact()
        row.require(len(counts) == 3, f"failed: {program.last_error}")
        for collected, accepted, rejected, dropped, waiting in counts:
            lost = sum(dropped.values())
            adds_up = collected == accepted + rejected + lost + waiting
            row.require(adds_up, f"the account does not add up: {counts}")
        requests = good.received().requests
        row.require(requests > 5 * seconds, f"only {requests} requests in {seconds} s")
        row.note(f"{requests} requests; a record took {facts.get('late', 0):.4f} s")
    return row


@scenario(fast=True)
def spool_outlives_the_token(run: Run) -> Row:
    """What waited for a revoked token is sent by a restart with the next one."""
    row, rounds = Row(), 3 if run.quick else 20
    with Server() as server, tempfile.TemporaryDirectory(prefix="faults-") as place:
        spool, expected = os.path.join(place, "spool"), 0
        server.script({"action": "token", "digest": digest("none"), "times": 10**6})
        for number in range(rounds + 1):
            if number == rounds:
                step = {"action": "token", "digest": digest(TOKENS[number])}
                server.script({**step, "times": 10**6})
            arguments = spool, TOKENS[number], 10 + number
            with run.program(SPOOLED, server, *arguments) as program:
                facts = program.receive("spool")
                row.require(facts, f"failed: {program.last_error}")
                expected += program.tally()[0]
                program.wait()
        row.expected, row.actual = expected, server.received().total("orders")
        row.require_exact()
        row.require(facts.get("delivered"), "not delivered")
        left = sum(
            name.endswith((".b", ".try")) for _, _, f in os.walk(spool) for name in f
        )
        row.require(not left, f"{left} files are left")
    return row
