"""The quick part of the campaign; ``python -m tests.faults`` is all of it."""

from __future__ import annotations

import pytest

from tests.faults.campaign import Run
from tests.faults.scenarios import SCENARIOS

pytestmark = pytest.mark.processes

FAST = [name for name, each in SCENARIOS.items() if each.fast]


@pytest.mark.parametrize("name", FAST)
def test_fault(name: str) -> None:
    """The claim of each fast scenario holds in a quick run."""
    row = SCENARIOS[name].run(Run(quick=True))
    if row.missing:
        pytest.skip(row.verdict)
    assert row.verdict == "passed", f"{SCENARIOS[name].claim} {row}"
