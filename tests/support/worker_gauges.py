"""Gauges of several processes, as they arrive at an endpoint."""

from __future__ import annotations

from itertools import groupby

from tests.support.endpoint import Endpoint
from tests.support.protocol_grammar import lines_of

#: Defines a gauge of the process, one that all processes share, and a counter.
DEFINED = """
import os
from dtmetrics import configure, counter, gauge, observe

observe("process.id")(os.getpid)
observe("queue.depth", per_worker=False)(lambda: 7)
"""


def processes(endpoint: Endpoint) -> dict[str, list[str]]:
    """Return, by the number of a worker, the processes that had it one after another.

    Those without a number are under an empty text. Fails if two had a number at once,
    or one had two of them.
    """
    sent = [
        (line.dimensions.get("dtmetrics.worker", ""), str(line.numbers["value"]))
        for line in lines_of(endpoint.lines, "process.id")
    ]
    found = {
        number: [value for value, _ in groupby(v for n, v in sent if n == number)]
        for number in sorted({number for number, _ in sent})
    }
    each = [process for all_of_one in found.values() for process in all_of_one]
    assert len(each) == len(set(each)), found
    return found


def check_others(endpoint: Endpoint) -> None:
    """Fail if something but a gauge of the process has a number."""
    others = [line for line in endpoint.lines if not line.startswith("process.id")]
    assert [line for line in others if line.startswith("queue.depth")]
    assert not [line for line in others if "dtmetrics.worker" in line]
