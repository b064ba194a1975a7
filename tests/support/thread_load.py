"""Threads that record, and a thread that collects all the time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.support.endpoint import PATIENCE
from tests.support.recorder import Recorder


class Collector:
    """Collects without a pause in its own thread, and adds up values by key."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.totals: dict[str, Any] = {}
        self.counts: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def collect(self) -> None:
        """Collect once."""
        for point in self.recorder.points():
            key, payload = point.identity.key, point.payload
            self.totals[key] = self.totals.get(key, 0) + getattr(
                payload, "sum", payload[0]
            )
            if len(payload) == 4:
                self.counts[key] = self.counts.get(key, 0) + payload.count
                assert payload.min <= payload.sum / payload.count <= payload.max

    def _run(self) -> None:
        while not self._stop.is_set():
            self.collect()

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.collect()


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run *work* in *count* threads at once."""
    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
