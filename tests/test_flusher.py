from __future__ import annotations

import logging
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, repeat
from typing import Any

import pytest

from dtmetrics._deliver.exporter import Body, ExportResult, Outcome, Refused
from dtmetrics._deliver.flusher import Flusher
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._deliver.turn import Turn
from dtmetrics._record.meter import Meters
from dtmetrics._record.recording import Recording
from dtmetrics._record.registry import Registry
from tests.endpoint import PATIENCE
from tests.recorder import MOMENT

ANSWERED = ExportResult(Outcome.ANSWERED)
KEEP = ExportResult(Outcome.KEEP, reason="status 503")
UNKNOWN = ExportResult(Outcome.UNKNOWN, reason="ReadTimeout")
DROP = ExportResult(Outcome.DROP, reason="status 413")

Step = ExportResult | BaseException | Callable[[], Any]


class Script:
    """An exporter that does what a list says, and answers everything after that."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.bodies: list[Body] = []
        self.timeouts: list[float] = []
        self.threads: list[str] = []
        self.closed = 0
        self.news = threading.Condition()

    def export(self, body: Body, timeout: float) -> ExportResult:
        with self.news:
            self.bodies.append(body)
            self.timeouts.append(timeout)
            self.threads.append(threading.current_thread().name)
            self.news.notify_all()
        step: Any = self.steps.pop(0) if self.steps else ANSWERED
        if isinstance(step, BaseException):
            raise step
        return step() if callable(step) else step

    def close(self) -> None:
        with self.news:
            self.closed += 1
            self.news.notify_all()

    def reset_after_fork(self) -> None:
        self.bodies.clear()

    @property
    def lines(self) -> list[str]:
        """Every line that came, without its time."""
        texts = (body.text.decode().split("\n") for body in self.bodies)
        return [line.rpartition(" ")[0] for lines in texts for line in lines]

    def wait_for(self, count: int) -> None:
        """Wait until so many bodies have come."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.bodies) >= count, PATIENCE)

    def wait_closed(self) -> None:
        """Wait until it is closed."""
        with self.news:
            assert self.news.wait_for(lambda: self.closed > 0, PATIENCE)


class Alarm(threading.Event):
    """A stop event on a clock of its own: to wait is to move the clock.

    At each wait *plan* may say what happens then; after it the event is set.
    """

    def __init__(self, *plan: Callable[[], object]) -> None:
        super().__init__()
        self.now = 1_000.0
        self.waits: list[float] = []
        self.plan = list(plan)

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(round(timeout, 6))
        self.now += timeout
        if not self.plan:
            self.set()
            return True
        self.plan.pop(0)()
        return self.is_set()


def nothing() -> None:
    """Let an interval pass."""


def nobody() -> bool:
    """Start no thread, and say that all is well."""
    return True


class Rig:
    """A registry, a flusher and what stands around them."""

    def __init__(
        self, *steps: Step, plan: tuple[Callable[[], object], ...] = (), **kwargs: Any
    ) -> None:
        self.registry = Registry()
        self.meter = Meters(self.registry).root
        self.exporter = Script(*steps)
        self.outbox = Outbox()
        self.now_ms = MOMENT
        if plan:
            self.alarm = Alarm(*plan)
            kwargs |= {"clock": lambda: self.alarm.now, "event": lambda: self.alarm}
        kwargs.setdefault("chance", lambda: 0.5)
        kwargs.setdefault("interval", None)
        self.flusher = Flusher(
            self.registry,
            self.exporter,
            self.outbox,
            now_ms=lambda: self.now_ms,
            **kwargs,
        )
        # By a plan the loop runs in the test's own thread.
        self.registry.start(Recording(), self.flusher.start if not plan else nobody)

    def inc(self, key: str = "orders") -> None:
        """Record something."""
        self.meter.counter(key).inc()

    def fork(self) -> None:
        """Do what a child does."""
        self.registry.reset_after_fork()
        self.flusher.reset_after_fork()

    def run(self) -> list[float]:
        """Let the loop run in this thread by its plan; return how long it waited."""
        self.flusher._run(60.0)
        return self.alarm.waits


