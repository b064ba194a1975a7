from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from dtmetrics._runtime.child_command import ChildCommand
from tests.support.endpoint import PATIENCE

pytestmark = pytest.mark.skipif(
    not hasattr(os, "posix_spawnp"), reason="Windows has other signals"
)

PYTHON = [sys.executable, "-S", "-c"]

#: Writes to its argument, a pipe, that it runs, and ends with the number of a signal.
WAITING = """
import os, signal, sys
signals = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
with open(sys.argv[1], "w") as ready:
    ready.write("ready")
sys.exit(signal.sigwait(signals))
"""


@pytest.fixture(autouse=True)
def _same_signals() -> Iterator[None]:
    """Restore what a command changes in this process."""
    earlier = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, earlier)


def run(*command: str) -> int:
    """Run *command* as the job command does."""
    child = ChildCommand(command, os.environ)
    with child.signals_wait():
        return child.run()


@pytest.mark.parametrize("status", [0, 1, 3, 255])
def test_exit_status(status: int) -> None:
    """The exit status is that of the command."""
    assert run(*PYTHON, f"raise SystemExit({status})") == status


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGABRT"])
def test_ended_by_a_signal(name: str) -> None:
    """A command that a signal ends has minus its number, as in subprocess."""
    program = f"import os, signal; os.kill(os.getpid(), signal.{name})"
    assert run(*PYTHON, program) == -getattr(signal, name)


@pytest.mark.parametrize(
    ("command", "error"),
    [("dtmetrics-no-such-command", FileNotFoundError), (os.devnull, PermissionError)],
)
def test_cannot_be_started(command: str, error: type[OSError]) -> None:
    """A command that cannot be started raises the error of the system."""
    with pytest.raises(error):
        run(command)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"])
def test_forwarded_signal(name: str, tmp_path: Path) -> None:
    """A signal that this process gets is sent to the command, whose status counts."""
    signum = getattr(signal, name)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        assert pipe.read_text() == "ready"
        signal.pthread_kill(main, signum)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        assert run(*PYTHON, WAITING, str(pipe)) == signum
    finally:
        thread.join(PATIENCE)


def test_without_the_sender_of_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system does not name the sender, as on macOS, each one is forwarded."""
    monkeypatch.delattr(signal, "sigwaitinfo", raising=False)
    test_forwarded_signal("SIGINT", tmp_path)


def test_signal_after_the_end() -> None:
    """A signal that is not forwarded any more takes no effect, and nothing waits for it."""
    command = ChildCommand(["true"], {})
    earlier = signal.getsignal(signal.SIGTERM)
    with command.signals_wait():
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == earlier
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_end_that_wakes_another_thread() -> None:
    """The end of the command is seen also if another thread takes the SIGCHLD."""
    end = threading.Event()
    threads = [threading.Thread(target=end.wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    try:
        for status in range(5):
            assert run(*PYTHON, f"raise SystemExit({status})") == status
    finally:
        end.set()
        for thread in threads:
            thread.join()


def test_signals_of_the_command() -> None:
    """The command begins with no signal blocked, and with those ignored that were."""
    program = (
        "import signal as s, sys\n"
        "blocked = s.pthread_sigmask(s.SIG_BLOCK, ())\n"
        "hup = s.getsignal(s.SIGHUP) is s.SIG_IGN\n"
        "others = s.SIGTERM, s.SIGQUIT, s.SIGCHLD\n"
        "sys.exit(bool(blocked) or not hup or any(map(s.getsignal, others)))"
    )
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(*PYTHON, program) == 0
    finally:
        signal.signal(signal.SIGHUP, earlier)


def test_broken_pipe_ends_the_command() -> None:
    """SIGPIPE, which Python ignores for itself, ends the command as in a shell."""
    assert run("sh", "-c", "kill -PIPE $$; exit 3") == -signal.SIGPIPE


def test_late_signal_has_no_effect() -> None:
    """A signal that arrives after the end of the command does not end this process."""
    child = ChildCommand([*PYTHON, ""], os.environ)
    main = threading.main_thread().ident
    assert main is not None
    with child.signals_wait():
        assert child.run() == 0
        signal.pthread_kill(main, signal.SIGTERM)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()).isdisjoint({signal.SIGTERM})


def test_streams_and_descriptors(tmp_path: Path) -> None:
    """Standard streams and inherited descriptors are those of this process."""
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_text("text")
    program = (
        "import os\n"
        "from dtmetrics._runtime.child_command import ChildCommand\n"
        "child = ChildCommand(['cat'], os.environ)\n"
        "with child.signals_wait():\n"
        "    raise SystemExit(child.run())\n"
    )
    with source.open() as given, target.open("w") as taken:
        command = [sys.executable, "-c", program]
        subprocess.run(command, stdin=given, stdout=taken, check=True, timeout=PATIENCE)
    assert target.read_text() == "text"


def test_without_posix_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, whose console signals both, Ctrl-C does not end this process."""
    monkeypatch.delattr(os, "posix_spawnp")
    program = (
        "import os, signal; os.kill(os.getppid(), signal.SIGINT); raise SystemExit(3)"
    )
    earlier = signal.getsignal(signal.SIGINT)
    assert run(*PYTHON, program) == 3
    assert signal.getsignal(signal.SIGINT) is earlier


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="macOS names no sender")
def test_signal_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SIGINT of the kernel is not forwarded: the terminal has sent the command its own."""
    received = [SimpleNamespace(si_signo=signal.SIGINT, si_code=0x80)]
    wait = signal.sigwaitinfo

    def first_received(watched: set[int]) -> object:
        return received.pop() if received else wait(watched)

    monkeypatch.setattr(signal, "sigwaitinfo", first_received)
    assert run(*PYTHON, "raise SystemExit(3)") == 3
    assert not received
