"""The processes that RQ's worker forks, one for each job, hand over what they record.

The worker sends it, if it is configured itself; see `dtmetrics._deliver.relay`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._deliver.delivery import Delivery
from dtmetrics._deliver.relay import Relay

__all__ = ["WorkHorses"]

_calls: list[Callable[[], object]] = []


class WorkHorses:
    """Both sides of handing over. *delivery* returns that which runs now, if any."""

    def __init__(self, delivery: Callable[[], Delivery | None]) -> None:
        self._delivery = delivery
        self.relay = Relay()

    def follow(self) -> None:
        """Follow RQ's worker, if RQ is loaded by now; a second call does nothing."""
        worker = getattr(sys.modules.get("rq.worker"), "Worker", None)
        if worker is not None and self._before_fork not in _calls:
            if not _calls:
                worker.fork_work_horse = _wrapped(worker.fork_work_horse)
            _calls.append(self._before_fork)

    def _before_fork(self) -> None:
        delivery = self._delivery()
        # Without a thread of this process, what it has received would wait.
        if delivery is not None and delivery.flusher.can_relay:
            delivery.collector.on_collect = self.relay.put_in
            self.relay.open()
            delivery.flusher.start()

    def hand_over_at_once(self) -> bool:
        """Hand over as ``hand_over()`` does, if nothing can hang meanwhile."""
        delivery = self._delivery()
        if delivery is None or delivery.collector.has_observers:
            return False
        return self.hand_over(0.0)

    def hand_over(self, seconds: float) -> bool:
        """Collect within *seconds*, and hand over all; False: it is not handed over."""
        delivery = self._delivery()
        if delivery is None or not self.relay.leads_to_parent:
            return False
        self.relay.close()  # this process forks no more
        return delivery.flusher.hand_over(self.relay.take, seconds)


def _wrapped(fork: Callable[..., object]) -> Callable[..., object]:
    @wraps(fork)
    def fork_work_horse(*args: Any, **kwargs: Any) -> object:  # noqa: ANN401 -- RQ's own
        for call in _calls:
            call_safely(call, default=None)
        return fork(*args, **kwargs)

    return fork_work_horse