@pytest.fixture(autouse=True)
def _adds_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every account of this file's tests adds up at the end."""
    made: list[Outbox] = []
    init = Outbox.__init__

    def watch(self: Outbox, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        init(self, *args, **kwargs)

    monkeypatch.setattr(Outbox, "__init__", watch)
    yield
    for outbox in made:
        account = outbox.account()
        done = account.accepted + account.rejected + sum(account.dropped.values())
        assert account.collected == done + account.waiting
        queue = [*outbox._waiting, outbox._leaving]
        assert account.waiting == sum(body.points for body in queue if body)


# -- flush: the caller's thread ---------------------------------------------------


def test_flush() -> None:
    """A flush collects, sends, and says that all was answered."""
    rig = Rig()
    rig.inc()
    assert rig.flusher.flush(5.0)
    assert rig.exporter.lines == ["orders count,delta=1"]
    assert rig.flusher.account() == (1, 1, 0, {}, 0)
    assert rig.flusher.flushes == 1


def test_flush_of_nothing() -> None:
    """With nothing recorded nothing is sent, and nothing waits."""
    rig = Rig()
    assert rig.flusher.flush(5.0)
    assert rig.exporter.bodies == []


def test_refused_is_answered() -> None:
    """Refused lines are an answer: the flush is done."""
    refused = ExportResult(
        Outcome.ANSWERED, 1, "1 lines refused", refused=[Refused(0, "bad")]
    )
    rig = Rig(refused)
    rig.inc()
    assert rig.flusher.flush(5.0)
    assert rig.flusher.account() == (1, 0, 1, {}, 0)
    assert rig.flusher.last_error == "1 lines refused"


@pytest.mark.parametrize("step", [KEEP, UNKNOWN])
def test_flush_that_has_to_wait(step: ExportResult) -> None:
    """What was not taken waits, keeps its time, and goes out with a later flush."""
    rig = Rig(step)
    rig.inc()
    assert not rig.flusher.flush(5.0)
    assert rig.flusher.account().waiting == 1
    rig.now_ms += 60_000
    rig.inc()
    assert rig.flusher.flush(5.0)
    assert [body.text.decode() for body in rig.exporter.bodies] == [
        f"orders count,delta=1 {MOMENT}",
        f"orders count,delta=1 {MOMENT}",
        f"orders count,delta=1 {MOMENT + 60_000}",
    ]
    assert rig.flusher.account() == (2, 2, 0, {}, 0)


def test_unknown_twice_ends_the_attempt() -> None:
    """A second unknown outcome drops the body, and leaves the others for later."""
    rig = Rig(UNKNOWN, UNKNOWN)
    rig.inc()
    assert not rig.flusher.flush(5.0)
    rig.inc()
    assert not rig.flusher.flush(5.0)
    assert rig.flusher.account() == (2, 0, 0, {"outcome unknown": 1}, 1)
    assert len(rig.exporter.bodies) == 2


def test_drop_goes_on() -> None:
    """A body that will never be taken does not hold up those behind it."""
    rig = Rig(KEEP, DROP)
    rig.inc()
    rig.flusher.flush(5.0)
    rig.inc()
    assert rig.flusher.flush(5.0)
    assert rig.flusher.account() == (2, 1, 0, {"refused as a whole": 1}, 0)


def test_expires() -> None:
    """What could not be delivered for 55 minutes is dropped, and counted."""
    rig = Rig(KEEP)
    rig.inc()
    rig.flusher.flush(5.0)
    rig.now_ms += 55 * 60_000 + 1
    assert rig.flusher.flush(5.0)
    assert rig.flusher.account() == (1, 0, 0, {"too old": 1}, 0)
    assert len(rig.exporter.bodies) == 1


@pytest.mark.parametrize("timeout", [0.0, -5.0, float("nan"), 1e300, float("inf")])
def test_odd_timeouts(timeout: float) -> None:
    """Any number is a timeout: one that is over collects, and sends nothing."""
    rig = Rig()
    rig.inc()
    done = rig.flusher.flush(timeout)
    assert done == (timeout > 0)
    assert rig.flusher.account().collected == 1


def test_deadline() -> None:
    """One deadline holds for all bodies of a flush, and each attempt knows its rest."""
    now = [0.0]

    def slow() -> ExportResult:
        now[0] += 4.0
        return ANSWERED

    rig = Rig(*[slow] * 9, clock=lambda: now[0])
    for number in range(9):
        rig.inc(f"k{number}")
        assert not rig.flusher.flush(0.0)
    assert not rig.flusher.flush(20.0)
    assert rig.exporter.timeouts == [15.0, 15.0, 12.0, 8.0, 4.0]
    assert rig.flusher.account() == (9, 5, 0, {}, 4)


# -- foreign code that misbehaves --------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("secret"), MemoryError()])
def test_exporter_raises(error: Exception, expects_errors: None) -> None:
    """An exporter that raises is survived; what became of the body is unknown."""
    rig = Rig(error)
    rig.inc()
    assert not rig.flusher.flush(5.0)
    assert rig.flusher.last_error == "the exporter failed"
    assert rig.flusher.flush(5.0)
    assert rig.flusher.account() == (1, 1, 0, {}, 0)


@pytest.mark.parametrize("answer", [None, "ok", 202])
def test_exporter_answers_nonsense(answer: Any, expects_errors: None) -> None:
    """What is no result is an error of the exporter, and survived as such."""
    rig = Rig(lambda: answer)
    rig.inc()
    assert not rig.flusher.flush(5.0)
    assert rig.flusher.flush(5.0)


@pytest.mark.parametrize("refused", [[Refused(-9, "x")], [None], 5])
def test_exporter_names_nonsense(refused: Any, expects_errors: None) -> None:
    """Refusals that name nothing harm nobody: the account is what counts."""
    rig = Rig(ExportResult(Outcome.ANSWERED, refused=refused))
    rig.inc()
    assert rig.flusher.flush(5.0)
    assert rig.flusher.account() == (1, 1, 0, {}, 0)


def test_interrupted_export() -> None:
    """Ctrl-C in an export reaches the program; the body is not lost by it."""
    rig = Rig(KeyboardInterrupt())
    rig.inc()
    with pytest.raises(KeyboardInterrupt):
        rig.flusher.flush(5.0)
    assert rig.flusher.account().waiting == 1
    assert rig.flusher.flush(5.0)
    assert rig.flusher.account() == (1, 1, 0, {}, 0)


def test_close_raises(expects_errors: None) -> None:
    """An exporter that cannot even close does not keep the program from ending."""
    rig = Rig()
    rig.exporter.close = lambda: 1 / 0  # type: ignore[method-assign, assignment]
    assert rig.flusher.close(5.0)


def test_errors_are_said_once(
    caplog: pytest.LogCaptureFixture, expects_errors: None
) -> None:
    """An exporter that always raises is one error in the log, with its place."""
    rig = Rig(*[ValueError("secret")] * 6)
    rig.inc()
    for _ in range(6):
        rig.flusher.flush(5.0)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("an error in the flusher: ValueError at test_flusher.py:")
    assert said[1] == "cannot deliver, will go on trying: the exporter failed"


# -- re-entrance ------------------------------------------------------------------


def test_flush_in_a_callback() -> None:
    """A flush inside an observer's callback returns at once, and so does closing."""
    rig = Rig()
    inside: list[bool] = []

    @rig.meter.observe("pool.size")
    def size() -> float:
        inside.append(rig.flusher.flush(PATIENCE))
        inside.append(rig.flusher.close(PATIENCE))
        return 1

    assert rig.flusher.flush(5.0)
    assert inside == [False, False]
    assert rig.exporter.lines == ["pool.size gauge,1"]


def test_flush_in_an_exporter() -> None:
    """A flush inside an export returns at once, too."""
    inside: list[bool] = []

    def again() -> ExportResult:
        inside.append(rig.flusher.flush(PATIENCE))
        return ANSWERED

    rig = Rig(again)
    rig.inc()
    assert rig.flusher.flush(5.0)
    assert inside == [False]


def test_flush_in_a_signal_handler() -> None:
    """A signal handler that flushes in the middle of a flush returns at once."""
    inside: list[bool] = []

    def handle(*_: object) -> None:
        inside.append(rig.flusher.flush(PATIENCE))
        inside.append(rig.flusher.account().waiting == 1)

    def interrupted() -> ExportResult:
        signal.raise_signal(signal.SIGUSR1)
        return ANSWERED

    rig = Rig(interrupted)
    rig.inc()
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        assert rig.flusher.flush(5.0)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert inside == [False, True]


def test_account_while_its_thread_changes_it() -> None:
    """A handler that asks for the account inside the outbox gets one that adds up."""
    rig = Rig()
    rig.inc()
    rig.flusher.flush(0.0)
    with rig.outbox._lock:
        assert rig.flusher.account() == (1, 0, 0, {}, 1)


def test_two_flushes() -> None:
    """A flush beside another waits its turn, and answers for what it collected."""
    inside, go = threading.Event(), threading.Event()

    def slow() -> ExportResult:
        inside.set()
        assert go.wait(PATIENCE)
        return ANSWERED

    rig = Rig(slow)
    rig.inc()
    answers: list[bool] = []
    first = threading.Thread(target=lambda: answers.append(rig.flusher.flush(PATIENCE)))
    first.start()
    assert inside.wait(PATIENCE)
    rig.inc("late")
    assert not rig.flusher.flush(0.05)
    assert rig.flusher.account() == (2, 0, 0, {}, 2)  # collected, all the same
    second = threading.Thread(
        target=lambda: answers.append(rig.flusher.flush(PATIENCE))
    )
    second.start()
    go.set()
    first.join(PATIENCE)
    second.join(PATIENCE)
    assert answers == [True, True]
    assert rig.flusher.account() == (2, 2, 0, {}, 0)


def test_turn() -> None:
    """A turn is one thread's; whoever is in it already is turned away at once."""
    turn = Turn()
    answers: list[bool] = []

    def other() -> None:
        for timeout in (0.0, -1.0, 0.01):
            with turn.take(timeout) as mine:
                answers.append(mine or not turn.mine)

    with turn.take(1e300) as mine, turn.take(PATIENCE) as again:
        assert mine
        assert not again
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(PATIENCE)
    assert answers == [False, False, False]
    assert not turn.mine
    with suppress(KeyboardInterrupt), turn.take(0.0) as mine:
        assert mine
        raise KeyboardInterrupt
    with turn.take(0.0) as mine:
        assert mine


# -- what is said -----------------------------------------------------------------


def test_says_what_changes(caplog: pytest.LogCaptureFixture) -> None:
    """The log says once that it went down, why, and that it is back."""
    other = ExportResult(Outcome.KEEP, reason="status 401")
    rig = Rig(KEEP, KEEP, other, KEEP, other, ANSWERED, ANSWERED, KEEP)
    rig.inc()
    for _ in range(6):
        rig.flusher.flush(5.0)
    rig.inc()
    rig.flusher.flush(5.0)
    rig.inc()
    rig.flusher.flush(5.0)
    assert [record.getMessage() for record in caplog.records] == [
        "cannot deliver, will go on trying: status 503",
        "cannot deliver, will go on trying: status 401",
        "delivering again",
        "cannot deliver, will go on trying: status 503",
    ]


def test_says_each_refusal_once(caplog: pytest.LogCaptureFixture) -> None:
    """A line that is refused at every flush is said once, by key and message."""

    def refusing(*lines: int) -> ExportResult:
        refused = [Refused(line, f"bad {line}") for line in lines]
        return ExportResult(Outcome.ANSWERED, len(lines), refused=refused)

    rig = Rig(refusing(0), refusing(0), refusing(0, 1), refusing(7))
    for _ in range(4):
        rig.inc("a")
        rig.inc("b")
        rig.flusher.flush(5.0)
    assert [record.getMessage() for record in caplog.records] == [
        "the endpoint refused a: bad 0",
        "the endpoint refused b: bad 1",
        "the endpoint refused metadata: bad 7",
    ]


def test_says_a_bounded_number(caplog: pytest.LogCaptureFixture) -> None:
    """However many refusals differ, the log ends at a thousand lines."""
    refused = [Refused(0, f"bad {number}") for number in range(3_000)]
    rig = Rig(ExportResult(Outcome.ANSWERED, refused=refused))
    rig.inc()
    rig.flusher.flush(5.0)
    assert len(caplog.records) == 1_000


def test_says_drops_once(caplog: pytest.LogCaptureFixture) -> None:
    """Bodies that are dropped at every flush, among others, are one line of the log."""
    rig = Rig(DROP, ANSWERED, DROP, ANSWERED)
    for _ in range(4):
        rig.inc()
        rig.flusher.flush(5.0)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["dropped a body: status 413"]


def test_quiet_when_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    """A flush that works logs nothing, at any level."""
    with caplog.at_level(logging.DEBUG, "dtmetrics"):
        rig = Rig()
        rig.inc()
        rig.flusher.flush(5.0)
        rig.flusher.close(5.0)
    assert caplog.records == []


# -- the loop, on a clock of its own -------------------------------------------------


def test_rhythm() -> None:
    """The first flush is spread over the interval; from then on it keeps its rhythm."""
    rig = Rig(plan=(nothing, nothing, nothing), chance=lambda: 0.25, interval=60.0)
    assert rig.run() == [15.0, 60.0, 60.0, 60.0]
    assert rig.flusher.flushes == 3


def test_slow_flush_keeps_the_rhythm() -> None:
    """A flush that takes 40 s is followed by one 20 s later, not 60."""

    def slow() -> ExportResult:
        rig.alarm.now += 40
        return ANSWERED

    rig = Rig(slow, plan=(nothing, nothing), interval=60.0)
    rig.inc()
    assert rig.run() == [30.0, 20.0, 60.0]


def test_sleeping_machine() -> None:
    """Intervals that were slept over are left out: one flush follows, not many."""

    def sleep() -> None:
        rig.alarm.now += 1_000

    rig = Rig(plan=(sleep, nothing, nothing), interval=60.0)
    assert rig.run() == [30.0, 20.0, 60.0, 60.0]
    assert rig.flusher.flushes == 3


def test_backs_off() -> None:
    """Failures are followed by longer and longer pauses, up to a minute."""
    plan = (nothing,) * 9
    rig = Rig(*[KEEP] * 99, plan=plan, interval=100_000.0)
    rig.inc()
    rig.flusher._run(100_000.0)
    assert rig.alarm.waits[1:] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_retries_are_spread() -> None:
    """Pauses are random from nearly nothing to the whole, and never nothing."""
    chances = chain([0.5], *([c] * 2 for c in (0.0, 0.001, 0.999)), repeat(0.5))
    rig = Rig(*[KEEP] * 9, plan=(nothing,) * 3, chance=lambda: next(chances))
    rig.inc()
    rig.flusher._run(100_000.0)
    assert rig.alarm.waits[1:] == [0.1, 0.1, 3.996]


def test_success_ends_backing_off() -> None:
    """After a success pauses begin small again, and retries end."""
    rig = Rig(KEEP, KEEP, ANSWERED, KEEP, plan=(nothing,) * 4, interval=60.0)
    rig.inc()
    rig.alarm.plan[2] = rig.inc
    rig.alarm.plan += [rig.inc, nothing]
    assert rig.run()[:4] == [30.0, 0.5, 1.0, 58.5]


def test_retry_after_is_kept() -> None:
    """Asked for a pause of 7 s it waits between 7 and 8.4, and then tries."""
    asked = ExportResult(Outcome.KEEP, reason="status 429", retry_after=7.0)
    rig = Rig(asked, plan=(nothing, nothing), interval=60.0)
    rig.inc()
    assert rig.run() == [30.0, 7.7, 52.3]
    assert rig.flusher.account().accepted == 1


def test_collects_while_the_endpoint_rests() -> None:
    """A long pause that was asked for stops sending, not collecting."""
    asked = ExportResult(Outcome.KEEP, reason="status 429", retry_after=300.0)
    plan = (lambda: rig.inc(),) * 7
    rig = Rig(asked, plan=plan, interval=60.0)
    assert rig.run() == [30.0, 60.0, 60.0, 60.0, 60.0, 60.0, 30.0, 30.0]
    assert len(rig.exporter.bodies) == 1 + 6
    moments = [body.created_ms for body in rig.exporter.bodies]
    assert moments == sorted(moments)


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(3), KeyboardInterrupt()])
def test_loop_outlives(error: BaseException, expects_errors: None) -> None:
    """Nothing that a callback or an exporter raises ends the thread."""
    rig = Rig(error, plan=(nothing,) * 4, interval=60.0)
    steps: list[BaseException] = [error]

    @rig.meter.observe("pool.size")
    def size() -> float:
        if steps:
            raise steps.pop()
        return 1

    rig.run()
    assert rig.exporter.lines[-1] == "pool.size gauge,1"
    assert rig.flusher.account().waiting == 0


