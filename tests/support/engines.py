"""A task engine that runs for a test, in processes of its own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.endpoint import PATIENCE

__all__ = ["ran_tasks", "running"]


@contextmanager
def running(
    arguments: Sequence[str], place: Path, *, piped: bool = False, **environ: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python with *arguments* in a session of its own until the end of the block.

    All processes of the session are then killed. *piped*: its input and its output are
    pipes. The rest of what it prints is in the file ``log`` of *place*.
    """
    with (place / "log").open("a") as log:
        engine = subprocess.Popen(
            [sys.executable, "-W", "ignore", *arguments],
            cwd=place,
            env={**os.environ, **environ},
            stdin=subprocess.PIPE if piped else None,
            stdout=subprocess.PIPE if piped else log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield engine
        finally:
            with suppress(ProcessLookupError):  # it has ended, with all its processes
                os.killpg(engine.pid, signal.SIGKILL)
            engine.wait()
            for pipe in filter(None, (engine.stdin, engine.stdout)):
                pipe.close()


@contextmanager
def ran_tasks(place: Path) -> Iterator[Callable[[int], None]]:
    """Make the pipe ``ran`` in *place*; yield a function that waits for so many tasks.

    Each task writes one byte into the pipe. The block contains that of the worker, whose
    tasks need the pipe until their end.
    """
    os.mkfifo(place / "ran")
    # Open for writing as well, so that it has no end between two tasks.
    pipe = os.open(place / "ran", os.O_RDWR)

    def wait(times: int) -> None:
        ran = 0
        while ran < times:
            assert select.select([pipe], [], [], PATIENCE)[0], f"{ran} tasks ran"
            ran += len(os.read(pipe, times - ran))

    try:
        yield wait
    finally:
        os.close(pipe)
