from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import dtmetrics
from dtmetrics._cli import main


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a new process."""
    command = [sys.executable, "-m", "dtmetrics", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help() -> None:
    """``python -m dtmetrics --help`` lists the commands."""
    result = run("--help")
    assert (result.returncode, result.stderr) == (0, "")
    first, *rest = result.stdout.splitlines()
    assert first == "usage: dtmetrics [-h] [--version] COMMAND ..."
    commands = [line.split()[0] for line in rest if re.match(" {4}[a-z]", line)]
    assert commands == ["demo", "dev", "doctor", "job", "send"]


def test_version() -> None:
    """``--version`` prints the name and the version."""
    result = run("--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"dtmetrics {dtmetrics.__version__}\n"


@pytest.mark.parametrize("command", ["demo", "dev", "doctor", "send"])
def test_help_of_a_command(command: str) -> None:
    """``--help`` of a command shows its usage."""
    result = run(command, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"usage: dtmetrics {command} [-h] ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["demo", "--nonsense"],
        ["dev", "--port", "http"],
        ["send", "orders"],
        ["send", "orders", "many"],
        ["send", "orders", "nan"],
        ["send", "orders", "1", "--dim", "region"],
        ["send", "orders", "1", "--dim", "=eu"],
        ["send", "orders", "1", "--kind", "timer"],
        ["send", "orders", "1", "--timestamp", "now"],
    ],
    ids=" ".join,
)
def test_wrong_usage(arguments: list[str]) -> None:
    """A wrong command line gives the usage and status 2, not a traceback."""
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: dtmetrics")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("seconds", ["-1", "0", "nan", "inf", "soon"])
def test_invalid_seconds(seconds: str) -> None:
    """A demo that could not end, or not begin, gives a usage error in one sentence."""
    result = run("demo", "--seconds", seconds)
    assert (result.returncode, result.stdout) == (2, "")
    *_, last = result.stderr.splitlines()
    assert last == (
        "dtmetrics demo: error: argument --seconds: "
        f"must be a positive number, got '{seconds}'"
    )


def test_status(tmp_path: Path) -> None:
    """The exit status of the process is that of the command."""
    absent = tmp_path / "token"
    assert run("dev", "--token-file", str(absent)).returncode == 1
    assert main(["dev", "--token-file", str(absent)]) == 1


def test_import_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Importing ``dtmetrics.__main__`` starts no command."""
    runpy.run_module("dtmetrics.__main__", run_name="imported")
    assert capsys.readouterr() == ("", "")
