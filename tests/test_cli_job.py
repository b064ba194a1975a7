from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from dtmetrics._cli import main
from tests.support.endpoint import PATIENCE, Endpoint, accept, never, refusing_port
from tests.support.protocol_grammar import Line, lines_of

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
processes = pytest.mark.processes

#: Prints that it runs and each signal that it gets, and ends at a SIGTERM.
COUNTING = """
import signal, sys
signals = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print("ready", flush=True)
while True:
    got = signal.Signals(signal.sigwait(signals))
    print(got.name, flush=True)
    if got == signal.SIGTERM:
        sys.exit(7)
"""


@contextmanager
def started(
    command: list[str], endpoint: str, **options: object
) -> Iterator[subprocess.Popen[str]]:
    """Run *command* as a job; kill it at the end of the block."""
    process = subprocess.Popen(  # type: ignore[call-overload]
        [sys.executable, "-m", "dtmetrics", "job", "nightly", "--", *command],
        env={**os.environ, "DTMETRICS_ENDPOINT": endpoint},
        text=True,
        start_new_session=True,
        stderr=subprocess.PIPE,
        **{"stdout": subprocess.PIPE, **options},
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # the last of the group has ended
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def by_key(endpoint: Endpoint) -> dict[str, Line]:
    """Return the last accepted line of each key."""
    return {line.key: line for line in lines_of(endpoint.lines)}


def test_without_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command it ends with the status 2 and the usage."""
    with pytest.raises(SystemExit) as end:
        main(["job", "nightly"])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert "usage: dtmetrics job" in error
    assert "COMMAND is required, after --" in error


def test_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What follows the first ``--`` is the command, with its own options and ``--``."""
    got: list[object] = []

    def run(name: str, command: list[str], settings: object) -> int:
        got.extend([name, command, settings()])  # type: ignore[operator]
        return 5

    monkeypatch.setattr("dtmetrics._runtime.job_command.run_as_job", run)
    token = tmp_path / "token"
    token.write_text("secret")
    options = ["--endpoint", "http://host/", "--token-file", str(token)]
    command = ["git", "log", "--endpoint", "x", "--", "README"]
    assert main(["job", "nightly", *options, "--", *command]) == 5
    name, ran, settings = got
    assert (name, ran) == ("nightly", command)
    assert isinstance(settings, dict)
    assert settings["endpoint"].reveal() == "http://host/"
    assert settings["token"].reveal() == "secret"


def test_two_dashes_of_another_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the job command takes what follows ``--`` as a command."""
    with pytest.raises(SystemExit):
        main(["doctor", "--", "true"])
    assert "unrecognized arguments" in capsys.readouterr().err


@processes
@posix
@pytest.mark.parametrize(
    ("program", "status"),
    [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143)],
)
def test_exit_status(program: str, status: int) -> None:
    """The metrics of the run arrive, and the status is that of the command."""
    with Endpoint() as endpoint, started(["sh", "-c", program], endpoint.url) as job:
        out, err = job.communicate(timeout=PATIENCE)
        lines = by_key(endpoint)
    assert (job.returncode, out, err) == (status, "", "")
    outcome = "failure" if status else "success"
    assert lines["job.duration"].dimensions["job.outcome"] == outcome
    assert ("job.last_success" in lines) == (status == 0)


@processes
@posix
@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"])
def test_signal(name: str) -> None:
    """A signal is forwarded once, and the command decides what it does."""
    program = [sys.executable, "-S", "-c", COUNTING]
    with Endpoint() as endpoint, started(program, endpoint.url) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
        job.send_signal(getattr(signal, name))
        assert job.stdout.readline() == f"{name}\n"
        if name != "SIGTERM":
            job.send_signal(signal.SIGTERM)
            assert job.stdout.readline() == "SIGTERM\n"
        out, err = job.communicate(timeout=PATIENCE)
        lines = by_key(endpoint)
    assert (job.returncode, out, err) == (7, "", "")
    assert lines["job.duration"].dimensions["error.type"] == "7"


@processes
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux names the sender")
def test_keys_of_a_terminal() -> None:
    """Ctrl-C reaches the command once: from the terminal, and not from its parent too."""
    import pty

    master, slave = pty.openpty()
    try:
        # The session of the process takes the terminal.
        take = (
            "import fcntl, os, sys, termios\n"
            "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
            "os.execv(sys.argv[1], sys.argv[1:])"
        )
        job = [sys.executable, "-m", "dtmetrics", "job", "nightly", "--"]
        command = [*job, sys.executable, "-S", "-c", COUNTING]
        with (
            Endpoint() as endpoint,
            subprocess.Popen(
                [sys.executable, "-c", take, *command],
                env={**os.environ, "DTMETRICS_ENDPOINT": endpoint.url},
                stdin=slave,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            ) as process,
        ):
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                os.write(master, b"\x03")
                assert process.stdout.readline() == "SIGINT\n"
                # A forwarded SIGINT would come first.
                process.send_signal(signal.SIGTERM)
                assert process.stdout.readline() == "SIGTERM\n"
                assert process.wait(PATIENCE) == 7
            finally:
                process.kill()
    finally:
        os.close(master)
        os.close(slave)


@processes
@posix
def test_standard_streams() -> None:
    """The command reads and writes the streams itself, byte by byte."""
    program = ["sh", "-c", "cat; echo error >&2"]
    with (
        Endpoint() as endpoint,
        started(program, endpoint.url, stdin=subprocess.PIPE) as job,
    ):
        out, err = job.communicate("text\n", timeout=PATIENCE)
    assert (job.returncode, out, err) == (0, "text\n", "error\n")


@processes
@posix
def test_heartbeat() -> None:
    """While the command runs, its duration so far is sent, and afterwards it is not."""
    program = [sys.executable, "-S", "-c", COUNTING]
    with Endpoint() as endpoint, started(program, endpoint.url) as job:
        assert endpoint.wait_until(lambda: "job.uptime" in by_key(endpoint))
        assert by_key(endpoint).keys() == {"job.uptime"}
        job.terminate()
        job.communicate(timeout=PATIENCE)
    [last] = [each for each in endpoint.requests if b"job.duration," in each.body]
    assert b"job.uptime," not in last.body


@processes
@posix
def test_mute_endpoint() -> None:
    """An endpoint that does not answer delays the end by some seconds, with a sentence."""
    with (
        Endpoint(otherwise=never()) as endpoint,
        started(["sh", "-c", "exec >&-; exit 3"], endpoint.url) as job,
    ):
        assert job.stdout is not None
        endpoint.wait_for(1)
        begin = time.monotonic()
        _, err = job.communicate(timeout=PATIENCE)
        took = time.monotonic() - begin
    assert job.returncode == 3
    [sentence] = err.splitlines()
    assert sentence.startswith("dtmetrics: the metrics of job 'nightly' were not deliv")
    assert took < 10  # 4 s, and what a busy machine takes; an attempt may take 15 s


@processes
@posix
def test_no_endpoint() -> None:
    """Where nothing listens, one sentence names the reason, and the status stays."""
    endpoint = f"http://127.0.0.1:{refusing_port()}/metrics/ingest"
    with started(["sh", "-c", "exit 3"], endpoint) as job:
        _, err = job.communicate(timeout=PATIENCE)
    assert job.returncode == 3
    [sentence] = err.splitlines()
    assert "connection refused" in sentence


@processes
@posix
def test_slow_answer_is_waited_for() -> None:
    """An endpoint that answers in time loses nothing, however short the command is."""
    with Endpoint(accept()) as endpoint, started(["true"], endpoint.url) as job:
        _, err = job.communicate(timeout=PATIENCE)
        assert (job.returncode, err) == (0, "")
        assert "job.last_success" in by_key(endpoint)
