"""A directory that one process at a time holds, with files that are whole or absent.

Whose it is, is told by a lock and not by a process id, which the system gives to
others again. The lock ends with its process, however that ends.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress

from dtmetrics._spool.root import make_directory, open_directory

try:
    import fcntl
except ImportError:  # Windows, where a Spool says so
    fcntl = None  # type: ignore[assignment]

__all__ = ["Directory", "can_lock"]

_LOCK = "lock"
_UNPUBLISHED = ".tmp"
# What an exchange is about to publish and to delete: names, and an empty line between.
_PLAN = "plan"
_PLAN_LIMIT = 1 << 20
_READABLE = re.compile(r"(\w[\w.-]*\n)+(\n\w[\w.-]*)+", re.ASCII)
# Longer than anyone takes between making a directory and locking it.
_YOUNG_SECONDS = 60.0
# Of the disk, what is left to others.
_SHARE_OF_OTHERS = 0.05


def can_lock() -> bool:
    """Return whether this system has the locks that a folder needs."""
    return fcntl is not None


class Directory:
    """The directory *name* in its parent, by default a new name of this process.

    This process holds it from ``make()`` or ``take()`` until ``release()``.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name or f"p-{os.getpid()}-{os.urandom(6).hex()}"
        self._directory = self._lock = -1
        self._locking = False

    # -- whose it is -----------------------------------------------------------------

    def make(self, parent: int) -> None:
        """Make it in *parent*, and hold it."""
        make_directory(self.name, parent)
        self._directory = open_directory(self.name, parent)
        if not self._hold(os.O_CREAT):
            raise FileNotFoundError(errno.ENOENT, "somebody has removed a new folder")

    def take(self, parent: int, now: float) -> bool:
        """Hold it from now on, unless somebody does, or may have made it just *now*."""
        try:
            self._directory = open_directory(self.name, parent)
            young = now - os.fstat(self._directory).st_mtime < _YOUNG_SECONDS
            # Not even locked for a moment: its maker may be about to.
            if young and self.empty:
                return False
            return self._hold(0 if young else os.O_CREAT)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _hold(self, create: int) -> bool:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | create
        # A child forked between the next two steps has a copy that it does not know.
        self._locking = True
        self._lock = os.open(_LOCK, flags, 0o600, dir_fd=self._directory)
        self._locking = False
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        # Whoever had it before may have removed it as the last thing they did.
        return os.fstat(self._lock).st_nlink == 1

    def release(self) -> None:
        """Hold it no more."""
        if self._lock >= 0:
            # Closing alone would leave the lock to a child forked just now.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        self._close()

    def reset_after_fork(self) -> None:
        """In a forked child: let go, so that the lock ends with the parent."""
        if self._locking:
            self._close_copies()
        self._close()

    def _close(self) -> None:
        descriptors = self._lock, self._directory
        self._lock = self._directory = -1
        for descriptor in descriptors:
            with suppress(OSError):
                os.close(descriptor)

    def _close_copies(self) -> None:
        with suppress(OSError):
            lock = os.stat(_LOCK, dir_fd=self._directory)
            for descriptor in map(int, os.listdir("/dev/fd")):
                with suppress(OSError):
                    if os.path.samestat(os.fstat(descriptor), lock):
                        os.close(descriptor)
                        self._lock = -1

    def remove(self, parent: int) -> None:
        """Hold it no more, and remove it if nothing is left in it."""
        if self.empty:
            self.delete(_LOCK)
            os.rmdir(self.name, dir_fd=parent)
        self.release()

    # -- what is in it ---------------------------------------------------------------

    @property
    def empty(self) -> bool:
        """Whether nothing is in it but its lock."""
        return not {*os.listdir(self._directory)} - {_LOCK}

    def names(self) -> list[str]:
        """Return the names in it, in order, without what was never published."""
        self.carry_out()
        names = sorted(os.listdir(self._directory))
        for name in names:
            if name.endswith(_UNPUBLISHED):
                with suppress(OSError):
                    self.delete(name)
        return [n for n in names if n != _LOCK and not n.endswith(_UNPUBLISHED)]

    def put(self, name: str, data: bytes) -> None:
        """Write *data* as *name*. Once this returns, it outlasts a loss of power."""
        self._need_room(len(data))
        try:
            self._write(name, data)
            self._publish(name)
        except BaseException:
            self._delete_if_possible(name, name + _UNPUBLISHED)
            raise

    def announce(self, gone: Iterable[str], come: Mapping[str, bytes]) -> None:
        """Write that *come* is to take the place of *gone*.

        Once this returns it will, whoever has to ``carry_out()`` it; before, nothing
        has happened.
        """
        self.carry_out()
        self._need_room(sum(map(len, come.values())))
        try:
            for name, data in come.items():
                self._write(name, data)
            self._write(_PLAN, "\n".join([*come, "", *gone]).encode())
            self._publish(_PLAN)
        except BaseException:
            unpublished = (name + _UNPUBLISHED for name in (_PLAN, *come))
            self._delete_if_possible(_PLAN, *unpublished)
            raise

    def carry_out(self) -> None:
        """Do what was announced, if something was, however far that has come."""
        try:
            plan = self.read(_PLAN, _PLAN_LIMIT)
        except FileNotFoundError:
            return
        if plan and _READABLE.fullmatch(text := plan.decode("ascii", "replace")):
            come, gone = text.split("\n\n")
            for name in come.split("\n"):
                with suppress(FileNotFoundError):
                    self.rename(name + _UNPUBLISHED, name)
            for name in gone.split("\n"):
                self.delete(name)
            os.fsync(self._directory)
            self.delete(_PLAN)
        else:
            self._delete_if_possible(_PLAN)  # it is not ours

    def _write(self, name: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        name += _UNPUBLISHED
        file = os.open(name, flags, 0o600, dir_fd=self._directory)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
        finally:
            os.close(file)

    def _publish(self, name: str) -> None:
        self.rename(name + _UNPUBLISHED, name)
        os.fsync(self._directory)

    def _delete_if_possible(self, *names: str) -> None:
        for name in names:
            with suppress(OSError):
                self.delete(name)

    def read(self, name: str, limit: int) -> bytes | None:
        """Return what is in *name*; None if that is no ordinary file, or too large."""
        if not _is_ordinary(self.status(name), limit):
            return None
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(name, flags, dir_fd=self._directory), "rb") as file:
            return file.read(limit)

    def status(self, name: str) -> os.stat_result:
        """Return what the system says of *name* itself, not of where it leads."""
        return os.stat(name, dir_fd=self._directory, follow_symlinks=False)

    def rename(self, name: str, new: str, to: int | None = None) -> None:
        """Call *name* by a *new* name, here or in the directory *to*."""
        directory = self._directory if to is None else to
        os.rename(name, new, src_dir_fd=self._directory, dst_dir_fd=directory)

    def delete(self, name: str) -> None:
        """Delete *name*, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._directory)

    def _need_room(self, size: int) -> None:
        disk = os.fstatvfs(self._directory)
        left = disk.f_bavail * disk.f_frsize - size
        # Some file systems do not say how large they are.
        if disk.f_blocks and left < disk.f_blocks * disk.f_frsize * _SHARE_OF_OTHERS:
            raise OSError(errno.ENOSPC, "the disk is nearly full")


def _is_ordinary(status: os.stat_result, limit: int) -> bool:
    """Whether it is a file of ours, with one name, of at most *limit* bytes."""
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_uid == os.geteuid()
        and status.st_nlink == 1
        and status.st_size <= limit
    )
