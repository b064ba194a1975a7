from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dtmetrics._instrument import worker_id as worker
from tests.support.script import expect

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

# Forks as a server does: each child tells its number, and stays until it is killed.
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
    """Let the file be one that nobody else uses."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(worker, "_taken", {})
    monkeypatch.setattr(worker, "_file", None)
    monkeypatch.setattr(worker, "_first", None)
    yield
    if worker._file is not None:
        os.close(worker._file)


def test_siblings() -> None:
    """Workers have the numbers from 0 on; the next takes over that of one that ended.

    However it ended: here it is killed.
    """
    source = """
numbers, workers = zip(*[spawn() for _ in range(3)])
kill(workers[1])
number, worker = spawn()
for each in (workers[0], workers[2], worker):
    kill(each)
print(*numbers, number)
"""
    assert expect(SERVER + source).split() == ["0", "1", "2", "1"]


def test_forked_after_it_was_asked() -> None:
    """A child of a process that has a number takes another; the parent keeps its own."""
    source = """
mine = worker_number()
number, worker = spawn()
kill(worker)
print(mine, number, worker_number())
"""
    assert expect(SERVER + source).split() == ["0", "1", "0"]


def test_same_again() -> None:
    """A process has one number."""
    assert worker.worker_number() == worker.worker_number() == "0"


@pytest.mark.parametrize("what", ["a directory", "a link"])
def test_nothing_to_lock(what: str, tmp_path: Path) -> None:
    """Where the file cannot be, or is not ours, there is no number, and no error."""
    path = tmp_path / f"dtmetrics-{os.getuid()}.lock"
    if what == "a directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    assert worker.worker_number() is None
    assert not (tmp_path / "elsewhere").exists()


def test_nothing_is_left(tmp_path: Path) -> None:
    """All that is left behind is one empty file for all processes of a user."""
    worker.worker_number()
    [path] = tmp_path.iterdir()
    assert path.stat().st_size == 0
    assert path.stat().st_mode & 0o777 == 0o600
