"""Real forks of real processes that have spools."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.script import expect

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

BEGIN = """
import os, signal, sys
from dtmetrics.exporters import Batch
from dtmetrics._spool.spool import Spool
from dtmetrics._protocol.point import Identity

def a_spool():
    return Spool(sys.argv[1], "here", now_ms=lambda: 0, clock=lambda: 0.0)

def a_body(name):
    return Batch(f"{name} count,delta=1".encode(), (Identity(name, name),), 0)

def adopted():
    return sorted(body.text.split(b" ")[0].decode() for body, _ in a_spool().adopt())

def folders():
    (tenant,) = os.listdir(sys.argv[1])
    return sorted(os.listdir(os.path.join(sys.argv[1], tenant)))

# A pipe whose reading ends when all who have it have ended.
alive, living = os.pipe()

def child(work):
    # Runs work() in a fork that then stays until this process lets it go.
    ready, tell = os.pipe()
    if not os.fork():
        os.close(living)
        try:
            work()
            os.write(tell, b"!")
            os.read(alive, 1)
        finally:
            os._exit(0)
    assert os.read(ready, 1) == b"!"

def dies(work):
    # Runs work() in a process that is killed after that.
    pid = os.fork()
    if not pid:
        work()
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
"""

OUTLIVED = """
def work():
    spool = a_spool()
    spool.keep(a_body("parents"))
    def forked():
        spool.reset_after_fork()
    child(forked)

dies(work)
print(adopted())
"""


def test_child_keeps_no_lock(tmp_path: Path) -> None:
    """A child that lives on does not keep others from what its dead parent left."""
    assert expect(BEGIN + OUTLIVED, tmp_path) == "['parents']\n"


OUTLIVED_IN_THE_MIDDLE = """
def work():
    spool = a_spool()
    open_ = os.open
    def forking(path, *args, **kwargs):
        file = open_(path, *args, **kwargs)
        if path == "lock":
            # As if another thread had forked before this one knew its descriptor.
            child(spool.reset_after_fork)
        return file
    os.open = forking
    spool.keep(a_body("parents"))

dies(work)
print(adopted())
"""


def test_child_forked_in_the_middle(tmp_path: Path) -> None:
    """Nor does one that was forked at the moment the lock was opened."""
    assert expect(BEGIN + OUTLIVED_IN_THE_MIDDLE, tmp_path) == "['parents']\n"


LET_GO = """
spool = a_spool()
spool.keep(a_body("parents"))
child(lambda: None)  # it was never told of the fork
spool.close()
print(adopted())
"""


def test_child_that_was_not_told(tmp_path: Path) -> None:
    """What a parent lets go of is free, even if a child still has it open."""
    assert expect(BEGIN + LET_GO, tmp_path) == "['parents']\n"


OWN = """
spool = a_spool()
bodies = [a_body("first"), a_body("second")]
for body in bodies:
    spool.keep(body)
assert len(folders()) == 1

def forked():
    spool.reset_after_fork()
    assert spool.account()[:2] == (0, 0)
    for body in bodies:
        spool.trying(body)
        spool.forget(body)  # not its own
    assert len(folders()) == 1
    spool.keep(a_body("childs"))
    assert len(folders()) == 2
    assert spool.adopt() == []

def forked_and_closed():
    spool.reset_after_fork()
    spool.close()

child(forked)
child(forked_and_closed)
assert a_spool().adopt() == []
spool.forget(bodies[0])
print(spool.account().stored, spool.account().failures)
spool.close()
print(adopted())
"""


def test_child_has_its_own(tmp_path: Path) -> None:
    """A child leaves all that is its parent's, and has a folder with its first body."""
    assert expect(BEGIN + OWN, tmp_path) == "1 {}\n['second']\n"
