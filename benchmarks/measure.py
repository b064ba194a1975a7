"""Timing: all cases in turns, in short slices of the thread's own CPU time.

A shared machine has slow moments. Taking turns spreads them over all cases, CPU time
excludes the time of other processes, and the least of about a hundred short slices is
one that nothing disturbed. Ratios within one run are therefore reliable; figures of two
runs are hardly comparable.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from threading import Barrier, Thread
from time import perf_counter, process_time, thread_time
from timeit import Timer
from typing import Any, NamedTuple

__all__ = [
    "FULL",
    "QUICK",
    "Size",
    "Statement",
    "cost_in_threads",
    "least_of_awaited",
    "least_of_statements",
    "quiet",
    "take_turns",
]

#: Seconds of one slice: long enough for the clock, shorter than the scheduler's slice.
_SLICE = 0.0006
_UNROLLED = 10

_EMPTY = "nothing"


class Size(NamedTuple):
    """The extent of a measurement."""

    rounds: int  # of short slices
    turns: int  # of long measurements
    series: int
    seconds: float  # of each observed period


FULL = Size(rounds=100, turns=3, series=100_000, seconds=1.2)
#: Checks that the command works; its figures mean nothing.
QUICK = Size(rounds=3, turns=1, series=500, seconds=0.05)


class Statement(NamedTuple):
    """Source text to time, and the values of its names, which are local variables."""

    text: str
    names: Mapping[str, Any] = {}


@contextmanager
def quiet() -> Iterator[None]:
    """Switch the garbage collector off while something is measured."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def least_of_statements(
    cases: Mapping[str, Statement], rounds: int
) -> dict[str, float]:
    """Return the least nanoseconds of each case, without those of the loop."""
    timers = {_EMPTY: _timer(Statement("pass"))}
    timers |= {name: _timer(statement) for name, statement in cases.items()}
    with quiet():
        slices = {
            name: partial(_slice, timer, _loops(timer))
            for name, timer in timers.items()
        }
        least = take_turns(slices, rounds)
    return {name: 1e9 * (least[name] - least[_EMPTY]) / _UNROLLED for name in cases}


def least_of_awaited(
    cases: Mapping[str, Callable[[], Awaitable[object]]], rounds: int, times: int = 200
) -> dict[str, float]:
    """Return the least nanoseconds of awaiting each case, including the loop."""

    async def awaited(call: Callable[[], Awaitable[object]]) -> float:
        start = thread_time()
        for _ in range(times):
            await call()
        return thread_time() - start

    async def in_turns() -> dict[str, float]:
        took: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(rounds):
            for name, call in cases.items():
                took[name].append(await awaited(call))
        return {name: 1e9 * min(each) / times for name, each in took.items()}

    with quiet():
        return asyncio.run(in_turns())


def take_turns(
    measures: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, float]:
    """Return the least of each, in rounds that begin with a different one each."""
    names = list(measures)
    least = dict.fromkeys(names, float("inf"))
    for start in range(rounds):
        for turn in range(len(names)):
            name = names[(start + turn) % len(names)]
            least[name] = min(least[name], measures[name]())
    return least


def cost_in_threads(
    statement: Statement, threads: int, seconds: float
) -> tuple[float, float]:
    """Return nanoseconds of CPU and of wall-clock time for one, in *threads* at once.

    Wall-clock time is divided by the number of all statements run meanwhile.
    """
    alone = _timer(statement)
    times = max(1, int(_loops(alone) * seconds / _SLICE / threads))
    timers = [_timer(statement) for _ in range(threads)]
    ready = Barrier(threads + 1)

    def work(timer: Timer) -> None:
        ready.wait()
        timer.timeit(times)

    workers = [Thread(target=work, args=(timer,)) for timer in timers]
    for worker in workers:
        worker.start()
    with quiet():
        cpu, wall = process_time(), perf_counter()
        ready.wait()
        for worker in workers:
            worker.join()
        done = times * _UNROLLED * threads
        return (
            1e9 * (process_time() - cpu) / done,
            1e9 * (perf_counter() - wall) / done,
        )


def _slice(timer: Timer, loops: int) -> float:
    return timer.timeit(loops) / loops


def _timer(statement: Statement) -> Timer:
    text = "\n".join([statement.text] * _UNROLLED)
    setup = "\n".join(f"{name} = _names[{name!r}]" for name in statement.names)
    return Timer(
        text, setup or "pass", thread_time, globals={"_names": statement.names}
    )


def _loops(timer: Timer) -> int:
    """Return how many loops fill a slice."""
    loops = 1
    while (took := timer.timeit(loops)) < _SLICE / 4:
        loops *= 4
    return max(1, int(loops * _SLICE / took))
