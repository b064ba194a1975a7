from __future__ import annotations

import gc
import logging
import time
import weakref
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from dtmetrics._core.suppress_instrumentation import SUPPRESSED
from dtmetrics._instrument.task_queue import INVALID_TASK
from dtmetrics._protocol.point import CountDelta, GaugeSummary
from tests.support.endpoint import PATIENCE
from tests.support.recorder import Recorder

celery = pytest.importorskip("celery")
ours = pytest.importorskip("dtmetrics.integrations.celery")
applications = pytest.importorskip("dtmetrics.integrations.celery.applications")
messages = pytest.importorskip("dtmetrics.integrations.celery.messages")
workers = pytest.importorskip("dtmetrics.integrations.celery.workers")
testing = pytest.importorskip("celery.contrib.testing.worker")

# Celery 5.3 calls datetime.utcnow().
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:celery")

DURATION = "messaging.process.duration"
SENT = "messaging.client.sent.messages"
CONSUMED = "messaging.client.consumed.messages"
WAIT = "celery.task.wait.duration"
RETRIES = "celery.task.retries"
FAILURES = "celery.task.failures"
ACTIVE = "celery.worker.active_tasks"
PREFETCHED = "celery.worker.prefetched_tasks"

NAME, STATE, ERROR = "celery.task.name", "celery.task.state", "error.type"
QUEUE, SYSTEM = "messaging.destination.name", "messaging.system"


