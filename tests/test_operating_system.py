"""Values that the operating system knows of this process, by each source."""

from __future__ import annotations

import builtins
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dtmetrics._process import operating_system as system
from dtmetrics._process.measures import MEASURES, Measure

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")


def test_cpu_time() -> None:
    """The sources of CPU time agree, to some ticks of the clock."""
    pytest.importorskip("resource")
    by_resource, by_os = system.cpu_time_by_resource(), system.cpu_time_by_os()
    assert by_resource.keys() == by_os.keys() == {"user", "system"}
    assert sum(by_resource.values()) == pytest.approx(sum(by_os.values()), abs=1.0)
    while sum(system.cpu_time_by_resource().values()) <= sum(by_resource.values()):
        pass


def test_available_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPUs that the process may use are counted, or else all."""
    assert 1 <= system.available_cpus() <= (os.cpu_count() or 1)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert system.available_cpus() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert system.available_cpus() == 1


@needs_proc
@pytest.mark.parametrize(
    ("by_proc", "by_psutil", "tolerance"),
    [
        (system.memory_by_proc, system.memory_by_psutil, 50_000_000),
        (system.virtual_memory_by_proc, system.virtual_memory_by_psutil, 50_000_000),
        (system.threads_by_proc, system.threads_by_psutil, 0),
        # psutil reads the time of the boot, which is rounded to seconds.
        (system.uptime_by_proc, system.uptime_by_psutil, 30),
        # psutil counts the directory that it reads.
        (system.descriptors_by_proc, system.descriptors_by_psutil, 1),
    ],
)
def test_sources_agree(
    by_proc: Callable[[], float], by_psutil: Callable[[], float], tolerance: float
) -> None:
    """The standard library and psutil read the same value."""
    pytest.importorskip("psutil")
    by_psutil()  # imports psutil
    assert by_proc() == pytest.approx(by_psutil(), abs=tolerance)
    assert by_proc() > 0


def test_context_switches() -> None:
    """The switches of all threads count; psutil's are those of one thread on Linux."""
    pytest.importorskip("resource")
    pytest.importorskip("psutil")
    before = system.context_switches_by_resource()
    thread = threading.Thread(target=time.sleep, args=(0.001,))
    thread.start()
    thread.join()
    after = system.context_switches_by_resource()
    assert before["voluntary"] < after["voluntary"]
    assert before.keys() == system.context_switches_by_psutil().keys()


def test_page_faults() -> None:
    """Touching new memory is a minor fault."""
    pytest.importorskip("resource")
    before = system.page_faults_by_resource()
    bytearray(b"x" * 20_000_000)
    after = system.page_faults_by_resource()
    assert after["minor"] > before["minor"]
    assert after["major"] >= before["major"]


@needs_proc
def test_threads() -> None:
    """A thread counts while it runs."""
    before, end = system.threads_by_proc(), threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert system.threads_by_proc() == before + 1
    finally:
        end.set()
        thread.join()


@needs_proc
def test_descriptors() -> None:
    """An open file counts."""
    before = system.descriptors_by_proc()
    with open(os.devnull):
        assert system.descriptors_by_proc() == before + 1


@needs_proc
def test_name_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a program may hold spaces and parentheses."""
    fields = [str(number) for number in range(3, 53)]
    monkeypatch.setattr(system, "_read", lambda _: f"1 (a) b (c)) {' '.join(fields)}")
    assert system.threads_by_proc() == 20


def without(*modules: str) -> Callable[..., Any]:
    """Return an ``__import__`` without these modules."""
    real = builtins.__import__

    def import_others(name: str, *arguments: Any, **options: Any) -> Any:
        if name in modules:
            raise ImportError(name)
        return real(name, *arguments, **options)

    return import_others


def by_name(name: str) -> Measure:
    """Return the measure *name*."""
    return {each.name: each for each in MEASURES}[name]


def test_without_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``resource`` CPU time is that of ``os``; page faults cannot be read."""
    monkeypatch.setattr(builtins, "__import__", without("resource", "psutil"))
    assert by_name("process.cpu.time").working_reader() is system.cpu_time_by_os
    assert by_name("process.paging.faults").working_reader() is None
    assert by_name("process.context_switches").working_reader() is None


def test_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``/proc`` psutil is used, if it is there."""
    pytest.importorskip("psutil")

    def absent(name: str) -> str:
        raise FileNotFoundError(name)

    monkeypatch.setattr(system, "_read", absent)
    usage = by_name("process.memory.usage")
    assert usage.working_reader() is system.memory_by_psutil
    monkeypatch.setattr(builtins, "__import__", without("psutil"))
    assert usage.working_reader() is None
