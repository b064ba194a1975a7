"""Whether compiled timers pay: a compiled wrapper beside a closure, in one run.

``python -m benchmarks.closures`` prints nanoseconds of one call of a function that does
nothing: bare, timed by a compiled wrapper, and timed by a closure that takes ``*args,
**kwargs`` and is otherwise the same. The compiled one is kept while a closure costs
15 % more. They are measured in turns, and each figure is the least of many.
"""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time
from typing import Any
from unittest import mock

from benchmarks.measure import quiet
from dtmetrics._decorate import codegen
from dtmetrics._decorate.parameters import ANY
from dtmetrics._record.meter import Meter
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.registry import Registry

CALLS, ROUNDS = 2_000, 200


def nothing() -> None:
    """Do nothing."""


def two(a: int, b: int) -> None:
    """Do nothing with two arguments."""


async def coroutine() -> None:
    """Do nothing in a coroutine."""


class Owner:
    """Has a method."""

    def method(self) -> None:
        """Do nothing."""


def _cases(timer: Callable[[Any], Any]) -> dict[str, Callable[[], float]]:
    """Return for each case a function that returns the seconds of many calls."""
    plain, pair, awaited = timer(nothing), timer(two), timer(coroutine)
    method = type("Owned", (), {"method": timer(Owner.method)})().method

    async def await_many() -> None:
        for _ in range(CALLS):
            await awaited()

    def many(call: Callable[[], object]) -> Callable[[], None]:
        def calls() -> None:
            for _ in range(CALLS):
                call()

        return calls

    def by_position() -> None:
        for _ in range(CALLS):
            pair(1, 2)

    def by_keyword() -> None:
        for _ in range(CALLS):
            pair(a=1, b=2)

    def awaits() -> None:
        try:
            await_many().send(None)
        except StopIteration:
            return

    cases = {
        "no arguments": many(plain),
        "2 arguments": by_position,
        "2 keywords": by_keyword,
        "method": many(method),
        "coroutine": awaits,
    }
    return {name: lambda run=run: _seconds(run) for name, run in cases.items()}  # type: ignore[misc]


def _seconds(run: Callable[[], None]) -> float:
    start = thread_time()
    run()
    return thread_time() - start


def main() -> None:
    """Print a row for each case."""
    registry = Registry()
    registry.start(RecordingOptions(), lambda: True)
    timer = Meter(registry, "").timed("call.duration")
    compiled = _cases(timer)
    # The same wrapper, made for any parameters: what a closure in the source would be.
    with mock.patch.object(codegen, "parameters_of", return_value=ANY):
        closures = _cases(timer)
    kinds = [_cases(lambda func: func), compiled, closures]
    print(f"{'':14}{'bare':>8}{'compiled':>10}{'closure':>9}   closure / compiled")
    for name in compiled:
        least = [min_of[name]() for min_of in kinds]
        with quiet():
            for _ in range(ROUNDS):
                least = [
                    min(before, kind[name]())
                    for before, kind in zip(least, kinds, strict=True)
                ]
        bare, fast, slow = (1e9 * seconds / CALLS for seconds in least)
        print(f"{name:14}{bare:8.0f}{fast:10.0f}{slow:9.0f}{slow / fast:14.2f}")


if __name__ == "__main__":
    main()
