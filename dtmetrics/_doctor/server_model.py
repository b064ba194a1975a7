"""How processes start here: Python, forks, and the servers that are installed."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from dtmetrics._doctor.finding import Finding, note, ok

__all__ = ["process_findings"]

_GUIDE = "https://dtmetrics.github.io/dtmetrics/platforms"

# What a program with this package has to do, and the page that shows it.
_SERVERS = {
    "gunicorn": ("each worker records and delivers for itself", "gunicorn"),
    "uvicorn": ("shutdown() belongs into the lifespan of the application", "uvicorn"),
    "uwsgi": ("threads must be enabled: --enable-threads", "uwsgi"),
    "pyuwsgi": ("threads must be enabled: --enable-threads", "uwsgi"),
    "celery": (
        "each worker process records and delivers for itself",
        "multiprocessing",
    ),
    "gevent": ("monkey.patch_all() comes before all other imports", "gevent-eventlet"),
    "eventlet": ("monkey_patch() comes before all other imports", "gevent-eventlet"),
}


def process_findings() -> Iterator[Finding]:
    """Yield what is known of processes in this environment."""
    yield ok(
        "python", f"{platform.python_implementation()} {platform.python_version()}"
    )
    yield ok("fork", _fork())
    for package, (what, page) in _SERVERS.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            continue
        yield note("server", f"{package} {found}: {what} ({_GUIDE}/{page}/)")


def _fork() -> str:
    # The default, without choosing it for this process.
    import multiprocessing  # noqa: PLC0415 -- 15 ms

    method = multiprocessing.get_all_start_methods()[0]
    fork = "a forked child records and delivers for itself"
    if not hasattr(os, "fork"):
        fork = "processes do not fork here"
    gil = sysconfig.get_config_var("Py_GIL_DISABLED")
    threads = ", free-threaded" if gil else ""
    return f"{fork}; multiprocessing starts with {method} on {sys.platform}{threads}"
