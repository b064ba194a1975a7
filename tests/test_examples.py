from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from dtmetrics.receiver import running

EXAMPLES = Path(__file__).parents[1] / "examples"
EXPECTED = {
    "asyncio_tasks.py": {("pages.fetched", "tenant", "acme"): 3},
    "batch_job.py": {
        ("import.rows", "job", "nightly-import"): 4,
        ("import.rows.bad", "reason", "ValueError"): 1,
    },
    "library.py": {("shop.cache.hits", "dt.metrics.source", "dtmetrics"): 2},
    "outbound.py": {
        ("http.client.response.body.size", "http.response.status_code", "200"): 4,
        ("http.client.response.body.size", "error.type", "404"): 2,
    },
    "quickstart.py": {("orders.placed", "region", "eu"): 5},
}


def test_every_example_is_tested() -> None:
    """Every example has a test."""
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example(name: str) -> None:
    """Each example runs unchanged, and everything that it counts arrives."""
    with running() as address:
        result = subprocess.run(
            [sys.executable, str(EXAMPLES / name)],
            env={**os.environ, "DTMETRICS_ENDPOINT": f"{address}/metrics/ingest"},
            capture_output=True,
            text=True,
            check=False,
        )
        with urllib.request.urlopen(f"{address}/api/series") as answer:
            snapshot = json.load(answer)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert snapshot["rejected"] == []
    for (key, dimension, value), total in EXPECTED[name].items():
        sums = [
            series["sum"]
            for series in snapshot["series"]
            if series["key"] == key and series["dimensions"].get(dimension) == value
        ]
        assert sum(sums) == total
