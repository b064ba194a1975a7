"""The machine and the interpreter, without which a figure means nothing."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from datetime import datetime, timezone
from pathlib import Path

__all__ = ["date", "gil", "machine", "python"]


def date() -> str:
    """Return today's date."""
    return datetime.now(timezone.utc).date().isoformat()


def machine() -> str:
    """Return the processor and the system."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def python() -> str:
    """Return the interpreter and its version, and whether it is free-threaded."""
    free = " free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    return f"{platform.python_implementation()} {platform.python_version()}{free}"


def gil() -> bool:
    """Return whether the GIL is enabled: importing a library may have enabled it."""
    is_on = getattr(sys, "_is_gil_enabled", None)
    return is_on is None or bool(is_on())
