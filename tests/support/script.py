"""Runs a Python program in a process of its own and returns how it ended."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.endpoint import PATIENCE

#: Begins a program that must not collect before its end, however busy the machine is.
#: The first collection would come after 5 s, and any at a full minute or hour.
NO_COLLECTION = """
import functools
from dtmetrics._deliver import schedule
schedule.Cadence = functools.partial(schedule.Cadence, first_seconds=3_600.0)
schedule.Schedule._boundary = lambda self, moment: moment  # intervals begin now
"""


class Ended(NamedTuple):
    """How a program ended."""

    status: int
    out: str
    err: str
    seconds: float


def python_path(*first: object) -> str:
    """Return a PYTHONPATH of the directories *first*, and those of this process."""
    return os.pathsep.join([*map(str, first), *filter(None, sys.path)])


def run(
    source: str,
    *arguments: object,
    under: Sequence[str] = (),
    seconds: float = PATIENCE,
    cwd: Path | None = None,
    **environ: str,
) -> Ended:
    """Run *source* in a new interpreter and wait for its end.

    *under* is a command that runs it, for example ``strace``. After *seconds* it is
    killed, and the test fails. It runs in the directory *cwd*, if there is one. *environ*
    is added to the environment.
    """
    python = [sys.executable, "-c", textwrap.dedent(source)]
    command = [*under, *python, *map(str, arguments)]
    begin = time.monotonic()
    done = subprocess.run(
        command,
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        timeout=seconds,
    )
    took = time.monotonic() - begin
    return Ended(done.returncode, done.stdout, done.stderr, took)


def expect(
    source: str,
    *arguments: object,
    under: Sequence[str] = (),
    seconds: float = PATIENCE,
    cwd: Path | None = None,
    **environ: str,
) -> str:
    """Run *source*, assert that it succeeds silently, and return what it printed."""
    ended = run(source, *arguments, under=under, seconds=seconds, cwd=cwd, **environ)
    assert (ended.status, ended.err) == (0, ""), ended.err
    return ended.out
