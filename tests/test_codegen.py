from __future__ import annotations

import asyncio
import contextlib
import inspect
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._decorate.codegen import _reserved_names
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.timed_call import _source
from tests.support.timer_clock import Timing

# Names with a meaning for Python, for wrappers, or in the template.
NAMES = ["a", "b", "self", "args", "kwargs", "func", "call", "clock", "print", "match", "é", "len", "_func", "_took"]  # fmt: skip


@st.composite
def parameter_lists(draw: st.DrawFn) -> str:
    """Draw a parameter list with every kind of parameter, in every valid order."""
    names = iter(draw(st.permutations(NAMES)))
    most = st.integers(0, 3)
    first, either, only = ([next(names) for _ in range(draw(most))] for _ in range(3))
    required = draw(st.integers(0, len(first) + len(either)))
    positional = [
        name if place < required else f"{name}={place}"
        for place, name in enumerate(first + either)
    ]
    keywords = [f"{name}=-1" if draw(st.booleans()) else name for name in only]
    several = f"*{next(names)}" if draw(st.booleans()) else "*" if only else ""
    more = f"**{next(names)}" if draw(st.booleans()) else ""
    slash = ["/"] if first else []
    parts = [*positional[: len(first)], *slash, *positional[len(first) :], several, *keywords, more]  # fmt: skip
    return ", ".join(filter(None, parts))


def result_of(call: Callable[[], Any]) -> Any:
    """Return the result of *call*, or the message of its TypeError."""
    try:
        return call()
    except TypeError as error:
        return str(error)


def function_with(parameters: str, kind: str = "def") -> Any:
    """Return a function with these parameters that returns its arguments."""
    space: dict[str, Any] = {"__name__": __name__}
    exec(f"{kind} function({parameters}): return dict(locals())", space)
    return space["function"]


@given(
    parameter_lists(),
    st.lists(st.integers(), max_size=7),
    st.dictionaries(st.sampled_from([*NAMES, "other"]), st.integers(), max_size=4),
)
def test_any_parameters(parameters: str, args: list[int], kwargs: dict[str, int]) -> None:  # fmt: skip
    """A timed function accepts and rejects the same arguments, with the same messages."""
    timing = Timing()
    bare, awaited = function_with(parameters), function_with(parameters, "async def")
    made, amade = timing.timer()(bare), timing.timer()(awaited)
    owner: Any = type("Owner", (), {"method": timing.timer()(bare)})

    expected = result_of(lambda: bare(*args, **kwargs))
    assert result_of(lambda: made(*args, **kwargs)) == expected
    assert result_of(lambda: owner.method(*args, **kwargs)) == expected
    assert result_of(lambda: asyncio.run(amade(*args, **kwargs))) == expected
    for each in (made, owner.method, amade):
        assert inspect.signature(each) == inspect.signature(bare)
    calls = 0 if isinstance(expected, str) else 3
    assert sum(count for count, *_ in timing.took().values()) == calls


def test_parameters_named_as_in_the_template() -> None:
    """A parameter may have any name that the template uses."""
    names = _reserved_names(_source((), False))
    assert {"_clock", "_func", "_outdated"} <= names
    for name in sorted(names):
        made = Timing().timer()(function_with(f"{name}, *, other=2"))
        assert made(1) == made(**{name: 1}) == {name: 1, "other": 2}


def test_invalid_parameter_names() -> None:
    """A function whose parameter names are not identifiers is timed as well."""
    timing = Timing()

    def plain(a: int) -> int:
        return a

    plain.__code__ = plain.__code__.replace(co_varnames=("not a name",))
    assert timing.timer()(plain)(3) == 3
    assert timing.took() == {"": [1, 0, 0]}


def test_names_of_a_class_are_mangled() -> None:
    """A private parameter of a method keeps its mangled name."""

    class Owner:
        @Timing().timer()
        def method(self, __private: int, *, __more: int = 2) -> tuple[int, int]:  # noqa: PYI063
            return __private, __more

    assert Owner().method(1) == (1, 2)
    assert Owner().method(_Owner__private=3, _Owner__more=4) == (3, 4)  # type: ignore[call-arg]


@pytest.mark.parametrize("options", [{}, {"args": {"a": None}}, {"result": lambda _: {}}])  # fmt: skip
def test_wrong_arguments_are_not_timed(timing: Timing, options: dict[str, Any]) -> None:  # fmt: skip
    """A call with wrong arguments is not timed, with or without args= and result=."""

    @timing.timer(**options)
    def call(a: int) -> int:
        return a

    @timing.timer(**options)
    async def acall(a: int) -> int:
        return a

    with pytest.raises(TypeError, match=r"call\(\) missing 1 required"):
        call()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"acall\(\) missing 1 required"):
        asyncio.run(acall())  # type: ignore[call-arg, arg-type]
    assert timing.took() == {}


def test_a_type_error_inside_is_a_failure(timing: Timing) -> None:
    """A TypeError that the function raises, or a function in C, is recorded as a failure."""

    @timing.timer(args={"a": None})
    def call(a: Any) -> Any:
        return len(a)

    for each in (call, timing.timer()(call), timing.timer()(len)):
        with pytest.raises(TypeError):
            each(1)
    assert timing.took() == {
        "a=1,error.type=TypeError": [2, 0, 0],
        "error.type=TypeError": [2, 0, 0],
    }


def test_traceback_shows_the_line(timing: Timing) -> None:
    """A traceback shows the line of the wrapper that calls the function."""

    @timing.timer()
    def fails(a: int, /, b: int, *, c: int) -> None:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$") as raised:
        fails(1, 2, c=3)
    call, last = traceback.extract_tb(raised.value.__traceback__)[-2:]
    assert (call.name, call.line) == ("call", "_result = _func(a, b, c=c)")
    assert "call(a, /, b, *, c)" in call.filename
    assert last.name == "fails"


def test_recording_begins_and_ends(timing: Timing) -> None:
    """A call is timed if recording was on when it began and is on when it ends."""
    registry = timing.recorder.registry

    @timing.timer()
    def call(inside: Callable[[], object]) -> None:
        inside()

    @timing.timer()
    async def acall(inside: Callable[[], object]) -> None:
        inside()

    for each in (call, lambda inside: asyncio.run(acall(inside))):
        each(bool)
        each(registry.stop)
        each(bool)
        assert timing.took() == {"": [1, 0, 0]}
        each(lambda: registry.start(RecordingOptions(), bool))
        assert timing.took() == {}


def test_context_opened_inside(timing: Timing) -> None:
    """A context that is opened in a call and outlasts it applies to the call as well."""
    registry = timing.recorder.registry
    contexts = contextlib.ExitStack()
    call = timing.timer()(lambda context: contexts.enter_context(context))
    with contexts:
        call(contextlib.nullcontext())
        call(registry.context(kind="late"))
    assert timing.took() == {"": [1, 0, 0], "kind=late": [1, 0, 0]}
