from __future__ import annotations

import asyncio
import threading
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

import dtmetrics
from dtmetrics import MemoryExporter
from tests.support.endpoint import PATIENCE, Endpoint
from tests.support.protocol_grammar import Line, lines_of
from tests.support.recorder import Recorder
from tests.support.script import expect

distributed = pytest.importorskip("distributed")
ours = pytest.importorskip("dtmetrics.integrations.dask")
worker_plugin = pytest.importorskip("dtmetrics.integrations.dask.worker_plugin")

pytestmark = [
    # A directory, or a tick of the event loop, takes long on a busy machine.
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.timeout(120),
]

EXECUTIONS = "dask.worker.task.executions"
DURATION = "dask.worker.task.duration"
THREADS = 2


@contextmanager
def cluster() -> Iterator[Any]:
    """Run a cluster whose one worker has threads of this process; return a client."""
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=THREADS,
            processes=False,
            dashboard_address="127.0.0.1:0",
        ) as made,
        distributed.Client(made) as client,
    ):
        yield client


@pytest.fixture(scope="module", autouse=True)
def _offload() -> None:
    """Start the thread of Dask that never ends, or a test would seem to leave it."""
    asyncio.run(distributed.utils.offload(int))


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Return the client of a cluster, all of whose threads have started."""
    with cluster() as made:
        meet(made)
        ours.instrument_dask(made)
        ours.uninstrument_dask(made)
        yield made


@pytest.fixture
def exporter() -> MemoryExporter:
    """Return the exporter of everything that is recorded."""
    made = MemoryExporter()
    dtmetrics.configure(exporter=made, interval=None)
    return made


@pytest.fixture
def instrumented(client: Any, exporter: MemoryExporter) -> Iterator[Any]:
    """Return the client, instrumented."""
    ours.instrument_dask(client)
    yield client
    ours.uninstrument_dask(client)


# -- tasks. They run in threads of this process ----------------------------------------

gates: dict[str, threading.Event] = {}
runs: Tally[str] = Tally()
meeting = threading.Barrier(THREADS)


class Broken(Exception):
    pass


def double(number: int) -> int:
    """Return twice the number."""
    return 2 * number


def same(value: Any) -> Any:
    """Return the value."""
    return value


def fail() -> None:
    """Raise."""
    raise Broken


def wait(name: str) -> None:
    """Run until the gate opens."""
    gates[f"{name} began"].set()
    assert gates[f"{name} may end"].wait(PATIENCE)


def secede_and_wait(name: str) -> None:
    """Leave the thread to other tasks, and run until the gate opens."""
    distributed.secede()
    wait(name)


def reschedule_once(name: str) -> int:
    """Return the number of runs, but not of the first one."""
    runs[name] += 1
    if runs[name] == 1:
        raise distributed.Reschedule
    return runs[name]


def meet_here(number: int) -> None:
    """Wait for the other threads."""
    meeting.wait(PATIENCE)


def meet(client: Any) -> None:
    """Return when all threads of the worker are free, so that all before has ended."""
    tasks = client.map(meet_here, range(THREADS), pure=False)
    distributed.wait(tasks, PATIENCE)


def blocked(client: Any, name: str, function: Any = wait, **options: Any) -> Any:
    """Submit a task that runs until the gate opens; return it when it runs."""
    for what in ("began", "may end"):
        gates[f"{name} {what}"] = threading.Event()
    future = client.submit(function, name, **options)
    assert gates[f"{name} began"].wait(PATIENCE)
    return future


def open_gate(name: str) -> None:
    """End a task."""
    gates[f"{name} may end"].set()


# -- what arrives ----------------------------------------------------------------------


def arrived(exporter: MemoryExporter) -> list[Line]:
    """Flush; return the data points that were sent since the exporter was made."""
    assert dtmetrics.flush(PATIENCE)
    return lines_of(exporter.lines)


def executions(exporter: MemoryExporter) -> Tally[tuple[str, str, str]]:
    """Return the number of executions by prefix, outcome and error."""
    counts: Tally[tuple[str, str, str]] = Tally()
    for line in arrived(exporter):
        if line.key == EXECUTIONS:
            get = line.dimensions.get
            names = ("dask.task.prefix", "dask.task.outcome", "error.type")
            prefix, outcome, error = (get(name, "") for name in names)
            counts[prefix, outcome, error] += int(line.numbers["delta"])
    return counts - Tally(
        {("meet_here", "memory", ""): counts["meet_here", "memory", ""]}
    )


def gauges(exporter: MemoryExporter, key: str) -> dict[str, float]:
    """Return the last values of a gauge by its one dimension."""
    assert dtmetrics.flush(PATIENCE)
    return {
        "".join(
            value for name, value in line.dimensions.items() if name.startswith("dask.")
        ): line.numbers["value"]
        for line in lines_of(exporter.lines, key)
    }


def test_tasks(instrumented: Any, exporter: MemoryExporter) -> None:
    """Each execution is recorded with the prefix of its key, outcome and duration."""
    instrumented.gather(instrumented.map(double, range(20), pure=False))
    assert executions(exporter) == {("double", "memory", ""): 20}
    [duration] = [line for line in arrived(exporter) if line.key == DURATION]
    assert duration.numbers["count"] == 20
    assert 0 <= duration.numbers["min"] <= duration.numbers["max"] < PATIENCE


def test_failed_task(instrumented: Any, exporter: MemoryExporter) -> None:
    """A task that raises has the class of the exception."""
    future = instrumented.submit(fail, pure=False)
    assert isinstance(future.exception(), Broken)
    error = f"{__name__}.Broken"
    assert executions(exporter) == {("fail", "error", error): 1}


def test_task_that_cannot_be_called(
    instrumented: Any, exporter: MemoryExporter
) -> None:
    """A task that Dask cannot call counts as an execution without a duration."""
    import dask

    with dask.annotate(executor="unknown"):
        future = instrumented.submit(double, 1, pure=False)
    assert isinstance(future.exception(), ValueError)
    assert executions(exporter) == {("double", "error", "ValueError"): 1}
    assert DURATION not in {line.key for line in arrived(exporter)}


def test_rescheduled_task(instrumented: Any, exporter: MemoryExporter) -> None:
    """Each execution of a task that reschedules itself is recorded."""
    name = "test_rescheduled_task"
    runs.pop(name, None)
    assert instrumented.submit(reschedule_once, name, pure=False).result(PATIENCE) == 2
    prefix = "reschedule_once"
    assert executions(exporter) == {
        (prefix, "rescheduled", ""): 1,
        (prefix, "memory", ""): 1,
    }


def test_cancelled_task(instrumented: Any, exporter: MemoryExporter) -> None:
    """A task that is cancelled while it runs is recorded once, when it has ended."""
    future = blocked(instrumented, "cancelled", pure=False)
    instrumented.cancel(future)
    # The worker gets this after the cancellation.
    assert instrumented.submit(double, 1, pure=False).result(PATIENCE) == 2
    assert executions(exporter) == {("double", "memory", ""): 1}
    open_gate("cancelled")
    meet(instrumented)
    assert executions(exporter)["wait", "cancelled", ""] == 1
    assert executions(exporter).total() == 2


def test_long_running_task(exporter: MemoryExporter) -> None:
    """A task that leaves its thread to others is recorded when it ends."""
    with cluster() as client:
        ours.instrument_dask(client)
        future = blocked(client, "long", secede_and_wait, pure=False)
        meet(client)
        assert gauges(exporter, "dask.worker.tasks")["long-running"] == 1
        assert executions(exporter) == {}
        open_gate("long")
        future.result(PATIENCE)
        assert executions(exporter) == {("secede_and_wait", "memory", ""): 1}


def test_scattered_data(instrumented: Any, exporter: MemoryExporter) -> None:
    """Data that the client puts into the memory of a worker is not recorded."""
    future = instrumented.scatter([1, 2])
    assert instrumented.gather(future) == [1, 2]
    assert executions(exporter) == {}


def test_task_that_runs_already(client: Any, exporter: MemoryExporter) -> None:
    """A task that runs when its worker is instrumented is recorded."""
    future = blocked(client, "early", pure=False)
    ours.instrument_dask(client)
    open_gate("early")
    future.result(PATIENCE)
    assert executions(exporter) == {("wait", "memory", ""): 1}
    ours.uninstrument_dask(client)


class Worker:
    """A worker of Dask that executes one task, of which it has what the plugin reads."""

    def __init__(self, task: Any = None) -> None:
        executing = [SimpleNamespace(key="task", startstops=[])]
        tasks = {} if task is None else {"task": task}
        self.state = SimpleNamespace(executing=executing, tasks=tasks, long_running=[])

    def end(self, recorder: Recorder, start: str, finish: str) -> None:
        """End the task, as the plugin follows it."""
        plugin = worker_plugin.WorkerMetrics(recorder.meter)
        plugin.setup(self)
        worker_plugin._workers.pop(self)
        plugin.transition("task", start, finish)
        plugin.transition("task", start, finish)  # it has ended


@pytest.mark.parametrize(
    ("start", "finish", "outcome"),
    [
        ("cancelled", "memory", "cancelled"),
        ("cancelled", "error", "cancelled"),
        ("resumed", "memory", "memory"),
        ("resumed", "error", "cancelled"),
        ("resumed", "rescheduled", "cancelled"),
    ],
)
def test_task_that_is_taken_back(
    start: str, finish: str, outcome: str, recorder: Recorder
) -> None:
    """Of a task that was taken back only a result is of use, if it is wanted again."""
    compute = {"action": "compute", "start": 3.0, "stop": 2.0}
    worker = Worker(SimpleNamespace(prefix="a", exception=None, startstops=[compute]))
    worker.end(recorder, start, finish)
    dimensions = f"dask.task.outcome={outcome},dask.task.prefix=a"
    recorder.registry.observers.clear()
    assert recorder.lines() == [
        f"{DURATION},{dimensions} gauge,min=0,max=0,sum=0,count=1",
        f"{EXECUTIONS},{dimensions} count,delta=1",
    ]


def test_task_that_cannot_be_read(recorder: Recorder) -> None:
    """A task of which Dask knows nothing any more is counted as invalid."""
    Worker().end(recorder, "executing", "memory")
    assert list(recorder.registry.invalid_values.total().values()) == [1]


# -- gauges ----------------------------------------------------------------------------


def test_gauges(instrumented: Any, exporter: MemoryExporter) -> None:
    """The gauges are those of tasks that run, that wait and that cannot run."""
    first = blocked(instrumented, "first", pure=False)
    waiting = instrumented.map(same, [first] * 3, pure=False)
    lacking = instrumented.submit(same, 1, resources={"GPU": 1}, pure=False)
    last = blocked(instrumented, "last", pure=False)  # the scheduler has all others
    of_worker = gauges(exporter, "dask.worker.tasks")
    of_scheduler = gauges(exporter, "dask.scheduler.tasks")
    workers = gauges(exporter, "dask.scheduler.workers")
    lacking.cancel()
    for name in ("first", "last"):
        open_gate(name)
    instrumented.gather([last, *waiting])
    assert of_worker["executing"] == 2
    assert of_scheduler["processing"] == 2
    assert of_scheduler["waiting"] == 3
    assert of_scheduler["no-worker"] == 1
    assert sum(workers.values()) == 1
    assert workers["idle"] == 0
    assert gauges(exporter, "dask.scheduler.clients") == {"": 1}
    assert gauges(exporter, "dask.worker.threads") == {"": THREADS}
    assert gauges(exporter, "dask.worker.transfers") == {"incoming": 0, "outgoing": 0}


def test_managed_memory(instrumented: Any, exporter: MemoryExporter) -> None:
    """The size of the results that a worker has is a gauge."""
    future = instrumented.submit(bytes, 100_000, pure=False)
    distributed.wait(future, PATIENCE)
    [size] = gauges(exporter, "dask.worker.memory.managed").values()
    assert size >= 100_000


# -- plugins ---------------------------------------------------------------------------


def test_second_call(client: Any, exporter: MemoryExporter) -> None:
    """A second call changes nothing, and after the opposite nothing is recorded."""
    ours.uninstrument_dask(client)
    ours.instrument_dask(client)
    ours.instrument_dask(client, meter=dtmetrics.get_meter("other"))
    client.submit(double, 1, pure=False).result(PATIENCE)
    assert executions(exporter).total() == 1
    ours.uninstrument_dask(client)
    ours.uninstrument_dask(client)
    before = len(arrived(exporter))
    client.submit(double, 1, pure=False).result(PATIENCE)
    assert len(arrived(exporter)) == before


def test_levels(client: Any) -> None:
    """The level of the integration switches everything off."""
    exporter = MemoryExporter()
    levels = {"dtmetrics.integrations.dask": "OFF"}
    dtmetrics.configure(exporter=exporter, interval=None, levels=levels)
    ours.instrument_dask(client)
    client.submit(double, 1, pure=False).result(PATIENCE)
    assert arrived(exporter) == []
    ours.uninstrument_dask(client)


def test_workers_come_and_go(exporter: MemoryExporter) -> None:
    """A worker that joins is instrumented, and one that closes delivers."""

    async def main() -> None:
        async with (
            distributed.Scheduler(dashboard_address="127.0.0.1:0") as scheduler,
            distributed.Client(scheduler.address, asynchronous=True) as client,
        ):
            await ours.instrument_dask(client)
            async with distributed.Worker(scheduler.address, nthreads=1) as worker:
                assert await client.submit(double, 1) == 2
                assert not any(line.startswith(EXECUTIONS) for line in exporter.lines)
                await worker.close()
            assert any(line.startswith(EXECUTIONS) for line in exporter.lines)

    asyncio.run(main())
    totals = {
        line.key.rpartition(".")[2]: line.numbers["delta"]
        for line in arrived(exporter)
        if line.key.startswith("dask.scheduler.worker.")
    }
    assert totals["removed"] == 1
    assert totals["added"] == 1
    before = len(exporter.lines)
    assert dtmetrics.flush(PATIENCE)
    assert len(exporter.lines) == before  # nor are there gauges of what is closed


END = """
from distributed import Client, LocalCluster
from dtmetrics import configure
from dtmetrics.integrations.dask import instrument_dask

configure(interval=3600.0)
cluster = LocalCluster(n_workers=1, processes=False, dashboard_address=":0")
client = Client(cluster)
instrument_dask(client)
client.gather(client.map(abs, range(10)))
# Else Dask logs, in 4 of 6 runs, that the worker ends with results.
while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
    pass
"""


def test_end_of_the_program() -> None:
    """A program that closes nothing ends silently, and all has arrived."""
    with Endpoint() as endpoint:
        expect(END, DTMETRICS_ENDPOINT=endpoint.url)
        assert endpoint.total(EXECUTIONS) == 10
