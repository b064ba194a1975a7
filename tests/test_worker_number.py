"""The number of a worker, which the next one takes over."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dtmetrics._core import users_file
from dtmetrics._record import worker_number as module
from dtmetrics._record.worker_number import worker_number
from tests.support.script import expect

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

# Forks as a server does: each child sends its number, and lives until it is killed.
SERVER = """
import os, signal
from dtmetrics._record import worker_number as module
from dtmetrics._record.worker_number import worker_number

def spawn(of="shop", then=signal.pause):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, str(worker_number(of)).encode())
        then()
        os._exit(0)
    return os.read(read, 10).decode(), child

def kill(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.fixture(autouse=True)
def _own_file(own_tempdir: Path) -> Iterator[None]:
    """Use a file of the test's own."""
    module._take_number.cache_clear()
    yield
    module._take_number.cache_clear()


def test_siblings() -> None:
    """Workers have the numbers from 0 on; a new one takes over the number of a killed one."""
    source = """
numbers, workers = zip(*[spawn() for _ in range(3)])
kill(workers[1])
number, worker = spawn()
for each in (workers[0], workers[2], worker):
    kill(each)
print(*numbers, number)
"""
    assert expect(SERVER + source).split() == ["0", "1", "2", "1"]


def test_forked_later() -> None:
    """A forked child takes another number than its parent has."""
    source = """
own = worker_number("shop")
number, worker = spawn()
kill(worker)
print(own, number, worker_number("shop"))
"""
    assert expect(SERVER + source).split() == ["0", "1", "0"]


def test_nested() -> None:
    """A child of a worker has another number than the workers have."""
    source = """
def nested():
    number, child = spawn()
    os.write(write, number.encode())
    kill(child)

_, first = spawn()
read, write = os.pipe()
_, second = spawn(then=nested)
os.waitpid(second, 0)
kill(first)
print(os.read(read, 10).decode())
"""
    assert expect(SERVER + source).split() == ["2"]


def test_others() -> None:
    """Workers whose gauges cannot be one series have the numbers from 0 on, too."""
    source = """
workers = [spawn("shop"), spawn("blog"), spawn("shop")]
for _, worker in workers:
    kill(worker)
print(*[number for number, _ in workers])
"""
    assert expect(SERVER + source).split() == ["0", "0", "1"]


def test_files_closed() -> None:
    """A child that has closed what it inherited has a number of its own."""
    source = """
own, child = worker_number("shop"), os.fork()
if not child:
    os.closerange(3, 100)
    os.open(os.devnull, os.O_RDWR)  # takes the place of the file
    os._exit(int(worker_number("shop")))
print(own, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert expect(SERVER + source).split() == ["0", "1"]


def test_no_number_left() -> None:
    """More workers than there are numbers have none."""
    source = """
module._MAX_WORKERS = 1
own, child = worker_number("shop"), os.fork()
if not child:
    os._exit(worker_number("shop") is None)
print(own, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert expect(SERVER + source).split() == ["0", "1"]


def test_on_windows() -> None:
    """Where the system locks as Windows does, processes have numbers of their own."""
    source = """
import fcntl, sys, types

def locking(file, mode, count):
    assert (mode, count) == (2, 1)
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, count, 0, os.SEEK_CUR)

sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, locking=locking)
sys.modules["fcntl"] = None
del sys.modules["dtmetrics._record.worker_number"]
from dtmetrics._record.worker_number import worker_number
own = worker_number("shop")
number, child = spawn()
kill(child)
print(own, number)
"""
    assert expect(SERVER + source).split() == ["0", "1"]


def test_without_locks() -> None:
    """Where the system has no locks of files, a process has no number."""
    source = """
import sys
sys.modules["fcntl"] = sys.modules["msvcrt"] = None
del sys.modules["dtmetrics._record.worker_number"]
from dtmetrics._record.worker_number import worker_number
print(worker_number("shop"))
"""
    assert expect(SERVER + source) == "None\n"


def test_same_again() -> None:
    """The number of a process never changes."""
    assert worker_number("shop") == worker_number("shop") == "0"


@pytest.mark.parametrize("what", ["a directory", "a link"])
def test_nothing_to_lock(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a file to lock there is no number, and no error."""
    monkeypatch.setattr(users_file, "_SHARED_MEMORY", str(tmp_path / "missing"))
    path = tmp_path / f"dtmetrics-{os.getuid()}.lock"
    if what == "a directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    assert worker_number("shop") is None
    assert not (tmp_path / "elsewhere").exists()


def test_no_temporary_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container without any other directory the file is in the shared memory."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
    monkeypatch.setattr(users_file, "_SHARED_MEMORY", str(tmp_path))
    assert worker_number("shop") == "0"
    assert [each.name for each in tmp_path.iterdir()] == [
        f"dtmetrics-{os.getuid()}.lock"
    ]


def test_nothing_is_left(tmp_path: Path) -> None:
    """One empty file remains, for all processes of a user."""
    worker_number("shop")
    [path] = tmp_path.iterdir()
    assert path.stat().st_size == 0
    assert path.stat().st_mode & 0o777 == 0o600
