"""What an application's program finds: a clock, its own truth, and a way to be asked.

``begin()`` comes before anything else, so that the clock is there when dtmetrics is
imported. The truth is counted here and by the program, never by the library.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
from typing import Any

from tests.faults import clock as clocks
from tests.faults import sabotage

clock: clocks.Clock
#: Numbers that outlive a ``kill -9``: each slot has one thread that writes it.
tally: Any = None

SLOTS = 4096
_marked = 0.0


def begin() -> None:
    """Start the clock, open the tally, and break the library if that was asked for."""
    global clock, tally  # noqa: PLW0603 -- what programs use, by these names
    asked = json.loads(os.environ["FAULTS"])
    clock = clocks.start(clocks.Origin(*asked["origin"]))
    with open(asked["tally"], "r+b") as file:
        tally = memoryview(mmap.mmap(file.fileno(), SLOTS * 8)).cast("q")
    if asked["sabotage"]:
        sabotage.begin(asked["sabotage"])


def tell(**facts: Any) -> None:
    """Tell the scenario, in one piece, whatever process this is."""
    os.write(1, json.dumps(facts, default=str).encode() + b"\n")


def hear() -> str:
    """Wait for what the scenario says next; nothing at its end."""
    while True:
        what, *figures = sys.stdin.readline().split() or [""]
        if what != "pace":
            return " ".join([what, *figures])
        clock.pace(*map(float, figures))


def mark() -> None:
    """From here on memory may not grow."""
    global _marked  # noqa: PLW0603 -- one mark in a process
    _marked = watch_memory()


def grown() -> float:
    """Return by how many MB memory has grown at most since the mark."""
    return round(memory("VmHWM") - _marked, 1)


def deliver(seconds: float = 60.0) -> bool:
    """Flush until nothing waits, or *seconds* of the program's clock are over."""
    import dtmetrics

    end = time.monotonic() + seconds
    while not dtmetrics.flush(5.0):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def told() -> dict[str, Any]:
    """Return the library's own account, for comparing."""
    import dtmetrics

    stats: Any = dtmetrics.stats()
    names = getattr(stats, "_fields", None) or stats.__dataclass_fields__
    plain = {name: getattr(stats, name) for name in names}
    return {k: dict(v) if hasattr(v, "keys") else v for k, v in plain.items()}


def finish(**facts: Any) -> None:
    """Tell the account, and by how much memory has grown.

    First all ends, so that nothing is said after it that is not in it.
    """
    import dtmetrics

    dtmetrics.shutdown()
    more = {"grown": grown()} if _marked else {}
    tell(stats=told(), **more, **facts)


def watch_memory(process: int | str = "self") -> float:
    """Let the kernel keep the highest memory from now on; return what it is now."""
    # proc(5), clear_refs
    with open(f"/proc/{process}/clear_refs", "w") as file:
        file.write("5")
    return memory("VmRSS", process)


def memory(name: str, process: int | str = "self") -> float:
    """Return a figure of a process's memory, in MB."""
    with open(f"/proc/{process}/status") as file:
        found = [line.split()[1] for line in file if line.startswith(name + ":")]
    return int(found[0]) / 1024
