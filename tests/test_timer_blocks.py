from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from tests.support.script import expect
from tests.support.timer_clock import Timing


def test_block(timing: Timing) -> None:
    """A block records the time inside it, and shows it during the block and after."""
    with timing.timer() as t:
        timing.pass_(2)
        assert t.elapsed == 2
        timing.pass_(1)
    timing.pass_(10)
    assert t.elapsed == 3
    assert timing.took() == {"": [1, 3, 3]}


def test_blocks_are_folded(timing: Timing) -> None:
    """Durations are folded, so that their memory is bounded."""
    timer = timing.timer()
    call = timer(timing.pass_)
    for _ in range(2000):
        with timer:
            call(1)
    series = timer.summary._series
    assert len(series.values) <= series.limit
    assert timing.took() == {"": [4000, 1, 1]}


def test_block_sets_dimensions(timing: Timing) -> None:
    """Dimensions that are set inside a block are recorded, each with its last value."""
    with timing.timer() as t:
        t.set(kind="page", size=1)
        t.set(kind="image")
        timing.pass_(1)
    assert timing.took() == {"kind=image,size=1": [1, 1, 1]}


def test_block_cancels(timing: Timing) -> None:
    """A cancelled block records nothing, however it ends, and still has its duration."""
    with timing.timer() as t:
        timing.pass_(1)
        t.cancel()
    with contextlib.suppress(KeyError), timing.timer() as failed:
        failed.cancel()
        failed.set(too="late")
        raise KeyError
    assert t.elapsed == 1
    assert timing.took() == {}


def test_elapsed_of_a_block_not_entered(timing: Timing) -> None:
    """A block that was not entered has a duration of zero."""
    assert timing.timer()().elapsed == 0


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError()],
    ids=lambda error: type(error).__name__,
)
def test_block_fails(timing: Timing, error: BaseException) -> None:
    """An exception that ends a block is recorded with its class, and raised."""
    raised = None
    try:
        with timing.timer():
            timing.pass_(1)
            raise error
    except BaseException as caught:
        raised = caught
    assert raised is error
    name = type(error).__name__
    full = f"asyncio.exceptions.{name}" if name == "CancelledError" else name
    assert timing.took() == {f"error.type={full}": [1, 1, 1]}


def test_error_type_set_inside(timing: Timing) -> None:
    """An error.type that is set inside a block replaces the class of its exception."""
    with contextlib.suppress(ValueError), timing.timer() as t:
        t.set(**{"error.type": "timeout"})
        raise ValueError
    assert [*timing.took()] == ["error.type=timeout"]


def test_block_in_a_closed_generator(timing: Timing) -> None:
    """A generator that is closed early ends its block without error.type."""

    def items() -> Iterator[int]:
        with timing.timer():
            yield 1

    next(iterator := items())
    iterator.close()  # type: ignore[attr-defined]
    assert timing.took() == {"": [1, 0, 0]}


def test_async_block(timing: Timing) -> None:
    """``async with`` records as ``with`` does, failures included."""

    async def run() -> None:
        async with timing.timer() as t:
            t.set(a=1)
            timing.pass_(1)
            await asyncio.sleep(0)
        async with timing.timer()() as t:
            timing.pass_(2)
        with contextlib.suppress(KeyError):
            async with timing.timer():
                raise KeyError

    asyncio.run(run())
    assert timing.took() == {"a=1": [1, 1, 1], "": [1, 2, 2], "error.type=KeyError": [1, 0, 0]}  # fmt: skip


def test_any_dimension_name(timing: Timing) -> None:
    """Every name can be a dimension of a timer and of a block, ``self`` too."""
    with timing.timer().bind(self="x", seconds="y") as t:
        t.set(self="z", dimensions="d")
    assert [*timing.took()] == ["dimensions=d,seconds=y,self=z"]


def test_blocks_without_any_context() -> None:
    """In a process without contexts a block appends its duration, and folds beyond a limit."""
    program = """
    from dtmetrics import MemoryExporter, configure, flush, timed

    exporter = MemoryExporter()
    configure(exporter=exporter, interval=None, metadata=False)
    task = timed("task.duration")
    for _ in range(5_000):
        with task:
            pass
    flush()
    print([line.partition("count=")[2].split()[0] for line in exporter.lines])
    """
    assert expect(program) == "['5000']\n"
