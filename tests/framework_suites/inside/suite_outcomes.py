"""A plugin of pytest that reports the outcome of each test, and wraps applications."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from suite_applications import recorded, wrap_applications

_outcomes: dict[str, str] = {}


def pytest_configure() -> None:
    """Wrap applications before any test module is imported."""
    wrap_applications()


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note a module that cannot be imported."""
    if report.failed:
        _outcomes[report.nodeid] = "not collected"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the outcome of a test: a failure of any of its steps counts."""
    before = _outcomes.get(report.nodeid)
    if report.failed:
        _outcomes[report.nodeid] = "failed" if report.when == "call" else "error"
    elif report.skipped:
        is_expected = hasattr(report, "wasxfail")
        _outcomes[report.nodeid] = "xfailed" if is_expected else "skipped"
    elif report.when == "call" and before is None:
        _outcomes[report.nodeid] = "passed"


def pytest_unconfigure() -> None:
    """Write the report."""
    report = {"outcomes": _outcomes, "recorded": recorded()}
    Path(os.environ["SUITE_REPORT"]).write_text(json.dumps(report), "utf-8")
