"""The runtime metrics of ``configure(runtime=...)``, as they are collected."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from dtmetrics import MemoryExporter
from dtmetrics._process import observed_process, since_begin
from dtmetrics._process import operating_system as system
from dtmetrics._process.groups import GROUPS
from dtmetrics._process.measures import MEASURES
from dtmetrics._runtime.runtime import Runtime
from tests.support.garbage_collector import no_collector
from tests.support.runtime_calls import flusher_threads, inc, keys
from tests.support.script import expect

if not hasattr(gc, "callbacks"):
    pytest.skip("another garbage collector", allow_module_level=True)


COLLECTIONS = "cpython.gc.collections,cpython.gc.generation"


@pytest.fixture(autouse=True)
def _only_when_called() -> Iterator[None]:
    """Let the garbage collector run when a test calls it, and at no other time."""
    with no_collector():
        yield


def configure(runtime: Runtime, /, **settings: Any) -> MemoryExporter:
    """Configure *runtime* with an exporter that stores the lines."""
    exporter = MemoryExporter()
    runtime.configure(
        exporter=exporter, interval=None, self_metrics=False, metadata=False, **settings
    )
    return exporter


def deltas(exporter: MemoryExporter, start: str) -> list[float]:
    """Return the increases in the lines that begin with *start*."""
    lines = [line for line in exporter.lines if line.startswith(start)]
    return [float(line.split("delta=")[1].split()[0]) for line in lines]


def use_cpu(seconds: float) -> None:
    """Use *seconds* of CPU time."""
    begin = sum(system.cpu_time_by_os().values())
    while sum(system.cpu_time_by_os().values()) < begin + seconds:
        pass


def callbacks(runtime: Runtime) -> int:
    """Return how many callbacks of the garbage collector are those of *runtime*."""
    registries = [getattr(each, "registry", None) for each in gc.callbacks]
    return registries.count(runtime.registry)


def test_groups() -> None:
    """Each metric belongs to a group, and each group has a metric."""
    assert {each.group for each in MEASURES} == {*GROUPS}


def test_off_by_default(runtime: Runtime) -> None:
    """Without the setting nothing is observed."""
    configure(runtime)
    assert runtime.registry.observers == {}
    assert callbacks(runtime) == 0


def test_first_values(runtime: Runtime) -> None:
    """The first collection has each value, and totals since the call of configure()."""
    exporter = configure(runtime, runtime=["gc", "memory", "threads", "uptime"])
    gc.collect()
    assert runtime.flush()
    values = {line.partition(",dt.")[0]: line for line in exporter.lines}
    assert " count,delta=1 " in values[f"{COLLECTIONS}=2"]
    names = ("process.memory.usage", "process.memory.virtual", "process.uptime")
    for name in (*names, "process.thread.count"):
        assert float(values[name].split("gauge,")[1].split()[0]) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere some need psutil")
def test_all(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """True observes all groups; CPU time counts from the call of configure() on."""
    monkeypatch.setattr(since_begin, "_SHORTEST_SECONDS", 0.0)
    before = sum(system.cpu_time_by_os().values())
    exporter = configure(runtime, runtime=True)
    use_cpu(0.1)
    touched = bytearray(b"x" * 20_000_000)
    gc.collect()
    assert runtime.flush()
    found = {
        line.replace(",dt.metrics.source=dtmetrics", "").split()[0]
        for line in exporter.lines
    }
    assert found >= {
        "process.cpu.time,cpu.mode=user",
        "process.cpu.utilization,cpu.mode=user",
        "process.cpu.utilization,cpu.mode=system",
        "process.memory.usage",
        "process.memory.virtual",
        "process.paging.faults,system.paging.fault.type=minor",
        "process.thread.count",
        "process.unix.file_descriptor.count",
        "process.uptime",
        f"{COLLECTIONS}=2",
        "cpython.gc.pause.duration,cpython.gc.generation=2",
    }
    del touched
    used = sum(deltas(exporter, "process.cpu.time"))
    assert 0.0 < used <= sum(system.cpu_time_by_os().values()) - before + 0.1
    [user] = [line for line in exporter.lines if "utilization,cpu.mode=user" in line]
    assert 0.0 < float(user.split("gauge,")[1].split()[0]) <= 1.0


def test_without_a_record(runtime: Runtime) -> None:
    """Runtime metrics start no thread, and a process without a record sends none."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, runtime=True)
    gc.collect()
    assert flusher_threads() == []
    runtime._shutdown_at_exit()
    assert exporter.lines == []
    assert callbacks(runtime) == 0


def test_shutdown(runtime: Runtime) -> None:
    """A shutdown sends the last values, and nothing is observed after it."""
    exporter = configure(runtime, runtime=["gc"])
    gc.collect()
    runtime.shutdown()
    assert "cpython.gc.pause.duration" in keys(exporter)
    assert sum(deltas(exporter, "cpython.gc.collections")) >= 1
    assert runtime.registry.observers == {}
    assert callbacks(runtime) == 0
    again = configure(runtime, runtime=["gc"])
    assert callbacks(runtime) == 1
    assert runtime.flush()
    assert sum(deltas(again, f"{COLLECTIONS}=2")) == 0


