"""Small files of the user, which the user's processes on one host share.

They are in the directory for temporary files, where another user may put a link: links
are not followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

__all__ = ["open_users_file"]

# It can be written where a container has no other such directory.
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 -- links are not followed


def open_users_file(suffix: str, flags: int) -> int | None:
    """Open the user's file with *suffix* in its name; None if there can be none."""
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    for path in _paths(suffix):
        with suppress(OSError):  # no such directory, read only, or another user's file
            return os.open(path, flags, 0o600)
    return None


def _paths(suffix: str) -> Iterator[str]:
    """Yield where the file may be, in the same order in all processes of a user."""
    import tempfile  # noqa: PLC0415 -- 10 ms, only where such a file is wanted

    user = os.getuid() if hasattr(os, "getuid") else 0
    name = f"dtmetrics-{user}{suffix}"
    with suppress(OSError):  # no directory can be written
        yield os.path.join(tempfile.gettempdir(), name)
    yield os.path.join(_SHARED_MEMORY, name)
