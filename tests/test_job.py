from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import gc
import inspect
import os
import pickle
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import dtmetrics
from dtmetrics._record.job import RunningJobs, failure_of
from tests.support.protocol_grammar import Line, read
from tests.support.recorder import Recorder
from tests.support.script import NO_COLLECTION, run


def by_key(recorder: Recorder) -> dict[str, list[Line]]:
    """Collect; return the lines by key."""
    found: dict[str, list[Line]] = {}
    for line in recorder.lines():
        found.setdefault(read(line).key, []).append(read(line))
    return found


def outcomes(recorder: Recorder) -> dict[str, float]:
    """Collect; return the numbers of runs by ``error.type``, or by success."""
    return {
        line.dimensions.get("error.type", line.dimensions["job.outcome"]): (
            line.numbers["count"]
        )
        for line in by_key(recorder).get("job.duration", [])
    }


def test_success(recorder: Recorder) -> None:
    """A run that returns is a success, and its time is a gauge of seconds since 1970."""
    before = time.time()
    with recorder.meter.job("nightly", dimensions={"region": "eu"}):
        pass
    lines = by_key(recorder)
    [duration], [last] = lines["job.duration"], lines["job.last_success"]
    dimensions = {"job.name": "nightly", "region": "eu"}
    assert duration.dimensions == {**dimensions, "job.outcome": "success"}
    assert duration.numbers["count"] == 1
    assert last.dimensions == dimensions
    assert before <= last.numbers["value"] <= time.time()


def test_last_success_goes_on(recorder: Recorder) -> None:
    """The time of the last success is sent at each collection, also after a failure."""
    job = recorder.meter.job("nightly")
    with job:
        pass
    [first] = by_key(recorder)["job.last_success"]
    with pytest.raises(KeyError), job:
        raise KeyError
    assert by_key(recorder)["job.last_success"] == [first]
    assert by_key(recorder)["job.last_success"] == [first]


def test_no_success(recorder: Recorder) -> None:
    """A job that has never succeeded has no time of success."""
    with pytest.raises(KeyError), recorder.meter.job("nightly"):
        raise KeyError
    assert by_key(recorder).keys() == {"job.duration"}


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (None, ""),
        (GeneratorExit(), ""),
        (KeyError(), "KeyError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (asyncio.CancelledError(), "asyncio.exceptions.CancelledError"),
        (SystemExit(), ""),
        (SystemExit(0), ""),
        (SystemExit(False), ""),
        (SystemExit(3), "3"),
        (SystemExit(True), "1"),
        (SystemExit(-1), "255"),
        (SystemExit(256), ""),
        (SystemExit("no file"), "1"),
        (SystemExit(""), "1"),
        (SystemExit([]), "1"),
    ],
)
def test_failure_of(error: BaseException | None, failure: str) -> None:
    """An exception is a failure; of a SystemExit the status decides, as at the end."""
    assert failure_of(error) == failure


@pytest.mark.processes
@pytest.mark.skipif(os.name == "nt", reason="Windows keeps 32 bits of a status")
@pytest.mark.parametrize("code", ["", "0", "3", "-1", "256", "'text'", "[]", "True"])
def test_status_as_the_interpreter(code: str) -> None:
    """The failure of a SystemExit is the status that the interpreter ends with."""
    ended = run(f"import sys; sys.exit({code})")
    error = SystemExit(*([eval(code)] if code else []))
    assert failure_of(error) == (str(ended.status) if ended.status else "")


# -- as a decorator ------------------------------------------------------------------


def test_function(recorder: Recorder) -> None:
    """A decorated function keeps its signature, result and exceptions."""

    @recorder.meter.job("nightly")
    def work(number: int, *, fail: bool = False) -> int:
        """Return *number*."""
        if fail:
            raise KeyError(number)
        return number

    assert (
        str(inspect.signature(work))
        == "(number: 'int', *, fail: 'bool' = False) -> 'int'"
    )
    assert work(3) == 3
    with pytest.raises(KeyError):
        work(3, fail=True)
    assert outcomes(recorder) == {"success": 1, "KeyError": 1}


