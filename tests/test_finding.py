from __future__ import annotations

import pytest

from dtmetrics._doctor.finding import (
    Finding,
    Status,
    note,
    ok,
    problem,
    skipped,
    warning,
)
from dtmetrics._export.causes import REFUSED


@pytest.mark.parametrize(
    ("finding", "status"),
    [
        (ok("a", "b"), Status.OK),
        (note("a", "b"), Status.NOTE),
        (warning("a", "b", "c"), Status.WARNING),
        (problem("a", "b", None, "c"), Status.PROBLEM),
        (skipped("a", "b"), Status.SKIPPED),
    ],
)
def test_status(finding: Finding, status: Status) -> None:
    """Each kind of finding has its status."""
    assert finding.status is status
    assert (finding.check, finding.text) == ("a", "b")


def test_cause() -> None:
    """A problem with a known cause has the cause's sentence, remedy and id."""
    assert problem("connection", "ag:1", REFUSED).as_json() == {
        "check": "connection",
        "status": "problem",
        "text": f"ag:1: {REFUSED.sentence}",
        "remedy": REFUSED.remedy,
        "cause": "connection-refused",
    }
