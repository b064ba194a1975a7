"""Directory: the files of one process and the lock that shows it is alive.

The owner is identified by a lock, not by a process id, which the system assigns again.
The kernel releases the lock when the process ends, however it ends.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from dtmetrics._spool.root import create_directory, open_directory

try:
    import fcntl
except ImportError:  # Windows, where Spool raises ConfigError
    fcntl = None  # type: ignore[assignment]

__all__ = ["PREFIX", "Directory", "can_lock"]

#: How the name of each directory begins.
PREFIX = "p-"
_LOCK = "lock"
_UNPUBLISHED = ".tmp"
# Creating a directory and locking it are two steps, done well within this time.
_YOUNG_SECONDS = 60.0
# The share of the disk that the spool leaves to others.
_RESERVED_SHARE = 0.05


def can_lock() -> bool:
    """Return whether this system has the file locks that a directory needs."""
    return fcntl is not None


class Directory:
    """The directory *name*, or a new name that contains this process's id.

    This process holds its lock from ``create()`` or ``acquire()`` to ``release()``.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name or f"{PREFIX}{os.getpid()}-{os.urandom(6).hex()}"
        self._directory = self._lock = -1
        self._locking = False

    # -- the lock --------------------------------------------------------------------

    def create(self, parent: int) -> None:
        """Create it in *parent* and lock it."""
        create_directory(self.name, parent)
        self._directory = open_directory(self.name, parent)
        if not self._acquire_lock(os.O_CREAT):
            raise FileNotFoundError(errno.ENOENT, "the new directory was removed")

    def acquire(self, parent: int, now: float) -> bool:
        """Lock it; False if a process holds it or may be creating it at time *now*."""
        try:
            self._directory = open_directory(self.name, parent)
            young = now - os.fstat(self._directory).st_mtime < _YOUNG_SECONDS
            # Locking it for a moment would already make its creator fail.
            if young and not self._names():
                return False
            return self._acquire_lock(0 if young else os.O_CREAT)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _acquire_lock(self, create: int) -> bool:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | create
        # A child forked between these two steps inherits an unknown descriptor.
        self._locking = True
        self._lock = os.open(_LOCK, flags, 0o600, dir_fd=self._directory)
        self._locking = False
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        # The last owner may have removed the file after it was opened here.
        return os.fstat(self._lock).st_nlink == 1

    def release(self) -> None:
        """Release the lock and close all descriptors."""
        if self._lock >= 0:
            # Closing is not enough while a forked child has the descriptor as well.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        self._close()

    def reset_after_fork(self) -> None:
        """In a forked child: close the descriptors, so that the parent alone locks."""
        if self._locking:
            with suppress(OSError):
                lock = os.stat(_LOCK, dir_fd=self._directory)
                for descriptor in map(int, os.listdir("/dev/fd")):
                    # One of them read the list, and is closed by now.
                    with suppress(OSError):
                        if os.path.samestat(os.fstat(descriptor), lock):
                            self._lock = descriptor
        self._close()

    def _close(self) -> None:
        descriptors = self._lock, self._directory
        self._lock = self._directory = -1
        for descriptor in descriptors:
            with suppress(OSError):
                os.close(descriptor)

    def remove(self, parent: int) -> None:
        """Remove it if it holds nothing but its lock."""
        if not self._names():
            self.delete(_LOCK)
            os.rmdir(self.name, dir_fd=parent)

    # -- the files -------------------------------------------------------------------

    def _names(self) -> set[str]:
        return {*os.listdir(self._directory)} - {_LOCK}

    def sizes(self) -> dict[str, int]:
        """Return the size of each of its files; delete files never published."""
        names = self._names()
        unpublished = {name for name in names if name.endswith(_UNPUBLISHED)}
        for name in unpublished:
            self._delete_if_possible(name)
        return {name: self._status(name).st_size for name in names - unpublished}

    def write(self, name: str, data: bytes) -> None:
        """Write *data* to *name*: whole or not at all, and durable on return."""
        disk = os.fstatvfs(self._directory)
        left = disk.f_bavail * disk.f_frsize - len(data)
        # Some file systems do not report their size.
        if disk.f_blocks and left < disk.f_blocks * disk.f_frsize * _RESERVED_SHARE:
            raise OSError(errno.ENOSPC, "the disk is nearly full")
        unpublished = name + _UNPUBLISHED
        try:
            self._write_durably(unpublished, data)
            self.rename(unpublished, name)
            os.fsync(self._directory)
        except BaseException:
            self._delete_if_possible(name)
            self._delete_if_possible(unpublished)
            raise

    def _write_durably(self, name: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(name, flags, 0o600, dir_fd=self._directory)
        try:
            while data:
                data = data[os.write(file, data) :]
            os.fsync(file)
        finally:
            os.close(file)

    def read(self, name: str, limit: int) -> bytes | None:
        """Return the content of *name*; None if it is foreign or over *limit* bytes.

        Foreign is all but a regular file of this user that has no second link.
        """
        status = self._status(name)
        regular = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
        if not regular or status.st_uid != os.geteuid() or status.st_size > limit:
            return None
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(name, flags, dir_fd=self._directory), "rb") as file:
            return file.read(limit)

    def _status(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self._directory, follow_symlinks=False)

    def rename(self, name: str, new_name: str, to: int | None = None) -> None:
        """Rename *name* to *new_name*, here or in the directory *to*."""
        directory = self._directory if to is None else to
        os.rename(name, new_name, src_dir_fd=self._directory, dst_dir_fd=directory)

    def delete(self, name: str) -> None:
        """Delete *name* if it exists."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._directory)

    def _delete_if_possible(self, name: str) -> None:
        with suppress(OSError):
            self.delete(name)
