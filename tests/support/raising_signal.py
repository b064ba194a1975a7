"""Raises at each point of a call where the interpreter may run a signal handler."""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import get_ident
from types import CodeType, FrameType
from typing import Any


class Interrupt(BaseException):
    """Raised instead of a signal handler."""


Visit = Callable[[CodeType, int, FrameType], None]


@contextmanager
def each_instruction(visit: Visit, where: str) -> Iterator[None]:
    """Call *visit* before each instruction in files *where*, by ``sys.settrace``."""

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(where):
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


def codes_of(where: str) -> set[CodeType]:
    """Return the code of every function in files *where*, nested ones included."""
    # Not by gc.get_objects(): in a free-threaded 3.13 functions become immortal with
    # the first thread, and leave that list.
    modules = [
        module
        for module in list(sys.modules.values())
        if (getattr(module, "__file__", None) or "").startswith(where)
    ]
    members = [each for module in modules for each in vars(module).values()]
    for owner in [each for each in members if isinstance(each, type)]:
        members += vars(owner).values()
    codes: set[CodeType] = set()
    for member in members:
        with suppress(RuntimeError):  # of flask.request outside of a request
            function = getattr(member, "fget", getattr(member, "__func__", member))
            if callable(function):
                code = getattr(inspect.unwrap(function), "__code__", None)
                if isinstance(code, CodeType):
                    add_codes(code, codes)
    return {code for code in codes if code.co_filename.startswith(where)}


def add_codes(code: CodeType, codes: set[CodeType]) -> None:
    """Add *code*, and the code nested in it, to *codes*."""
    codes.add(code)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            add_codes(inner, codes)


@contextmanager
def each_monitored_instruction(visit: Visit, where: str) -> Iterator[None]:
    """Call *visit* likewise by ``sys.monitoring``.

    Tracing misses many instructions from CPython 3.12 on.
    """
    monitoring = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
    tool, event = 4, monitoring.events.INSTRUCTION
    codes, here = codes_of(where), get_ident()

    def visit_here(code: CodeType, offset: int) -> None:
        if get_ident() == here:  # it is called in all threads, and tracing in one
            visit(code, offset, sys._getframe(1))

    monitoring.use_tool_id(tool, "tests")
    monitoring.register_callback(tool, event, visit_here)
    for code in codes:
        monitoring.set_local_events(tool, code, event)
    try:
        yield
    finally:
        for code in codes:
            monitoring.set_local_events(tool, code, 0)
        monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)


#: What sees each instruction on the running Python.
instructions = (
    each_monitored_instruction if sys.version_info >= (3, 12) else each_instruction
)


def raise_interrupt() -> None:
    """Raise as a signal handler may."""
    raise Interrupt


def steps_of(
    call: Callable[[], object],
    number: int,
    where: str,
    handler: Callable[[], object] = raise_interrupt,
) -> bool:
    """Call *call*, and *handler* at its point *number* where a signal handler could run.

    The interpreter runs handlers after calls, at backward jumps and at the start of a
    function. Points in files *where* are counted. Returns whether there are that many.
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
            if seen == number:
                handler()

    try:
        with instructions(visit, where):
            call()
    except Interrupt:
        return True
    return seen >= number
