"""A command in the place of this process: its streams, its signals, its exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

__all__ = ["CANNOT_RUN", "NOT_FOUND", "ChildCommand"]

#: The exit statuses of shells for a command that cannot be started.
CANNOT_RUN, NOT_FOUND = 126, 127

# What Python ignores for itself, which a child would inherit.
_IGNORED_BY_PYTHON = "SIGPIPE", "SIGXFSZ"

_FORWARDED = "SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"

# Linux's si_code of a signal that the kernel sends by itself.
_SI_KERNEL = 0x80


class ChildCommand:
    """Runs *command* with the variables *environ*, and forwards signals to it.

    It has the standard streams, the process group and the terminal of this process. It
    must be used in the main thread.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._command = [*command]
        self._environ = environ
        #: The signals that are blocked and forwarded; none on Windows.
        self._watched: set[int] = set()

    @contextmanager
    def signals_wait(self) -> Iterator[None]:
        """Block the signals that are forwarded, also in threads that start inside.

        Signals that this process ignores, as under nohup, are ignored by the command as
        well. One that arrives when the command has ended takes no effect.
        """
        if not hasattr(signal, "sigwait") or not hasattr(os, "posix_spawnp"):
            yield
            return
        # Ignored, as by default on macOS, it does not wake sigwait(). If a parent has
        # had it ignored, the status of the command is lost.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        forwarded = {getattr(signal, name) for name in _FORWARDED}
        ignored = {
            each for each in forwarded if signal.getsignal(each) is signal.SIG_IGN
        }
        self._watched = {*forwarded, signal.SIGCHLD} - ignored
        earlier = signal.pthread_sigmask(signal.SIG_BLOCK, self._watched)
        try:
            yield
        finally:
            # This discards those that are pending. sigwait() would not return if
            # another thread took a SIGCHLD first.
            for each in self._watched:
                signal.signal(each, signal.signal(each, signal.SIG_IGN))
            signal.pthread_sigmask(signal.SIG_SETMASK, earlier)

    def run(self) -> int:
        """Run the command; return its exit status, or minus the signal that ended it.

        Raises OSError if it cannot be started.
        """
        if not self._watched:
            return self._run_without_signals()
        pid = os.posix_spawnp(
            self._command[0],
            self._command,
            self._environ,
            setsigmask=signal.pthread_sigmask(signal.SIG_BLOCK, ()) - self._watched,
            setsigdef=[getattr(signal, name) for name in _IGNORED_BY_PYTHON],
        )
        status: list[int] = []
        here = threading.get_ident()

        def wait() -> None:
            status.append(os.waitpid(pid, 0)[1])
            # To this thread: any other one may take the SIGCHLD of the system.
            signal.pthread_kill(here, signal.SIGCHLD)

        threading.Thread(target=wait, daemon=True).start()
        while True:
            signum = self._next()
            if status:
                return os.waitstatus_to_exitcode(status[0])
            if signum != signal.SIGCHLD:
                with suppress(OSError):  # it has just ended, or is another user's: sudo
                    os.kill(pid, signum)

    def _next(self) -> int:
        """Wait for a signal; return one to forward, or SIGCHLD for none.

        For Ctrl-C and the like the terminal signals each process in the foreground, the
        command as well. A second signal would end many programs at once.
        """
        if not hasattr(signal, "sigwaitinfo"):  # macOS, which does not name the sender
            return signal.sigwait(self._watched)
        info = signal.sigwaitinfo(self._watched)
        if info.si_code == _SI_KERNEL and info.si_signo != signal.SIGHUP:
            return signal.SIGCHLD
        return info.si_signo

    def _run_without_signals(self) -> int:
        # Windows sends Ctrl-C to each process of the console.
        earlier = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            return subprocess.call(self._command, env=self._environ)  # noqa: S603 -- asked for
        finally:
            signal.signal(signal.SIGINT, earlier)
