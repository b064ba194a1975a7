from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from multiprocessing import process, util
from types import ModuleType
from typing import Any

import pytest

from dtmetrics import MemoryExporter
from dtmetrics._runtime.process_hooks import ProcessHooks, outside_uwsgi_master
from dtmetrics._runtime.runtime import Runtime
from tests.support.runtime_calls import flusher_threads, inc


@pytest.fixture
def uwsgi(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module that uWSGI adds to each of its processes, in the master."""
    module: Any = ModuleType("uwsgi")
    module.worker_id = lambda: 0
    module.masterpid = os.getpid
    monkeypatch.setitem(sys.modules, "uwsgi", module)
    return module


def test_start_without_uwsgi() -> None:
    """Outside uWSGI the first record calls the flusher's start() and nothing else."""
    assert outside_uwsgi_master(bool) is bool


@pytest.mark.parametrize(
    ("worker_id", "masterpid", "starts"),
    [
        (0, os.getpid(), False),
        (0, 0, False),
        (1, 0, True),
        (3, os.getpid() + 1, True),
        (0, os.getpid() + 1, True),
    ],
    ids=["master", "no master, before fork", "no master", "worker", "mule"],
)
def test_start_under_uwsgi(
    uwsgi: Any, worker_id: int, masterpid: int, starts: bool
) -> None:
    """Under uWSGI no thread is started before the worker has been forked."""
    uwsgi.worker_id = lambda: worker_id
    uwsgi.masterpid = lambda: masterpid
    starting: list[bool] = []

    def start() -> bool:
        starting.append(True)
        return True

    assert outside_uwsgi_master(start)() is starts
    assert starting == [True] * starts


def test_worker_starts_what_the_master_could_not(uwsgi: Any, runtime: Runtime) -> None:
    """A record in the master starts no thread; one in the forked worker does."""
    runtime.configure(exporter=MemoryExporter(), interval=3_600.0)
    inc(runtime)
    assert flusher_threads() == []
    uwsgi.worker_id = lambda: 1
    inc(runtime)
    assert flusher_threads() == ["dtmetrics-flusher"]


def test_threads_under_uwsgi_get_no_signals(uwsgi: Any) -> None:
    """The flusher's thread blocks the signals that end a worker, and no other thread."""
    uwsgi.worker_id = lambda: 1
    blocked: list[set[int]] = []

    def blocks() -> None:
        blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    def start() -> bool:
        thread = threading.Thread(target=blocks)
        thread.start()
        thread.join()
        return True

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert outside_uwsgi_master(start)()
    assert {signal.SIGHUP, signal.SIGTERM, signal.SIGINT} <= blocked[0]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_uwsgi_hooks_are_chained(uwsgi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hooks of an application stay in place, and ours are called before them."""
    calls: list[str] = []
    uwsgi.atexit = lambda: calls.append("theirs")
    monkeypatch.setattr(atexit, "register", lambda call: None)
    monkeypatch.setattr(os, "register_at_fork", lambda **_: None, raising=False)
    hooks = ProcessHooks(
        on_fork=lambda: calls.append("fork"), on_exit=lambda: calls.append("exit")
    )
    for _ in range(2):  # the second time adds nothing
        hooks.install()
    uwsgi.atexit()
    assert calls == ["exit", "theirs"]
    uwsgi.post_fork_hook()  # in the process that installed them
    assert calls == ["exit", "theirs"]
    monkeypatch.setattr(os, "getpid", lambda: -1)
    uwsgi.post_fork_hook()
    uwsgi.post_fork_hook()  # one fork may call several hooks
    assert calls == ["exit", "theirs", "fork"]


def test_configured_in_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child of multiprocessing that configures itself has a finalizer at once."""
    finalizers: list[tuple[object, ...]] = []
    monkeypatch.setattr(process, "parent_process", lambda: "the parent")
    monkeypatch.setattr(util, "register_after_fork", lambda *_: None)
    monkeypatch.setattr(util, "Finalize", lambda *given, **_: finalizers.append(given))
    hooks = ProcessHooks(on_fork=list, on_exit=list)
    hooks._install_multiprocessing()
    hooks._install_multiprocessing()  # the second time adds nothing
    assert finalizers == [(None, list)]


def test_discarded_exit_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first record of a child registers the exit handler, if it is not there."""
    calls: list[str] = []

    def on_exit() -> None:
        calls.append("exit")

    hooks = ProcessHooks(on_fork=list, on_exit=on_exit)
    hooks.register_at_exit()
    registered: list[object] = []
    monkeypatch.setattr(atexit, "register", registered.append)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    hooks.begin_recording()
    assert registered == []
    atexit.unregister(on_exit)
    hooks.begin_recording()  # once for each process
    assert registered == []
    monkeypatch.setattr(os, "getpid", lambda: 2)
    hooks.begin_recording()
    assert (registered, calls) == ([on_exit], [])
