from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dtmetrics._runtime.job_command import run_as_job
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import (
    Batch,
    ExportResult,
    MemoryExporter,
    Outcome,
)
from tests.support.endpoint import PATIENCE
from tests.support.protocol_grammar import lines_of

PYTHON = [sys.executable, "-S", "-c"]


class Refusing:
    """An exporter that answers nothing but one outcome."""

    def __init__(self, result: ExportResult) -> None:
        self.result = result

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        """Return the result."""
        return self.result

    def close(self) -> None:
        """Do nothing."""

    def reset_after_fork(self) -> None:
        """Do nothing."""


class Mute(Refusing):
    """An exporter that answers when it may."""

    def __init__(self) -> None:
        super().__init__(ExportResult(Outcome.ANSWERED))
        self.may = threading.Event()

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        """Return the result, late."""
        self.may.wait(PATIENCE)
        return self.result


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Restore what the command changes in this process."""
    logger = logging.getLogger("dtmetrics")
    level = logger.level
    of_children = getattr(signal, "SIGCHLD", signal.SIGTERM)
    earlier = signal.getsignal(of_children)
    yield
    logger.setLevel(level)
    signal.signal(of_children, earlier)


def run(command: list[str], exporter: object = None, **settings: object) -> Any:
    """Run *command* as a job; return its status and what was recorded, by key."""
    memory = MemoryExporter()

    def all_settings() -> Mapping[str, object]:
        return {"exporter": exporter or memory, "interval": None, **settings}

    status = run_as_job("nightly", command, all_settings, Runtime())
    return status, {line.key: line for line in lines_of(memory.lines)}


@pytest.mark.parametrize(
    ("program", "status", "failure"),
    [
        ("", 0, None),
        ("raise SystemExit(3)", 3, "3"),
        ("import os; os.abort()", 128 + signal.SIGABRT, "SIGABRT"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_outcome(
    program: str,
    status: int,
    failure: str | None,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The status is passed on as a shell does, and is the outcome of the job."""
    got, lines = run([*PYTHON, program])
    assert got == status
    dimensions = {"dt.metrics.source": "dtmetrics", "job.name": "nightly"}
    outcome = {"job.outcome": "failure", "error.type": failure or ""}
    if failure is None:
        outcome = {"job.outcome": "success"}
        assert lines["job.last_success"].dimensions == dimensions
    assert lines["job.duration"].dimensions == {**dimensions, **outcome}
    assert lines["job.duration"].numbers["count"] == 1
    assert ("job.last_success" in lines) == (failure is None)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("command", "status", "sentence"),
    [
        ("dtmetrics-no-such", 127, "No such file or directory"),
        (os.devnull, 126, "Permission denied"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="Windows has other messages")
def test_cannot_be_started(
    command: str, status: int, sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A command that cannot be started has the status of shells, which is recorded."""
    got, lines = run([command])
    assert got == status
    assert lines["job.duration"].dimensions["error.type"] == str(status)
    assert capfd.readouterr().err == f"dtmetrics: cannot run {command}: {sentence}\n"


def test_unknown_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal without a name, such as a real-time one, is recorded by its number."""
    child = "dtmetrics._runtime.job_command.ChildCommand.run"
    monkeypatch.setattr(child, lambda self: -40)
    status, lines = run(["anything"])
    assert status == 168
    assert lines["job.duration"].dimensions["error.type"] == "signal 40"


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (ExportResult(Outcome.RETRY, reason="a reason"), "a reason"),
        (
            ExportResult(Outcome.REJECTED, reason="rejected by the endpoint"),
            "rejected by the endpoint",
        ),
    ],
)
def test_not_delivered(
    result: ExportResult, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is not delivered makes one sentence with the reason, and changes no status."""
    status, _ = run([*PYTHON, "raise SystemExit(3)"], Refusing(result))
    assert status == 3
    [sentence] = capfd.readouterr().err.splitlines()
    assert sentence.startswith("dtmetrics: the metrics of job 'nightly' were not ")
    assert reason in sentence


def test_mute_exporter(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An exporter that does not answer in time delays the end by no more than that."""
    monkeypatch.setattr("dtmetrics._runtime.job_command._END_SECONDS", 0.1)
    mute = Mute()
    try:
        assert run([*PYTHON, ""], mute, interval=60)[0] == 0
    finally:
        mute.may.set()
    [sentence] = capfd.readouterr().err.splitlines()
    assert sentence.endswith("were not delivered: the endpoint did not answer in time")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"interval": -1}, "interval must be between"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_invalid_settings(
    settings: dict[str, object], reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Invalid settings do not keep the command from running."""
    status, lines = run([*PYTHON, "raise SystemExit(3)"], **settings)
    assert (status, lines) == (3, {})
    [sentence] = capfd.readouterr().err.splitlines()
    assert reason in sentence


def test_settings_that_raise(capfd: pytest.CaptureFixture[str]) -> None:
    """Settings that cannot be read do not keep the command from running."""

    def settings() -> Mapping[str, object]:
        raise ValueError("the token file is empty")

    command = [*PYTHON, "raise SystemExit(3)"]
    assert run_as_job("nightly", command, settings, Runtime()) == 3
    [sentence] = capfd.readouterr().err.splitlines()
    assert sentence.endswith(": the token file is empty")


def test_disabled(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where the environment switches everything off, the command runs silently."""
    monkeypatch.setenv("DTMETRICS_DISABLED", "true")
    assert run([*PYTHON, ""]) == (0, {})
    assert capfd.readouterr().err == ""


def test_environment_is_inherited(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command has the variables of this process."""
    monkeypatch.setenv("SHOP_REGION", "eu")
    program = "import os; raise SystemExit(os.environ['SHOP_REGION'] != 'eu')"
    assert run([*PYTHON, program])[0] == 0
