"""Follows the file of the running configuration: applies each new version of it.

The file is looked at once a minute, by its content: a time of change may be the same
for two versions, and stay behind where a link is replaced. A SIGHUP has it looked at
at once, where nothing else handles that signal and the process has no terminal.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from types import FrameType

from dtmetrics._config.document import Document
from dtmetrics._config.document_file import DocumentFile
from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.secret import Secret
from dtmetrics._deliver.flusher_thread import FlusherThread
from dtmetrics._runtime.process_hooks import outside_uwsgi_master
from dtmetrics.errors import DtmetricsError

__all__ = ["ConfigFile", "Follower"]

_CHECK_SECONDS = 60.0
# A version is applied once two looks in a row have read it, because the first may have
# met a half-written file. The sender of a SIGHUP has written it.
_SETTLE_SECONDS = 1.0

# What opening the terminal of a process without one results in. ENOENT: the system has
# no file of that name.
_NO_TERMINAL = errno.ENXIO, errno.ENODEV, errno.ENOENT

# What the thread is requested to do.
_LOOK, _END = "look", "end"

_HANG_UP = getattr(signal, "SIGHUP", None)


class Follower:
    """Calls *apply* with each new version of *file*, in a thread of its own.

    *content* is the version in use. *apply* gets this object, too, and raises for a
    version that cannot be used.
    """

    def __init__(
        self,
        file: DocumentFile,
        content: Secret,
        apply: Callable[[Follower, Document], object],
        *,
        check_seconds: float = _CHECK_SECONDS,
        settle_seconds: float = _SETTLE_SECONDS,
    ) -> None:
        self._file = file
        self._apply = apply
        self._check_seconds = check_seconds
        self._settle_seconds = settle_seconds
        #: The version that was applied or rejected last, and the one read last.
        self._done = self._latest = content
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Have no thread in a forked child."""
        # Unlike an Event it can be used by a signal handler that interrupts its use.
        self._requests: SimpleQueue[str] = SimpleQueue()
        self._thread = FlusherThread(
            self._run,
            monotonic=time.monotonic,
            event=threading.Event,
            name="dtmetrics-config",
        )

    def start(self) -> None:
        """Start the thread, unless it runs."""
        self._thread.start()

    def look_soon(self) -> None:
        """Have the thread look at the file at once; a signal handler may call it."""
        self._requests.put(_LOOK)

    def end(self) -> None:
        """Have the thread end, without waiting for it: it may be waiting for a lock."""
        self._requests.put(_END)

    def look(self, *, settled: bool = False) -> float:
        """Apply the file if it has changed; return the seconds until the next look.

        *settled*: a version that is read for the first time is applied as well.
        """
        content, latest = self._file.read(), self._latest
        self._latest = content
        if content.reveal() == self._done.reveal():
            return self._check_seconds
        if not settled and content.reveal() != latest.reveal():
            return self._settle_seconds
        document = self._file.document(content)
        call_safely(self._use, document, default=None, on_error=self._log_unusable)
        # Afterwards: a child that is forked meanwhile applies it once more.
        self._done = content
        return self._check_seconds

    def _use(self, document: Document) -> None:
        if self._apply(self, document):
            log.info("reconfigured by a new version of %s", self._file.shown)

    def _log_unusable(self, error: Exception) -> None:
        reason = error if isinstance(error, DtmetricsError) else type(error).__name__
        log.warning("a new version of %s is not used: %s", self._file.shown, reason)

    def _run(self) -> None:
        requests = self._requests
        # The file may have changed since the process was configured or forked.
        pause = 0.0
        while True:
            request = ""
            with suppress(Empty):
                request = requests.get(timeout=pause)
            if request == _END:
                return
            look = partial(self.look, settled=request == _LOOK)
            pause = call_safely(look, default=self._check_seconds)


class ConfigFile:
    """The file that a runtime follows, if any, and its signal."""

    def __init__(self) -> None:
        self.follower: Follower | None = None
        #: Whether this process records, or has attempted to.
        self._in_use = False
        # One object, to recognise it.
        self._handler = self._on_hang_up

    def follow(self, follower: Follower | None) -> None:
        """Follow by *follower* from now on, and by no other one."""
        earlier, self.follower = self.follower, follower
        if earlier is not None:
            earlier.end()
        if self._in_use:
            self.start()
        # signal() raises in another thread than the main one.
        with suppress(ValueError):
            if follower is None:
                self._restore_signal()
            elif _may_handle_hang_up():
                signal.signal(signal.SIGHUP, self._handler)

    def end(self) -> None:
        """Follow nothing; the process begins anew when it records again."""
        self.follow(None)
        self._in_use = False

    def start(self) -> None:
        """Start the thread that follows, now or once there is a file."""
        outside_uwsgi_master(self._start)()

    def _start(self) -> bool:
        self._in_use = True
        if self.follower is not None:
            self.follower.start()
        return True

    def reset_after_fork(self) -> None:
        """In a forked child: have no thread until it records."""
        self._in_use = False
        if self.follower is not None:
            self.follower.reset_after_fork()

    def _restore_signal(self) -> None:
        if _HANG_UP is not None and signal.getsignal(_HANG_UP) is self._handler:
            signal.signal(_HANG_UP, signal.SIG_DFL)

    def _on_hang_up(self, signum: int, frame: FrameType | None) -> None:
        # It may interrupt anything, also a thread that holds a lock.
        if self.follower is not None:
            self.follower.look_soon()
        else:
            # Another thread has ended recording, and could not restore the signal.
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)


def _may_handle_hang_up() -> bool:
    """Return whether SIGHUP is unused: it neither ends a session nor has a handler."""
    if _HANG_UP is None or signal.getsignal(_HANG_UP) is not signal.SIG_DFL:
        return False
    # uWSGI's handlers are not Python's, and replacing one would show in nothing.
    return "uwsgi" not in sys.modules and not _has_terminal()


def _has_terminal() -> bool:
    """Return whether the process has a terminal, whose end it must not outlive."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        return error.errno not in _NO_TERMINAL
    return True
