"""What a process can say of everything that it recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Stats"]


class Stats(NamedTuple):
    """What became of everything this process recorded, since ``configure()``.

    ``collected = accepted + rejected + sum(dropped.values()) + waiting``, always.
    """

    #: Data points made from what was recorded.
    collected: int = 0
    #: Data points that the endpoint took.
    accepted: int = 0
    #: Data points that the endpoint refused.
    rejected: int = 0
    #: Data points that were given up here, by reason.
    dropped: Mapping[str, int] = {}
    #: Data points that are still to be sent.
    waiting: int = 0
    #: Values that could not be recorded and so never became data points, by reason.
    invalid: Mapping[str, int] = {}
    #: How many series there are.
    series: int = 0
    #: How often was collected.
    flushes: int = 0
    #: What last went wrong with sending, or nothing.
    last_error: str = ""
    #: What is on disk, and what has happened there, if there is a spool.
    spool: Mapping[str, int] = {}
    #: Data points whose time lay ahead, by a clock that was put right since, and that
    #: were sent with the present one.
    restamped: int = 0
    #: How often the wall clock was seen to jump: it was set, or the machine slept.
    clock_steps: int = 0
    #: What the endpoint remarked on points that it took, by metric key.
    warnings: Mapping[str, str] = {}
    #: Metric keys that record nothing any more, and why: the endpoint refuses them.
    quarantined: Mapping[str, str] = {}
