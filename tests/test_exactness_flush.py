"""A flush that a signal handler ends by an exception loses nothing."""

from __future__ import annotations

import logging
import os
import random
import signal
from contextlib import suppress
from traceback import walk_stack
from types import FrameType
from typing import Any

import pytest

import dtmetrics
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.protocol_grammar import lines_of, read
from tests.support.raising_signal import Interrupt, raise_interrupt, steps_of

PACKAGE = os.path.dirname(dtmetrics.__file__)


class TooLong(Exception):
    """What the timeouts of test runners and task queues raise in a handler."""


def raise_timeout() -> None:
    """Raise as the handler of a timeout does."""
    raise TooLong


class BatchExporter:
    """Keeps each batch once: one whose answer was interrupted is sent again."""

    def __init__(self) -> None:
        self.batches: dict[int, Batch] = {}

    def export(self, batch: Batch, timeout: float, /) -> ExportResult:
        self.batches[id(batch)] = batch
        return ExportResult(Outcome.ANSWERED)

    def close(self) -> None: ...

    def reset_after_fork(self) -> None: ...

    @property
    def lines(self) -> list[str]:
        """The lines of all batches."""
        return [
            line
            for batch in self.batches.values()
            for line in batch.text.decode().split("\n")
        ]


class Program:
    """Instruments of all kinds, an observer, and what must arrive of them."""

    def __init__(self, exporters: int = 1) -> None:
        self.exporters = [BatchExporter() for _ in range(exporters)]
        self.exporter = self.exporters[0]
        self.runtime = Runtime()
        self.runtime.configure(exporters=self.exporters, interval=None)
        self.meter = self.runtime.get_meter()
        self.total = 5
        self.meter.observe("observed", kind="counter")(self.observed)
        assert self.runtime.flush()  # the first total is where counting begins
        self.wanted: dict[str, float] = {}

    def observed(self) -> list[tuple[float, dict[str, object]]]:
        return [(self.total, {"a": "1"}), (self.total, {"a": "2"})]

    def record(self) -> None:
        """Record: one value of a series and many, ones and others, and invalid values."""
        meter = self.meter
        for number in range(3):
            meter.counter("ones").inc(n=number)
            meter.counter("others").inc(2, n=number)
            meter.counter("others").inc(0.5, n=number)
            meter.summary("single").record(1.5, n=number)
            for value in (1, 2.5, 7):
                meter.summary("several").record(value, n=number)
                split = meter.summary("split", percentiles=(0.5,), slo=(1, 5))
                split.record(value, n=number)
        meter.gauge("moved").inc(2)
        with meter.gauge("running"):
            meter.gauge("running").inc(0)
        meter.gauge("set").set(3)
        mixed: list[Any] = [1, "invalid", 2]
        for each in mixed:
            meter.counter("checked").inc(each)
            meter.summary("checked.too").record(each)
        self.total += 4
        more = {"ones": 3, "others": 7.5, "single": 3, "several": 9, "checked": 3}
        # Of each three, one is at most 1, and two are at most 5.
        more |= {"checked.too": 2, "observed": 8, "split": 9, "split.slo": 9}
        for key, value in more.items():
            self.wanted[key] = self.wanted.get(key, 0) + value

    def arrived(self, exporter: BatchExporter) -> dict[str, float]:
        """Return the totals of counters and the counts of summaries that have arrived."""
        arrived = dict.fromkeys(self.wanted, 0.0)
        for line in lines_of(exporter.lines):
            if line.key in arrived:
                numbers = line.numbers
                arrived[line.key] += numbers.get("delta", numbers.get("count", 0))
        return arrived

    def end(self) -> None:
        """Flush, and assert that all has arrived once."""
        self.record()
        assert self.runtime.flush(), self.runtime.stats()
        stats = self.runtime.stats()
        done = stats.accepted + stats.rejected + sum(stats.dropped.values())
        assert stats.collected == done
        assert stats.waiting == 0
        for exporter in self.exporters:
            arrived = self.arrived(exporter)
            if stats.dropped:  # a batch is sent twice at most, and is then counted
                assert all(arrived[key] <= total for key, total in self.wanted.items())
            else:
                assert arrived == self.wanted
        self.runtime.shutdown()


