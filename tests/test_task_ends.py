"""What a task of Ray or Spark has recorded is delivered before its result is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from dtmetrics import MemoryExporter
from dtmetrics._runtime import task_ends
from dtmetrics._runtime.runtime import Runtime
from dtmetrics._runtime.task_ends import TaskEnds
from dtmetrics._runtime.worker_process import is_worker
from tests.support.runtime_calls import inc, keys
from tests.support.timer_clock import Clock


class Context:
    """What a task of Spark has, as PySpark defines it."""

    current: object = None

    @classmethod
    def _setTaskContext(cls, context: object) -> None:  # noqa: N802
        cls.current = context


class Ray:
    """Ray's object for a process, which makes contexts for results."""

    def __init__(self, mode: int = 1, *, is_async: bool = False) -> None:
        self.mode = mode
        self.core_worker = SimpleNamespace(current_actor_is_asyncio=lambda: is_async)

    def get_serialization_context(self, job: int = 0) -> str:
        """Return one."""
        return f"context {job}"

    def main_loop(self) -> str:
        """Run a task that returns."""
        return self.get_serialization_context(3)

    def put_object(self) -> str:
        """Store an object within a task."""
        return self.get_serialization_context()


@pytest.fixture
def spark(monkeypatch: pytest.MonkeyPatch) -> type[Context]:
    """Return the class of contexts in a worker of Spark."""
    tasks: Any = ModuleType("pyspark.taskcontext")
    tasks.TaskContext = type("TaskContext", (Context,), dict(vars(Context)))
    monkeypatch.setitem(sys.modules, "pyspark.taskcontext", tasks)
    monkeypatch.setitem(sys.modules, "pyspark.worker", ModuleType("pyspark.worker"))
    found: type[Context] = tasks.TaskContext
    return found


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Callable[[Ray], Ray]:
    """Return a function that makes this process one of Ray."""

    def make(worker: Ray) -> Ray:
        module: Any = ModuleType("ray._private.worker")
        module.global_worker = worker
        monkeypatch.setitem(sys.modules, "ray._private.worker", module)
        return worker

    return make


def follow() -> list[str]:
    """Follow the tasks of this process twice; return what will have a delivery each."""
    delivered: list[str] = []
    ends = TaskEnds(lambda: delivered.append("x"))
    ends.follow()
    ends.follow()
    return delivered


def test_spark(spark: type[Context]) -> None:
    """The end of a task of Spark delivers, and its begin does not."""
    delivered = follow()
    spark._setTaskContext("task")
    assert spark.current == "task"
    assert delivered == []
    spark._setTaskContext(None)
    assert spark.current is None
    assert delivered == ["x"]


def test_class_of_spark(spark: type[Context]) -> None:
    """A class below keeps a context of its own."""
    follow()
    below = type("Barrier", (spark,), {})
    below._setTaskContext("barrier")
    assert (below.current, spark.current) == ("barrier", None)


def test_ray(ray: Callable[[Ray], Ray]) -> None:
    """The end of a task of Ray delivers, and what the task stores does not."""
    worker = ray(Ray())
    delivered = follow()
    assert worker.put_object() == "context 0"
    assert delivered == []
    assert worker.main_loop() == "context 3"
    assert delivered == ["x"]
    assert is_worker()


def test_actor_of_ray(ray: Callable[[Ray], Ray]) -> None:
    """Calls of an asynchronous actor, which overlap, deliver by the interval alone."""
    worker = ray(Ray(is_async=True))
    delivered = follow()
    worker.main_loop()
    assert delivered == []


@pytest.mark.parametrize("mode", [0, 2, None])
def test_driver_of_ray(ray: Callable[[Ray], Ray], mode: Any) -> None:
    """A driver of Ray is left as it is."""
    worker = ray(Ray(mode))
    delivered = follow()
    worker.main_loop()
    assert delivered == []
    assert "get_serialization_context" not in vars(worker)


def test_other_version(
    ray: Callable[[Ray], Ray], spark: type[Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version without these functions is left as it is, silently."""
    worker = ray(Ray())
    monkeypatch.delattr(Ray, "get_serialization_context")
    del spark._setTaskContext
    monkeypatch.delattr(Context, "_setTaskContext")
    follow()
    assert "get_serialization_context" not in vars(worker)


def test_error(spark: type[Context]) -> None:
    """An error in a delivery does not reach the task."""

    def fail() -> None:
        raise RuntimeError

    TaskEnds(fail).follow()
    spark._setTaskContext(None)


def test_time(spark: type[Context], monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliveries take 5 s at first, and then a tenth of the time."""
    clock = Clock()
    monkeypatch.setattr(task_ends, "monotonic", clock)
    moments: list[float] = []

    def deliver() -> None:
        moments.append(clock.now)
        clock.now += 0.5

    TaskEnds(deliver).follow()
    for _ in range(2_000):  # tasks of 10 ms
        spark._setTaskContext(None)
        clock.now += 0.01
    assert 10 <= len([moment for moment in moments if moment < 1_005.5]) <= 11
    seconds = clock.now - 1_000.0
    assert 5.0 + 0.05 * seconds < 0.5 * len(moments) < 5.5 + 0.1 * seconds


@pytest.mark.parametrize("flush_at_os_exit", [True, False])
def test_runtime(
    runtime: Runtime, spark: type[Context], flush_at_os_exit: bool
) -> None:
    """A configured process delivers at the end of a task, unless that is switched off."""
    exporter = MemoryExporter()
    runtime.configure(
        exporter=exporter, interval=None, flush_at_os_exit=flush_at_os_exit
    )
    spark._setTaskContext(None)
    assert exporter.lines == []
    inc(runtime)
    spark._setTaskContext(None)
    assert ("orders" in keys(exporter)) == flush_at_os_exit