def test_force(runtime: Runtime) -> None:
    """A forced configure() ends groups, begins others, and goes on with the rest."""
    configure(runtime, runtime=["gc", "uptime"])
    gc.collect()
    exporter = configure(runtime, runtime=["gc", "memory"], force=True)
    gc.collect()
    assert runtime.flush()
    assert callbacks(runtime) == 1
    # What was collected at the change went to one of the two exporters.
    assert sum(deltas(exporter, f"{COLLECTIONS}=2")) >= 1
    assert "process.memory.usage" in keys(exporter)
    exporter = configure(runtime, runtime=["gc"], force=True)
    already = len(exporter.lines)
    inc(runtime)
    assert runtime.flush()
    assert keys(exporter)[already:] == ["orders"]
    configure(runtime, force=True)
    assert runtime.registry.observers == {}
    assert callbacks(runtime) == 0


def test_ignored_call(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    """A second call without force changes no group, which is logged."""
    configure(runtime, runtime=["gc"])
    configure(runtime, runtime=["uptime"])
    assert "other settings (exporter, runtime)" in caplog.text
    assert callbacks(runtime) == 1


def test_missing(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Groups that cannot be read here are left out, which one record names."""

    def absent() -> float:
        raise ImportError

    changed = [
        each._replace(readers=(absent,)) if each.group in ("memory", "uptime") else each
        for each in MEASURES
    ]
    monkeypatch.setattr(observed_process, "MEASURES", changed)
    exporter = configure(runtime, runtime=["gc", "memory", "uptime"])
    [record] = caplog.records
    assert record.getMessage() == (
        "dtmetrics: the runtime metrics of memory, uptime are left out: on this system "
        "they need psutil, of the extra dtmetrics[runtime]"
    )
    gc.collect()
    assert runtime.flush()
    assert {key.partition(".")[0] for key in keys(exporter)} == {"cpython"}


def test_level(runtime: Runtime) -> None:
    """The meter is called dtmetrics.runtime; what is counted while it is off is not sent."""
    exporter = configure(runtime, runtime=["gc"], levels={"dtmetrics.runtime": "OFF"})
    gc.collect()
    assert runtime.flush()
    assert exporter.lines == []
    exporter = configure(runtime, runtime=["gc"], force=True)
    assert runtime.flush()
    assert deltas(exporter, f"{COLLECTIONS}=2") == []
    gc.collect()
    assert runtime.flush()
    assert deltas(exporter, f"{COLLECTIONS}=2") == [1]


def test_workers(runtime: Runtime) -> None:
    """Gauges have the number of the worker, and totals do not."""
    exporter = configure(runtime, runtime=["gc", "uptime"], worker_dimension=True)
    gc.collect()
    assert runtime.flush()
    numbered = [line.partition(",")[0] for line in exporter.lines if ".worker=" in line]
    assert numbered == ["process.uptime"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork() -> None:
    """A child counts from the fork on, has a callback of its own, and its own uptime."""
    program = """
import gc, os, sys
import dtmetrics

def deltas(key):
    lines = [line for line in exporter.lines if line.startswith(key)]
    return sum(float(line.split("delta=")[1].split()[0]) for line in lines)

def callbacks():
    return sum(type(each).__name__ == "Pauses" for each in gc.callbacks)

gc.disable()
exporter = dtmetrics.MemoryExporter()
dtmetrics.configure(exporter=exporter, interval=None, runtime=["cpu", "gc"])
for _ in range(5):
    gc.collect()
pid = os.fork()
if not pid:
    gc.collect()
    begin = sum(os.times()[:2])
    while sum(os.times()[:2]) < begin + 0.05:
        pass
    dtmetrics.flush()
    used = deltas("process.cpu.time")
    assert 0.04 <= used <= sum(os.times()[:2]) + 0.02, used
print(callbacks(), deltas("cpython.gc.collections,cpython.gc.generation=2"), flush=True)
if pid:
    os.waitpid(pid, 0)
    dtmetrics.flush()
    print(callbacks(), deltas("cpython.gc.collections,cpython.gc.generation=2"))
"""
    assert sorted(expect(program).splitlines()) == ["1 0", "1 1.0", "1 5.0"]


def test_psutil_is_not_imported() -> None:
    """The module psutil is imported only where the standard library cannot read a value."""
    program = """
import sys
import dtmetrics
exporter = dtmetrics.MemoryExporter()
dtmetrics.configure(exporter=exporter, interval=None)
print(*[name for name in ("psutil", "resource", "dtmetrics._process.measures") if name in sys.modules])
dtmetrics.configure(exporter=exporter, interval=None, runtime=True, force=True)
dtmetrics.flush()
print("psutil" in sys.modules)
"""
    first, second = expect(program).splitlines()
    assert first == ""
    assert sys.platform != "linux" or second == "False"
