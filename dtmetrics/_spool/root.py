"""Where on disk bodies may lie: in a directory of ours alone, on this host.

Whoever can write there could make us send, read or remove what they like. So each
directory is looked at after it is opened, never before, and what is in it is opened
by its name in it, never by a path that others may bend.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256

from dtmetrics.errors import ConfigError

__all__ = ["Ground", "file_system", "make_directory", "open_directory"]

# Where a lock may be held twice, or by nobody (flock(2), "NFS details").
_NETWORK = re.compile(
    "(9p|acfs|afs|beegfs|ceph|cifs|coda|davfs|gfs2|glusterfs|gpfs|lustre|ncpfs|nfs4?"
    "|ocfs2|orangefs|smb[23]|smbfs|vboxsf|wekafs"
    "|fuse[.](blobfuse2?|cephfs|davfs2?|gcsfuse|glusterfs|goofys|juicefs"
    "|mountpoint-s3|rclone|s3fs|sshfs))"
)


class Ground:
    """The directory, below *root*, of all processes that send as *tenant*.

    Raises ConfigError if *root* cannot be used. It is made only when it is needed.
    """

    def __init__(
        self, root: str | os.PathLike[str], tenant: str, *, force: bool = False
    ) -> None:
        self._root = os.path.abspath(root)
        # What tells endpoints apart is not for everyone who can list a directory.
        self._name = sha256(tenant.encode()).hexdigest()[:16]
        fault = _fault_at(self._root)
        kind = file_system(os.path.realpath(self._root), _mounts())
        if not fault and not force and _NETWORK.fullmatch(kind):
            fault = f"is on a network file system ({kind}): locks may not hold there"
        if fault:
            raise ConfigError([f"spool {self._root} {fault}"])

    @contextmanager
    def opened(self, *, make: bool = False) -> Iterator[int]:
        """Give the opened directory; *make* it if there is none."""
        if make:
            _make_all(self._root)
        with _closing(open_directory(self._root)) as root:
            if make:
                make_directory(self._name, root)
            with _closing(open_directory(self._name, root)) as tenant:
                yield tenant


def open_directory(name: str, parent: int | None = None) -> int:
    """Open the directory *name* if it is ours alone; otherwise PermissionError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    directory = os.open(name, flags, dir_fd=parent)
    try:
        fault = _fault_of(os.fstat(directory))
    except OSError:
        os.close(directory)
        raise
    if fault:
        os.close(directory)
        raise PermissionError(errno.EACCES, f"a directory of the spool {fault}")
    return directory


def make_directory(name: str, parent: int) -> None:
    """Make the directory *name*, to last, unless there is one."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return
    os.fsync(parent)


def file_system(path: str, mounts: str) -> str:
    """Return what kind of file system *path* is on, or "" if *mounts* does not say.

    *mounts* is the text of Linux's ``/proc/self/mountinfo``.
    """
    longest = kind = ""
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", _unescaped, fields.split(" ")[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # Of two at one point, the later hides the earlier.
        if inside and len(point) >= len(longest):
            longest, kind = point, rest.partition(" ")[0]
    return kind


def _unescaped(octal: re.Match[str]) -> str:
    return chr(int(octal[1], 8))


def _mounts() -> str:
    try:
        with open("/proc/self/mountinfo", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""  # not Linux


def _fault_at(root: str) -> str:
    """Return what is wrong with *root*, or with where it would be made."""
    if os.path.lexists(root):
        if fault := _fault_of(os.lstat(root)):
            return fault
    else:
        while not os.path.isdir(root):
            above = os.path.dirname(root)
            if os.path.lexists(root) or above == root:
                return f"cannot be made: {root} is not a directory"
            root = above
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        return f"cannot be used: {root} is not writable"
    return ""


def _fault_of(status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return "is a symbolic link"
    if not stat.S_ISDIR(status.st_mode):
        return "is not a directory"
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written by others"
    return ""


def _make_all(path: str) -> None:
    above = os.path.dirname(path)
    if above == path or os.path.isdir(path):
        return
    _make_all(above)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    with _closing(os.open(above, flags)) as parent:
        make_directory(os.path.basename(path), parent)


@contextmanager
def _closing(directory: int) -> Iterator[int]:
    try:
        yield directory
    finally:
        # Nothing was written through it, so there is nothing to hear of.
        with suppress(OSError):
            os.close(directory)
