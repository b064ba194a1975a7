"""Workers that get a pickle send what they record to the endpoint of the program."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.support import travelling_program
from tests.support.endpoint import Endpoint
from tests.support.engines import running
from tests.support.protocol_grammar import lines_of
from tests.support.script import python_path

#: Some seconds on two idle cores; Ray and Spark take 20 to start, and 100 on a busy one.
SECONDS = 300

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(SECONDS + 30),
    pytest.mark.skipif(sys.platform == "win32", reason="needs sessions of processes"),
]


@pytest.mark.parametrize(
    ("engine", "kind"),
    [
        ("executor", "spawn"),
        ("joblib", "loky"),
        ("dask", "processes"),
        pytest.param("ray", "task", marks=pytest.mark.slow),
        pytest.param("ray", "actor", marks=pytest.mark.slow),
        pytest.param("spark", "map", marks=pytest.mark.slow),
        pytest.param("spark", "udf", marks=pytest.mark.slow),
        pytest.param("spark", "pandas_udf", marks=pytest.mark.slow),
    ],
)
def test_engines(engine: str, kind: str, tmp_path: Path) -> None:
    """Each call in a worker is counted and timed, and no worker calls configure()."""
    needed = {"dask": "distributed", "spark": "pyspark", "executor": "dtmetrics"}
    pytest.importorskip(needed.get(engine, engine))
    if kind == "pandas_udf":
        pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
    if engine == "spark" and shutil.which("java") is None:
        pytest.skip("no java here")
    environ = {
        "PYTHONPATH": python_path(),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    calls = len(travelling_program.NUMBERS)
    with Endpoint() as endpoint:
        command = [travelling_program.__file__, engine, kind, endpoint.url]
        with running(command, tmp_path, **environ) as program:
            status = program.wait(SECONDS)
            assert status == 0, (tmp_path / "log").read_text()
            # Workers may outlive the program for a moment.
            endpoint.wait_until(lambda: min(recorded(endpoint)) >= calls)
    assert recorded(endpoint) == (calls, calls)
    lines = lines_of(endpoint.lines)
    assert {line.dimensions.get("service") for line in lines} == {"shop"}


def recorded(endpoint: Endpoint) -> tuple[float, float]:
    """Return the total of the counter, and how many calls the timer has."""
    return endpoint.total("task.runs"), endpoint.values("task.duration")
