from __future__ import annotations

import pytest

from dtmetrics.exporters import Outcome
from tests.support.responses import ENVELOPE, TO, result_of


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((s, Outcome.MISCONFIGURED) for s in (200, 204, 301, 302, 304, 307, 308)),
        *((s, Outcome.MISCONFIGURED) for s in (401, 402, 403, 404, 405, 406, 407)),
        *((s, Outcome.MISCONFIGURED) for s in (410, 411, 414, 415, 426, 431, 451)),
        *((s, Outcome.MISCONFIGURED) for s in (412, 416, 417, 418, 422, 428, 511)),
        *((s, Outcome.RETRY) for s in (409, 421, 423, 499)),
        *((s, Outcome.THROTTLED) for s in (408, 425, 429, 503)),
        *((s, Outcome.INDETERMINATE) for s in (500, 501, 502, 504, 505, 599)),
    ],
)
@pytest.mark.parametrize(
    "content", [b"", b"<html>CANARY</html>", {"error": {}}, ENVELOPE]
)
def test_statuses(status: int, outcome: Outcome, content: object) -> None:
    """Without a validation response, the status decides; the reason quotes no server."""
    result = result_of(status, content)
    assert result.outcome is outcome
    assert result.reason.startswith(f"status {status} at ag.example:9999: ")
    assert "; " in result.reason
    assert "CANARY" not in result.reason
    assert result.rejected == 0


@pytest.mark.parametrize("status", [404, 405, 410, 415])
def test_path(status: int) -> None:
    """Where the path is wrong, the reason names the path that was used."""
    assert f"at the path {TO.path}; " in result_of(status).reason
