"""Workers of pools and clusters record what a program has decorated in __main__."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support import worker_program
from tests.support.endpoint import Endpoint
from tests.support.script import python_path

pytestmark = pytest.mark.processes

#: Some seconds on two idle cores: a worker of Dask imports for two of them.
SECONDS = 150


@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("multiprocessing", "spawn"),
        ("multiprocessing", "forkserver"),
        ("executor", "spawn"),
        ("executor", "forkserver"),
        ("joblib", "loky"),
        ("dask", "spawn"),
    ],
)
def test_workers(kind: str, method: str) -> None:
    """What each worker calls is recorded exactly, by functions, methods and partials."""
    if kind in ("joblib", "dask"):
        pytest.importorskip({"dask": "distributed"}.get(kind, kind))
    if sys.platform == "win32" and method == "forkserver":
        pytest.skip("Windows has no forkserver")
    with Endpoint() as endpoint:
        done = subprocess.run(
            [sys.executable, worker_program.__file__, kind, method],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            env={
                **os.environ,
                "DTMETRICS_ENDPOINT": endpoint.url,
                "PYTHONPATH": python_path(),
            },
        )
    assert done.returncode == 0, done.stderr
    lines = endpoint.lines
    assert endpoint.total("task.runs") == worker_program.RUN
    assert endpoint.values("task.duration") == worker_program.TIMED
    assert [line for line in lines if "kind=job" in line]
    assert [line for line in lines if "tenant=acme" in line]
