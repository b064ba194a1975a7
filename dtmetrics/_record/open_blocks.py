"""The open blocks of a timer that is shared, and which of them an exit ends.

``__exit__`` does not get what ``__enter__`` returned. But a ``with`` statement enters
and leaves in one frame, and a frame runs in one thread, one task and one generator, so
the frame identifies the block. An ``ExitStack`` enters and leaves in two frames, of its
methods, so the stack identifies it. See `OpenBlocks.entered_elsewhere` for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from sys import _current_frames
from threading import get_ident
from types import FrameType
from typing import Generic, Protocol, TypeVar

__all__ = ["UNMATCHED", "OpenBlocks"]

UNMATCHED = "end of a timed block that cannot be matched; enter timer() instead"

# inspect.CO_GENERATOR, CO_COROUTINE and CO_ASYNC_GENERATOR: the flags of code whose
# frames are suspended. Importing inspect takes 12 ms.
_SUSPENDS = 0x20 | 0x80 | 0x200


Stack = ExitStack | AsyncExitStack


class Block(Protocol):
    """A block, as far as it concerns its timer's other blocks."""

    #: The thread that entered it; not set if no other block was open.
    thread: int


B = TypeVar("B", bound=Block)


class OpenBlocks(Generic[B]):
    """The open blocks of one timer."""

    __slots__ = ("_dropped", "by_frame")

    def __init__(self) -> None:
        #: By each frame the innermost block that it entered, the newest last. A block
        #: that is a key has the one around it, in the same frame, as its value.
        self.by_frame: dict[FrameType | B, B] = {}
        # Whether a block was dropped, so that an exit to come belongs to none.
        self._dropped = False

    def enter(self, block: B, frame: FrameType) -> None:
        """Add *block*, which *frame* enters while other blocks are open."""
        block.thread = get_ident()
        outer = self.by_frame.get(frame)
        if outer is not None:
            self.by_frame[block] = outer
        self.by_frame[frame] = block

    def leave(self, frame: FrameType) -> B | None:
        """Take out the block that *frame* ends; None if that is not known."""
        block = self.by_frame.pop(frame, None)
        if block is None:
            return self.entered_elsewhere(frame)
        self.restore_outer(block, frame)
        return block

    def restore_outer(self, block: B, frame: FrameType) -> None:
        """Open the block around *block* again, which *frame* has ended."""
        outer = self.by_frame.pop(block, None)
        if outer is not None:
            self.by_frame[frame] = outer

    def entered_elsewhere(self, frame: FrameType) -> B | None:
        """Take out the block that *frame* ends, although another frame entered it.

        For a stack it is the newest that the stack entered. Else the enclosing code
        called ``__enter__`` by hand, or the stack was made by ``pop_all()``. Then it is
        the newest block of this thread that was entered like this; in a coroutine only
        if there is no other, because it may be that of another task.
        """
        stack = _stack_of(frame)
        stacks = self._without_with_statement()
        same = [entered for entered, other in stacks.items() if other is stack]
        if stack is None or not same:
            here = get_ident()
            same = [
                entered
                for entered, other in stacks.items()
                if (other is None) == (stack is None)
                # Unknown of the one that was entered while no other was open.
                and getattr(self.by_frame.get(entered), "thread", here) == here
            ]
            suspends = any(each.f_code.co_flags & _SUSPENDS for each in _callers(frame))
            if suspends and (self._dropped or len(same) > 1):
                # None is recorded. The oldest is dropped, or they would accumulate; so
                # an exit to come has no block, and must not end another one.
                self._dropped = True
                self.by_frame.pop(same[0] if same else frame, None)
                return None
        return self.by_frame.pop(same[-1], None) if same else None

    def _without_with_statement(self) -> dict[FrameType, Stack | None]:
        """Return the frames that entered for other frames, each with its stack if any.

        A with statement ends what a running frame entered, or a suspended one. Only the
        methods of stacks are known to have ended if they are coroutines.
        """
        running = {each for top in _current_frames().values() for each in _callers(top)}
        frames = [each for each in self.by_frame.copy() if isinstance(each, FrameType)]
        stacks = {each: _stack_of(each) for each in frames if each not in running}
        return {
            entered: stack
            for entered, stack in stacks.items()
            if stack is not None or not entered.f_code.co_flags & _SUSPENDS
        }


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield *frame*, its caller, and so on."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def _stack_of(frame: FrameType) -> Stack | None:
    """Return the stack of which *frame* runs a method, if it does."""
    # Only of frames of contextlib, because others may be running in another thread.
    if frame.f_globals is not ExitStack.enter_context.__globals__:
        return None
    caller = frame.f_locals.get("self")
    return caller if isinstance(caller, ExitStack | AsyncExitStack) else None
