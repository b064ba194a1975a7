"""All scenarios, theme by theme."""

from __future__ import annotations

from tests.faults import (  # noqa: F401 -- each enters its own
    ambiguity,
    answers,
    attempts,
    clocks,
    disk,
    endings,
    flusher,
    forks,
    load,
    outage,
    reloads,
    security,
    serverless,
    spool,
    tracing,
)
from tests.faults.campaign import SCENARIOS

__all__ = ["SCENARIOS"]
