"""Runs a suite plain and wrapped, and compares the outcomes test by test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.framework_suites.environment import ROOT, Environment
from tests.framework_suites.suites import Suite

__all__ = ["Comparison", "Run", "compare", "run"]

INSIDE = ROOT / "tests" / "framework_suites" / "inside"


@dataclass
class Run:
    """One run of a suite."""

    #: The outcome of each test, by its name.
    outcomes: dict[str, str]
    #: How many requests and connections dtmetrics recorded.
    recorded: int
    seconds: float


@dataclass
class Comparison:
    """A suite, plain and wrapped."""

    plain: Run
    wrapped: Run
    expected: Mapping[str, str] = field(default_factory=dict)

    @property
    def differences(self) -> dict[str, tuple[str, str]]:
        """Return the outcomes of each test that has two, plain and wrapped."""
        plain, wrapped = self.plain.outcomes, self.wrapped.outcomes
        pairs = {
            name: (plain.get(name, "not run"), wrapped.get(name, "not run"))
            for name in sorted(plain.keys() | wrapped.keys())
        }
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    @property
    def breaches(self) -> list[str]:
        """Return what must not be: other differences, and expected ones that are none."""
        found = [
            f"{name}: {plain}, but {wrapped} if wrapped"
            for name, (plain, wrapped) in self.differences.items()
            if name not in self.expected
        ]
        absent = self.expected.keys() - self.differences.keys()
        found += [
            f"{name}: expected to differ, but does not" for name in sorted(absent)
        ]
        if not self.plain.outcomes:
            found.append("no test ran")
        if not self.wrapped.recorded:
            found.append("nothing was recorded: no application was wrapped")
        return found


def compare(suite: Suite, environment: Environment) -> Comparison:
    """Run *suite* twice."""
    place, python = environment.source / suite.folder, environment.python
    runs = [
        run([str(python), *suite.command], place, suite.name if wrapped else "")
        for wrapped in (False, True)
    ]
    return Comparison(*runs, suite.expected)


def run(command: list[str], place: Path, wraps: str) -> Run:
    """Run *command* in *place*; *wraps* is the framework whose applications are wrapped."""
    begin = time.perf_counter()
    with TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        variables = {
            "PYTHONPATH": str(INSIDE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SUITE_REPORT": str(report),
            "SUITE_WRAPS": wraps,
        }
        # A suite with failures exits with 1, and so does it here.
        subprocess.run(
            command,
            cwd=place,
            env={**os.environ, **variables},
            stdout=sys.stderr,
            check=False,
        )
        found = json.loads(report.read_text("utf-8")) if report.exists() else {}
    seconds = time.perf_counter() - begin
    return Run(found.get("outcomes", {}), found.get("recorded", 0), seconds)
