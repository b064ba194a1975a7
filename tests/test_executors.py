"""Tasks of executors: their wait, their duration, and how many there are."""

from __future__ import annotations

import asyncio
import concurrent.futures
import pickle
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest

from dtmetrics._protocol.point import GaugeSummary
from dtmetrics._runtime.runtime import default
from dtmetrics.integrations import executors as ours
from dtmetrics.integrations.executors import (
    instrument_executor,
    uninstrument_executor,
)
from tests.support.endpoint import PATIENCE, Endpoint
from tests.support.garbage_collector import no_collector
from tests.support.protocol_grammar import lines_of
from tests.support.recorder import Recorder
from tests.support.script import expect

WAIT, DURATION = "executor.task.wait.duration", "executor.task.duration"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Return a pool with two threads."""
    with ThreadPoolExecutor(2) as made:
        yield made


def counted(recorder: Recorder) -> dict[tuple[str, str], int]:
    """Return how many values each summary has, by key and error."""
    return {
        (key, dict(pairs).get("error.type", "")): payload.count
        for (key, pairs), payload in recorder.payloads().items()
        if isinstance(payload, GaugeSummary)
    }


def gauges(recorder: Recorder) -> list[str]:
    """Return the lines of the gauges, in short."""
    return [
        line.removeprefix("executor.").replace("_tasks,executor.name=", " ")
        for line in recorder.lines()
        if "_tasks" in line
    ]


def fail() -> None:
    """Raise an error."""
    raise KeyError("x")


def test_tasks(recorder: Recorder, pool: ThreadPoolExecutor) -> None:
    """Each task is recorded once, with its error if it raises one."""
    instrument_executor(pool, name="mail", meter=recorder.meter)
    instrument_executor(pool, name="other", meter=recorder.meter)
    assert pool.submit(pow, 2, 3).result() == 8
    assert pool.submit(lambda fn, **kwargs: (fn, kwargs), 1, task=2).result() == (
        1,
        {"task": 2},
    )
    assert list(pool.map(abs, [-1, 2])) == [1, 2]
    failed = pool.submit(fail)
    with pytest.raises(KeyError) as caught:
        failed.result()
    assert caught.value is failed.exception()
    assert counted(recorder) == {
        (WAIT, ""): 5,
        (DURATION, ""): 4,
        (DURATION, "KeyError"): 1,
    }


def test_wait(
    recorder: Recorder, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait ends when the task is called, and then its duration begins."""
    monkeypatch.setattr(ours, "monotonic", iter([10.0, 13.0, 18.0]).__next__)
    instrument_executor(pool, name="mail", meter=recorder.meter)
    pool.submit(int).result()
    pool.shutdown()
    lines = [line for line in recorder.lines() if "_tasks" not in line]
    assert lines == [
        f"{DURATION},executor.name=mail gauge,min=5,max=5,sum=5,count=1",
        f"{WAIT},executor.name=mail gauge,min=3,max=3,sum=3,count=1",
    ]


def test_gauges(recorder: Recorder, pool: ThreadPoolExecutor) -> None:
    """Tasks that run and tasks that wait are gauges, until they end or are cancelled."""
    instrument_executor(pool, name="mail", meter=recorder.meter)
    assert gauges(recorder) == ["active mail gauge,0", "queued mail gauge,0"]
    go_on = threading.Event()
    tasks: list[Future[Any]] = [pool.submit(go_on.wait, PATIENCE) for _ in range(5)]
    assert gauges(recorder) == ["active mail gauge,2", "queued mail gauge,3"]
    assert tasks[4].cancel()
    assert gauges(recorder) == ["active mail gauge,2", "queued mail gauge,2"]
    go_on.set()
    concurrent.futures.wait(tasks[:4])
    pool.shutdown()
    assert gauges(recorder) == ["active mail gauge,0", "queued mail gauge,0"]


def test_one_name(recorder: Recorder) -> None:
    """Executors of one name are added up; the name of the class is the default."""
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        for each in (first, second):
            instrument_executor(each, meter=recorder.meter)
        go_on = threading.Event()
        for each in (first, first, second):
            each.submit(go_on.wait, PATIENCE)
        assert gauges(recorder) == [
            "active ThreadPoolExecutor gauge,2",
            "queued ThreadPoolExecutor gauge,1",
        ]
        go_on.set()


def test_run_in_executor(recorder: Recorder, pool: ThreadPoolExecutor) -> None:
    """A task that an event loop submits is recorded, also by its default executor."""
    instrument_executor(pool, meter=recorder.meter)

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(pool)
        return [
            await loop.run_in_executor(pool, abs, -1),
            await asyncio.to_thread(abs, -2),
        ]

    assert asyncio.run(main()) == [1, 2]
    assert counted(recorder)[DURATION, ""] == 2


def test_context(recorder: Recorder, pool: ThreadPoolExecutor) -> None:
    """A task has the context that it has without being recorded."""
    variable = ContextVar("variable", default="none")
    variable.set("of the caller")
    instrument_executor(pool, meter=recorder.meter)
    with recorder.registry.context(tenant="acme"):
        found = pool.submit(variable.get).result()
    with ThreadPoolExecutor(1) as plain:
        assert found == plain.submit(variable.get).result()
    assert not any("tenant" in line for line in recorder.lines())


