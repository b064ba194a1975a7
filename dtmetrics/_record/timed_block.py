"""One timed block, and which block the exit of a shared timer ends.

``__exit__`` does not get what ``__enter__`` returned. But a ``with`` statement looks
both up before it enters, and calls the exit that it has looked up; so does
``ExitStack.enter_context()``. So each look-up of a timer's exit makes the block that
this exit will end, and the entry that follows in the same thread takes that block.
This is exact for threads, tasks, suspended generators and stacks alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from threading import local
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from dtmetrics._decorate.arguments import Convert
from dtmetrics._decorate.decorate import AsyncBlock, Ready
from dtmetrics._decorate.hooks import error_type
from dtmetrics._record.instruments import Summary
from dtmetrics._record.pickling import Reduced

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "UNMATCHED",
    "AsyncExitOfBlock",
    "Block",
    "ExitOfBlock",
    "ReadClock",
    "TimerOptions",
    "dimensions_of_failure",
    "enter_otherwise",
    "looked_up",
    "new_block",
    "restored_block",
]

UNMATCHED = "end of a timed block that was not entered"


class TimerOptions(NamedTuple):
    """What a timer records beside the duration: see ``timed()``."""

    args: Mapping[str, Convert | None] = {}
    result: Callable[[Any], Mapping[str, Any]] | None = None
    errors: bool = True
    ignore: tuple[type[BaseException], ...] = ()
    generator: str = "total"
    #: Whether code.function.name is added.
    named: bool = False

    @classmethod
    def checked(cls, **options: Any) -> Self:  # noqa: ANN401 -- of those fields
        """Return the options; raise a TypeError or a ValueError if one is invalid."""
        checked = cls(**options)
        ignore: object = checked.ignore  # a class, or any iterable of classes
        classes: Any = ignore if isinstance(ignore, type) else tuple(checked.ignore)
        isinstance(None, classes)  # raises a TypeError now, not when a call has failed
        if checked.generator not in ("total", "active"):
            raise ValueError(
                f'generator must be "total" or "active", got {checked.generator!r}'
            )
        return checked._replace(ignore=classes)


def dimensions_of_failure(
    options: TimerOptions, error: BaseException
) -> dict[str, object]:
    """Return the dimensions of a call or a block that raised *error*."""
    if not options.errors or isinstance(error, options.ignore):
        return {}
    return {"error.type": error_type(error)}


class ReadClock(Protocol):
    """A monotonic clock.

    Not a Callable, because pyright takes one that ``__slots__`` names for a method.
    """

    def __call__(self) -> float:
        """Return the time in seconds."""


class BlockTimer(Protocol):
    """What a block uses of its timer."""

    clock: ReadClock
    options: TimerOptions
    summary: Summary


class Block(AsyncBlock):
    """One timed block: what ``with timed(...) as t`` gives.

    >>> from dtmetrics import timed
    >>> with timed("render.duration") as t:
    ...     t.set(kind="page")
    >>> 0 < t.elapsed < 1
    True
    """

    # Without __init__, whose call costs 40 ns on CPython 3.11. The clock is a local
    # variable before it is called: as a method of an attribute it costs 10 ns more.
    __slots__ = ("_added", "_start", "_timer", "_took")

    _timer: BlockTimer  # None until the ExitStack enters that looked the exit up
    _start: float | None  # None: not entered yet
    _took: float | None
    _added: dict[str, object] | None  # the dimensions that were set inside

    @property
    def elapsed(self) -> float:
        """Seconds since the block began; the duration of a block that has ended."""
        if self._took is not None:
            return self._took
        return 0.0 if self._start is None else self._timer.clock() - self._start

    def set(self, /, **dimensions: object) -> None:
        """Add *dimensions* to what the block records."""
        if self._added is not _CANCELLED:
            self._added = {**(self._added or {}), **dimensions}

    def cancel(self) -> None:
        """Record nothing for this block."""
        self._added = _CANCELLED

    def __reduce__(self) -> Reduced:
        # It keeps its duration until now. The original records, not what is unpickled.
        took = None if self._start is None else self.elapsed
        return restored_block, (self._timer, took)

    def __copy__(self) -> Block:
        return new_block(self._timer) if self._start is None else self

    def __deepcopy__(self, memo: object) -> Block:
        return self.__copy__()

    def __enter__(self) -> Self:
        self._took = None
        clock = self._timer.clock
        self._start = clock()
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        timer, start = self._timer, self._start
        if start is None:
            _exit_by_hand(timer, error)
            return
        clock = timer.clock
        self._took = took = clock() - start
        series = timer.summary._series
        buffer = series.buffer
        if buffer is None or error is not None or self._added is not None:
            self._record(took, error)
            return
        # As in Summary.record(), whose call costs 55 ns.
        buffer.append(took)
        if len(buffer) > series.limit:
            series.fold_if_free()

    def _record(self, took: float, error: BaseException | None) -> None:
        timer = self._timer
        if self._added is _CANCELLED or not timer.summary.registry.recording:
            return
        dimensions = self._added or {}
        # A generator that is closed early leaves its blocks by a GeneratorExit.
        if error is not None and not isinstance(error, GeneratorExit):
            failure = dimensions_of_failure(timer.options, error)
            dimensions = {**failure, **dimensions}
        timer.summary.record_with(took, dimensions)


_CANCELLED: Final[dict[str, object]] = {}  # the dimensions of a cancelled block


def new_block(timer: BlockTimer | None) -> Block:
    """Return a block of *timer* that has not been entered."""
    block = Block()
    block._timer = timer  # type: ignore[assignment]
    block._start = block._took = block._added = None
    return block


def restored_block(timer: BlockTimer | None, took: float | None) -> Block:
    """Return a block of *timer* that has not been entered, with a duration."""
    block = new_block(timer)
    block._took = took
    return block


class ExitOfBlock:
    """An ``__exit__`` that makes a block at each look-up, and is the exit of it."""

    __slots__ = ()

    def __get__(
        self, timer: BlockTimer | None, owner: type[BlockTimer]
    ) -> Callable[..., None]:
        # As in new_block(), whose call costs 50 ns.
        block = Block()
        block._timer = timer  # type: ignore[assignment]
        block._start = block._took = block._added = None
        looked_up.block = block
        # An ExitStack looks it up on the class, and passes the timer when it leaves.
        return block.__exit__ if timer is not None else partial(_exit_of, block)


class AsyncExitOfBlock:
    """The same for ``__aexit__``."""

    __slots__ = ()

    def __get__(
        self, timer: BlockTimer | None, owner: type[BlockTimer]
    ) -> Callable[..., Ready[None]]:
        block = looked_up.block = new_block(timer)
        return block.__aexit__ if timer is not None else partial(_aexit_of, block)


def _exit_of(
    block: Block,
    timer: BlockTimer,
    kind: object,
    error: BaseException | None,
    trace: object,
) -> None:
    block._timer = timer
    block.__exit__(kind, error, trace)


def _aexit_of(
    block: Block,
    timer: BlockTimer,
    kind: object,
    error: BaseException | None,
    trace: object,
) -> Ready[None]:
    block._timer = timer
    return block.__aexit__(kind, error, trace)


class _LookedUp(local):
    """The block whose exit this thread looked up last."""

    def __init__(self) -> None:
        self.block = new_block(None)
        self.block._start = 0.0  # as if entered, so that no entry takes it


looked_up = _LookedUp()

#: The blocks that were entered by hand in this context and are open, newest last.
_BY_HAND: ContextVar[tuple[Block, ...]] = ContextVar("dtmetrics.blocks", default=())


def enter_otherwise(timer: BlockTimer, last: Block) -> Block:
    """Return the block for an entry of *timer* whose exit was not looked up on it."""
    if getattr(last, "_timer", None) is None and last._start is None:
        # By an ExitStack, on the class.
        last._timer = timer
        return last
    block = new_block(timer)
    _BY_HAND.set((*_BY_HAND.get(), block))
    return block


def _exit_by_hand(timer: BlockTimer, error: BaseException | None) -> None:
    """End the newest block of *timer* that was entered by hand in this context."""
    opened = _BY_HAND.get()
    block = next((each for each in reversed(opened) if each._timer is timer), None)
    if block is None:
        timer.summary.reject(UNMATCHED)
        return
    _BY_HAND.set(tuple(each for each in opened if each is not block))
    block.__exit__(None, error, None)