def test_broken_collection(expects_errors: None) -> None:
    """An error in the middle of collecting is one interval's, and no more."""
    rig = Rig(plan=(nothing,) * 2, interval=60.0)
    collect = rig.registry.collect
    calls: list[int] = []

    def broken(timestamp_ms: int, size: int = 250) -> Iterator[list[Any]]:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError
        return collect(timestamp_ms, size)

    rig.registry.collect = broken  # type: ignore[method-assign]
    rig.inc()
    assert not rig.flusher.flush(1.0)
    rig.run()
    assert rig.exporter.lines == ["orders count,delta=1"]


# -- the thread -------------------------------------------------------------------


def test_first_record_starts_the_thread() -> None:
    """The thread is there from the first record on; recordings start it once."""
    rig = Rig(interval=3_600.0)
    assert rig.flusher._thread is None
    rig.inc()
    thread = rig.flusher._thread
    assert thread is not None
    assert thread.name == "dtmetrics-flusher"
    assert thread.daemon
    rig.inc("another")
    assert rig.flusher._thread is thread
    assert rig.flusher.close(5.0)
    assert not thread.is_alive()
    assert rig.exporter.lines == ["orders count,delta=1", "another count,delta=1"]


def test_no_interval_no_thread() -> None:
    """With ``interval=None`` nothing happens but what the caller does."""
    rig = Rig()
    rig.inc()
    assert rig.flusher._thread is None
    assert rig.flusher.close(5.0)
    assert rig.exporter.threads == ["MainThread"]
    assert rig.exporter.closed == 1


