"""A task engine that runs for a test, in processes of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["running"]


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
