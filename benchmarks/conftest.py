from __future__ import annotations

import pytest

from tests.support.recorder import Recorder


@pytest.fixture
def recorder() -> Recorder:
    """Return a separate registry that records, without delivery."""
    return Recorder()
