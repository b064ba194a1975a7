from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from dtmetrics._core import fork_guard
from dtmetrics._core.fork_guard import forks_wait
from tests.support.script import expect

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def fork() -> bool:
    """Fork; return whether the child can enter a guarded block within 5 seconds."""
    pid = os.fork()
    if not pid:
        signal.alarm(5)
        with forks_wait():
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def guarded(entered: threading.Event, leave: threading.Event) -> threading.Thread:
    """Return a thread that is in a guarded block until *leave* is set."""

    def run() -> None:
        with forks_wait():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=run)
    thread.start()
    assert entered.wait(10)
    return thread


def test_fork_waits() -> None:
    """A fork waits until the block of another thread has ended."""
    leave = threading.Event()
    thread = guarded(threading.Event(), leave)
    threading.Timer(0.1, leave.set).start()
    assert fork()
    assert leave.is_set()
    thread.join()


def test_fork_does_not_wait_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that hangs does not hold a fork up, and the child has a lock of its own."""
    monkeypatch.setattr(fork_guard, "_FORK_WAIT_SECONDS", 0.05)
    leave = threading.Event()
    thread = guarded(threading.Event(), leave)
    assert fork()
    leave.set()
    thread.join()


def test_fork_in_a_block() -> None:
    """A block may be interrupted by a signal handler that forks."""
    with forks_wait():
        assert fork()
    assert fork()


FORKS_WHILE_LOADING = """
    import os, signal, ssl, sys, threading, warnings
    from dtmetrics._export.http import preload
    from dtmetrics._export.tls import TlsFiles, _context

    warnings.simplefilter("ignore", DeprecationWarning)
    preload()
    files = TlsFiles(sys.argv[1], client_cert=sys.argv[2])
    load = _context.__wrapped__
    client = load(files, "")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(sys.argv[2])

    def shake_hands():
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        sides = [
            client.wrap_bio(back, there, server_hostname="localhost"),
            server.wrap_bio(there, back, server_side=True),
        ]
        while sides:
            for side in [*sides]:
                try:
                    side.do_handshake()
                    sides.remove(side)
                except ssl.SSLWantReadError:
                    pass

    def load_again_and_again():
        while not stop.wait(0.001):
            load(files, "")

    stop = threading.Event()
    thread = threading.Thread(target=load_again_and_again)
    thread.start()
    failed = 0
    for _ in range(int(sys.argv[3])):
        pid = os.fork()
        if not pid:
            signal.alarm(5)
            shake_hands()
            load(files, "")
            os._exit(0)
        failed += os.waitpid(pid, 0)[1] != 0
    stop.set()
    thread.join()
    print(failed)
"""


@pytest.mark.slow
def test_forks_while_certificates_are_loaded(certificate: Path) -> None:
    """A child that is forked while another thread loads certificates can use TLS."""
    assert expect(FORKS_WHILE_LOADING, certificate, certificate, 300) == "0\n"
