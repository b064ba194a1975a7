"""The CPU time of importing a library."""

from __future__ import annotations

from functools import partial

from benchmarks.measure import Size, take_turns
from benchmarks.part import Result, child
from benchmarks.peers import OURS
from benchmarks.table import Table

__all__ = ["measure"]

NOTE = "CPU time of a fresh process, without that of one that imports nothing."
_BARE = "bare"
_STATEMENTS = {
    _BARE: "pass",
    OURS: "import dtmetrics",
    "prometheus_client": "import prometheus_client",
    "opentelemetry-sdk": "from opentelemetry.sdk.metrics import MeterProvider",
    "datadog": "from datadog import statsd",
    "statsd": "import statsd",
    "dynatrace-metric-utils": "import dynatrace.metric.utils",
}


def measure(size: Size) -> Result:
    """Return the milliseconds of each import, the least of fresh processes in turns."""
    left_out: dict[str, str] = {}
    cases = {
        library: partial(_seconds, statement)
        for library, statement in _STATEMENTS.items()
        if _works(library, statement, left_out)
    }
    least = take_turns(cases, 4 * size.turns)
    bare = least.pop(_BARE)
    row = {library: 1e3 * (seconds - bare) for library, seconds in least.items()}
    return Result(
        [Table("imports", "import", "ms", {"import": row}, NOTE)], {}, left_out
    )


def _works(library: str, statement: str, left_out: dict[str, str]) -> bool:
    try:
        _seconds(statement)  # writes bytecode, and fills the disk cache
    except RuntimeError as error:
        left_out[f"{library}, import"] = str(error)
        return False
    return True


def _seconds(statement: str) -> float:
    clock = "import time; print(time.process_time())"
    return float(child("-c", f"{statement}\n{clock}").splitlines()[-1])
