"""A program as the first process of a container, made of Linux's namespaces.

The kernel treats the first process of a PID namespace as that of any container: a signal
that it does not handle has no effect.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from tests.support.endpoint import PATIENCE

_UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
# Only this container sees the mount.
_WITH_FILES = (
    "mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/dynatrace && "
    'cp -R "$0" /var/lib/dynatrace/enrichment && exec "$@"'
)


@cache
def why_not() -> str:
    """Return why this machine can run no container; empty if it can."""
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        return "no unshare or mount command here"
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        return "this system does not list the children of a process"
    probe = [*_command(), "sh", "-c", _WITH_FILES, "/dev/null", "true"]
    done = subprocess.run(probe, check=False, capture_output=True, text=True)
    return "" if done.returncode == 0 else f"no namespaces: {done.stderr}"


def _command() -> list[str]:
    as_root = [] if os.getuid() == 0 else ["--map-root-user"]
    return [*_UNSHARE, *as_root]


class Container:
    """A running container."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def wait_for_thread(self) -> None:
        """Wait until its program has started a thread, as the first record does."""
        end = time.monotonic() + PATIENCE
        while len(self._threads()) < 2:
            assert time.monotonic() < end
            with suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"it ended with {self._process.wait(0.01)}")

    def stop(self) -> int:
        """Send SIGTERM to its first process, and return its exit status."""
        os.kill(self._first(), signal.SIGTERM)
        return self._process.wait(PATIENCE)

    def _first(self) -> int:
        unshare = self._process.pid
        children = Path(f"/proc/{unshare}/task/{unshare}/children").read_text()
        return int(children or 0)

    def _threads(self) -> list[str]:
        return os.listdir(f"/proc/{first}/task") if (first := self._first()) else []


@contextmanager
def container(
    command: Sequence[str],
    place: Path,
    environ: Mapping[str, str],
    files: Path | None = None,
) -> Iterator[Container]:
    """Run *command* in the directory *place* of a container until the end of the block.

    *files* is the directory of the files that the Kubernetes operator adds to it.
    """
    given = ["sh", "-c", _WITH_FILES, str(files)] if files is not None else []
    with subprocess.Popen(
        [*_command(), *given, *command],
        cwd=place,
        env=environ,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield Container(process)
        finally:
            process.kill()