def flush_to(program: Program, number: int, handler: Any = raise_interrupt) -> bool:
    """Flush up to the point *number*; return whether there is one."""
    try:
        return steps_of(program.runtime.flush, number, PACKAGE, handler)
    except TooLong:
        return True


#: How many points a flush has, about.
POINTS = 2_000


@pytest.mark.usefixtures("expects_errors")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("exporters", "handler"),
    [(1, raise_interrupt), (1, raise_timeout), (3, raise_interrupt)],
)
@pytest.mark.parametrize(
    "step",
    [
        pytest.param(97, marks=pytest.mark.processes),
        pytest.param(1, marks=pytest.mark.slow),
    ],
)
def test_interrupted_anywhere(step: int, exporters: int, handler: Any) -> None:
    """Wherever a handler raises, each exporter gets each point once after the next flush."""
    number = 1
    left = True
    while left:
        program = Program(exporters)
        program.record()
        left = flush_to(program, number, handler)
        program.end()
        number += step
    assert number > POINTS / 2


@pytest.mark.usefixtures("expects_errors")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "times",
    [
        pytest.param(20, marks=pytest.mark.processes),
        pytest.param(1_000, marks=pytest.mark.slow),
    ],
)
def test_interrupted_again(times: int) -> None:
    """A flush that goes on after an interrupted one may be interrupted as well."""
    randoms = random.Random(1)
    for _ in range(times):
        program = Program()
        for _ in range(3):
            program.record()
            handler = randoms.choice([raise_interrupt, raise_timeout])
            flush_to(program, randoms.randrange(POINTS), handler)
        program.end()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX")
@pytest.mark.usefixtures("expects_errors")
# CPython ignores what a handler raises within the callback of a weak reference.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_timeout_of_a_flush() -> None:
    """A real signal whose handler raises in a flush loses nothing."""
    program = Program()
    rung: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        # Before 3.13 logging leaves its locks locked if a handler raises just after it
        # has acquired one. Any later log record would hang.
        if any(
            each.f_code.co_filename == logging.__file__ for each, _ in walk_stack(frame)
        ):
            signal.setitimer(signal.ITIMER_REAL, 1e-4)
            return
        rung.append(number)
        raise Interrupt

    def flush_and_wait(seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        program.runtime.flush()
        # signal.pause() would not return after an error that CPython ignored.
        while not rung:
            pass

    of_pytest = signal.getitimer(signal.ITIMER_REAL)  # pytest-timeout's, restored below
    previous = signal.signal(signal.SIGALRM, handler)
    try:
        for milliseconds in range(1, 60):
            program.record()
            rung.clear()
            with suppress(Interrupt):
                flush_and_wait(milliseconds / 20_000)
    finally:
        signal.signal(signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, *of_pytest)
    program.end()


def test_observer_that_interrupts() -> None:
    """What was taken out of its series before a callback raised is sent by the same flush."""
    program = Program()
    program.record()
    interrupts = [KeyboardInterrupt()]

    @program.meter.observe("raises")
    def raises() -> float:
        if interrupts:
            raise interrupts.pop()
        return 1

    with pytest.raises(KeyboardInterrupt):
        program.runtime.flush()
    assert program.runtime.stats().waiting == 31
    program.end()


def test_self_metrics_once() -> None:
    """An interrupted flush counts invalid values once in the self-metrics as well."""
    for number in range(1, POINTS, 211):
        program = Program()
        program.record()
        flush_to(program, number)
        program.end()
        invalid = sum(
            read(line).numbers["delta"]
            for line in program.exporter.lines
            if line.startswith("dtmetrics.client.values.invalid")
        )
        assert invalid >= 4
