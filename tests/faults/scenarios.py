"""All scenarios, theme by theme."""

from __future__ import annotations

from tests.faults import answers, attempts, outage
from tests.faults.campaign import SCENARIOS

__all__ = ["SCENARIOS", "answers", "attempts", "outage"]
