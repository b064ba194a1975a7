"""SpoolRoot: where batches may lie on disk.

A user who can write to a directory of the spool could make this process send, read or
delete files of that user's choice. So each directory is opened first and checked then,
through its descriptor. Files in it are opened by name relative to that descriptor,
never by a path that could be redirected in between.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from dtmetrics.errors import ConfigError

__all__ = [
    "SpoolRoot",
    "closing",
    "create_directory",
    "file_system",
    "open_directory",
]

# File systems on which two hosts may hold the same lock (flock(2), "NFS details").
_NETWORK = re.compile(
    "(9p|acfs|afs|beegfs|ceph|cifs|coda|davfs|gfs2|glusterfs|gpfs|lustre|ncpfs|nfs4?"
    "|ocfs2|orangefs|smb[23]|smbfs|vboxsf|wekafs"
    "|fuse[.](blobfuse2?|cephfs|davfs2?|gcsfuse|glusterfs|goofys|juicefs"
    "|mountpoint-s3|rclone|s3fs|sshfs))"
)


class SpoolRoot:
    """The directory below *root* that all processes sending as *tenant* share.

    Raises ConfigError if *root* cannot be used. The directory is created when the first
    batch is stored.
    """

    def __init__(self, root: str | os.PathLike[str], tenant: str) -> None:
        self._root = Path(os.path.abspath(root))
        # Hashed, because names in a directory may be read by other users.
        self._name = sha256(tenant.encode()).hexdigest()[:16]
        self.path = str(self._root / self._name)
        if requirement := _unmet_at(self._root):
            raise ConfigError([f"spool must {requirement}, got {self._root}"])

    @contextmanager
    def open(self, *, create: bool = False) -> Iterator[int]:
        """Yield a descriptor of the directory; *create* it if it does not exist."""
        if create:
            for path in reversed([self._root, *self._root.parents[:-1]]):
                if not os.path.isdir(path):
                    with closing(os.open(path.parent, os.O_DIRECTORY)) as parent:
                        create_directory(path.name, parent)
        with closing(open_directory(self._root)) as root:
            if create:
                create_directory(self._name, root)
            with closing(open_directory(self._name, root)) as tenant:
                yield tenant

    @contextmanager
    def open_all(self) -> Iterator[int]:
        """Yield a descriptor of the directory above, which has those of all tenants."""
        with closing(open_directory(self._root)) as root:
            yield root


def open_directory(name: str | Path, parent: int | None = None) -> int:
    """Open the directory *name*; PermissionError if others may write to it."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    directory = os.open(name, flags, dir_fd=parent)
    try:
        if requirement := _unmet(os.fstat(directory)):
            raise PermissionError(errno.EACCES, f"a spool directory must {requirement}")
    except OSError:
        os.close(directory)
        raise
    return directory


def create_directory(name: str, parent: int) -> None:
    """Create the directory *name* durably unless it exists."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return
    os.fsync(parent)


def file_system(device: int) -> str:
    """Return the type of the file system on *device*, an ``st_dev``; "" if unknown.

    It is known on Linux: see proc_pid_mountinfo(5).
    """
    number = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError), open("/proc/self/mountinfo", errors="replace") as mounts:
        for line in mounts:
            fields, _, rest = line.partition(" - ")
            if fields.split(" ")[2] == number:
                return rest.partition(" ")[0]
    return ""


def _unmet_at(root: Path) -> str:
    """Return what *root*, or the place to create it in, has to be; "" if it is."""
    place = next(path for path in (root, *root.parents) if os.path.lexists(path))
    if place == root and (requirement := _unmet(root.lstat())):
        return requirement
    if not os.path.isdir(place):
        return "be below directories only"
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        return "be writable"
    if _NETWORK.fullmatch(kind := file_system(place.stat().st_dev)):
        return f"be on a local disk, because locks fail on {kind}"
    return ""


def _unmet(status: os.stat_result) -> str:
    """Return what a directory with *status* has to be; "" if it is."""
    if stat.S_ISLNK(status.st_mode):
        return "be a directory and not a symbolic link"
    if not stat.S_ISDIR(status.st_mode):
        return "be a directory"
    if status.st_uid != os.geteuid():
        return "belong to the user of this process"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "be writable by its owner alone"
    return ""


@contextmanager
def closing(directory: int) -> Iterator[int]:
    """Close *directory* after the block."""
    try:
        yield directory
    finally:
        # Nothing was written through it, so that an error does not matter.
        with suppress(OSError):
            os.close(directory)