def test_thread_flushes() -> None:
    """The thread flushes by itself, interval after interval."""
    rig = Rig(interval=0.01)
    for number in range(3):
        rig.inc()
        rig.exporter.wait_for(number + 1)
    assert rig.flusher.close(5.0)
    assert set(rig.exporter.threads) == {"dtmetrics-flusher"}


def test_thread_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no thread to be had the next record asks again; a flush works meanwhile."""
    refusals = ["one", "two"]
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == "dtmetrics-flusher" and refusals:
            refusals.pop()
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    rig = Rig(interval=3_600.0)
    rig.inc()
    assert rig.flusher._thread is None
    assert rig.flusher.flush(5.0)
    assert rig.exporter.lines == ["orders count,delta=1"]
    rig.inc()
    assert rig.flusher._thread is None
    rig.inc()
    assert rig.flusher._thread is not None
    assert rig.flusher.close(5.0)
    assert rig.flusher.account() == (2, 2, 0, {}, 0)


def test_one_thread_for_many_first_records() -> None:
    """Threads that record first all at once start one flusher between them."""
    rig = Rig(interval=3_600.0)
    ready = threading.Barrier(8)

    def record() -> None:
        ready.wait(PATIENCE)
        rig.inc()

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    flushers = [t for t in threading.enumerate() if t.name == "dtmetrics-flusher"]
    assert len(flushers) == 1
    assert rig.flusher.close(5.0)
    assert rig.exporter.lines == ["orders count,delta=8"]


def test_close_sends_what_is_left() -> None:
    """Closing collects and sends for the last time, and lets the exporter go, once."""
    rig = Rig(interval=3_600.0)
    rig.inc()
    assert rig.flusher.close(5.0)
    assert rig.exporter.lines == ["orders count,delta=1"]
    assert rig.exporter.closed == 1


def test_close_when_down() -> None:
    """Closing tries once: what cannot be delivered is waiting, in the account."""
    rig = Rig(*[KEEP] * 9, interval=3_600.0)
    rig.inc()
    assert not rig.flusher.close(5.0)
    assert len(rig.exporter.bodies) == 1
    assert rig.flusher.account().waiting == 1
    assert rig.exporter.closed == 1


def test_close_is_bounded() -> None:
    """An exporter that hangs keeps nobody: closing returns, and counts what is left.

    What hung lets the exporter go when it comes back, and sends no more.
    """
    inside, go = threading.Event(), threading.Event()

    def hang() -> ExportResult:
        inside.set()
        assert go.wait(PATIENCE)
        return ANSWERED

    rig = Rig(hang, interval=0.01)
    rig.inc()
    assert inside.wait(PATIENCE)
    rig.inc("late")
    assert not rig.flusher.close(0.05)
    assert rig.exporter.closed == 0
    assert rig.flusher.account() == (2, 0, 0, {}, 2)
    go.set()
    rig.exporter.wait_closed()
    thread = rig.flusher._thread
    assert thread is not None
    thread.join(PATIENCE)
    assert rig.flusher.account() == (2, 1, 0, {}, 1)


def test_hanging_callback_leaves_the_next_recording_alone() -> None:
    """A callback that outlives its flusher takes no points of the one after it."""
    inside, go = threading.Event(), threading.Event()
    rig = Rig(interval=0.01)

    @rig.meter.observe("pool.size")
    def size() -> float:
        if not inside.is_set():
            inside.set()
            assert go.wait(PATIENCE)
        return 1

    @rig.meter.observe("pool.free")
    def free() -> float:
        return 2

    rig.inc()
    assert inside.wait(PATIENCE)
    assert not rig.flusher.close(0.05)
    go.set()
    thread = rig.flusher._thread
    assert thread is not None
    thread.join(PATIENCE)
    account = rig.flusher.account()
    assert account.collected <= 2  # the counter, and the one that hung


# -- fork -------------------------------------------------------------------------


def test_fork_forgets() -> None:
    """A child has no thread, nothing waiting and no trouble: those are the parent's."""
    rig = Rig(KEEP, interval=3_600.0)
    rig.inc()
    assert not rig.flusher.flush(5.0)
    thread = rig.flusher._thread
    rig.flusher._stop.set()  # a real fork leaves the thread behind
    rig.fork()
    assert rig.flusher._thread is None
    assert rig.flusher.account() == (0, 0, 0, {}, 0)
    assert (rig.flusher.flushes, rig.flusher.last_error) == (0, "")
    rig.inc()
    assert rig.flusher._thread not in (None, thread)
    assert rig.flusher.close(5.0)
    assert rig.flusher.account() == (1, 1, 0, {}, 0)


