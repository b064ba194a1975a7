"""Log records of the logger ``dtmetrics``, each of which begins with ``dtmetrics: ``.

On CPython 3.10 to 3.13, a fork while another thread writes to a log file leaves the
buffer of that file locked in the child forever, and the child's next record hangs. A
fork therefore waits until a record of dtmetrics has been written.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Final

from dtmetrics._core.fork_guard import ForkGuard
from dtmetrics._core.safe_call import call_safely

__all__ = ["INFO", "announce", "debug", "info", "warning"]

#: ``logging.INFO``, without importing logging.
INFO: Final = 20

_DEBUG, _WARNING = 10, 30

# A handler may be interrupted by a signal handler that logs, and may fork itself.
_writing = ForkGuard()


def warning(
    text: str, *args: object, fields: Mapping[str, object] | None = None
) -> None:
    """Log a condition that needs attention. *text* takes *args* as in logging.

    *fields* become attributes of the record, for handlers that write JSON.
    """
    _log(_WARNING, text, *args, fields=fields)


def info(text: str, *args: object) -> None:
    """Log a fact that may be useful to know. *text* takes *args* as in logging."""
    _log(INFO, text, *args)


def debug(text: str, *args: object) -> None:
    """Log a detail of normal operation. *text* takes *args* as in logging."""
    _log(_DEBUG, text, *args)


def announce(text: str, *args: object) -> None:
    """Log as ``info()`` does, or print on a terminal if logging is not set up.

    Without a handler, logging shows only warnings. A level or a handler of the logger
    ``dtmetrics`` or of the root logger counts as set up.
    """
    info(text, *args)
    call_safely(_print_on_terminal, text % args, default=None)


def _print_on_terminal(text: str) -> None:
    import logging  # noqa: PLC0415 -- as in _log()

    logger = logging.getLogger("dtmetrics")
    if logger.level or logger.hasHandlers() or not sys.stderr.isatty():
        return
    with _writing.forks_wait():
        sys.stderr.write(f"dtmetrics: {text}\n")


def _log(
    level: int, text: str, *args: object, fields: Mapping[str, object] | None = None
) -> None:
    # The import takes 6 ms, which a program without trouble is spared. configure()
    # imports it as well, so that no fork meets the import.
    import logging  # noqa: PLC0415

    log = partial(logging.getLogger("dtmetrics").log, extra=fields)
    with _writing.forks_wait():
        # A filter of the application may raise.
        call_safely(log, level, f"dtmetrics: {text}", *args, default=None)
