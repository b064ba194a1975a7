"""The number of this worker process among those whose gauges would be one series.

Dynatrace averages the gauges of several workers that share all dimensions, so each
worker needs a dimension of its own. A process id would make a new series at each
restart; a small number that the next worker takes over does not.

Each process locks one byte of an empty file; the kernel releases the lock when the
process ends, however it ends. Processes of one user with the same prefix and default
dimensions take the least number that none of them has: workers of two servers, and of a
pool inside a worker, differ as well.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from functools import lru_cache
from typing import Any

from dtmetrics._core.users_file import open_users_file

locks: Any = None
with suppress(ImportError):
    import fcntl as locks
if locks is None:
    with suppress(ImportError):  # Windows; elsewhere no worker has a number
        import msvcrt as locks

__all__ = ["worker_number"]

#: How many workers have a number, of those with the same prefix and dimensions.
_MAX_WORKERS = 1024

# For how many sets of them the file has bytes. Two sets that share bytes share numbers.
# Offsets stay below 2**31, which any lock can have.
_SETS = 1 << 20


def worker_number(of: str) -> str | None:
    """Return the number of this process among those with the text *of*.

    None if it cannot have one: no number is free, or no file can be written. The first
    call in a process opens a file and takes a lock; neither waits.
    """
    return _take_number(os.getpid(), of)


# Without a lock of our own: threads that come here at once take the same byte, which
# belongs to the process.
@lru_cache(1)  # a forked child takes a number of its own
def _take_number(_pid: int, of: str) -> str | None:
    # It stays open: to close it would release the lock. A forked child opens it again,
    # because it may have closed what it inherited.
    flags = os.O_RDWR | os.O_CREAT
    file = open_users_file(".lock", flags) if locks else None
    if file is not None:
        first_byte = zlib.crc32(of.encode()) % _SETS * _MAX_WORKERS
        for number in range(_MAX_WORKERS):
            if _lock(file, first_byte + number):
                return str(number)
    return None


def _lock(file: int, byte: int) -> bool:
    """Lock one byte; return whether no other process has it."""
    try:
        if hasattr(locks, "lockf"):
            # A forked child does not inherit the lock.
            locks.lockf(file, locks.LOCK_EX | locks.LOCK_NB, 1, byte)
        else:
            os.lseek(file, byte, os.SEEK_SET)
            locks.locking(file, locks.LK_NBLCK, 1)
    except OSError:
        return False
    return True
