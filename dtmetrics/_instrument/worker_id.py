"""The number of this worker process among those of its server; for gauges only.

Dynatrace averages the gauges of several workers that share all dimensions, so each
worker needs a dimension of its own. A process id would make a new series at each
restart; a small number that the next worker takes over does not.

Each process locks one byte of an empty file; the kernel releases the lock when the
process ends, however it ends. Processes with the same parent take the least free
number, and so does a child that is forked later.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows, where no server forks
    fcntl = None

__all__ = ["worker_number"]

#: More workers than this under one parent have no number.
_MAX_WORKERS = 1024


def worker_number() -> str | None:
    """Return the number of this process; None if it cannot have one.

    The first call in a process opens a file and takes a lock; neither waits.
    """
    return _take_number(os.getpid())


# Without a lock of our own: threads that come here at once take the same byte, which
# belongs to the process.
@lru_cache(1)  # a forked child takes a number of its own
def _take_number(_pid: int) -> str | None:
    if fcntl is None:
        return "0"
    try:
        file, first_byte = _open()
        for number in range(_MAX_WORKERS):
            # A forked child does not inherit the lock.
            with suppress(BlockingIOError):
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, first_byte + number)
                return str(number)
    except OSError:  # no such directory, read only, or another user's file
        pass
    return None


@cache  # for as long as the process lives; a forked child inherits both
def _open() -> tuple[int, int]:
    """Return the file, and the first byte of those for children of our parent."""
    import tempfile  # noqa: PLC0415 -- 10 ms, only where this gauge is wanted

    path = os.path.join(tempfile.gettempdir(), f"dtmetrics-{os.getuid()}.lock")
    # Another user may have put a link there: it is not followed.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600), os.getppid() * _MAX_WORKERS
