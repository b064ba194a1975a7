"""What ``instrument_rq()`` records, of real queues and workers in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from dtmetrics import MemoryExporter
from dtmetrics._runtime.runtime import Runtime
from tests.support.redis_server import RedisServer

rq = pytest.importorskip("rq")
redis = pytest.importorskip("redis")
integration = pytest.importorskip("dtmetrics.integrations.rq")


def work(number: int = 1) -> int:
    """Succeed."""
    return number


def fail() -> None:
    """Fail."""
    raise KeyError("no such order")


def again() -> Any:
    """Be run again, once."""
    return rq.Retry(max=1)


NAME = f"{__name__}.%s"


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    """Return a connection to a server of the module's own."""
    with RedisServer() as server:
        connection = redis.Redis(port=server.port)
        yield connection
        connection.close()


@pytest.fixture
def exporter(runtime: Runtime) -> Iterator[MemoryExporter]:
    """Instrument RQ, and record to an exporter."""
    exporter = MemoryExporter()
    runtime.configure(
        exporter=exporter, interval=None, metadata=False, self_metrics=False
    )
    integration.instrument_rq(meter=runtime.get_meter("rq"))
    yield exporter
    integration.uninstrument_rq()


@pytest.fixture
def queue(connection: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return an empty queue, whose workers log no failures."""
    monkeypatch.setattr(logging.getLogger("rq.worker"), "disabled", True)
    connection.flushdb()
    return rq.Queue("mail", connection=connection)


def run_next(queue: Any) -> Any:
    """Run the next job as a SimpleWorker does; return it."""
    worker = rq.SimpleWorker([queue], connection=queue.connection)
    job, its_queue = rq.Queue.dequeue_any([queue], None, connection=queue.connection)
    worker.execute_job(job, its_queue)
    return job


def sent(runtime: Runtime, exporter: MemoryExporter) -> dict[str, dict[str, str]]:
    """Return the dimensions of what was recorded, by metric key; one line of each."""
    assert runtime.flush()
    found: dict[str, dict[str, str]] = {}
    for line in exporter.lines:
        name, *rest = line.split(" ")[0].split(",")
        assert name not in found, exporter.lines
        pairs = dict(pair.split("=") for pair in rest)
        del pairs["dt.metrics.source"]
        assert pairs.pop("messaging.system") == "rq"
        found[name] = {key: value.strip('"') for key, value in pairs.items()}
    exporter.lines.clear()
    return found


def test_success(runtime: Runtime, exporter: MemoryExporter, queue: Any) -> None:
    """A job is sent and consumed; it waits, and is processed."""
    queue.enqueue(work, 2)
    task = {"messaging.destination.name": "mail", "rq.task.name": NAME % "work"}
    assert sent(runtime, exporter) == {
        "messaging.client.sent.messages": {
            **task,
            "messaging.operation.name": "send",
        }
    }
    assert run_next(queue).return_value() == 2
    process = {**task, "messaging.operation.name": "process"}
    assert sent(runtime, exporter) == {
        "messaging.client.consumed.messages": process,
        "messaging.process.duration": {**process, "rq.task.state": "finished"},
        "rq.task.wait.duration": task,
        "rq.worker.active_tasks": {},
    }


def states(found: dict[str, dict[str, str]]) -> tuple[str | None, str | None]:
    """Return the state and the error of the only job that was processed."""
    duration = found["messaging.process.duration"]
    return duration.get("rq.task.state"), duration.get("error.type")


def test_failure(runtime: Runtime, exporter: MemoryExporter, queue: Any) -> None:
    """A job that raises has failed, with the class of its exception."""
    queue.enqueue(fail)
    run_next(queue)
    found = sent(runtime, exporter)
    assert states(found) == ("failed", "KeyError")
    assert found["rq.task.failures"] == {
        "messaging.destination.name": "mail",
        "rq.task.name": NAME % "fail",
        "error.type": "KeyError",
    }
    assert "rq.task.retries" not in found


def test_retry(runtime: Runtime, exporter: MemoryExporter, queue: Any) -> None:
    """A job that raises and will run again is a retry and no failure; the last is one."""
    queue.enqueue(fail, retry=rq.Retry(max=1))
    sent(runtime, exporter)
    run_next(queue)
    found = sent(runtime, exporter)
    assert states(found) == ("retried", "KeyError")
    assert found["rq.task.retries"]["error.type"] == "KeyError"
    assert "messaging.client.sent.messages" in found
    assert "rq.task.failures" not in found
    run_next(queue)
    assert states(sent(runtime, exporter)) == ("failed", "KeyError")


@pytest.mark.skipif(not hasattr(rq.Worker, "handle_job_retry"), reason="needs RQ 2.2")
def test_returned_retry(runtime: Runtime, exporter: MemoryExporter, queue: Any) -> None:
    """A job that returns a Retry is a retry, until RQ lets it fail."""
    queue.enqueue(again)
    run_next(queue)
    found = sent(runtime, exporter)
    assert states(found) == ("retried", None)
    assert "rq.task.retries" in found
    run_next(queue)
    found = sent(runtime, exporter)
    assert states(found) == ("failed", None)
    assert "rq.task.failures" in found


def test_killed(runtime: Runtime, exporter: MemoryExporter, queue: Any) -> None:
    """The worker counts a job whose process was killed."""
    worker = rq.Worker([queue], connection=queue.connection)
    job = queue.enqueue(work)
    sent(runtime, exporter)
    worker.prepare_execution(job)
    job.started_at = job.ended_at = job.enqueued_at
    worker.handle_job_failure(job, queue, exc_string="killed")
    found = sent(runtime, exporter)
    assert states(found) == ("failed", "rq.exceptions.AbandonedJobError")


def test_stopped(runtime: Runtime, exporter: MemoryExporter, queue: Any) -> None:
    """A job that was stopped by command has not failed."""
    worker = rq.Worker([queue], connection=queue.connection)
    job = queue.enqueue(work)
    sent(runtime, exporter)
    worker.prepare_execution(job)
    job.started_at = job.ended_at = job.enqueued_at
    worker._stopped_job_id = job.id
    worker.handle_job_failure(job, queue, exc_string="stopped")
    found = sent(runtime, exporter)
    assert states(found) == ("stopped", None)
    assert "rq.task.failures" not in found


def test_synchronous_queue(
    runtime: Runtime, exporter: MemoryExporter, connection: Any
) -> None:
    """A job of a synchronous queue is processed, without a message or a wait."""
    queue = rq.Queue("here", connection=connection, is_async=False)
    assert queue.enqueue(work, 3).return_value() == 3
    found = sent(runtime, exporter)
    assert states(found) == ("finished", None)
    assert found.keys() == {"messaging.process.duration"}
    queue.enqueue(fail)
    found = sent(runtime, exporter)
    assert states(found) == ("failed", "KeyError")
    assert found["rq.task.failures"]["messaging.destination.name"] == "here"


def test_many(runtime: Runtime, exporter: MemoryExporter, queue: Any) -> None:
    """Each of several jobs that are enqueued at once is counted."""
    queue.enqueue_many([rq.Queue.prepare_data(work) for _ in range(3)])
    assert runtime.flush()
    [line] = exporter.lines
    assert " count,delta=3 " in line


def test_failed_enqueue(
    runtime: Runtime, exporter: MemoryExporter, queue: Any, monkeypatch: Any
) -> None:
    """A message that could not be sent is counted with its error, which is raised."""

    def push_job_id(*_: object, **__: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(rq.Queue, "push_job_id", push_job_id)
    with pytest.raises(ConnectionResetError):
        queue.enqueue(work)
    [dimensions] = sent(runtime, exporter).values()
    assert dimensions["error.type"] == "ConnectionResetError"


def test_damaged_job(runtime: Runtime, exporter: MemoryExporter, queue: Any) -> None:
    """A job whose function cannot be read is counted as invalid, and harms nothing."""
    job = queue.enqueue(work)
    sent(runtime, exporter)
    connection = queue.connection
    connection.hset(job.key, "data", b"damaged")
    run_next(queue)
    assert sent(runtime, exporter).keys() == {"rq.worker.active_tasks"}
    assert runtime.stats().invalid == {"task that cannot be described": 1}


def test_job_without_a_time(
    runtime: Runtime, exporter: MemoryExporter, queue: Any
) -> None:
    """A job that was enqueued without a time has no wait."""
    worker = rq.Worker([queue], connection=queue.connection)
    job = queue.enqueue(work)
    sent(runtime, exporter)
    worker.prepare_execution(job)
    job.started_at = job.ended_at = job.enqueued_at
    job.enqueued_at = None
    worker.handle_job_failure(job, queue, exc_string="killed")
    assert "rq.task.wait.duration" not in sent(runtime, exporter)


def test_uninstrument(runtime: Runtime, exporter: MemoryExporter, queue: Any) -> None:
    """RQ has its own methods again; a wrapper of another library around ours passes on."""
    ours = rq.Queue._enqueue_job

    def theirs(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs)

    rq.Queue._enqueue_job = theirs
    integration.uninstrument_rq()
    assert rq.Queue._enqueue_job is theirs
    rq.Queue._enqueue_job = ours.__wrapped__
    assert not hasattr(rq.Worker.execute_job, "__wrapped__")
    ours(queue, queue.create_job(work))
    run_next(queue)
    integration.uninstrument_rq()
    assert runtime.flush()
    assert exporter.lines == []


def test_beside_another_library(monkeypatch: pytest.MonkeyPatch, queue: Any) -> None:
    """A wrapper by wrapt, which was there before, still gets the queue as its object."""
    wrapt = pytest.importorskip("wrapt")
    seen: list[tuple[Any, int]] = []

    def around(method: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append((instance, len(args)))
        return method(*args, **kwargs)

    theirs = wrapt.FunctionWrapper(rq.Queue._enqueue_job, around)
    monkeypatch.setattr(rq.Queue, "_enqueue_job", theirs)
    runtime = Runtime()
    integration.instrument_rq(meter=runtime.get_meter("rq"))
    queue.enqueue(work)
    integration.uninstrument_rq()
    assert seen == [(queue, 1)]


def test_twice(runtime: Runtime, exporter: MemoryExporter, queue: Any) -> None:
    """A second call changes nothing."""
    integration.instrument_rq()
    queue.enqueue(work)
    assert len(sent(runtime, exporter)) == 1


def test_before_configure(queue: Any) -> None:
    """Without configure() RQ works as before, and nothing is recorded."""
    runtime = Runtime()
    integration.instrument_rq(meter=runtime.get_meter("rq"))
    try:
        queue.enqueue(work, 4)
        assert run_next(queue).return_value() == 4
    finally:
        integration.uninstrument_rq()
    assert runtime.stats().collected == 0
