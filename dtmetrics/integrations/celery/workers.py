"""What a worker holds: the tasks that run, and those that wait inside of it.

Only the process that receives messages knows both.
"""

from __future__ import annotations

import os
from typing import Any

from dtmetrics._instrument.task_queue import TaskInstruments
from dtmetrics._record.observable import Observed
from dtmetrics.integrations.celery.applications import instrumented, safely

__all__ = ["began", "ended"]

# Celery has no types.
Worker = Any


def began(sender: Worker, **_: object) -> None:
    """Follow ``worker_init``."""
    instruments = instrumented.find(sender.app)
    if instruments is not None:
        safely(instruments, _observe, instruments, sender.hostname)


def ended(**_: object) -> None:
    """Follow ``worker_shutdown``."""
    for instruments in instrumented:
        instruments.unobserve_worker()


def _observe(instruments: TaskInstruments, name: str) -> None:
    from celery.worker import state  # noqa: PLC0415 -- clients need not load it

    process = os.getpid()  # not the children that it forks

    def active() -> Observed:
        return len(state.active_requests) if os.getpid() == process else ()

    def prefetched() -> Observed:
        waiting = len(state.reserved_requests) - len(state.active_requests)
        return max(0, waiting) if os.getpid() == process else ()

    instruments.observe_worker(name, active, prefetched)
