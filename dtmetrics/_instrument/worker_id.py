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
from threading import Lock
from typing import Any

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows, where no server forks
    fcntl = None

__all__ = ["worker_number"]

#: More workers than this under one parent have no number.
_MAX_WORKERS = 1024

_lock = Lock()
_numbers: dict[int, str | None] = {}  # by process id: a forked child takes its own
_file: int | None = None
_first_byte: int | None = None  # a forked child inherits its parent's


def worker_number() -> str | None:
    """Return the number of this process; None if it cannot have one.

    The first call in a process opens a file and takes a lock; neither waits.
    """
    pid = os.getpid()
    if pid not in _numbers:
        with _lock:
            if pid not in _numbers:
                _numbers[pid] = _take_number()
    return _numbers[pid]


def _take_number() -> str | None:
    global _file, _first_byte  # noqa: PLW0603 -- for as long as the process lives
    if fcntl is None:
        return "0"
    try:
        if _file is None:
            _file = _open()
        if _first_byte is None:
            _first_byte = os.getppid() * _MAX_WORKERS
        for number in range(_MAX_WORKERS):
            if _try_lock(_file, _first_byte + number):
                return str(number)
    except OSError:  # no such directory, read only, or another user's file
        pass
    return None


def _open() -> int:
    import tempfile  # noqa: PLC0415 -- 10 ms, only where this gauge is wanted

    path = os.path.join(tempfile.gettempdir(), f"dtmetrics-{os.getuid()}.lock")
    # Another user may have put a link there: it is not followed.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _try_lock(file: int, byte: int) -> bool:
    try:
        # The lock belongs to the process: a forked child does not inherit it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except BlockingIOError:
        return False
    return True


def _reset_after_fork() -> None:
    global _lock  # noqa: PLW0603 -- another thread of the parent may have held it
    _lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
