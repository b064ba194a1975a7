from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

import pytest

from dtmetrics._record.options import RecordingOptions
from dtmetrics.errors import DecoratorOrderError, DefinitionError
from tests.support.recorder import Recorder


def new() -> Callable[[], None]:
    """Return a function; some frameworks change the one that they register."""

    def work() -> None:
        """Do nothing."""

    return work


def celery_task() -> Any:
    """Return a task of Celery, which is not evaluated yet."""
    celery = pytest.importorskip("celery")
    return celery.Celery("shop", set_as_current=False).task(shared=False)(new())


def celery_finalized_task() -> Any:
    """Return a task of Celery."""
    celery = pytest.importorskip("celery")
    app = celery.Celery("shop", set_as_current=False)
    task = app.task(shared=False)(new())
    app.finalize()
    return app.tasks[task.name]


def celery_shared_task() -> Any:
    """Return a task of whichever application is current."""
    return pytest.importorskip("celery").shared_task(name="shared")(new())


def click_command() -> Any:
    """Return a command of click."""
    return pytest.importorskip("click").command()(new())


def click_group() -> Any:
    """Return a group of commands."""
    return pytest.importorskip("click").group()(new())


def dramatiq_actor() -> Any:
    """Return an actor of dramatiq."""
    dramatiq = pytest.importorskip("dramatiq")
    stub = pytest.importorskip("dramatiq.brokers.stub")
    return dramatiq.actor(broker=stub.StubBroker())(new())


def huey_task() -> Any:
    """Return a task of huey."""
    return pytest.importorskip("huey").MemoryHuey().task()(new())


def litestar_handler() -> Any:
    """Return a route of Litestar."""
    return pytest.importorskip("litestar").get("/", sync_to_thread=False)(new())


def pytest_fixture() -> Any:
    """Return a fixture of pytest."""
    return pytest.fixture(new())


def ray_task() -> Any:
    """Return a task of Ray."""
    return pytest.importorskip("ray").remote(new())


def taskiq_task() -> Any:
    """Return a task of taskiq."""
    return pytest.importorskip("taskiq").InMemoryBroker().task(new())


REGISTERED = {
    celery_task: ("@app.task", "Celery"),
    celery_finalized_task: ("@app.task", "Celery"),
    celery_shared_task: ("@app.task", "Celery"),
    click_command: ("@click.command()", "click"),
    click_group: ("@click.command()", "click"),
    dramatiq_actor: ("@dramatiq.actor", "dramatiq"),
    huey_task: ("@huey.task()", "huey"),
    litestar_handler: ("@get() and the like", "Litestar"),
    pytest_fixture: ("@pytest.fixture", "pytest"),
    ray_task: ("@ray.remote", "Ray"),
    taskiq_task: ("@broker.task", "taskiq"),
}

DECORATORS: dict[str, Callable[[Recorder], Callable[[Any], Any]]] = {
    "context": lambda recorder: recorder.registry.context(tenant="acme"),
    "counter": lambda recorder: recorder.meter.counter("a.counter"),
    "gauge": lambda recorder: recorder.meter.gauge("a.gauge"),
    "timed": lambda recorder: recorder.meter.timed("a.timer"),
    "timed without parentheses": lambda recorder: recorder.meter.timed,
}


def work() -> None:
    """Do nothing."""


def other_line(offset: int) -> str:
    """Return the line of the caller, *offset* lines further on, as errors name it."""
    caller = inspect.currentframe().f_back  # type: ignore[union-attr]
    return f"{__file__}:{caller.f_lineno + offset}"  # type: ignore[union-attr]


@pytest.mark.parametrize("make", REGISTERED, ids=lambda make: make.__name__)
def test_registered_target(make: Callable[[], Any]) -> None:
    """Decorating what a framework has registered raises, with the right order and the place."""
    target = make()
    above, framework = REGISTERED[make]
    timer = Recorder(strict=True).meter.timed("work.duration")
    place = other_line(2)
    with pytest.raises(DecoratorOrderError) as raised:
        timer(target)
    text = str(raised.value)
    assert text.startswith("summary 'work.duration' (defined at ")
    assert f" must be below {above} at {place}, because {framework} calls" in text


@pytest.mark.parametrize("name", DECORATORS)
def test_each_decorator(name: str) -> None:
    """Every decorator raises for a registered target, as for an error in the definition."""
    decorator = DECORATORS[name](Recorder(strict=True))
    with pytest.raises(DefinitionError, match="must be below @pytest.fixture"):
        decorator(pytest_fixture())


@pytest.mark.parametrize("name", DECORATORS)
def test_right_order(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Below the decorator that registers, each is accepted and records."""
    click = pytest.importorskip("click")
    recorder = Recorder(strict=True)
    command = click.command()(DECORATORS[name](recorder)(work))
    assert command.main([], standalone_mode=False) is None
    assert len(recorder.points()) == (name != "context")
    assert not caplog.records


def test_not_strict(caplog: pytest.LogCaptureFixture) -> None:
    """Without strict it is logged once for each place, and a direct call is recorded."""
    click = pytest.importorskip("click")
    recorder = Recorder()
    count = recorder.meter.counter("imports.run")
    for _ in range(2):
        command = count(click.command()(work))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.messages[0].endswith("; only direct calls are recorded")
    command([], standalone_mode=False)
    assert recorder.lines() == ["imports.run count,delta=1"]


def test_strict_later(caplog: pytest.LogCaptureFixture) -> None:
    """A start that is strict raises for what was decorated before."""
    recorder = Recorder()
    recorder.meter.timed(pytest_fixture())
    with pytest.raises(DecoratorOrderError):
        recorder.registry.start(RecordingOptions(strict=True), bool)


def test_celery_task_stays_lazy() -> None:
    """Decorating a lazy task of Celery raises, and does not bind it to its application."""
    celery = pytest.importorskip("celery")
    app = celery.Celery("shop", set_as_current=False)
    lazy = app.task(shared=False)(work)
    with pytest.raises(DecoratorOrderError):
        Recorder(strict=True).meter.timed("a.timer")(lazy)
    assert not lazy.__evaluated__()


@pytest.mark.parametrize(
    "target", [work, len, Recorder, lambda: None], ids=lambda target: target.__name__
)
def test_others(target: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A function, a builtin and a class are accepted."""
    recorder = Recorder(strict=True)
    if target is not Recorder:
        recorder.meter.timed(target)
    with recorder.registry.context(tenant="acme"):
        recorder.meter.counter("a.b")(work)
    assert not caplog.records
