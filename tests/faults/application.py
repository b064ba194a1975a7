"""What a program of the campaign imports: its clock, its tally, its reports.

``begin()`` runs before dtmetrics is imported, so that the library finds the campaign's
clock. The program counts in the tally what it recorded; the library has no part in that.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
from typing import Any

from tests.faults import accelerated_clock, broken_library

clock: accelerated_clock.Clock
#: Numbers that survive ``kill -9``. Each slot is written by one thread only.
tally: Any = None

SLOTS = 4096
_marked = 0.0


def begin() -> None:
    """Start the clock, open the tally, and break the library if the run asks for it."""
    global clock, tally  # noqa: PLW0603 -- programs use these names
    options = json.loads(os.environ["FAULTS"])
    clock = accelerated_clock.start(accelerated_clock.Origin(*options["origin"]))
    with open(options["tally"], "r+b") as file:
        tally = memoryview(mmap.mmap(file.fileno(), SLOTS * 8)).cast("q")
    if options["broken"]:
        broken_library.install(options["broken"])


def report(**facts: Any) -> None:
    """Send facts to the scenario in one write, from this process or a child."""
    os.write(1, json.dumps(facts, default=str).encode() + b"\n")


def next_command() -> str:
    """Wait for the scenario's next line; return "" when its end is closed."""
    while True:
        name, *figures = sys.stdin.readline().split() or [""]
        if name != "pace":
            return " ".join([name, *figures])
        clock.pace(*map(float, figures))


def mark() -> None:
    """Measure the growth of memory from here on."""
    global _marked  # noqa: PLW0603 -- one mark in a process
    _marked = watch_memory()


def grown() -> float:
    """Return the peak growth of memory since the mark, in MB."""
    return round(memory("VmHWM") - _marked, 1)


def deliver(seconds: float = 60.0) -> bool:
    """Flush until all is delivered, for at most *seconds* of the program's clock."""
    import dtmetrics

    end = time.monotonic() + seconds
    while not dtmetrics.flush(5.0):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def account() -> dict[str, Any]:
    """Return the library's own statistics as plain values."""
    import dtmetrics

    stats: Any = dtmetrics.stats()
    names = getattr(stats, "_fields", None) or stats.__dataclass_fields__
    plain = {name: getattr(stats, name) for name in names}
    return {k: dict(v) if hasattr(v, "keys") else v for k, v in plain.items()}


def finish(**facts: Any) -> None:
    """Shut down, then report the final account and the growth of memory.

    The order matters: after the shutdown nothing is sent that the account lacks.
    """
    import dtmetrics

    dtmetrics.shutdown()
    more = {"grown": grown()} if _marked else {}
    report(stats=account(), **more, **facts)


def watch_memory(process: int | str = "self") -> float:
    """Reset the kernel's memory peak of a process; return its memory now, in MB."""
    # proc(5), clear_refs
    with open(f"/proc/{process}/clear_refs", "w") as file:
        file.write("5")
    return memory("VmRSS", process)


def memory(name: str, process: int | str = "self") -> float:
    """Return a memory figure of a process from /proc, in MB."""
    with open(f"/proc/{process}/status") as file:
        found = [line.split()[1] for line in file if line.startswith(name + ":")]
    return int(found[0]) / 1024
