"""Wait, duration and number of the tasks of ``concurrent.futures``.

>>> from concurrent.futures import ThreadPoolExecutor
>>> from dtmetrics.integrations.executors import instrument_executor
>>> with ThreadPoolExecutor() as executor:
...     instrument_executor(executor, name="mail")
...     executor.submit(pow, 2, 3).result()
8
"""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import lru_cache
from threading import Lock
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary, ref

from dtmetrics._decorate.hooks import error_type
from dtmetrics._record.instruments import Summary
from dtmetrics._record.meter import Meter
from dtmetrics._record.observable import observe
from dtmetrics._runtime.runtime import default

__all__ = ["instrument_executor", "uninstrument_executor"]

NAME = "executor.name"


def instrument_executor(
    executor: Executor, *, name: str = "", meter: Meter | None = None
) -> None:
    """Record each task that is submitted to *executor* from now on.

    ``executor.task.wait.duration`` is the time from ``submit()`` to the call, and
    ``executor.task.duration`` that of the call, in seconds; ``error.type`` is the class
    of the exception that it raised. The gauges ``executor.active_tasks`` and
    ``executor.queued_tasks`` are those of this process. OpenTelemetry has no
    convention for executors.

    The tasks run in the context that they have without it, and their results and
    exceptions are the same. ``map()`` and ``loop.run_in_executor()`` submit tasks as
    well; of a process pool, each chunk of ``map()`` is one task.

    The process that runs a task records it. In a worker of a process pool, dtmetrics
    must be configured: it is where the worker was forked after ``configure()``.

    The observation ends when the executor is garbage-collected. A second call does
    nothing.

    Args:
        executor (Executor): A ThreadPoolExecutor or a ProcessPoolExecutor.
        name (str): The dimension ``executor.name``. Default: the name of the class.
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.executors")``.

    Raises:
        TypeError: *executor* is another executor.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from dtmetrics.integrations.executors import instrument_executor
    >>> executor = ThreadPoolExecutor(max_workers=4)
    >>> instrument_executor(executor, name="thumbnails")
    >>> list(executor.map(abs, [-1, 2]))
    [1, 2]
    >>> executor.shutdown()
    """
    if not _is_supported(executor):
        raise TypeError(
            "executor must be a ThreadPoolExecutor or a ProcessPoolExecutor, "
            f"got an object of {type(executor).__name__}"
        )
    meter = meter or default.get_meter(__name__)
    with _lock:
        if executor in _tasks:
            return
        kind: Any = type(executor)
        _tasks[executor] = tasks = _Tasks(executor, name or kind.__name__, meter)
        _observed_by(meter).add(tasks)
        # Not an attribute of the object: that would be a cycle, and the threads of an
        # executor end when its last reference is gone.
        executor.__class__ = _recording(kind)


def uninstrument_executor(executor: Executor) -> None:
    """Record the tasks of *executor* no more, but for those that it has by now.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from dtmetrics.integrations.executors import uninstrument_executor
    >>> uninstrument_executor(ThreadPoolExecutor())
    """
    with _lock:
        tasks = _tasks.pop(executor, None)
        if tasks is not None:
            executor.__class__ = tasks.kind
            _observed_by(tasks.meter).remove(tasks)


def _is_supported(executor: object) -> bool:
    # Subinterpreters, since CPython 3.14, cannot import what makes a thread.
    if isinstance(executor, getattr(concurrent.futures, "InterpreterPoolExecutor", ())):
        return False
    # Importing it takes 30 ms, and a program with such a pool has done so.
    process = sys.modules.get("concurrent.futures.process")
    processes = () if process is None else process.ProcessPoolExecutor
    return isinstance(executor, (ThreadPoolExecutor, processes))


@lru_cache(64)
def _recording(kind: Any) -> Any:  # noqa: ANN401 -- a class of executors
    """Return a subclass of *kind* whose ``submit()`` records."""

    class Recording(kind):  # type: ignore[misc] # a class that is known when it runs
        __doc__ = kind.__doc__
        __slots__ = ()

        def submit(
            self, fn: Callable[..., Any], /, *args: object, **kwargs: object
        ) -> Future[Any]:
            # Not super(): a bound method outlives uninstrument_executor().
            tasks = _tasks.get(self)
            if tasks is None or not tasks.meter.registry.recording:
                future: Future[Any] = kind.submit(self, fn, *args, **kwargs)
                return future
            task = _Task(tasks.meter, tasks.name, monotonic(), fn)
            return tasks.follow(kind.submit(self, task, *args, **kwargs))

        submit.__doc__ = kind.submit.__doc__

    for name in ("__name__", "__qualname__", "__module__"):
        setattr(Recording, name, getattr(kind, name))
    return Recording


