"""Whether an endpoint has not answered in time, for the processes of the next minute.

RQ runs each job in a process of its own. Each would wait for an endpoint that does not
answer, and they share no memory if each of them configures. So the first one notes it
in a file of the user: the time of its last change is the moment. It holds nothing.

The file decides how long the end of a process may wait, and nothing else. Another user
may put one there: it is used only if it belongs to this user and is closed to others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from time import time

from dtmetrics._core.users_file import open_users_file

__all__ = ["GivenUp"]

# How long no process waits after one has waited in vain.
_SECONDS = 60.0


class GivenUp:
    """The note about the endpoint that the text *of* identifies.

    *now* is the time of the system, which sets that of the file.
    """

    def __init__(self, of: str, now: Callable[[], float] = time) -> None:
        # Hashed, because names in a directory may be read by other users.
        self._suffix = f"-{sha256(of.encode()).hexdigest()[:16]}.down"
        self._now = now

    def may_wait(self) -> bool:
        """Return whether the process may wait for the endpoint.

        After a minute one process tries again, and the others still do not wait.
        """
        with self._open(os.O_RDONLY) as file:
            noted = os.fstat(file).st_mtime if file is not None else 0.0
        if not noted:
            return True
        if 0 <= self._now() - noted < _SECONDS:
            return False
        self.note()
        return True

    def note(self) -> None:
        """Note that a process has waited in vain."""
        with self._open(os.O_RDONLY | os.O_CREAT) as file:
            _touch(file, self._now())

    def forget(self) -> None:
        """Note that the endpoint has answered."""
        with self._open(os.O_RDONLY) as file:
            _touch(file, 0.0)

    @contextmanager
    def _open(self, flags: int) -> Iterator[int | None]:
        """Open the file for a block; None if it is missing, or not ours alone."""
        # Another user's pipe must not block.
        flags |= getattr(os, "O_NONBLOCK", 0)
        file = open_users_file(self._suffix, flags)
        try:
            yield file if file is not None and _is_ours(os.fstat(file)) else None
        finally:
            if file is not None:
                os.close(file)


def _is_ours(status: os.stat_result) -> bool:
    others = stat.S_IRWXG | stat.S_IRWXO
    return (
        stat.S_ISREG(status.st_mode)
        and hasattr(os, "getuid")  # Windows, where none of this is needed
        and status.st_uid == os.getuid()
        and not status.st_mode & others
    )


def _touch(file: int | None, moment: float) -> None:
    if file is not None:
        with suppress(OSError):  # a file system that was made read-only
            os.utime(file, (moment, moment))
