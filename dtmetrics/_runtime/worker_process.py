"""Whether this process is one of several of its kind, such as a worker of a server.

Servers and engines are found in ``sys.modules`` and in what the system knows of this
process; none of them is imported. A reloader starts its program in one of these ways as
well: that is a worker, too.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from dtmetrics._core.safe_call import call_safely

__all__ = ["is_worker", "ray_worker"]

# The process that imported the package. A child that is forked later has another one.
_IMPORTED_BY = os.getpid()

# Of Linux, for a process that has been forked and has not executed a program since:
# PF_FORKNOEXEC in include/linux/sched.h.
_FORKED = 0x40

# WORKER_MODE in ray/_private/worker.py. That of a driver is 0.
_RAY_WORKER_MODE = 1


def is_worker() -> bool:
    """Return whether this process is a worker, which has siblings or may get them.

    It is the child of multiprocessing or of a library that starts its processes in the
    same way (uvicorn, hypercorn, granian, Dask, joblib), a worker of uWSGI or Ray, or
    it was forked (gunicorn, Celery, RQ, PySpark, ``os.fork()``). A program that another
    one executes is none, whatever it has inherited.
    """
    return (
        _is_child_of_multiprocessing()
        or _is_worker_of_uwsgi()
        or ray_worker() is not None
        or _is_forked()
    )


def ray_worker() -> Any:  # noqa: ANN401 -- a class of Ray
    """Return Ray's object for this process if it is a worker, and not a driver."""
    ray: Any = sys.modules.get("ray._private.worker")
    worker = getattr(ray, "global_worker", None)
    return worker if getattr(worker, "mode", None) == _RAY_WORKER_MODE else None


def _is_child_of_multiprocessing() -> bool:
    process: Any = sys.modules.get("multiprocessing.process")
    return process is not None and (
        process.parent_process() is not None
        # It has no parent yet while it imports the main module again.
        or getattr(process.current_process(), "_inheriting", False)
    )


def _is_worker_of_uwsgi() -> bool:
    uwsgi: Any = sys.modules.get("uwsgi")
    # Without a master the first worker is the process that started.
    return uwsgi is not None and bool(
        uwsgi.worker_id() and (uwsgi.masterpid() or uwsgi.numproc > 1)
    )


def _is_forked() -> bool:
    """Return whether this process was forked from one that is still its parent.

    A daemon has been forked as well; it has a session of its own.
    """
    forked = call_safely(_has_flag, default=os.getpid() != _IMPORTED_BY)
    return forked and call_safely(_shares_session, default=True)


def _has_flag() -> bool:
    with open("/proc/self/stat", "rb") as file:
        # The name of the program, in brackets, may hold anything.
        fields = file.read().rpartition(b")")[2].split()
    return bool(int(fields[6]) & _FORKED)


def _shares_session() -> bool:
    return os.getsid(0) == os.getsid(os.getppid())
