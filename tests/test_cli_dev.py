from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.endpoint import PATIENCE
from tests.support.platforms import needs_signals

TEXT = {"Content-Type": "text/plain; charset=utf-8"}


def start(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    """Start the command with *arguments* and the additional *environ*."""
    return subprocess.Popen(
        [sys.executable, "-m", "dtmetrics", "dev", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )


@contextmanager
def running(
    *arguments: str, **environ: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command, wait for its address, and kill it after the block."""
    process = start("--port", "0", *arguments, **environ)
    with process:
        try:
            assert process.stdout
            match = re.fullmatch(
                r"dtmetrics receiver on (http://127\.0\.0\.1:[0-9]+)\n",
                process.stdout.readline(),
            )
            assert match
            yield process, match[1]
        finally:
            process.kill()


@needs_signals
def test_shared_gauge() -> None:
    """A gauge series that two processes send is one line on the terminal, once."""
    with running() as (process, url):
        for value in range(6):
            agent = f"dtmetrics (pid {value % 2})"
            content = f"jobs.active {value}".encode()
            headers = {**TEXT, "User-Agent": agent}
            httpx.post(
                f"{url}/metrics/ingest",
                content=content,
                headers=headers,
                trust_env=False,
            )
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
    assert err.count("warning: gauge 'jobs.active' has different values") == 1


def post(url: str, path: str = "/metrics/ingest", **headers: str) -> int:
    """Post a line and return the status of the answer."""
    answer = httpx.post(
        f"{url}{path}",
        content=b"a 1",
        headers={**TEXT, **headers},
        trust_env=False,
    )
    return answer.status_code


@needs_signals
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_stopped(signum: signal.Signals) -> None:
    """The command prints its address, serves, and ends with 0 by SIGTERM or SIGINT."""
    with running() as (process, url):
        assert post(url) == 202
        process.send_signal(signum)
        rest, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert rest == ""
        assert errors == "For development only. Ctrl+C stops it.\n"


@needs_signals
def test_stops_with_an_open_connection() -> None:
    """The receiver stops while a client has an open connection."""
    with running() as (process, url), httpx.Client(trust_env=False) as client:
        assert client.get(f"{url}/api/stats").status_code == 200
        process.terminate()
        assert process.wait(timeout=20) == 0


@pytest.mark.parametrize(
    ("arguments", "status"), [((), 202), (("--as", "oneagent"), 404)]
)
def test_as_oneagent(arguments: tuple[str, ...], status: int) -> None:
    """The command takes lines at every path of the API, or at that of a OneAgent alone."""
    with running(*arguments) as (_, url):
        assert post(url) == 202
        assert post(url, "/api/v2/metrics/ingest") == status
        assert post(url, "/e/abc12345/api/v2/metrics/ingest") == status


def test_as_something_else() -> None:
    """Another role is an error that names the known one."""
    with start("--as", "cluster") as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "oneagent" in errors


def test_token_file(tmp_path: Path) -> None:
    """The token comes from a file, so that it is not in the list of processes."""
    path = tmp_path / "token"
    path.write_text("canary-4711\n")
    with running("--token-file", str(path)) as (process, url):
        assert post(url) == 401
        assert post(url, Authorization="Api-Token canary-4711") == 202
        process.terminate()
        assert "canary" not in "".join(process.communicate(timeout=20))


def error_of(*arguments: str) -> str:
    """Run the command, which fails, and return its one line of error."""
    with start(*arguments) as process:
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert output == ""
    assert errors.count("\n") == 1
    return errors


def test_invalid_token_files(tmp_path: Path) -> None:
    """A token file without a token is an error: it never disables the check."""
    path = tmp_path / "token"
    assert "cannot read the token file" in error_of("--token-file", str(path))
    path.write_text(" \n")
    assert "the token file is empty" in error_of("--token-file", str(path))


def test_port_in_use() -> None:
    """A port in use gives one sentence and status 1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        message = error_of("--port", str(port))
    assert message == (
        f"dtmetrics: cannot listen on 127.0.0.1:{port}: "
        "the address is in use, perhaps by a OneAgent\n"
    )


@pytest.mark.parametrize("port", ["99999", "-1", "http", "9" * 5_000])
def test_invalid_port(port: str) -> None:
    """A port that cannot exist gives a usage error in one sentence."""
    with start("--port", port) as process:
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (2, "")
    assert f"--port: must be a number from 0 to 65535, got '{port[:3]}" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("command", "module"), [("dev", "starlette"), ("demo", "rich.console")]
)
def test_without_the_extra(command: str, module: str) -> None:
    """Without the receiver's extra, the error names the extra to install."""
    script = (
        f"import sys; sys.modules[{module!r}] = None\n"
        f"from dtmetrics._cli import main; sys.exit(main([{command!r}]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert 'pip install "dtmetrics[receiver]"' in result.stderr
    assert result.stderr.count("\n") == 1
