"""Delivers at the end of each task, in workers that are killed after the last one.

Once a driver of Ray or Spark has its results, it ends, and its workers are killed
without exit handlers and signals: 0.08 s later by PySpark 4.3, and 0.16 s later by Ray
2.60. So what a task has recorded is delivered before its result is. Both engines call a
function of Python at that moment, which is wrapped; with a version that does not call
it, the flusher's interval delivers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from time import monotonic
from typing import Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._runtime.worker_process import ray_worker

__all__ = ["TaskEnds"]

# How long the ends of tasks may take: so many seconds, and of each second that has
# passed this part. A delivery takes 2 to 50 ms. Thousands of tasks of a millisecond
# would take ten times as long if each delivered.
_SECONDS = 5.0
_PART = 0.1


class TaskEnds:
    """Calls *deliver* at the ends of tasks."""

    def __init__(self, deliver: Callable[[], object]) -> None:
        self._deliver = deliver
        self._followed: set[str] = set()
        # The seconds that deliveries may take at a moment, by the monotonic clock.
        self._left = _SECONDS
        self._moment = 0.0

    def follow(self) -> None:
        """Follow the tasks of the engine whose worker this is; once."""
        for name, follow in ("pyspark", self._follow_spark), ("ray", self._follow_ray):
            if name not in self._followed and call_safely(follow, default=False):
                self._followed.add(name)

    def _follow_spark(self) -> bool:
        # A driver does not load the module. A worker is forked by pyspark.daemon.
        if "pyspark.worker" not in sys.modules:
            return False
        tasks: Any = sys.modules["pyspark.taskcontext"].TaskContext
        original = tasks._setTaskContext.__func__  # noqa: SLF001 -- no other way

        @wraps(original)
        def set_context(cls: object, context: object) -> object:
            if context is None:  # all results have been written
                call_safely(self._end, default=None)
            return original(cls, context)

        tasks._setTaskContext = classmethod(set_context)  # noqa: SLF001
        return True

    def _follow_ray(self) -> bool:
        worker = ray_worker()
        if worker is None:
            return False
        original = worker.get_serialization_context

        @wraps(original)
        def get_context(*args: Any, **kwargs: Any) -> object:  # noqa: ANN401
            # For the result of a task it is called by compiled code: in the main
            # thread by that of the main loop, in a thread of an actor by no function.
            caller = sys._getframe().f_back  # noqa: SLF001 -- no other way
            if caller is None or caller.f_code.co_name == "main_loop":
                call_safely(self._end_of_ray, worker, default=None)
            return original(*args, **kwargs)

        worker.get_serialization_context = get_context
        return True

    def _end_of_ray(self, worker: Any) -> None:  # noqa: ANN401 -- a class of Ray
        # The calls of such an actor overlap, thousands of them, as in Ray Serve.
        if not worker.core_worker.current_actor_is_asyncio():
            self._end()

    def _end(self) -> None:
        begin = monotonic()
        gained = (begin - self._moment) * _PART
        self._left = min(_SECONDS, self._left + gained)
        self._moment = begin
        if self._left > 0:
            self._deliver()
            self._left -= monotonic() - begin
