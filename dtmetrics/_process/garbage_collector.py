"""What CPython's garbage collector counts, and how long it stops the program."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, cast

from dtmetrics._core.safe_call import call_safely
from dtmetrics._record.origin import Origin
from dtmetrics._record.refusal import Refusal
from dtmetrics._record.registry import Registry
from dtmetrics._record.summary_series import SummarySeries

__all__ = ["GENERATION", "follow_pauses", "reader_of", "unfollow_pauses"]

GENERATION = "cpython.gc.generation"


def reader_of(field: str) -> Callable[[], dict[str, float]]:
    """Return a function that reads a *field* of ``gc.get_stats()``, by generation."""
    return partial(_read, field)


def _read(field: str) -> dict[str, float]:
    return {str(number): each[field] for number, each in enumerate(gc.get_stats())}


def follow_pauses(origin: Origin) -> None:
    """Record each pause by *origin*, that of a summary."""
    if not any(each.registry is origin.registry for each in _followed()):
        gc.callbacks.append(Pauses(origin))


def unfollow_pauses(registry: Registry) -> None:
    """End what ``follow_pauses()`` began for *registry*."""
    for pauses in _followed():
        if pauses.registry is registry:
            gc.callbacks.remove(pauses)


def _followed() -> list[Pauses]:
    return [each for each in gc.callbacks if isinstance(each, Pauses)]


class Pauses:
    """Records how long a collection took, during which no Python code runs.

    Not those of generation 0: they take microseconds, and a program that makes many
    objects has thousands in a second.

    It records into the series directly. A record by the summary would be the first one
    of an idle process, such as the master of a server, and start the flusher there.
    """

    def __init__(
        self, origin: Origin, clock: Callable[[], float] = perf_counter
    ) -> None:
        self.registry = origin.registry
        self._origin = origin
        self._clock = clock
        self._start = 0.0
        self._series: dict[int, SummarySeries] = {}
        self._generation = self.registry.generation  # of the series

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        """Be called by the garbage collector before and after each collection."""
        generation = info["generation"]
        if not generation:
            return
        if phase == "start":
            self._start = self._clock()
        elif self._start:  # else it began before this was installed
            took = self._clock() - self._start
            call_safely(self._record, generation, took, default=None)

    def _record(self, generation: int, took: float) -> None:
        if self._generation is not self.registry.generation:
            self._generation, self._series = self.registry.generation, {}
        series = self._series.get(generation)
        if series is None or series.discarded:
            pairs = ((GENERATION, str(generation)),)
            found: Any = self._origin.series(pairs)
            if isinstance(found, Refusal):
                return
            series = self._series[generation] = cast("SummarySeries", found)
        series.values.append(took)
        if len(series.values) > series.limit:
            series.fold_if_free()
