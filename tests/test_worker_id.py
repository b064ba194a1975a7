from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dtmetrics._instrument import worker_id as worker
from tests.support.script import expect

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

# Forks as a server does: each child sends its number, and lives until it is killed.
SERVER = """
import os, signal
from dtmetrics._instrument.worker_id import worker_number

def spawn():
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, str(worker_number()).encode())
        signal.pause()
    return os.read(read, 10).decode(), child

def kill(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.fixture(autouse=True)
def _own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use a file of the test's own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    worker._take_number.cache_clear()
    worker._open.cache_clear()
    yield
    if worker._open.cache_info().currsize:
        os.close(worker._open()[0])
    worker._take_number.cache_clear()
    worker._open.cache_clear()


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
own = worker_number()
number, worker = spawn()
kill(worker)
print(own, number, worker_number())
"""
    assert expect(SERVER + source).split() == ["0", "1", "0"]


def test_no_number_left() -> None:
    """More workers than there are numbers have none."""
    source = """
from dtmetrics._instrument import worker_id
worker_id._MAX_WORKERS = 1
own, child = worker_number(), os.fork()
if not child:
    os._exit(worker_number() is None)
print(own, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert expect(SERVER + source).split() == ["0", "1"]


def test_without_locks() -> None:
    """On a system without these locks, such as Windows, each process has number 0."""
    source = """
import sys
sys.modules["fcntl"] = None
from dtmetrics._instrument.worker_id import worker_number
print(worker_number())
"""
    assert expect(source) == "0\n"


def test_same_again() -> None:
    """The number of a process never changes."""
    assert worker.worker_number() == worker.worker_number() == "0"


@pytest.mark.parametrize("what", ["a directory", "a link"])
def test_nothing_to_lock(what: str, tmp_path: Path) -> None:
    """Without a file to lock there is no number, and no error."""
    path = tmp_path / f"dtmetrics-{os.getuid()}.lock"
    if what == "a directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    assert worker.worker_number() is None
    assert not (tmp_path / "elsewhere").exists()


def test_nothing_is_left(tmp_path: Path) -> None:
    """One empty file remains, for all processes of a user."""
    worker.worker_number()
    [path] = tmp_path.iterdir()
    assert path.stat().st_size == 0
    assert path.stat().st_mode & 0o777 == 0o600