@pytest.mark.parametrize("turn", ["_collecting", "_sending"])
def test_fork_while_it_works(turn: str) -> None:
    """What the parent's threads were in the middle of does not stop the child."""
    rig = Rig()
    with getattr(rig.flusher, turn).take(1.0) as mine:
        assert mine
        rig.fork()
        rig.inc()
        answers: list[bool] = []
        child = threading.Thread(target=lambda: answers.append(rig.flusher.flush(5.0)))
        child.start()
        child.join(PATIENCE)
        assert answers == [True]
    assert rig.flusher.flush(5.0)


def test_fork_in_a_callback() -> None:
    """A callback that forks leaves what is being collected to the parent."""
    rig = Rig()

    @rig.meter.observe("pool.size")
    def size() -> float:
        rig.fork()
        return 1

    rig.inc()
    assert not rig.flusher.flush(5.0)
    assert rig.flusher.account() == (0, 0, 0, {}, 0)


def test_fork_in_an_export() -> None:
    """An export that forks counts nothing in the child: the answer is the parent's."""

    def fork() -> ExportResult:
        rig.fork()
        return ANSWERED

    rig = Rig(fork)
    rig.inc()
    rig.flusher.flush(5.0)
    assert rig.flusher.account() == (0, 0, 0, {}, 0)
    rig.inc()
    assert rig.flusher.flush(5.0)
    assert rig.flusher.account() == (1, 1, 0, {}, 0)


@pytest.mark.slow
def test_many_threads_many_flushes() -> None:
    """Whatever records and flushes at once, each count arrives once."""
    rig = Rig(interval=0.001)

    def work() -> None:
        for number in range(2_000):
            rig.inc()
            if number % 100 == 0:
                rig.flusher.flush(5.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert rig.flusher.close(5.0)
    total: Counter[str] = Counter()
    for line in rig.exporter.lines:
        key, _, delta = line.partition(" count,delta=")
        total[key] += int(delta)
    assert total == {"orders": 8_000}
