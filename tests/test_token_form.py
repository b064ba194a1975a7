from __future__ import annotations

import pytest

from dtmetrics._config.config import Config
from dtmetrics._core.secret import Secret
from dtmetrics._doctor.finding import Status
from dtmetrics._doctor.token_form import token_finding

ACCESS = f"dt0c01.{'A' * 24}.{'CANARY' * 10 + 'ABCD'}"


@pytest.mark.parametrize(
    ("token", "status", "words"),
    [
        ("", Status.SKIPPED, "a OneAgent needs none"),
        (ACCESS, Status.OK, f"dt0c01.{'A' * 24} has the form of an access token"),
        (ACCESS[:-1], Status.WARNING, "its 95 characters do not have the form"),
        (f"dt0s16.{ACCESS[7:]}", Status.WARNING, "it is a platform token"),
        ("CANARY", Status.WARNING, "its 6 characters do not have the form"),
    ],
    ids=["none", "access", "cut", "platform", "other"],
)
def test_form(token: str, status: Status, words: str) -> None:
    """The form of a token is judged, and its secret part is not shown."""
    finding = token_finding(Config(token=Secret(token)))
    assert finding.status is status
    assert words in finding.text
    assert "CANARY" not in repr(finding.as_json())


def test_token_file_that_is_gone() -> None:
    """A file that cannot be read any more is a problem, which names it."""
    finding = token_finding(Config(token_file="/nowhere/token"))
    assert finding.status is Status.PROBLEM
    assert "'/nowhere/token'" in finding.text
