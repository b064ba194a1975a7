"""Which processes are one of several of their kind."""

from __future__ import annotations

import multiprocessing
import os
import sys
from types import SimpleNamespace

import pytest

from dtmetrics._runtime import worker_process
from dtmetrics._runtime.worker_process import is_worker
from tests.support.script import expect

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

FORK = """
import os, subprocess, sys
{first}

def forked(work):
    child = os.fork()
    if not child:
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def is_one():
    from dtmetrics._runtime.worker_process import is_worker
    return is_worker()
"""


def test_program() -> None:
    """A program that was executed is not a worker."""
    assert not is_worker()


@needs_fork
@pytest.mark.parametrize("first", ["", "import dtmetrics"])
def test_forked(first: str) -> None:
    """A forked child is a worker, also where only the child imports the package."""
    source = "print(forked(is_one), forked(lambda: forked(is_one)), is_one())"
    assert expect(FORK.format(first=first) + source).split() == ["1", "1", "False"]


@needs_fork
def test_another_program() -> None:
    """A program that a worker executes is none."""
    source = """
program = "from dtmetrics._runtime.worker_process import is_worker; print(is_worker())"
print(forked(lambda: subprocess.run([sys.executable, "-c", program]).returncode))
"""
    assert expect(FORK.format(first="import dtmetrics") + source) == "False\n0\n"


@needs_fork
def test_daemon() -> None:
    """A program that has made itself a daemon is none."""
    source = """
def daemon():
    os.setsid()
    return is_one()

print(forked(daemon))
"""
    assert expect(FORK.format(first="") + source) == "0\n"


@needs_fork
def test_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not show it, the process that imported the package decides."""

    def missing(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", missing)
    assert not is_worker()
    monkeypatch.setattr(worker_process, "_IMPORTED_BY", os.getppid())
    assert worker_process._is_forked() == (os.getsid(0) == os.getsid(os.getppid()))
    monkeypatch.delattr(os, "getsid")
    assert is_worker()


@pytest.mark.processes
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing(method: str) -> None:
    """A child of multiprocessing is a worker, by each start method."""
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        assert pool.apply(is_worker)


@pytest.mark.parametrize(
    ("worker", "master", "processes", "expected"),
    [(0, 0, 1, False), (1, 0, 1, False), (1, 0, 2, True), (1, 5, 1, True)],
)
def test_uwsgi(
    worker: int,
    master: int,
    processes: int,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker of uWSGI's master is one; its only process without a master is none."""
    uwsgi = SimpleNamespace(
        worker_id=lambda: worker, masterpid=lambda: master, numproc=processes
    )
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)  # type: ignore[arg-type]
    assert is_worker() is expected
