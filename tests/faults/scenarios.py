"""All scenarios, theme by theme."""

from __future__ import annotations

from tests.faults import ambiguity, answers, attempts, clocks, load, outage, processes, security
from tests.faults.campaign import SCENARIOS

__all__ = ["SCENARIOS", "ambiguity", "answers", "attempts", "clocks", "load", "outage", "processes", "security"]
