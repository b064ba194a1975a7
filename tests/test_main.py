from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from dtmetrics._cli import main


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "dtmetrics", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help() -> None:
    """``python -m dtmetrics --help`` says what it is for and which commands it has."""
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    first, *rest = done.stdout.splitlines()
    assert first == "usage: dtmetrics [-h] COMMAND ..."
    commands = [line.split()[0] for line in rest if re.match(" {4}[a-z]", line)]
    assert commands == ["demo", "dev"]


@pytest.mark.parametrize("command", ["demo", "dev"])
def test_help_of_a_command(command: str) -> None:
    """Each command explains itself and its options."""
    done = run(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: dtmetrics {command} [-h] ")


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["demo", "--nonsense"], ["dev", "--port", "http"]],
    ids=" ".join,
)
def test_wrong_usage(arguments: list[str]) -> None:
    """What cannot be run is told in a few lines, with the usage and status 2."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: dtmetrics")
    assert "Traceback" not in done.stderr


def test_status(tmp_path: Path) -> None:
    """The status of the command is that of the process."""
    absent = tmp_path / "token"
    assert run("dev", "--token-file", str(absent)).returncode == 1
    assert main(["dev", "--token-file", str(absent)]) == 1


def test_import_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Importing the module, as tools that look for tests do, starts no command."""
    runpy.run_module("dtmetrics.__main__", run_name="looked_at")
    assert capsys.readouterr() == ("", "")
