"""Real processes with spools, killed at every step and at any moment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.script import expect

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

BEGIN = """
import collections, fcntl, os, random, select, signal, sys, tempfile, time
from dtmetrics.exporters import Batch
from dtmetrics._spool.directory import Directory
from dtmetrics._spool.spool import Spool
from dtmetrics._protocol.point import Identity

root = sys.argv[1]
late = 0

def a_spool():
    # Each look is due: its clock runs by itself.
    ticks = iter(range(0, 10**9, 400))
    return Spool(root, "here", now_ms=lambda: time.time_ns() // 10**6 + late, clock=lambda: next(ticks))

def a_body(name):
    identity = Identity(name, name)
    lines = [f"{name} count,delta={n}" for n in range(100)]
    return Batch("\\n".join(lines).encode(), (identity,) * 100, time.time_ns() // 10**6)

def name_of(body):
    lines = body.text.decode().split("\\n")
    name = lines[0].split(" ")[0]
    assert lines == [f"{name} count,delta={n}" for n in range(100)]
    return name

class Child:
    # Runs work(say). What it says is in a file, so that it outlives the child.
    def __init__(self, work):
        self.said = tempfile.TemporaryFile("r+")
        self.pid = os.fork()
        if not self.pid:
            write, said = os.write, self.said.fileno()
            work(lambda *words: write(said, " ".join(words).encode() + b"\\n"))
            os._exit(0)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

    def end(self):
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.said.seek(0)
        with self.said as file:
            return status, file.read().splitlines()

def left_over():
    # Once everything is old enough that nobody can be at work on it.
    global late
    late = 61_000
    found = []
    spool = a_spool()
    while part := spool.adopt():
        found += [(name_of(body), doubt) for body, doubt in part]
        for body, _ in part:
            spool.forget(body)
    spool.close()
    late = 0
    told = spool.account()
    assert (told.corrupt, told.lost, told.failures) == (0, {}, {}), told
    left = [names for path, *names in os.walk(root) if path.count(os.sep) > root.count(os.sep)]
    assert left in ([], [[[], []]]), left
    return found
"""

AT_EACH_STEP = """
def work(say):
    spool = a_spool()
    bodies = {name: a_body(name) for name in "abc"}
    for name, body in bodies.items():
        spool.keep(body)
        say("kept", name)
    for name in "ab":
        say("trying", name)
        spool.trying(bodies[name])
        say("tried", name)
    say("back b")
    spool.back(bodies["b"])
    say("was back b")
    for name in "ab":
        say("forgetting", name)
        spool.forget(bodies[name])
        say("forgotten", name)
    parts = [a_body(name) for name in "de"]
    for body in parts:
        spool.keep(body)
    say("kept parts")
    spool.exchange(parts, [(a_body("f"), False)])
    say("exchanged")
    say("closing")
    spool.close()

def killed_before(step, work):
    # Real calls, and a real kill before one of them.
    steps = iter(range(step))
    def counted(call):
        def counting(*args, **kwargs):
            if next(steps, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)
        return counting
    def working(say):
        for name in ("open", "close", "mkdir", "rmdir", "unlink", "rename", "fsync", "write", "fstat", "fstatvfs", "listdir"):
            if name != "write":
                setattr(os, name, counted(getattr(os, name)))
        write = os.write
        # In two halves, so that a file may be torn.
        os.write = lambda file, data: counted(write)(file, data[:len(data) // 2 + 1])
        fcntl.flock = counted(fcntl.flock)
        work(say)
    return Child(working).end()

for step in range(1000):
    status, said = killed_before(step, work)
    found = dict(left_over())
    for name in "abc":
        gone = f"forgotten {name}" in said
        going = f"forgetting {name}" in said
        if f"kept {name}" in said and not going:
            assert name in found, (step, said, found)
        if gone:
            assert name not in found, (step, said, found)
        tried = f"tried {name}" in said and name != "b"
        maybe = f"trying {name}" in said and not (name == "b" and "was back b" in said)
        if name in found:
            assert (tried <= found[name] <= maybe), (step, said, found)
    parts = found.keys() & {*"def"}
    if "exchanged" in said:
        assert parts == {"f"}, (step, said, found)
    elif "kept parts" in said:
        assert parts in ({"d", "e"}, {"f"}), (step, said, found)
    if status == 0:
        break
    assert status == -signal.SIGKILL, status
print(step > 60, said[-1], sorted(found))
"""


def test_killed_at_each_step(tmp_path: Path) -> None:
    """Wherever it is killed, what was kept is adopted, what was forgotten is not.

    What was being sent is in doubt, and nothing but that. Of what was exchanged there
    is one side or the other. And nothing stays on disk.
    """
    source = BEGIN + AT_EACH_STEP
    assert expect(source, tmp_path) == "True closing ['c', 'f']\n"


ADOPTING_AT_EACH_STEP = (
    AT_EACH_STEP.partition("for step")[0]
    + """
def leave(say):
    spool = a_spool()
    for name in "abc":
        spool.keep(body := a_body(name))
        if name == "b":
            spool.trying(body)
    parts = [a_body(name) for name in "de"]
    for body in parts:
        spool.keep(body)
    Directory.carry_out = lambda self: None  # left to who adopts
    spool.exchange(parts, [(a_body("f"), False)])

def adopting(say):
    spool = a_spool()
    for body, doubt in spool.adopt():
        assert doubt == (name_of(body) == "b")
        say("forgetting", name_of(body))
        spool.forget(body)
        say("forgotten", name_of(body))
    spool.close()
    say("closed")

for step in range(1000):
    assert Child(leave).end() == (0, [])
    status, said = killed_before(step, adopting)
    found = [name for name, _ in left_over()]
    assert len(found) == len(set(found))
    assert not {"d", "e"} & {*found}
    for name in "abcf":
        if f"forgotten {name}" in said:
            assert name not in found
        elif f"forgetting {name}" not in said:
            assert name in found
    if status == 0:
        break
print(step > 20, said[-1], found)
"""
)


def test_killed_while_adopting(tmp_path: Path) -> None:
    """An adopter that is killed, at whatever step, leaves what it has not forgotten."""
    assert expect(BEGIN + ADOPTING_AT_EACH_STEP, tmp_path) == "True closed []\n"


AT_ANY_MOMENT = """
kills = int(sys.argv[2])

def keep_on(number):
    def work(say):
        spool = a_spool()
        for count in range(10_000):
            name = f"w{number}.{count}"
            say("keeping", name)
            spool.keep(a_body(name))
            say("kept", name)
            assert not spool.account().failures, spool.account()
    return work

def adopt_on(say):
    spool = a_spool()
    more = True
    while more:
        more = not select.select([stop], [], [], 0.001)[0]
        while part := spool.adopt():
            for body, doubt in part:
                assert not doubt
                say(name_of(body))
                spool.forget(body)
    spool.close()
    told = spool.account()
    assert (told.corrupt, told.lost, told.failures) == (0, {}, {}), told

stop, tell = os.pipe()
adopters = [Child(adopt_on) for _ in range(3)]
said = []
for number in range(kills):
    writer = Child(keep_on(number))
    select.select([], [], [], random.random() * 0.02)
    writer.kill()
    status, words = writer.end()
    assert status == -signal.SIGKILL, (status, words)
    said += words
os.write(tell, b"!")
ended = [adopter.end() for adopter in adopters]
assert all(status == 0 for status, _ in ended), ended
adopted = [words for _, words in ended] + [[name for name, _ in left_over()]]
times = collections.Counter(name for words in adopted for name in words)
keeping, kept = ({name for what, name in map(str.split, said) if what == which} for which in ("keeping", "kept"))
assert set(times.values()) <= {1}, times
assert kept <= times.keys() <= keeping, (kept - times.keys(), times.keys() - keeping)
print(f"{len(kept)} kept, {len(times.keys() - kept)} more were whole, adopted {[*map(len, adopted)]}")
"""


def killed_often(tmp_path: Path, kills: int) -> None:
    """Kill so many processes while they keep, and others adopt."""
    told = expect(BEGIN + AT_ANY_MOMENT, tmp_path, kills)
    assert int(told.partition(" ")[0]) > 0


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Of all bodies kept by killed processes, each is adopted once, by one of several.

    No other is, unless it was whole when its process was killed before it could tell.
    """
    killed_often(tmp_path, 40)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_often(tmp_path: Path) -> None:
    """So it is in a thousand kills."""
    for _ in range(20):
        killed_often(tmp_path, 50)
