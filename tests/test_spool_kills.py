"""Real processes with spools, killed before each system call and at any moment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.script import expect

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

BEGIN = """
import collections, fcntl, os, random, select, signal, sys, tempfile, time
from dtmetrics.exporters import Batch
from dtmetrics._spool.spool import Spool
from dtmetrics._protocol.point import Identity

root = sys.argv[1]
late = 0

def new_spool():
    # Its clock advances with each reading, so that each call looks for directories.
    ticks = iter(range(0, 10**9, 400))
    return Spool(root, "here", now_ms=lambda: time.time_ns() // 10**6 + late, clock=lambda: next(ticks))

def new_batch(name):
    identity = Identity(name, name)
    lines = [f"{name} count,delta={n}" for n in range(100)]
    return Batch("\\n".join(lines).encode(), (identity,) * 100, time.time_ns() // 10**6)

def name_of(batch):
    lines = batch.text.decode().split("\\n")
    name = lines[0].split(" ")[0]
    assert lines == [f"{name} count,delta={n}" for n in range(100)]
    return name

class Child:
    # Runs work(report). Reports go to a file, so that they outlive the child.
    def __init__(self, work):
        self.reports = tempfile.TemporaryFile("r+")
        self.pid = os.fork()
        if not self.pid:
            write, file = os.write, self.reports.fileno()
            work(lambda *words: write(file, " ".join(words).encode() + b"\\n"))
            os._exit(0)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

    def end(self):
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.reports.seek(0)
        with self.reports as file:
            return status, file.read().splitlines()

def left_over():
    # Late enough that no directory counts as young.
    global late
    late = 61_000
    found = []
    spool = new_spool()
    while part := spool.recover():
        found += [(name_of(batch), indeterminate) for batch, indeterminate in part]
        for batch, _ in part:
            spool.delete(batch)
    spool.close()
    late = 0
    account = spool.account()
    assert account.keys() == {"batches", "bytes", "recovered"}, account
    left = [names for path, *names in os.walk(root) if path.count(os.sep) > root.count(os.sep)]
    assert left in ([], [[[], []]]), left
    return found
"""

AT_EACH_STEP = """
def work(report):
    spool = new_spool()
    batches = {name: new_batch(name) for name in "abcd"}
    for name, batch in batches.items():
        spool.store(batch)
        report("stored", name)
    for name in "abd":
        report("beginning", name)
        spool.begin_attempt(batches[name])
        report("began", name)
    report("undoing b")
    spool.undo_attempt(batches["b"])
    report("undone b")
    for name in "ab":
        report("deleting", name)
        spool.delete(batches[name])
        report("deleted", name)
    # The endpoint found d too large: its halves take its place.
    for name in "ef":
        spool.store(new_batch(name))
    report("halves stored")
    spool.delete(batches["d"])
    report("divided d")
    report("closing")
    spool.close()

def killed_before(step, work):
    # Real system calls, and a real kill before one of them.
    steps = iter(range(step))
    def counted(call):
        def counting(*args, **kwargs):
            if next(steps, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)
        return counting
    def working(report):
        for name in ("open", "close", "mkdir", "rmdir", "unlink", "rename", "fsync", "write", "fstat", "fstatvfs", "listdir"):
            if name != "write":
                setattr(os, name, counted(getattr(os, name)))
        write = os.write
        # In two halves, so that a file may be torn.
        os.write = lambda file, data: counted(write)(file, data[:len(data) // 2 + 1])
        fcntl.flock = counted(fcntl.flock)
        work(report)
    return Child(working).end()

for step in range(1000):
    status, reports = killed_before(step, work)
    found = dict(left_over())
    context = step, reports, found
    for name in "abc":
        deleted = f"deleted {name}" in reports
        deleting = f"deleting {name}" in reports
        if f"stored {name}" in reports and not deleting:
            assert name in found, context
        if deleted:
            assert name not in found, context
        begun = f"began {name}" in reports and name != "b"
        maybe = f"beginning {name}" in reports and not (name == "b" and "undone b" in reports)
        if name in found:
            assert (begun <= found[name] <= maybe), context
    halves = found.keys() & {*"ef"}
    if "halves stored" in reports:
        assert halves == {*"ef"}, context
    if "divided d" in reports:
        assert "d" not in found, context
    elif "began d" in reports:
        # Beside a half the whole is indeterminate.
        assert halves == {*"ef"} or found.get("d"), context
        assert found.get("d", True), context
    if status == 0:
        break
    assert status == -signal.SIGKILL, status
print(step > 60, reports[-1], sorted(found))
"""


def test_killed_at_each_step(tmp_path: Path) -> None:
    """Before whichever system call it is killed, a process leaves what it stored.

    Deleted batches are not recovered. A batch is indeterminate if and only if an
    attempt had begun. A divided batch leaves the whole, its halves, or both, and then
    the whole is indeterminate. No file remains after recovery.
    """
    source = BEGIN + AT_EACH_STEP
    assert expect(source, tmp_path) == "True closing ['c', 'e', 'f']\n"


RECOVERING_AT_EACH_STEP = (
    AT_EACH_STEP.partition("for step")[0]
    + """
def leave(report):
    spool = new_spool()
    for name in "abc":
        spool.store(batch := new_batch(name))
        if name == "b":
            spool.begin_attempt(batch)

def recover(report):
    spool = new_spool()
    for batch, indeterminate in spool.recover():
        assert indeterminate == (name_of(batch) == "b")
        report("deleting", name_of(batch))
        spool.delete(batch)
        report("deleted", name_of(batch))
    spool.close()
    report("closed")

for step in range(1000):
    assert Child(leave).end() == (0, [])
    status, reports = killed_before(step, recover)
    found = [name for name, _ in left_over()]
    assert len(found) == len(set(found))
    for name in "abc":
        if f"deleted {name}" in reports:
            assert name not in found
        elif f"deleting {name}" not in reports:
            assert name in found
    if status == 0:
        break
print(step > 20, reports[-1], found)
"""
)


def test_killed_while_recovering(tmp_path: Path) -> None:
    """A recovering process that is killed leaves each batch that it has not deleted."""
    assert expect(BEGIN + RECOVERING_AT_EACH_STEP, tmp_path) == "True closed []\n"


AT_ANY_MOMENT = """
kills = int(sys.argv[2])

def store_on(number):
    def work(report):
        spool = new_spool()
        for count in range(10_000):
            name = f"w{number}.{count}"
            report("storing", name)
            spool.store(new_batch(name))
            report("stored", name)
            assert spool.account().keys() == {"batches", "bytes", "recovered"}, spool.account()
    return work

def recover_on(report):
    spool = new_spool()
    more = True
    while more:
        more = not select.select([stop_read], [], [], 0.001)[0]
        while part := spool.recover():
            for batch, indeterminate in part:
                assert not indeterminate
                report(name_of(batch))
                spool.delete(batch)
    spool.close()
    account = spool.account()
    assert account.keys() == {"batches", "bytes", "recovered"}, account

stop_read, stop_write = os.pipe()
recoverers = [Child(recover_on) for _ in range(3)]
reports = []
for number in range(kills):
    writer = Child(store_on(number))
    # Every other one is killed after its first batch, however slow this machine is.
    while number % 2 and os.fstat(writer.reports.fileno()).st_size < 20:
        select.select([], [], [], 0.001)
    select.select([], [], [], random.random() * 0.02)
    writer.kill()
    status, words = writer.end()
    assert status == -signal.SIGKILL, (status, words)
    reports += words
os.write(stop_write, b"!")
ended = [recoverer.end() for recoverer in recoverers]
assert all(status == 0 for status, _ in ended), ended
recovered = [words for _, words in ended] + [[name for name, _ in left_over()]]
times = collections.Counter(name for words in recovered for name in words)
storing, stored = ({name for verb, name in map(str.split, reports) if verb == which} for which in ("storing", "stored"))
assert set(times.values()) <= {1}, times
assert stored <= times.keys() <= storing, (stored - times.keys(), times.keys() - storing)
print(f"{len(stored)} stored, {len(times.keys() - stored)} more were whole, recovered {[*map(len, recovered)]}")
"""


def kill_often(tmp_path: Path, kills: int) -> None:
    """Kill *kills* processes while they store and three others recover."""
    printed = expect(BEGIN + AT_ANY_MOMENT, tmp_path, kills)
    assert int(printed.partition(" ")[0]) > 0


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Each batch that killed processes stored is recovered by one of three processes.

    Other batches are recovered only if their process was killed before it could report.
    """
    kill_often(tmp_path, 40)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_a_thousand_times(tmp_path: Path) -> None:
    """Each batch stored before one of a thousand kills is recovered once."""
    for _ in range(20):
        kill_often(tmp_path, 50)
