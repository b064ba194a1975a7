"""The runtime metrics: of each its group, name, unit, and the functions that read it.

The names are those of OpenTelemetry
(https://opentelemetry.io/docs/specs/semconv/system/process-metrics/ and
https://opentelemetry.io/docs/specs/semconv/runtime/cpython-metrics/).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from dtmetrics._core.safe_call import call_safely
from dtmetrics._process import operating_system as system
from dtmetrics._process.garbage_collector import GENERATION, reader_of

__all__ = ["CPU_TIME", "MEASURES", "Measure", "Reader"]

#: Returns a number, or several by the value of the dimension in which they differ.
Reader = Callable[[], Any]


class Measure(NamedTuple):
    """One metric."""

    group: str
    name: str
    unit: str
    description: str
    #: The first one that works on this system is used.
    readers: tuple[Reader, ...]
    #: The key of the dimension in which several numbers differ.
    key: str = ""
    #: Whether the numbers are running totals, of which the increase is sent.
    is_total: bool = False

    def working_reader(self) -> Reader | None:
        """Return the first reader that works on this system, if one does."""
        for reader in self.readers:
            if call_safely(reader, default=None) is not None:
                return reader
        return None


CPU_TIME = Measure(
    "cpu",
    "process.cpu.time",
    "s",
    "CPU time that the process has used",
    (system.cpu_time_by_resource, system.cpu_time_by_os),
    "cpu.mode",
    is_total=True,
)
MEASURES = (
    CPU_TIME,
    Measure(
        "memory",
        "process.memory.usage",
        "By",
        "Physical memory in use",
        (system.memory_by_proc, system.memory_by_psutil),
    ),
    Measure(
        "memory",
        "process.memory.virtual",
        "By",
        "Virtual memory",
        (system.virtual_memory_by_proc, system.virtual_memory_by_psutil),
    ),
    Measure(
        "paging",
        "process.paging.faults",
        "{fault}",
        "Page faults",
        (system.page_faults_by_resource,),
        "system.paging.fault.type",
        is_total=True,
    ),
    Measure(
        "threads",
        "process.thread.count",
        "{thread}",
        "Threads of the process",
        (system.threads_by_proc, system.threads_by_psutil),
    ),
    Measure(
        "descriptors",
        "process.unix.file_descriptor.count",
        "{file_descriptor}",
        "Open file descriptors",
        (system.descriptors_by_proc, system.descriptors_by_psutil),
    ),
    Measure(
        "context_switches",
        "process.context_switches",
        "{context_switch}",
        "Context switches",
        (system.context_switches_by_resource, system.context_switches_by_psutil),
        "process.context_switch.type",
        is_total=True,
    ),
    Measure(
        "gc",
        "cpython.gc.collections",
        "{collection}",
        "Collections by the garbage collector",
        (reader_of("collections"),),
        GENERATION,
        is_total=True,
    ),
    Measure(
        "gc",
        "cpython.gc.collected_objects",
        "{object}",
        "Objects that the garbage collector has collected",
        (reader_of("collected"),),
        GENERATION,
        is_total=True,
    ),
    Measure(
        "gc",
        "cpython.gc.uncollectable_objects",
        "{object}",
        "Objects that the garbage collector could not collect",
        (reader_of("uncollectable"),),
        GENERATION,
        is_total=True,
    ),
    Measure(
        "uptime",
        "process.uptime",
        "s",
        "Time since the process was created",
        (system.uptime_by_proc, system.uptime_by_psutil),
    ),
)
