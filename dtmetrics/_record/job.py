"""Job: the runs of work that begins and ends, and the time of its last success."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from os import getpid
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from dtmetrics._core.shared import Shared
from dtmetrics._decorate.decorate import AsyncBlock, decorate
from dtmetrics._decorate.hooks import OneHook, error_type
from dtmetrics._record.decorator_order import check_order
from dtmetrics._record.dimensions import as_plain
from dtmetrics._record.gauge import Gauge
from dtmetrics._record.instruments import Summary
from dtmetrics._record.pickling import Reduced, restored_job
from dtmetrics._record.timed_block import UNMATCHED

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Job", "JobInstruments", "Run", "RunningJobs"]

P = ParamSpec("P")
R = TypeVar("R")

#: The dimension that names the job.
NAME = "job.name"


class Run:
    """One run of a job."""

    __slots__ = ("dimensions", "pid", "start")

    def __init__(self, start: float, dimensions: Mapping[str, object]) -> None:
        self.start: float = start
        self.dimensions: Mapping[str, object] = dimensions
        self.pid: int = getpid()

    @property
    def is_here(self) -> bool:
        """Whether it is a run of this process, and not of the one that forked it."""
        return self.pid == getpid()


class RunningJobs:
    """The runs that have begun and not ended, which are observed."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock: Callable[[], float] = clock
        # In the order of their beginnings. A dict, because threads change it.
        self._runs: dict[Run, None] = {}

    def begin(self, dimensions: Mapping[str, object]) -> Run:
        """Return a new run of the job with *dimensions*."""
        run = Run(self.clock(), dimensions)
        self._runs[run] = None
        return run

    def end(self, run: Run) -> float:
        """Return the seconds that *run*, which has ended, has taken."""
        self._runs.pop(run, None)
        return self.clock() - run.start

    def newest(self, dimensions: Mapping[str, object]) -> Run | None:
        """Return the run of that job that began last in this process."""
        return next(
            (
                run
                for run in reversed(list(self._runs))
                if run.dimensions is dimensions and run.is_here
            ),
            None,
        )

    def uptimes(self) -> Iterable[tuple[float, Mapping[str, object]]]:
        """Return for how long each job has been running; of several runs the longest.

        Called at each collection.
        """
        now = self.clock()
        # The last of equal dimensions counts.
        return [
            (now - run.start, run.dimensions)
            for run in reversed(list(self._runs))
            if run.is_here
        ]


class JobInstruments(NamedTuple):
    """What the jobs of a meter record into."""

    duration: Summary
    last_success: Gauge
    running: RunningJobs


class Job(AsyncBlock, Shared):
    """Records the runs of a job, as a decorator or by ``with`` or ``async with``.

    ``job.duration`` is the duration of each run in seconds, with ``job.outcome``
    ``success`` or ``failure``, and with ``error.type`` for a failure. A failure is a
    run that ends by an exception. For a ``SystemExit`` its status decides:
    ``sys.exit()`` and ``sys.exit(0)`` are a success, and ``error.type`` is any other
    status. ``job.last_success`` is the time at which a run last succeeded, in seconds
    since 1970, and is sent at each interval from then on. ``job.uptime`` is sent while
    a run lasts, and is its duration so far in seconds. Each has the dimension
    ``job.name``. ``job()`` makes a job.

    One job may run many times at once. A child that is forked in a run records nothing
    for it.

    >>> from dtmetrics import job
    >>> @job("nightly.import")
    ... def import_orders():
    ...     pass
    >>> with job("nightly.cleanup"):
    ...     import_orders()
    """

    __slots__ = ("_dimensions", "_duration", "_last_success", "_meter", "_running")

    def __init__(
        self,
        meter: Any,  # noqa: ANN401 -- a Meter, whose module imports this one
        dimensions: Mapping[str, object],
        instruments: JobInstruments,
    ) -> None:
        self._meter = meter
        self._dimensions = dimensions
        self._duration = instruments.duration.bind(**dimensions)
        self._last_success = instruments.last_success.bind(**dimensions)
        self._running = instruments.running

    def __repr__(self) -> str:
        return f"<Job {self.name!r}>"

    def __reduce__(self) -> Reduced:
        return restored_job, (self._meter, as_plain((*self._dimensions.items(),)))

    @property
    def name(self) -> object:
        """The name of the job."""
        return self._dimensions[NAME]

    def begin(self) -> Run:
        """Return a run that begins now, for ``end()``."""
        registry = self._duration.registry
        if registry.recording:
            registry.wake()  # the flusher sends that it runs
        return self._running.begin(self._dimensions)

    def end(self, run: Run, failure: str = "") -> None:
        """Record *run*, which ends now; *failure* is its ``error.type``, if it has one.

        A run of the parent, which a forked child leaves as well, is not recorded.
        """
        took = self._running.end(run)
        if not run.is_here or not self._duration.registry.recording:
            return
        outcome: dict[str, object] = {
            "job.outcome": "failure" if failure else "success"
        }
        if failure:
            outcome["error.type"] = failure
        else:
            self._last_success.set(time.time())
        self._duration.record_with(took, outcome)

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        check_order(func, f"job({self.name!r})", self._duration.registry.catalog)
        return decorate(func, OneHook(RunsOfCalls(self)), self._duration.registry)

    def __enter__(self) -> Self:
        _OPEN.set((*_OPEN.get(), (self, self.begin())))
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        run = self._take_open()
        if run is None:
            self._duration.reject(UNMATCHED)
        else:
            self.end(run, failure_of(error))

    def _take_open(self) -> Run | None:
        """Return the newest run of this job that a block of this context began."""
        opened = _OPEN.get()
        for place in reversed(range(len(opened))):
            job, run = opened[place]
            if job is self:
                _OPEN.set((*opened[:place], *opened[place + 1 :]))
                return run
        # An asynchronous generator may be closed in another context.
        return self._running.newest(self._dimensions)


#: The runs whose blocks are open in this context, newest last.
_OPEN: ContextVar[tuple[tuple[Job, Run], ...]] = ContextVar(
    "dtmetrics.jobs", default=()
)


class RunsOfCalls:
    """Record each call as a run."""

    def __init__(self, job: Job) -> None:
        self._job = self.into = job

    def begin(self) -> Run:
        """Begin a run."""
        return self._job.begin()

    def end(self, run: Run, *_: object) -> None:
        """Record a call that returned."""
        self._job.end(run)

    def fail(self, run: Run, error: BaseException, *_: object) -> None:
        """Record a call that raised *error*."""
        self._job.end(run, failure_of(error))


def failure_of(error: BaseException | None) -> str:
    """Return the ``error.type`` of a run that ended by *error*; empty for a success.

    >>> failure_of(KeyError("x")), failure_of(SystemExit(3)), failure_of(SystemExit(0))
    ('KeyError', '3', '')
    """
    # A generator that is closed early leaves its blocks by a GeneratorExit.
    if error is None or isinstance(error, GeneratorExit):
        return ""
    if not isinstance(error, SystemExit):
        return error_type(error)
    code = error.code
    if code is None:
        return ""
    # As the interpreter ends: any other object is printed, and the status is 1. The
    # system keeps 8 bits of it.
    status = code & 0xFF if isinstance(code, int) else 1
    return str(status) if status else ""
