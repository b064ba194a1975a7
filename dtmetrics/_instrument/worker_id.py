"""Which worker of a server this process is: a small number, for gauges alone.

Gauges of several workers that share all dimensions are averaged by Dynatrace, so each
needs one of its own. A process id would make a new series at each restart; a number
that the next worker takes over does not. Each process holds a lock on one byte of an
empty file, which the kernel lets go when it ends, however it ends. Processes with the
same parent take the least number that is free, and so does who is forked later on.
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
_MOST = 1024

_lock = Lock()
_taken: dict[int, str | None] = {}  # by process, so that a forked child takes its own
_file: int | None = None
_first: int | None = None  # byte of the file; a forked child goes on from its parent's


def worker_number() -> str | None:
    """Return the number of this process; None where there can be none.

    The first call in a process opens a file or takes a lock, neither of which waits.
    """
    pid = os.getpid()
    if pid not in _taken:
        with _lock:
            if pid not in _taken:
                _taken[pid] = _take()
    return _taken[pid]


def _take() -> str | None:
    global _file, _first  # noqa: PLW0603 -- for as long as the process lives
    if fcntl is None:
        return "0"
    try:
        if _file is None:
            _file = _open()
        if _first is None:
            _first = os.getppid() * _MOST
        for number in range(_MOST):
            if _locked(_file, _first + number):
                return str(number)
    except OSError:  # no such directory, read only, or another user's file
        pass
    return None


def _open() -> int:
    import tempfile  # noqa: PLC0415 -- 10 ms, for those who want this gauge

    path = os.path.join(tempfile.gettempdir(), f"dtmetrics-{os.getuid()}.lock")
    # Not through a link that somebody else has put there.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _locked(file: int, byte: int) -> bool:
    try:
        # Such a lock belongs to the process: a forked child does not inherit it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except BlockingIOError:
        return False
    return True


def _reset_after_fork() -> None:
    global _lock  # noqa: PLW0603 -- another thread of the parent may have held it
    _lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
