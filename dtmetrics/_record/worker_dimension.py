"""The dimension by which the gauges of several workers differ, in definitions."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["WORKER", "same_in_workers"]

#: The key of the number of a worker, in its gauges.
WORKER = "dtmetrics.worker"


def same_in_workers(dimensions: Mapping[str, object] | None) -> dict[str, object]:
    """Return the *dimensions* of a gauge whose value is the same in all workers.

    A value without text removes a dimension, here that of the worker.

    >>> same_in_workers({"queue": "mail"})
    {'dtmetrics.worker': None, 'queue': 'mail'}
    """
    return {WORKER: None, **(dimensions or {})}
