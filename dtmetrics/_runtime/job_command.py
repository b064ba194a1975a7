"""A command that runs as a job: what ``dtmetrics job`` does."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from signal import Signals
from typing import Any

from dtmetrics._config.environment import inherited
from dtmetrics._core.safe_call import call_safely
from dtmetrics._runtime.child_command import CANNOT_RUN, NOT_FOUND, ChildCommand
from dtmetrics._runtime.runtime import Runtime, default

__all__ = ["run_as_job"]

# How long the end may wait for the endpoint. With what threads take on a busy machine
# it stays under 5 s.
_END_SECONDS = 4.0


def run_as_job(
    name: str,
    command: Sequence[str],
    settings: Callable[[], Mapping[str, Any]],
    runtime: Runtime = default,
) -> int:
    """Run *command* as the job *name*; return the exit status that a shell would.

    *settings* returns the arguments of ``configure()``; if it raises, or they are
    invalid, the command runs all the same. Where something is not delivered, one
    sentence on the standard error output gives the reason.
    """
    logging.getLogger("dtmetrics").setLevel(logging.CRITICAL)
    problems: list[str] = []
    call_safely(
        lambda: runtime.configure(announce=False, **settings()),
        default=None,
        on_error=lambda error: problems.append(str(error)),
    )
    child = ChildCommand(command, inherited())
    job = runtime.meters.root.job(name)
    with child.signals_wait():
        run = job.begin()
        try:
            status = child.run()
        except OSError as error:
            _print(f"cannot run {command[0]}: {error.strerror}")
            missing = isinstance(error, FileNotFoundError)
            status = NOT_FOUND if missing else CANNOT_RUN
        job.end(run, _failure(status))
        problems += _undelivered(runtime)
    for problem in problems:
        _print(f"the metrics of job {name!r} were not delivered: {problem}")
    return status if status >= 0 else 128 - status


def _failure(status: int) -> str:
    """Return the ``error.type`` of a command that ended with *status*.

    >>> _failure(0), _failure(3), _failure(-15)
    ('', '3', 'SIGTERM')
    """
    if status >= 0:
        return str(status) if status else ""
    return call_safely(lambda: Signals(-status).name, default=f"signal {-status}")


def _undelivered(runtime: Runtime) -> list[str]:
    """Deliver; return the reason if that fails."""
    done = runtime.shutdown(_END_SECONDS)
    stats = runtime.stats()
    if done and stats.accepted == stats.collected:
        return []
    return [stats.last_error or "the endpoint did not answer in time"]


def _print(sentence: str) -> None:
    # The reader of a pipe may have gone.
    call_safely(sys.stderr.write, f"dtmetrics: {sentence}\n", default=None)