class Pool(ThreadPoolExecutor):
    """A pool with a submit() of its own."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit the call of *fn* with one more argument."""
        return super().submit(fn, *args, 7, **kwargs)


def test_subclass(recorder: Recorder) -> None:
    """The class of an executor keeps its name and its own methods."""
    with Pool(1) as pool:
        instrument_executor(pool, name="own", meter=recorder.meter)
        assert pool.submit(max, 1).result() == 7
        assert isinstance(pool, Pool)
        kind = type(pool)
        assert (kind.__name__, kind.__module__) == ("Pool", __name__)
        assert kind.__doc__ == Pool.__doc__
        assert kind.submit.__doc__ == Pool.submit.__doc__
    assert counted(recorder)[DURATION, ""] == 1


def test_uninstrument(recorder: Recorder, pool: ThreadPoolExecutor) -> None:
    """Afterwards the executor is what it was, and is not observed."""
    instrument_executor(pool, meter=recorder.meter)
    submit = pool.submit
    uninstrument_executor(pool)
    uninstrument_executor(pool)
    assert type(pool) is ThreadPoolExecutor
    assert submit(abs, -1).result() == pool.submit(abs, -1).result() == 1
    assert recorder.lines() == []


def test_not_recording(recorder: Recorder, pool: ThreadPoolExecutor) -> None:
    """While nothing is recorded, functions are submitted as they are."""
    instrument_executor(pool, meter=recorder.meter)
    recorder.registry.stop()
    assert pool.submit(abs, -1).result() == 1
    assert recorder.registry.series_count == 0


def test_garbage(recorder: Recorder) -> None:
    """An executor without references is gone at once, and is not observed."""
    pool = ThreadPoolExecutor(1)
    instrument_executor(pool, meter=recorder.meter)
    pool.submit(int).result()
    pool.shutdown()
    gone = weakref.ref(pool)
    with no_collector():
        del pool
        assert gone() is None
    assert gauges(recorder) == []
    other = ThreadPoolExecutor(1)
    instrument_executor(other, meter=recorder.meter)
    assert len(ours._observed_by(recorder.meter)._all) == 1


def test_after_a_fork(recorder: Recorder, pool: ThreadPoolExecutor) -> None:
    """A forked child does not count the tasks of its parent."""
    instrument_executor(pool, name="mail", meter=recorder.meter)
    go_on = threading.Event()
    pool.submit(go_on.wait, PATIENCE)
    recorder.registry.reset_after_fork()
    assert gauges(recorder)[0] == "active mail gauge,0"
    go_on.set()


def test_pickled_task(recorder: Recorder) -> None:
    """A task is pickled with its meter, name and time, as a process pool does it."""
    meter = default.get_meter("tests.pool")
    task = pickle.loads(pickle.dumps(ours._Task(meter, "pool", 1.5, abs)))
    assert (task.meter, task.name, task.submitted) == (meter, "pool", 1.5)
    assert task(-3) == 3


PROCESSES = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import dtmetrics
from dtmetrics.integrations.executors import instrument_executor

dtmetrics.configure(interval=None)

def main():
    with ProcessPoolExecutor(2, mp_context=get_context(sys.argv[1])) as pool:
        instrument_executor(pool, name="numbers")
        print(sum(pool.map(abs, range(-10, 0))))
        print(type(pool.submit(int, "x").exception()).__name__)
        print(pool.submit(lambda: 0).exception() is not None)

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize(
    "method",
    [
        "fork",
        pytest.param("spawn", marks=pytest.mark.processes),
        pytest.param("forkserver", marks=pytest.mark.processes),
    ],
)
def test_processes(method: str, tmp_path: Any) -> None:
    """The workers of a process pool record the tasks, and the parent counts them."""
    path = tmp_path / "numbers_program.py"
    path.write_text(PROCESSES, "utf-8")
    run = f"import runpy, sys; sys.argv[0] = {str(path)!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
    with Endpoint() as endpoint:
        out = expect(run, method, DTMETRICS_ENDPOINT=endpoint.url)
    assert out.splitlines() == ["55", "ValueError", "True"]
    counts = {
        key: sum(
            line.numbers["count"]
            for line in lines_of(endpoint.lines, key)
            if line.dimensions["executor.name"] == "numbers"
        )
        for key in (WAIT, DURATION)
    }
    assert counts == {WAIT: 11, DURATION: 11}
    failed = [line for line in endpoint.lines if "error.type=ValueError" in line]
    assert len(failed) == 1


class Inline(Executor):
    """Another executor."""


def test_wrong() -> None:
    """Instrumenting another executor raises, with the name of its class."""
    with pytest.raises(TypeError, match=r"got an object of Inline$"):
        instrument_executor(Inline())
    uninstrument_executor(Inline())


def test_subinterpreters(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instrumenting an executor of subinterpreters raises, although it is one of threads."""
    monkeypatch.setattr(
        concurrent.futures, "InterpreterPoolExecutor", ThreadPoolExecutor, raising=False
    )
    with pytest.raises(TypeError, match="executor must be a ThreadPoolExecutor"):
        instrument_executor(pool)


def test_processes_are_not_imported() -> None:
    """The module is imported without that of process pools."""
    program = """
import sys
from concurrent.futures import ThreadPoolExecutor
from dtmetrics.integrations.executors import instrument_executor
instrument_executor(ThreadPoolExecutor())
print("concurrent.futures.process" in sys.modules)
"""
    assert expect(program) == "False\n"