@pytest.fixture(autouse=True)
def _uninstrumented(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Leave Celery as it was, and do not let it log that tasks raise."""
    caplog.set_level(logging.CRITICAL, logger="celery.app.trace")
    yield
    ours.uninstrument_celery()


def make_app(queue: str = "mail", **options: Any) -> Any:
    """Return an application with a broker in memory, and with tasks."""
    app = celery.Celery(
        "shop",
        broker="memory://",
        backend="cache+memory://",
        set_as_current=False,
        task_default_queue=queue,
        broker_transport_options={"polling_interval": 0.01},
        worker_hijack_root_logger=False,
        **options,
    )
    task(app, add)
    task(app, flaky, bind=True, max_retries=2)
    return app


def task(app: Any, function: Any, **options: Any) -> Any:
    """Add *function* to the tasks of *app* alone."""
    return app.task(function, name=function.__name__, shared=False, **options)


def add(first: int, second: int) -> int:
    """Return the sum."""
    return first + second


def total(numbers: list[int]) -> int:
    """Return the sum."""
    return sum(numbers)


def flaky(self: Any) -> None:
    """Fail for good at the third try."""
    try:
        raise ConnectionError
    except ConnectionError as error:
        raise self.retry(exc=error, countdown=0) from error


class Foreign:
    """An object of Celery, with the attributes that are used."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


@contextmanager
def working(app: Any) -> Iterator[None]:
    """Run a worker of *app* in a thread, and leave logging as it was."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    options = {"pool": "solo", "perform_ping_check": False}
    try:
        with testing.start_worker(app, **options, shutdown_timeout=PATIENCE) as worker:
            yield
        # A worker with a process of its own does so.
        celery.signals.worker_shutdown.send(sender=worker)
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
        logging.captureWarnings(capture=False)


def counts(recorder: Recorder, *names: str) -> dict[str, Tally[Any]]:
    """Collect; return the number of events by key, and by the dimensions *names*."""
    found: dict[str, Tally[Any]] = {}
    for (key, pairs), payload in recorder.payloads().items():
        get = dict(pairs).get
        of_key = found.setdefault(key, Tally())
        labels = " ".join(get(name, "-") for name in names)
        if isinstance(payload, GaugeSummary):
            of_key[labels] += payload.count
        elif isinstance(payload, CountDelta):
            of_key[labels] += payload.delta
        else:
            of_key[labels] += payload.value
    return found


def dimensions(recorder: Recorder) -> dict[str, dict[str, str]]:
    """Collect; return the dimensions by key, which has one series."""
    found = {key: dict(pairs) for key, pairs in recorder.payloads()}
    for each in found.values():
        each.pop("dt.metrics.source", None)
    return found


def test_task(recorder: Recorder) -> None:
    """A task is recorded where it is sent, where it is received and where it ends."""
    app = make_app("tasks")
    ours.instrument_celery(app, meter=recorder.meter)
    with working(app):
        assert app.tasks["add"].delay(1, 2).get(timeout=PATIENCE) == 3
    message = {SYSTEM: "memory", QUEUE: "tasks", NAME: "add"}
    operation = "messaging.operation.name"
    assert dimensions(recorder) == {
        SENT: {**message, operation: "send"},
        CONSUMED: {**message, operation: "process"},
        WAIT: message,
        DURATION: {**message, operation: "process", STATE: "SUCCESS"},
    }


def test_retries(recorder: Recorder) -> None:
    """Each try has a duration, and a message; only the last one is a failure."""
    app = make_app("retries")
    ours.instrument_celery(app, meter=recorder.meter)
    with working(app), pytest.raises(ConnectionError):
        app.tasks["flaky"].delay().get(timeout=PATIENCE)
    assert counts(recorder, STATE, ERROR) == {
        SENT: {"- -": 3},
        CONSUMED: {"- -": 3},
        WAIT: {"- -": 3},
        DURATION: {"RETRY ConnectionError": 2, "FAILURE ConnectionError": 1},
        RETRIES: {"- ConnectionError": 2},
        FAILURES: {"- ConnectionError": 1},
    }


def test_chord(recorder: Recorder, tmp_path: Path) -> None:
    """A chord counts as its tasks; Celery's own wait for these adds no retries."""
    app = make_app(
        "chords", result_backend=f"file://{tmp_path}", result_chord_retry_interval=0.1
    )
    last = task(app, total)
    add = app.tasks["add"]
    ours.instrument_celery(app, meter=recorder.meter)
    with working(app):
        # Celery looks after a second whether all of them have ended.
        header = [add.s(1, 0), add.s(1, 1), add.s(1, 2).set(countdown=2)]
        result = celery.chord(header, app=app)(last.s())
        assert result.get(timeout=PATIENCE) == 6
    found = counts(recorder, NAME)
    for key in (SENT, CONSUMED, WAIT, DURATION):
        assert found[key].pop("celery.chord_unlock") >= 1
        assert found[key] == {"add": 3, "total": 1}
    assert found.keys() == {SENT, CONSUMED, WAIT, DURATION}


@pytest.mark.parametrize(
    ("raised", "state"),
    [(celery.exceptions.Ignore(), "IGNORED"), (celery.exceptions.Reject(), "REJECTED")],
)
def test_other_states(recorder: Recorder, raised: Exception, state: str) -> None:
    """A task that is ignored or rejected has that state, and does not count as failed."""
    app = make_app()

    def work() -> None:
        raise raised

    work = task(app, work)

    ours.instrument_celery(app, meter=recorder.meter)
    work.apply()
    assert counts(recorder, STATE, ERROR) == {DURATION: {f"{state} -": 1}}


# -- eager tasks -----------------------------------------------------------------------


def test_eager(recorder: Recorder) -> None:
    """A task that runs in its caller has a duration, but no broker, queue or wait."""
    app = make_app(task_always_eager=True)
    ours.instrument_celery(app, meter=recorder.meter)
    assert app.tasks["add"].delay(1, 2).get() == 3
    assert dimensions(recorder) == {
        DURATION: {
            "messaging.operation.name": "process",
            NAME: "add",
            STATE: "SUCCESS",
        }
    }
    assert app.tasks["flaky"].delay().state == "FAILURE"
    assert counts(recorder, STATE, ERROR) == {
        DURATION: {"RETRY ConnectionError": 2, "FAILURE ConnectionError": 1},
        RETRIES: {"- ConnectionError": 2},
        FAILURES: {"- ConnectionError": 1},
    }


@pytest.mark.parametrize(
    ("error", "recorded"),
    [
        (KeyError(1), "FAILURE KeyError"),
        (celery.exceptions.Retry("later", LookupError()), "RETRY LookupError"),
        (SystemExit(2), "FAILURE SystemExit"),
    ],
)
def test_propagated_by_an_eager_task(
    recorder: Recorder, error: BaseException, recorded: str
) -> None:
    """An exception that leaves an eager task is recorded, and passes."""
    app = make_app(task_always_eager=True, task_eager_propagates=True)

    def work() -> None:
        raise error

    work = task(app, work)

    ours.instrument_celery(app, meter=recorder.meter)
    with pytest.raises(type(error)):
        work.delay()
    assert counts(recorder, STATE, ERROR)[DURATION] == {recorded: 1}


def test_nested(recorder: Recorder) -> None:
    """A task that runs another one in itself contains its duration."""
    app = make_app()
    add = app.tasks["add"]

    def outer() -> int:
        with suppress(ZeroDivisionError):
            _ = 1 / 0
        return int(add.apply((1, 2)).get() + add.apply((3, 4)).get())

    outer = task(app, outer)

    ours.instrument_celery(app, meter=recorder.meter)
    assert outer.apply().get() == 10
    assert counts(recorder, NAME, STATE) == {
        DURATION: {"outer SUCCESS": 1, "add SUCCESS": 2}
    }


# -- what ends outside of the task, or begins before -----------------------------------


def test_killed(recorder: Recorder) -> None:
    """A task whose process was killed is a failure, which the worker reports."""
    app = make_app()
    ours.instrument_celery(app, meter=recorder.meter)
    for error in (celery.exceptions.WorkerLostError(), "a text"):
        celery.signals.task_failure.send(sender=app.tasks["add"], exception=error)
    lost = "billiard.exceptions.WorkerLostError"
    assert counts(recorder, NAME, ERROR) == {FAILURES: {f"add {lost}": 1, "add -": 1}}


def test_time_limit(recorder: Recorder) -> None:
    """A task that exceeds its limit is one failure, also where Celery signals two."""
    app = make_app()
    ours.instrument_celery(app, meter=recorder.meter)
    add = app.tasks["add"]
    error = celery.exceptions.TimeLimitExceeded(1)

    def exceed(task_id: str) -> None:
        celery.signals.task_failure.send(add, task_id=task_id, exception=error)

    for task_id in ("first", "second", "first", "second"):
        exceed(task_id)
    limit = "billiard.exceptions.TimeLimitExceeded"
    assert counts(recorder, ERROR) == {FAILURES: {limit: 2}}
    for _ in range(2):  # a worker receives it again, and signals one
        exceed("third")
        request = Foreign(app=app, id="third", delivery_info=None, task=add)
        celery.signals.task_received.send(sender=None, request=request)
    assert counts(recorder, ERROR)[FAILURES] == {limit: 2}


def test_stopped(recorder: Recorder) -> None:
    """What ends the process of a task is its error, but the worker counts the failure."""
    app = make_app()
    ours.instrument_celery(app, meter=recorder.meter)

    def work() -> None:
        raise SystemExit(1)

    work = task(app, work)
    tracer = celery.app.trace.build_tracer(work.name, work, app=app)
    with pytest.raises(SystemExit):
        tracer("1", (), {}, {"id": "1", "delivery_info": {"routing_key": "mail"}})
    assert counts(recorder, STATE, ERROR) == {DURATION: {"FAILURE SystemExit": 1}}


def test_retried_by_the_worker(recorder: Recorder) -> None:
    """A task that a closing worker gives back is a retry without an error."""
    app = make_app()
    ours.instrument_celery(app, meter=recorder.meter)
    request = Foreign(is_eager=False, delivery_info={"routing_key": "mail"})
    celery.signals.task_retry.send(app.tasks["add"], request=request, einfo=None)
    assert counts(recorder, QUEUE, ERROR) == {RETRIES: {"mail -": 1}}


def test_instrumented_meanwhile(recorder: Recorder) -> None:
    """A task that began before ``instrument_celery()`` is not recorded."""
    app = make_app()

    def work() -> None:
        ours.instrument_celery(app, meter=recorder.meter)

    work = task(app, work)

    work.apply()
    assert recorder.payloads() == {}


def test_uninstrumented_meanwhile(recorder: Recorder) -> None:
    """A task that ends after ``uninstrument_celery()`` is not recorded."""
    app = make_app()
    ours.instrument_celery(app, meter=recorder.meter)

    def work() -> None:
        ours.uninstrument_celery()

    assert task(app, work).apply().state == "SUCCESS"
    assert recorder.payloads() == {}


def started(app: Any, **request: Any) -> None:
    """Begin the task ``add`` with a request that has these attributes."""
    task = app.tasks["add"]
    request = {"is_eager": False, "delivery_info": None, **request}
    task.request_stack.push(celery.app.task.Context(request))
    try:
        celery.signals.task_prerun.send(sender=task)
    finally:
        task.request_stack.pop()


@pytest.mark.parametrize("zone", [timezone.utc, timezone(timedelta(hours=5)), None])
def test_eta(recorder: Recorder, zone: timezone | None) -> None:
    """A task that must not start at once waits from its ETA on."""
    app = make_app()
    ours.instrument_celery(app, meter=recorder.meter)
    eta = (datetime.now(timezone.utc) - timedelta(seconds=1_000)).astimezone(zone)
    sent_at = time.time() - 2_000
    naive = eta.astimezone(timezone.utc).replace(tzinfo=None)
    shown = (naive if zone is None else eta).isoformat()
    started(app, headers={messages.SENT_AT: sent_at}, eta=shown)
    [payload] = recorder.payloads().values()
    assert isinstance(payload, GaugeSummary)
    assert 999 < payload.sum < 1_000 + PATIENCE


def test_clocks_of_two_hosts(recorder: Recorder) -> None:
    """A task whose sender's clock is ahead has not waited."""
    app = make_app()
    ours.instrument_celery(app, meter=recorder.meter)
    started(app, headers={messages.SENT_AT: time.time() + 1_000})
    [payload] = recorder.payloads().values()
    assert isinstance(payload, GaugeSummary)
    assert payload.sum == 0


def test_foreign_messages(recorder: Recorder) -> None:
    """A message without our header has no wait, and an invalid one is counted."""
    app = make_app()
    ours.instrument_celery(app, meter=recorder.meter)
    started(app)
    assert not recorder.registry.invalid_values.total()
    started(app, headers={messages.SENT_AT: "yesterday"})
    assert recorder.payloads() == {}
    assert recorder.registry.invalid_values.total() == {INVALID_TASK: 1}


# -- messages that are not sent --------------------------------------------------------


def test_message_that_cannot_be_sent(recorder: Recorder) -> None:
    """A message that the broker does not get counts with the error, which passes."""
    app = make_app()
    ours.instrument_celery(app, meter=recorder.meter)
    with pytest.raises(Exception, match="serial") as caught:
        app.tasks["add"].delay(object(), 1)
    kind = type(caught.value)
    error = f"{kind.__module__}.{kind.__qualname__}"
    assert counts(recorder, QUEUE, ERROR) == {SENT: {f"mail {error}": 1}}


def test_call_without_a_message(recorder: Recorder) -> None:
    """A call that fails before there is a message sends nothing."""
    app = make_app(task_create_missing_queues=False)
    ours.instrument_celery(app, meter=recorder.meter)
    with pytest.raises(celery.exceptions.QueueNotFound):
        app.send_task("add", queue="missing")
    assert recorder.payloads() == {}


def test_sending_while_another_is_sent(recorder: Recorder) -> None:
    """A message that a signal's receiver sends counts beside the one that caused it."""
    app, other = make_app(), make_app("other")

    @celery.signals.before_task_publish.connect(weak=False)
    def audit(sender: str, **_: object) -> None:
        if sender == "add":
            other.send_task("audit")

    ours.instrument_celery(meter=recorder.meter)
    try:
        app.send_task("add")
    finally:
        celery.signals.before_task_publish.disconnect(audit)
    assert counts(recorder, QUEUE, NAME) == {SENT: {"mail add": 1, "other audit": 1}}


# -- applications ----------------------------------------------------------------------


def headers_of(app: Any) -> list[dict[str, Any]]:
    """Send a message; return its headers."""
    seen: list[dict[str, Any]] = []

    def note(headers: dict[str, Any], **_: object) -> None:
        seen.append(headers)

    celery.signals.after_task_publish.connect(note)
    app.send_task("add")
    celery.signals.after_task_publish.disconnect(note)
    return seen


def test_two_applications(recorder: Recorder) -> None:
    """Of two applications only the instrumented one is recorded, and gets the header."""
    app, other = make_app(), make_app("other")
    ours.instrument_celery(app, meter=recorder.meter)
    [headers] = headers_of(app)
    assert messages.SENT_AT in headers
    [headers] = headers_of(other)
    assert messages.SENT_AT not in headers
    for each in (app, other):
        each.tasks["add"].apply((1, 2))
        celery.signals.task_failure.send(sender=each.tasks["flaky"])
        celery.signals.task_retry.send(
            each.tasks["flaky"], request=each.tasks["flaky"].request
        )
        request = Foreign(app=each, id="1", delivery_info=None, task=each.tasks["add"])
        celery.signals.task_received.send(sender=None, request=request)
        worker = Foreign(app=each, hostname=each.conf.task_default_queue)
        celery.signals.worker_init.send(sender=worker)
    names = counts(recorder, "celery.worker.name", NAME)
    assert names == {
        SENT: {"- add": 1},
        CONSUMED: {"- add": 1},
        DURATION: {"- add": 1},
        RETRIES: {"- flaky": 1},
        FAILURES: {"- flaky": 1},
        ACTIVE: {"mail -": 0},
        PREFETCHED: {"mail -": 0},
    }


def test_all_applications(recorder: Recorder) -> None:
    """Without an argument all are recorded; one with a meter of its own, by that one."""
    own = Recorder()
    app, other = make_app(), make_app("other")
    ours.instrument_celery(app, meter=own.meter)
    ours.instrument_celery(meter=recorder.meter)
    for each in (app, other, make_app("third")):
        each.send_task("add")
    assert counts(own, QUEUE) == {SENT: {"mail": 1}}
    assert counts(recorder, QUEUE) == {SENT: {"other": 1, "third": 1}}


def test_proxy(recorder: Recorder) -> None:
    """``celery.current_app`` and what it stands for are one application."""
    app = make_app()
    before = celery.current_app._get_current_object()
    app.set_current()
    try:
        ours.instrument_celery(celery.current_app, meter=recorder.meter)
        ours.instrument_celery(app, meter=Recorder().meter)
        app.send_task("add")
    finally:
        before.set_current()
    assert counts(recorder) == {SENT: {"": 1}}


def test_an_application_is_freed(recorder: Recorder) -> None:
    """An application that is not used any more is freed."""
    app = make_app()
    ours.instrument_celery(app, meter=recorder.meter)
    app.tasks["add"].apply((1, 2))
    reference = weakref.ref(app)
    app.close()
    del app
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("wrong", ["shop", 7, celery])
def test_not_an_application(wrong: Any) -> None:
    """An argument that is not an application raises a TypeError that names the class."""
    with pytest.raises(TypeError, match="app must be a Celery application"):
        ours.instrument_celery(wrong)


@pytest.mark.parametrize(
    ("urls", "system"),
    [
        (None, "rabbitmq"),
        ("localhost", "rabbitmq"),
        ("pyamqp://user:secret@broker//", "rabbitmq"),
        (["amqp://a//", "redis://b"], "rabbitmq"),
        ("rediss://broker/0;rediss://other/0", "redis"),
        ("redis+socket:///run/redis.sock", "redis"),
        ("sentinel://broker", "redis"),
        ("sqs://", "aws_sqs"),
        ("confluentkafka://broker", "kafka"),
        ("filesystem://", "filesystem"),
        ("sqla+sqlite:///shop.db", "sqla"),
    ],
)
def test_systems(urls: Any, system: str) -> None:
    """The system is that of the broker's URL, and nothing else of the URL is recorded."""
    assert applications._system(urls) == system


@pytest.mark.parametrize(
    ("routing", "queue"),
    [
        (None, None),
        ({}, None),
        ({"routing_key": "mail", "exchange": ""}, "mail"),
        ({"routing_key": "", "exchange": "news"}, "news"),
        ({"routing_key": "0." * 27 + "1.mail"}, "mail"),
        ({"routing_key": "a.mail"}, "a.mail"),
    ],
)
def test_queues(routing: Any, queue: str | None) -> None:
    """The queue is the routing key, without the delay that Celery writes before it."""
    assert applications.destination(make_app(), routing) == ("memory", queue)


# -- instrument and uninstrument -------------------------------------------------------


def test_twice_and_uninstrumented(recorder: Recorder) -> None:
    """A second instrument call does nothing; the first uninstrument call ends it."""
    original = celery.Celery.send_task
    app = make_app()
    for _ in range(2):
        ours.instrument_celery(app, meter=recorder.meter)
        ours.instrument_celery(meter=recorder.meter)
    app.send_task("add")
    app.tasks["add"].apply((1, 2))
    assert counts(recorder) == {SENT: {"": 1}, DURATION: {"": 1}}
    receivers = celery.signals.task_prerun.receivers
    assert len(receivers) == 1
    for _ in range(2):
        ours.uninstrument_celery()
        assert celery.Celery.send_task is original
        assert receivers == []
    app.send_task("add")
    app.tasks["add"].apply((1, 2))
    assert recorder.payloads() == {}
    ours.instrument_celery(app, meter=recorder.meter)
    app.send_task("add")
    assert counts(recorder) == {SENT: {"": 1}}


def test_wrapped_by_another_library(recorder: Recorder) -> None:
    """A wrapper that another library puts around ours stays, and each works on."""
    app = make_app()
    original = celery.Celery.send_task
    ours.instrument_celery(app, meter=recorder.meter)
    wrapped, calls = celery.Celery.send_task, []

    def send_task(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return wrapped(self, *args, **kwargs)

    celery.Celery.send_task = send_task
    try:
        ours.uninstrument_celery()
        assert celery.Celery.send_task is send_task
        app.send_task("add")
        assert recorder.payloads() == {}
        ours.instrument_celery(app, meter=recorder.meter)
        app.send_task("add")
        assert counts(recorder) == {SENT: {"": 1}}
        assert len(calls) == 2
    finally:
        celery.Celery.send_task = wrapped
        ours.uninstrument_celery()
    assert celery.Celery.send_task is original


def test_uninstrumented_first() -> None:
    """Ending what was never begun does nothing."""
    original = celery.Celery.send_task
    ours.uninstrument_celery()
    assert celery.Celery.send_task is original


def test_exporting(recorder: Recorder) -> None:
    """Messages of an exporter are not recorded, and have no header."""
    app = make_app()
    ours.instrument_celery(app, meter=recorder.meter)
    token = SUPPRESSED.set(True)
    [headers] = headers_of(app)
    SUPPRESSED.reset(token)
    assert messages.SENT_AT not in headers
    assert recorder.payloads() == {}


def test_not_configured() -> None:
    """Without configure() nothing is recorded, and messages have no header."""
    recorder = Recorder()
    recorder.registry.stop()
    app = make_app()
    ours.instrument_celery(app, meter=recorder.meter)
    [headers] = headers_of(app)
    assert messages.SENT_AT not in headers
    app.tasks["add"].apply((1, 2))
    assert recorder.points() == []


# -- workers ---------------------------------------------------------------------------


def test_worker(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker shows what runs and what waits inside of it, but its children do not."""
    from celery.worker import state

    app = make_app()
    ours.instrument_celery(app, meter=recorder.meter)
    worker = Foreign(app=app, hostname="mail@host")
    celery.signals.worker_init.send(sender=worker)
    held = [Foreign() for _ in range(5)]
    state.reserved_requests.update(held)
    state.active_requests.update(held[:2])
    expected = {ACTIVE: {"mail@host": 2}, PREFETCHED: {"mail@host": 3}}
    assert counts(recorder, "celery.worker.name") == expected
    with monkeypatch.context() as patch:
        patch.setattr(workers.os, "getpid", lambda: -1)
        assert recorder.payloads() == {}
    assert counts(recorder, "celery.worker.name") == expected
    celery.signals.worker_shutdown.send(sender=worker)
    assert recorder.payloads() == {}


def test_worker_of_another_time(recorder: Recorder) -> None:
    """A worker shows nothing after ``uninstrument_celery()``."""
    app = make_app()
    ours.instrument_celery(app, meter=recorder.meter)
    worker = Foreign(app=app, hostname="mail@host")
    celery.signals.worker_init.send(sender=worker)
    assert counts(recorder).keys() == {ACTIVE, PREFETCHED}
    ours.uninstrument_celery()
    assert recorder.payloads() == {}