class _Task:
    """The call of a function, which is recorded where it is made.

    It is pickled for a process pool, with the monotonic clock's time of ``submit()``:
    all processes of a host have the same clock.
    """

    __slots__ = ("fn", "meter", "name", "submitted")

    def __init__(
        self, meter: Meter, name: str, submitted: float, fn: Callable[..., Any]
    ) -> None:
        self.meter = meter
        self.name = name
        self.submitted = submitted
        self.fn = fn

    def __reduce__(self) -> tuple[type[_Task], tuple[Meter, str, float, object]]:
        return _Task, (self.meter, self.name, self.submitted, self.fn)

    def __call__(self, /, *args: object, **kwargs: object) -> object:
        """Call the function; record how long that waited and how long it took."""
        wait, duration = _instruments(self.meter, self.name)
        begin = monotonic()
        wait.record(max(0.0, begin - self.submitted))
        try:
            result = self.fn(*args, **kwargs)
        except BaseException as error:
            kind = error_type(error)
            duration.record(monotonic() - begin, **{"error.type": kind})
            raise
        duration.record(monotonic() - begin)
        return result


@lru_cache(256)
def _instruments(meter: Meter, name: str) -> tuple[Summary, Summary]:
    wait = meter.summary(
        "executor.task.wait.duration",
        unit="s",
        description="Time from the submission of a task to its call",
    )
    duration = meter.summary(
        "executor.task.duration", unit="s", description="Duration of tasks"
    )
    return wait.bind(**{NAME: name}), duration.bind(**{NAME: name})


class _Tasks:
    """The tasks of one executor that have not ended."""

    def __init__(self, executor: Executor, name: str, meter: Meter) -> None:
        self.executor = ref(executor)
        self.kind = type(executor)
        self.name = name
        self.meter = meter
        self.workers: int = getattr(executor, "_max_workers", 1)
        # A set, because adding and discarding are each one step.
        self.pending: set[Future[Any]] = set()

    def follow(self, future: Future[Any]) -> Future[Any]:
        """Count *future* until it is done."""
        self.pending.add(future)
        future.add_done_callback(self.pending.discard)
        return future


class _Observed:
    """The executors that one meter observes."""

    def __init__(self) -> None:
        # Replaced, and never changed: a collection may read it at any time.
        self._all: list[_Tasks] = []

    def add(self, tasks: _Tasks) -> None:
        """Observe the executor of *tasks*."""
        self._all = [*self._alive(), tasks]

    def remove(self, tasks: _Tasks) -> None:
        """Observe it no more."""
        self._all = [each for each in self._alive() if each is not tasks]

    def _alive(self) -> list[_Tasks]:
        return [each for each in self._all if each.executor() is not None]

    def begin(self) -> None:
        """In a forked child: drop the tasks of the parent."""
        for tasks in self._all:
            tasks.pending.clear()

    def active(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield how many tasks run, by executor."""
        for name, (active, _) in self._counts().items():
            yield active, {NAME: name}

    def queued(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield how many tasks wait, by executor."""
        for name, (_, queued) in self._counts().items():
            yield queued, {NAME: name}

    def _counts(self) -> dict[str, tuple[int, int]]:
        """Return both by name; executors of one name are added up."""
        counts: dict[str, tuple[int, int]] = {}
        for tasks in self._alive():
            pending = len(tasks.pending)
            # A free worker takes a task at once.
            active = min(pending, tasks.workers)
            before = counts.get(tasks.name, (0, 0))
            counts[tasks.name] = before[0] + active, before[1] + pending - active
        return counts


def _observed_by(meter: Meter) -> _Observed:
    """Return the executors that *meter* observes; start observing at first."""
    observed = _observed.get(meter)
    if observed is None:
        observed = _observed[meter] = _Observed()
        active = meter.gauge(
            "executor.active_tasks", unit="{task}", description="Tasks that run"
        )
        queued = meter.gauge(
            "executor.queued_tasks", unit="{task}", description="Tasks that wait"
        )
        observe(active.origin, observed.active, observed.begin)
        observe(queued.origin, observed.queued)
    return observed


_lock = Lock()
_tasks: WeakKeyDictionary[Executor, _Tasks] = WeakKeyDictionary()
_observed: dict[Meter, _Observed] = {}
