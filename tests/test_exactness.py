"""Nothing is lost and nothing doubled: threads, signals, finalisers, forks."""

from __future__ import annotations

import dis
import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest

from dtmetrics._record import series as series_module
from tests.recorder import Recorder

pytestmark = [
    # Forking beside threads is what is tested here; CPython 3.12 and later say so.
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX"),
]


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    """Let threads take turns 500 times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Collector:
    """Collects all the time, in a thread of its own, and adds up by key."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.totals: dict[str, Any] = {}
        self.counts: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def collect(self) -> None:
        """Collect once."""
        for point in self.recorder.points():
            key, payload = point.identity.key, point.payload
            self.totals[key] = self.totals.get(key, 0) + getattr(
                payload, "sum", payload[0]
            )
            if len(payload) == 4:
                self.counts[key] = self.counts.get(key, 0) + payload.count
                assert payload.min <= payload.sum / payload.count <= payload.max

    def _run(self) -> None:
        while not self._stop.is_set():
            self.collect()

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.collect()


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Do *work* in so many threads at once."""
    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# -- threads ----------------------------------------------------------------------------

rounds = pytest.mark.parametrize(
    "rounds", [2_000, pytest.param(100_000, marks=pytest.mark.slow)]
)


@rounds
def test_threads(rounds: int) -> None:
    """Threads that record while another collects lose nothing and double nothing."""
    recorder = Recorder(max_series_per_metric=20)
    counter, summary = recorder.meter.counter("c"), recorder.meter.summary("s")
    gauge = recorder.meter.gauge("g")

    def work(thread: int) -> None:
        bound = counter.bind(thread=thread)
        for number in range(rounds):
            counter.inc()
            bound.inc(2)
            counter.inc(3, number=number % 30)
            summary.record(number)
            gauge.inc()
            gauge.dec(2)

    with Collector(recorder) as collector:
        in_threads(8, work)
    assert collector.totals["c"] == 8 * rounds * 6
    assert collector.totals["s"] == 8 * rounds * (rounds - 1) // 2
    assert collector.counts["s"] == 8 * rounds
    assert recorder.lines() == [f"g gauge,{-8 * rounds}"]
    assert recorder.registry.refusals.total() == {}


@pytest.mark.parametrize("threads", [50, pytest.param(200, marks=pytest.mark.slow)])
def test_short_lived_threads(recorder: Recorder, threads: int) -> None:
    """What a thread recorded stays when the thread is gone."""
    counter = recorder.meter.counter("c")

    def work(thread: int) -> None:
        for _ in range(10):
            counter.inc()
            counter.inc(1, thread=thread)

    with Collector(recorder) as collector:
        for _ in range(threads // 10):
            in_threads(10, work)
    assert collector.totals["c"] == threads * 20


def test_first_record_of_many_threads(recorder: Recorder) -> None:
    """Threads that need the same series at once make it once."""
    for turn in range(50):
        counter = recorder.meter.counter(f"c{turn}")
        barrier = threading.Barrier(4)

        def work(
            _: int, counter: Any = counter, barrier: threading.Barrier = barrier
        ) -> None:
            barrier.wait(30)
            counter.inc()
            counter.inc(1, a=1)

        in_threads(4, work)
        assert recorder.lines() == [
            f"c{turn} count,delta=4",
            f"c{turn},a=1 count,delta=4",
        ]
    assert recorder.registry.series_count == 100


@rounds
def test_refusals_of_threads(recorder: Recorder, rounds: int) -> None:
    """Refusals are counted as exactly as values."""
    gauge, counter = recorder.meter.gauge("g"), recorder.meter.counter("c")

    def work(_: int) -> None:
        for _ in range(rounds // 10):
            gauge.set(float("nan"))
            counter.inc(-1)

    with Collector(recorder):
        in_threads(4, work)
    count = 4 * (rounds // 10)
    assert recorder.registry.refusals.total() == {
        "not finite": count,
        "negative increment": count,
    }


# -- signals ----------------------------------------------------------------------------


@contextmanager
def handling(number: int, handler: Callable[[], object]) -> Iterator[None]:
    """Handle a signal in this block."""
    before = signal.signal(number, lambda *_: handler())
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def storm(number: int) -> Iterator[None]:
    """Send a signal to the main thread again and again."""
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            signal.pthread_kill(threading.main_thread().ident, number)  # type: ignore[arg-type]
            time.sleep(0)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("times", [300, pytest.param(20_000, marks=pytest.mark.slow)])
def test_signal_handler_records(times: int) -> None:
    """A handler may record while its thread records, folds, makes and collects."""
    recorder = Recorder(max_series_per_metric=100)
    counter = recorder.meter.counter("c")
    handled = main = 0

    def handler() -> None:
        nonlocal handled
        handled += 1
        counter.inc()
        counter.inc(1, new=handled % 200)
        recorder.meter.counter("other").inc(0)

    total = 0
    with handling(signal.SIGUSR1, handler), storm(signal.SIGUSR1):
        while handled < times:
            for _ in range(100):
                main += 1
                counter.inc()
                counter.inc(1, new=main % 200)
            total += sum(point.payload[0] for point in recorder.points())
    total += sum(point.payload[0] for point in recorder.points())
    assert total == 2 * (main + handled)


def test_timer_signal_records(recorder: Recorder) -> None:
    """So it does from a handler of the interval timer."""
    counter = recorder.meter.counter("c")
    handled = main = 0

    def handler() -> None:
        nonlocal handled
        handled += 1
        for _ in range(700):  # beyond the limit: it folds, or gives way
            counter.inc()

    with handling(signal.SIGVTALRM, handler):
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.001, 0.001)
        try:
            while handled < 20:
                main += 1
                counter.inc()
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    assert recorder.lines() == [f"c count,delta={main + 700 * handled}"]


class Interrupt(BaseException):
    """What a handler raises."""


@pytest.mark.parametrize("times", [200, pytest.param(20_000, marks=pytest.mark.slow)])
def test_signal_handler_raises(recorder: Recorder, times: int) -> None:
    """An interrupted record is recorded or not; all others are, and none hangs."""
    counter = recorder.meter.counter("c")
    done = interrupted = 0
    armed = False

    def handler() -> None:
        nonlocal armed
        if armed:
            armed = False
            raise Interrupt

    with handling(signal.SIGUSR1, handler), storm(signal.SIGUSR1):
        while interrupted < times:
            count = 0
            try:
                armed = True
                while True:
                    counter.inc()
                    count += 1
            except Interrupt:
                interrupted += 1
            done += count
    armed = False
    [point] = recorder.points()
    # Between its two lines an inc may be done and not yet counted.
    assert done <= point.payload[0] <= done + interrupted


Visit = Callable[[CodeType, int, FrameType], None]

PACKAGE = os.path.dirname(series_module.__file__)


@contextmanager
def each_instruction(visit: Visit) -> Iterator[None]:
    """Call *visit* before each instruction of the package, by ``sys.settrace``."""

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            visit(frame.f_code, frame.f_lasti, frame)
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(previous)


@contextmanager
def each_monitored_instruction(visit: Visit) -> Iterator[None]:
    """Do so by ``sys.monitoring``: tracing misses many from CPython 3.12 on."""
    monitoring = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
    tool, event = 4, monitoring.events.INSTRUCTION
    codes = {
        each.__code__
        for each in gc.get_objects()
        if type(each) is FunctionType and each.__code__.co_filename.startswith(PACKAGE)
    }
    monitoring.use_tool_id(tool, "tests")
    monitoring.register_callback(
        tool, event, lambda code, offset: visit(code, offset, sys._getframe(1))
    )
    for code in codes:
        monitoring.set_local_events(tool, code, event)
    try:
        yield
    finally:
        for code in codes:
            monitoring.set_local_events(tool, code, 0)
        monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)


def steps_of(call: Callable[[], object], strike: int) -> bool:
    """Do *call*; raise at the given point where a signal handler could run.

    The interpreter runs handlers after calls, at jumps back and at the start of a
    function. Say whether *call* has that many such points.
    """
    names: dict[CodeType, dict[int, str]] = {}
    last: dict[FrameType, str] = {}
    seen = 0

    def visit(code: CodeType, offset: int, frame: FrameType) -> None:
        nonlocal seen
        if code not in names:
            names[code] = {i.offset: i.opname for i in dis.get_instructions(code)}
        before = last.get(frame, "RESUME")
        last[frame] = names[code].get(offset, "")
        if before.startswith(("CALL", "RESUME", "JUMP_BACKWARD")):
            seen += 1
            if seen == strike:
                raise Interrupt

    modern = sys.version_info >= (3, 12)
    try:
        with (each_monitored_instruction if modern else each_instruction)(visit):
            call()
    except Interrupt:
        return True
    return False


@pytest.mark.parametrize("kind", ["counter", "gauge", "summary"])
@pytest.mark.parametrize("dimensions", [{}, {"a": 1}], ids=["plain", "dimensions"])
def test_raising_at_every_point(kind: str, dimensions: dict[str, Any]) -> None:
    """Wherever a handler raises, no value is lost, none doubled and no lock left."""
    strike = 0
    struck = True
    while struck:
        strike += 1
        recorder = Recorder()
        instrument: Any = getattr(recorder.meter, kind)("name")
        record = getattr(instrument, "inc", None) or instrument.record
        record(1, **dimensions)
        series = instrument._find(dimensions)
        series.limit = 3
        for _ in range(series.limit - 1):
            record(1, **dimensions)

        def fold(record: Any = record) -> None:
            record(1, **dimensions)

        struck = steps_of(fold, strike)
        assert series.lock.acquire(timeout=1), f"locked at point {strike}"
        series.lock.release()
        record(1, **dimensions)
        [point] = recorder.points()
        total = getattr(point.payload, "sum", point.payload[0])
        assert total - series.limit - 1 in ((0, 1) if struck else (1,)), strike
        record(1, **dimensions)
        assert len(series.values) <= 2
    assert strike > 5


# -- finalisers -------------------------------------------------------------------------


class Finalised:
    """Records when it is collected as garbage."""

    def __init__(self, record: Callable[[], object]) -> None:
        self.record = record
        self.cycle = self

    def __del__(self) -> None:
        self.record()


@pytest.mark.parametrize(
    "times", [3_000, pytest.param(100_000, marks=pytest.mark.slow)]
)
def test_finalisers(times: int) -> None:
    """A finaliser may record at any moment at which garbage is collected."""
    recorder = Recorder(max_series_per_metric=50)
    counter = recorder.meter.counter("c")
    finalised = 0

    def record() -> None:
        nonlocal finalised
        finalised += 1
        counter.inc()
        counter.inc(1, new=finalised % 100)
        counter.inc(-1)

    before = gc.get_threshold()
    gc.set_threshold(5)
    try:
        with Collector(recorder) as collector:
            for number in range(times):
                Finalised(record)
                counter.inc()
                counter.inc(1, new=number % 100, old=[number % 3])
            gc.collect()
    finally:
        gc.set_threshold(*before)
    assert finalised == times
    assert collector.totals["c"] == 4 * times
    assert recorder.registry.refusals.total() == {"negative increment": times}


# -- forks ------------------------------------------------------------------------------


def in_child(work: Callable[[], Any], timeout: float = 20) -> Any:
    """Fork; return what *work* returned in the child, which must not hang."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(theirs, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    timer = threading.Timer(timeout, os.kill, (child, signal.SIGKILL))
    timer.start()
    with os.fdopen(ours, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    timer.cancel()
    timer.join()
    assert answer, "the child failed, or hung"
    return json.loads(answer)


def child_of(recorder: Recorder) -> Callable[[], list[str]]:
    """Return what a child does: it records a little of everything."""
    counter, gauge = recorder.meter.counter("c"), recorder.meter.gauge("g")
    summary = recorder.meter.summary("s")

    def work() -> list[str]:
        recorder.registry.reset_after_fork()
        for _ in range(1_000):
            counter.inc()
            counter.inc(1, a=1)
            gauge.inc()
            summary.record(2)
        gauge.set("x")  # type: ignore[arg-type]
        lines = recorder.lines()
        return [*lines, json.dumps(recorder.registry.refusals.total())]

    return work


CHILD = [
    "c count,delta=1000",
    "c,a=1 count,delta=1000",
    "g gauge,1000",
    "s gauge,min=2,max=2,sum=2000,count=1000",
    '{"not a number": 1}',
]


@pytest.mark.parametrize("forks", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_fork_under_load(recorder: Recorder, forks: int) -> None:
    """A child counts what it recorded itself, and its parent all the rest."""
    counter = recorder.meter.counter("c")
    stop = threading.Event()
    recorded = [0] * 4

    def work(thread: int) -> None:
        while not stop.is_set():
            counter.inc()
            counter.inc(1, a=recorded[thread] % 50)
            counter.inc(-1)
            recorded[thread] += 1

    child = child_of(recorder)
    with Collector(recorder) as collector:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(forks):
            assert in_child(child) == CHILD
        stop.set()
        for thread in threads:
            thread.join()
    assert collector.totals["c"] == 2 * sum(recorded)
    assert recorder.registry.refusals.total() == {"negative increment": sum(recorded)}


@contextmanager
def holding(*locks: Any) -> Iterator[None]:
    """Let another thread hold these locks."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        release.wait(60)
        for lock in locks:
            lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    try:
        yield
    finally:
        release.set()
        thread.join()


def test_fork_while_locks_are_held(recorder: Recorder) -> None:
    """A child can record and collect whatever its parent was in the middle of."""
    child = child_of(recorder)
    registry = recorder.registry
    recorder.meter.counter("c").inc(5)
    recorder.meter.gauge("g").set("x")  # type: ignore[arg-type]
    recorder.meter.gauge("g").inc(5)
    recorder.meter.summary("s").record(5)
    families = list(registry._families.values())
    with holding(
        registry._lock,
        registry.refusals._lock,
        registry._key._free,
        registry._dimension_key._free,
        *(family.lock for family in families),
    ):
        assert in_child(child) == CHILD
    assert recorder.lines() == [
        "c count,delta=5",
        "g gauge,5",
        "s gauge,min=5,max=5,sum=5,count=1",
    ]


def test_fork_inside_a_fold(recorder: Recorder) -> None:
    """A child that is forked in the middle of a fold finishes it, in vain."""
    counter = recorder.meter.counter("c")
    ours, theirs = os.pipe()
    children = []

    class Forks:
        def __index__(self) -> int:
            if not children:
                children.append(os.fork())
                if children == [0]:
                    recorder.registry.reset_after_fork()
            return 1

    counter.inc(10)
    counter.inc(Forks())  # type: ignore[arg-type]
    counter._series.fold_if_free()
    if children == [0]:
        counter.inc(2)
        os.write(theirs, "\n".join(recorder.lines()).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        assert pipe.read() == "c count,delta=2"
    os.waitpid(children[0], 0)
    assert recorder.lines() == ["c count,delta=11"]
