"""What the operating system counts and measures of this process.

Each function reads one value by one source, and raises where the source is missing:
``/proc`` belongs to Linux, ``resource`` to Unix, and psutil may not be installed. A
value of several parts is a dict of them. All are of the process that calls, also after
a fork.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import resource

__all__ = [
    "available_cpus",
    "context_switches_by_psutil",
    "context_switches_by_resource",
    "cpu_time_by_os",
    "cpu_time_by_resource",
    "descriptors_by_proc",
    "descriptors_by_psutil",
    "memory_by_proc",
    "memory_by_psutil",
    "page_faults_by_resource",
    "threads_by_proc",
    "threads_by_psutil",
    "uptime_by_proc",
    "uptime_by_psutil",
    "virtual_memory_by_proc",
    "virtual_memory_by_psutil",
]


def cpu_time_by_resource() -> dict[str, float]:
    """Return the seconds that all threads have used, to a microsecond."""
    usage = _usage()
    return {"user": usage.ru_utime, "system": usage.ru_stime}


def cpu_time_by_os() -> dict[str, float]:
    """Return the seconds that all threads have used, to a tick of the clock."""
    times = os.times()
    return {"user": times.user, "system": times.system}


def available_cpus() -> int:
    """Return how many CPUs the process may use at once."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only some systems have it
        return os.cpu_count() or 1


def context_switches_by_resource() -> dict[str, float]:
    """Return the context switches."""
    usage = _usage()
    return {"voluntary": usage.ru_nvcsw, "involuntary": usage.ru_nivcsw}


def context_switches_by_psutil() -> dict[str, float]:
    """Return the context switches."""
    switches = _psutil_process().num_ctx_switches()
    return {"voluntary": switches.voluntary, "involuntary": switches.involuntary}


def page_faults_by_resource() -> dict[str, float]:
    """Return the page faults; a major one reads from the disk."""
    usage = _usage()
    return {"minor": usage.ru_minflt, "major": usage.ru_majflt}


def memory_by_proc() -> float:
    """Return the bytes of resident memory."""
    return _pages(1)


def memory_by_psutil() -> float:
    """Return the bytes of resident memory."""
    return int(_psutil_process().memory_info().rss)


def virtual_memory_by_proc() -> float:
    """Return the bytes of virtual memory."""
    return _pages(0)


def virtual_memory_by_psutil() -> float:
    """Return the bytes of virtual memory."""
    return int(_psutil_process().memory_info().vms)


def threads_by_proc() -> float:
    """Return how many threads there are, also those that Python did not start."""
    return int(_field_of_stat(20))


def threads_by_psutil() -> float:
    """Return how many threads there are, also those that Python did not start."""
    return int(_psutil_process().num_threads())


def descriptors_by_proc() -> float:
    """Return how many file descriptors are open."""
    return len(os.listdir("/proc/self/fd")) - 1  # that of the directory itself


def descriptors_by_psutil() -> float:
    """Return how many file descriptors are open."""
    return int(_psutil_process().num_fds())


def uptime_by_proc() -> float:
    """Return the seconds since the process was created."""
    created = int(_field_of_stat(22)) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - created


def uptime_by_psutil() -> float:
    """Return the seconds since the process was created."""
    return max(0.0, time.time() - float(_psutil_process().create_time()))


def _usage() -> resource.struct_rusage:
    import resource  # noqa: PLC0415 -- Windows has none

    return resource.getrusage(resource.RUSAGE_SELF)


def _pages(field: int) -> int:
    return int(_read("statm").split()[field]) * os.sysconf("SC_PAGE_SIZE")


def _field_of_stat(number: int) -> str:
    """Return the field with this *number* in the manual page: proc_pid_stat(5)."""
    # The second one is a name in parentheses, which may hold any character.
    _, _, rest = _read("stat").rpartition(")")
    return rest.split()[number - 3]


def _read(name: str) -> str:
    with open(f"/proc/self/{name}", encoding="utf-8", errors="replace") as file:
        return file.read()


def _psutil_process() -> Any:  # noqa: ANN401 -- psutil has no types of its own
    import psutil  # noqa: PLC0415 -- 15 ms, and an extra

    return psutil.Process()
