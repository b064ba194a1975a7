"""Runs Django's ``runtests.py``, reports the outcome of each test, wraps applications."""

from __future__ import annotations

import functools
import json
import os
import runpy
import sys
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

from suite_applications import recorded, wrap_applications

_OUTCOMES = {
    "addSuccess": "passed",
    "addSkip": "skipped",
    "addExpectedFailure": "xfailed",
    "addUnexpectedSuccess": "failed",
    "addFailure": "failed",
    "addError": "error",
}
_outcomes: dict[str, str] = {}


def _noting(name: str, add: Callable[..., None]) -> Callable[..., None]:
    """Return a method of a test's result that notes the outcome before *add*."""

    @functools.wraps(add)
    def note(self: Any, test: Any, *arguments: Any) -> None:
        # The outcome of an earlier step, or of a part of the test, counts.
        _outcomes.setdefault(test.id(), _OUTCOMES[name])
        add(self, test, *arguments)

    return note


def _note_parts(add: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(add)
    def note(self: Any, test: Any, part: Any, error: Any) -> None:
        if error is not None:
            _outcomes.setdefault(test.id(), "failed")
        add(self, test, part, error)

    return note


def main() -> None:
    """Run the tests that the arguments name."""
    for name in _OUTCOMES:
        method = getattr(unittest.TestResult, name)
        setattr(unittest.TestResult, name, _noting(name, method))
    result: Any = unittest.TestResult
    result.addSubTest = _note_parts(result.addSubTest)
    wrap_applications()
    sys.argv[0] = "runtests.py"
    sys.path.insert(0, str(Path.cwd()))
    try:
        runpy.run_path("runtests.py", run_name="__main__")
    finally:
        report = {"outcomes": _outcomes, "recorded": recorded()}
        Path(os.environ["SUITE_REPORT"]).write_text(json.dumps(report), "utf-8")


if __name__ == "__main__":
    main()