def test_coroutine_function(recorder: Recorder) -> None:
    """A decorated coroutine function is one run for each call that is awaited."""

    @recorder.meter.job("nightly")
    async def work(seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def main() -> None:
        await work(0)
        cancelled = asyncio.ensure_future(work(3_600))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled

    assert inspect.iscoroutinefunction(work)
    asyncio.run(main())
    cancelled = "asyncio.exceptions.CancelledError"
    assert outcomes(recorder) == {"success": 1, cancelled: 1}


def test_generators(recorder: Recorder) -> None:
    """A generator is a run from its first step to its last, or until it is closed."""
    job = recorder.meter.job("nightly")

    @job
    def steps() -> Iterator[int]:
        yield 1
        yield 2

    @job
    async def asteps() -> AsyncIterator[int]:
        yield 1
        raise KeyError

    async def main() -> None:
        with pytest.raises(KeyError):
            async for _ in asteps():
                pass

    assert list(steps()) == [1, 2]
    closed = steps()
    assert next(closed) == 1
    assert "job.uptime" in by_key(recorder)
    closed.close()  # type: ignore[attr-defined]
    asyncio.run(main())
    assert outcomes(recorder) == {"success": 1, "KeyError": 1}
    assert "job.uptime" not in by_key(recorder)


def test_class(recorder: Recorder) -> None:
    """Each public method of a decorated class is a run."""

    @recorder.meter.job("nightly")
    class Work:
        def do(self) -> None:
            """Do nothing."""

    Work().do()
    assert outcomes(recorder) == {"success": 1}


def test_without_parentheses() -> None:
    """The decorator without a name raises a TypeError that shows how it is written."""
    with pytest.raises(TypeError, match=r'write @job\("a.name"\), not @job'):
        dtmetrics.job(lambda: None)  # type: ignore[arg-type]


def test_unconfigured() -> None:
    """Before a start nothing is recorded, and a decorated call begins no run."""
    recorder = Recorder()
    recorder.registry.stop()
    job = recorder.meter.job("nightly")
    decorated = job(lambda: [*job._running.uptimes()])
    assert decorated() == []
    with job:
        pass
    assert recorder.lines() == []
    assert recorder.wakes == 0


# -- blocks --------------------------------------------------------------------------


def test_block_of_a_task(recorder: Recorder) -> None:
    """An ``async with`` block is a run as well, and gives the job."""

    async def main() -> None:
        job = recorder.meter.job("nightly")
        async with job as entered:
            assert entered is job

    asyncio.run(main())
    assert outcomes(recorder) == {"success": 1}


def test_one_job_many_times_at_once(recorder: Recorder) -> None:
    """Threads, inner blocks and stacks may share a job: each entry is one run."""
    job = recorder.meter.job("nightly")
    begun, end = threading.Barrier(4), threading.Event()

    def work() -> None:
        with job:
            begun.wait(30)
            assert end.wait(30)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun.wait(30)
    with job, ExitStack() as stack:
        stack.enter_context(job)
        assert len([*job._running.uptimes()]) == 5
        end.set()
        for thread in threads:
            thread.join()
        assert len([*job._running.uptimes()]) == 2
    assert outcomes(recorder) == {"success": 5}
    assert [*job._running.uptimes()] == []


def test_crossing_blocks(recorder: Recorder) -> None:
    """Blocks of two jobs may end in another order than they began."""
    import_, cleanup = recorder.meter.job("import"), recorder.meter.job("cleanup")
    import_.__enter__()
    cleanup.__enter__()
    import_.__exit__(None, None, None)
    assert [at["job.name"] for _, at in import_._running.uptimes()] == ["cleanup"]
    cleanup.__exit__(None, KeyError(), None)
    assert outcomes(recorder) == {"success": 1, "KeyError": 1}


def test_exit_in_another_context(recorder: Recorder) -> None:
    """A block that is left in another context, as asyncio closes generators, ends."""
    job = recorder.meter.job("nightly")
    contextvars.copy_context().run(job.__enter__)
    job.__exit__(None, None, None)
    assert outcomes(recorder) == {"success": 1}
    assert [*job._running.uptimes()] == []


def test_exit_without_entry(recorder: Recorder) -> None:
    """An exit without an entry records nothing and is counted as invalid."""
    with recorder.meter.job("another"):
        recorder.meter.job("nightly").__exit__(None, None, None)
    assert [*recorder.registry.invalid_values.total().values()] == [1]
    assert outcomes(recorder) == {"success": 1}


# -- the heartbeat -------------------------------------------------------------------


def test_uptime(recorder: Recorder) -> None:
    """While runs last, the longest duration of each job is sent; afterwards nothing."""
    now = [100.0]
    import_, cleanup = recorder.meter.job("import"), recorder.meter.job("cleanup")
    import_._running.clock = lambda: now[0]
    with import_:
        now[0] += 30
        with import_, cleanup:
            now[0] += 12
            lines = by_key(recorder)["job.uptime"]
    uptimes = {line.dimensions["job.name"]: line.numbers["value"] for line in lines}
    assert uptimes == {"import": 42, "cleanup": 12}
    lines = by_key(recorder)["job.duration"]
    sums = {line.dimensions["job.name"]: line.numbers for line in lines}
    assert (sums["import"]["max"], sums["import"]["sum"]) == (42, 54)
    assert "job.uptime" not in by_key(recorder)


def test_run_wakes_the_flusher(recorder: Recorder) -> None:
    """A run that records nothing yet is sent: its begin starts the flusher."""
    with recorder.meter.job("nightly"):
        assert recorder.wakes == 1


def test_jobs_of_bound_meters(recorder: Recorder) -> None:
    """The dimensions of a meter are those of its jobs, while they run as well."""
    meter = recorder.meter.bind(region="eu")
    with meter.job("nightly"):
        running = by_key(recorder)["job.uptime"]
    [ended] = by_key(recorder)["job.duration"]
    for line in *running, ended:
        assert line.dimensions["region"] == "eu"


def test_many_jobs_leave_nothing(recorder: Recorder) -> None:
    """Jobs that are made where they run add no observers."""
    for number in range(10):
        with recorder.meter.job(f"job{number}"):
            pass
    gc.collect()
    assert len(recorder.registry.observers) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_child(recorder: Recorder) -> None:
    """A child that is forked in a run and leaves its block records nothing for it."""
    job = recorder.meter.job("nightly")
    pid = 0
    try:
        with job:
            pid = os.fork()
            if not pid:
                here = [*job._running.uptimes()]
        if not pid:
            os._exit(3 if here or recorder.lines() else 0)
    except BaseException:
        if not pid:
            os._exit(4)
        raise
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert outcomes(recorder) == {"success": 1}


def test_uptimes_of_equal_jobs() -> None:
    """Of several runs the longest is the last, which is the one that is sent."""
    running = RunningJobs(iter([1.0, 2.0, 3.0]).__next__)
    dimensions = {"job.name": "nightly"}
    running.begin(dimensions)
    running.begin(dimensions)
    assert [seconds for seconds, _ in running.uptimes()] == [1.0, 2.0]


# -- copies --------------------------------------------------------------------------


@dtmetrics.job("pickled", dimensions={"region": "eu"})
def pickled() -> int:
    """Return 3."""
    return 3


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda job: pickle.loads(pickle.dumps(job))]
)
def test_copies(copied: Callable[[Any], Any]) -> None:
    """A job and what it decorates can be copied and pickled."""
    job = dtmetrics.job("nightly", dimensions={"region": "eu"})
    assert copied(job)._dimensions == {"job.name": "nightly", "region": "eu"}
    assert copied(job).name == "nightly"
    assert repr(copied(job)) == "<Job 'nightly'>"
    assert copied(functools.partial(pickled))() == 3


def test_by_value() -> None:
    """A function that no other process can import is pickled with its job."""
    cloudpickle = pytest.importorskip("cloudpickle")
    decorated = dtmetrics.job("nightly")(lambda number: number + 1)
    assert cloudpickle.loads(cloudpickle.dumps(decorated))(2) == 3


# -- a whole program -----------------------------------------------------------------


@pytest.mark.processes
def test_script() -> None:
    """A short script delivers its run at the end, also if it ends by an exception."""
    program = """
import sys, dtmetrics
dtmetrics.configure(exporter=dtmetrics.ConsoleExporter(sys.stdout))
with dtmetrics.job("nightly"):
    sys.exit(int(sys.argv[1]))
"""
    for status in 0, 3:
        ended = run(NO_COLLECTION + program, status)
        assert (ended.status, ended.err) == (status, "")
        assert ("job.outcome=failure" in ended.out) == bool(status)
        assert ("job.last_success," in ended.out) == (not status)
