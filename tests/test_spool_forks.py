"""Real forks of processes that have spools."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.script import expect

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

BEGIN = """
import os, signal, sys, threading, warnings
from dtmetrics.exporters import Batch
from dtmetrics._spool.spool import Spool
from dtmetrics._protocol.point import Identity

def new_spool():
    return Spool(sys.argv[1], "here", now_ms=lambda: 0, clock=lambda: 0.0)

def new_batch(name):
    return Batch(f"{name} count,delta=1".encode(), (Identity(name, name),), 0)

def recovered():
    found = new_spool().recover()
    return sorted(batch.text.split(b" ")[0].decode() for batch, _ in found)

def directories():
    (tenant,) = os.listdir(sys.argv[1])
    return sorted(os.listdir(os.path.join(sys.argv[1], tenant)))

# Children read from this pipe, which ends when this process does.
end_read, end_write = os.pipe()

def fork_and_stay(work):
    # Runs work() in a child that then stays until this process ends.
    done_read, done_write = os.pipe()
    if not os.fork():
        os.close(end_write)
        try:
            work()
            os.write(done_write, b"!")
            os.read(end_read, 1)
        finally:
            os._exit(0)
    assert os.read(done_read, 1) == b"!"

def fork_and_kill(work):
    # Runs work() in a child that is killed after it.
    pid = os.fork()
    if not pid:
        work()
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
"""

CHILD_OUTLIVES_PARENT = """
def work():
    spool = new_spool()
    spool.store(new_batch("parents"))
    fork_and_stay(spool.reset_after_fork)

fork_and_kill(work)
print(recovered())
"""


def test_child_releases_the_lock(tmp_path: Path) -> None:
    """A child that outlives its parent does not prevent recovery."""
    assert expect(BEGIN + CHILD_OUTLIVES_PARENT, tmp_path) == "['parents']\n"


FORKED_WHILE_LOCKING = """
def work():
    spool = new_spool()
    real_open = os.open
    def forking_open(path, *args, **kwargs):
        file = real_open(path, *args, **kwargs)
        if path == "lock":
            # As if another thread forked before this one has stored the descriptor.
            fork_and_stay(spool.reset_after_fork)
        return file
    os.open = forking_open
    spool.store(new_batch("parents"))

fork_and_kill(work)
print(recovered())
"""


def test_child_forked_while_locking(tmp_path: Path) -> None:
    """A child forked just after the lock file was opened does not prevent recovery."""
    assert expect(BEGIN + FORKED_WHILE_LOCKING, tmp_path) == "['parents']\n"


WITHOUT_RESET = """
spool = new_spool()
spool.store(new_batch("parents"))
fork_and_stay(lambda: None)
spool.close()
print(recovered())
"""


def test_child_without_reset(tmp_path: Path) -> None:
    """A closed spool can be recovered although a child still has the lock open."""
    assert expect(BEGIN + WITHOUT_RESET, tmp_path) == "['parents']\n"


CHILD_STORES = """
spool = new_spool()
batches = [new_batch("first"), new_batch("second")]
for batch in batches:
    spool.store(batch)
assert len(directories()) == 1

def child():
    spool.reset_after_fork()
    assert spool.account() == {"batches": 0, "bytes": 0, "recovered": 0}
    for batch in batches:  # of the parent
        spool.begin_attempt(batch)
        spool.delete(batch)
    assert len(directories()) == 1
    spool.store(new_batch("childs"))
    assert len(directories()) == 2
    assert spool.recover() == []

def closing_child():
    spool.reset_after_fork()
    spool.close()

fork_and_stay(child)
fork_and_stay(closing_child)
assert new_spool().recover() == []
spool.delete(batches[0])
account = spool.account()
print(account["batches"], len(account))
spool.close()
print(recovered())
"""


def test_child_leaves_the_parents_batches(tmp_path: Path) -> None:
    """A child changes no file of its parent, and stores in a directory of its own."""
    assert expect(BEGIN + CHILD_STORES, tmp_path) == "1 3\n['second']\n"


FORKED_WHILE_STORING = """
warnings.simplefilter("ignore")  # Python warns of forks beside threads
ended = threading.Event()

def store_on():
    spool = new_spool()
    while not ended.is_set():
        spool.store(batch := new_batch("parents"))
        spool.delete(batch)
    spool.close()

thread = threading.Thread(target=store_on)
thread.start()
hung = 0
for _ in range(int(sys.argv[2])):
    pid = os.fork()
    if not pid:
        signal.alarm(10)
        spool = new_spool()
        spool.store(batch := new_batch("childs"))
        spool.delete(batch)
        spool.close()
        os._exit(spool.account().keys() != {"batches", "bytes", "recovered"})
    hung += os.waitpid(pid, 0)[1] != 0
ended.set()
thread.join()
print(hung, recovered())
"""


def test_child_forked_while_storing(tmp_path: Path) -> None:
    """Children forked at any moment of storing can use a spool themselves.

    With SQLite in place of files one in a hundred hung: see ``dtmetrics._spool``.
    """
    assert expect(BEGIN + FORKED_WHILE_STORING, tmp_path, 150) == "0 []\n"
