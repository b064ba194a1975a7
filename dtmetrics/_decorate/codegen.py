"""Compiles what is called instead of a function, with its parameters.

A wrapper with the parameters of the function itself needs neither a tuple nor a
dictionary for ``*args, **kwargs``. A closure that takes these costs more for each
timed call (``python -m benchmarks.closures``, CPython 3.11.7): 19 % without arguments,
29 % with two, 31 % for a method, 39 % with two keywords, 5 to 17 % for a coroutine.
Code is compiled once for all parameters of the same names, in 0.1 ms.

The wrapper rejects wrong arguments by itself, with the message of the function. It has
the function's name, defaults, globals and, for what reads ``__code__``, parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, partial
from string import Template
from types import FunctionType
from typing import Any, NamedTuple
from zlib import crc32

from dtmetrics._decorate.defaults import Outdated
from dtmetrics._decorate.hooks import Body, Call, CallHook, Switch
from dtmetrics._decorate.parameters import ANY, Parameters, parameters_of

__all__ = ["FILE_PREFIX", "Compiled", "compile_call", "compile_for_any"]

#: What the file name of compiled code begins with.
FILE_PREFIX = "<dtmetrics "
# warnings.warn(stacklevel=2) skips the frames of the import system, and since Python
# 3.11 logging does. Both take a frame for one of these if its file name contains
# "importlib" and "_bootstrap". With this name a warning inside a decorated function
# names the caller of the function, as it does without the decorator.
_FILE = FILE_PREFIX + "{:08x}: call({}), skipped as importlib._bootstrap is>"

# Names begin with an underscore, as those of few parameters do.
_MAKE = Template("""\
def _make($state):
    ${async_}def call($parameters):
$guard$body
$cell    return call
""")
_GUARD = Template("""\
        if $guard:
            return ${await_}_outdated($args, $kwargs)
""")
# The cell of super() becomes one of the wrapper; nothing reads it. attrs, which makes a
# class anew, searches its methods for that cell.
_CELL = """\
        if 0: __class__
"""
_HOOKED = """\
        if not _switch.recording:
            return $call
        _token = _begin()
        try:
            _result = $call
        except _BaseException as _error:
            _fail(_token, _error, $args, $kwargs)
            raise
        _end(_token, _result, $args, $kwargs)
        return _result\
"""

_CACHED_SOURCES = 1024


class Compiled(NamedTuple):
    """A function that is called instead of a target."""

    call: Call
    #: Whether it has the parameters of the target.
    same_parameters: bool


def compile_call(
    target: Call, hook: CallHook, switch: Switch, *, awaited: bool
) -> Compiled:
    """Return a function that runs *hook* around the calls of *target*."""
    if type(target) is FunctionType:
        parameters = parameters_of(target)
        body = _body_for(hook, switch, parameters)
        reserved = _reserved_names(body.source)
        if parameters.writable and reserved.isdisjoint(parameters.all_names):
            outdated = None
            if parameters.guard:
                generic = partial(
                    compile_for_any, target, hook, switch, awaited=awaited
                )
                outdated = Outdated(target, generic)
            call = _like(target, parameters, body, outdated, awaited=awaited)
            return Compiled(call, same_parameters=True)
    call = compile_for_any(target, hook, switch, awaited=awaited)
    return Compiled(call, same_parameters=False)


def compile_for_any(
    target: Call, hook: CallHook, switch: Switch, *, awaited: bool
) -> FunctionType:
    """Return a function that does the same for any arguments."""
    body = _body_for(hook, switch, ANY)
    state = {**_STATE, "_func": target, **body.state}
    return _maker(ANY, body.source, (*state,), awaited)(**state)


_STATE = {"_BaseException": BaseException}


def _body_for(hook: CallHook, switch: Switch, parameters: Parameters) -> Body:
    make: Callable[[tuple[str, ...]], Body | None] | None = getattr(hook, "body", None)
    faster = None if make is None else make(parameters.names)
    if faster is not None:
        return faster
    steps = {"_begin": hook.begin, "_end": hook.end, "_fail": hook.fail}
    return Body(_HOOKED, {**steps, "_switch": switch})


def _like(
    func: FunctionType,
    parameters: Parameters,
    body: Body,
    outdated: Outdated | None,
    *,
    awaited: bool,
) -> FunctionType:
    """Return a function with the parameters, defaults, globals and cell of *func*."""
    state: dict[str, Any] = {**_STATE, "_func": func, **body.state}
    if outdated is not None:
        state |= outdated.state()
    if parameters.has_cell:
        state["__class__"] = None
    made = _maker(parameters, body.source, (*state,), awaited)(**state)
    cells = made.__closure__ or ()
    if parameters.has_cell and func.__closure__:
        names = made.__code__.co_freevars
        place = func.__code__.co_freevars.index("__class__")
        shared = {"__class__": func.__closure__[place]}
        cells = tuple(map(shared.get, names, cells))
    call = FunctionType(
        made.__code__, func.__globals__, func.__name__, func.__defaults__, cells
    )
    call.__kwdefaults__ = func.__kwdefaults__
    if outdated is not None:
        outdated.attach(call)
    return call


@lru_cache(_CACHED_SOURCES)
def _maker(
    parameters: Parameters,
    body: str,
    state: tuple[str, ...],
    awaited: bool,  # noqa: FBT001 -- by position, for the cache
    /,
) -> Callable[..., FunctionType]:
    async_, await_ = ("async ", "await ") if awaited else ("", "")
    args, kwargs, guard = parameters.args, parameters.kwargs, parameters.guard
    call = f"{await_}_func({parameters.passed})"
    source = _MAKE.substitute(
        state=", ".join(state),
        async_=async_,
        parameters=parameters.declared,
        guard=_GUARD.substitute(locals()) if guard else "",
        body=Template(body).substitute(locals()),
        cell=_CELL if parameters.has_cell else "",
    )
    name = _FILE.format(crc32(source.encode()), parameters.declared)
    namespace: dict[str, Any] = {"__name__": __name__}
    exec(compile(source, name, "exec"), namespace)  # noqa: S102 -- see above
    # Tracebacks show the line. The import takes 1.3 ms, and only this needs it.
    import linecache  # noqa: PLC0415

    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    make: Callable[..., FunctionType] = namespace["_make"]
    return make


@lru_cache(_CACHED_SOURCES)
def _reserved_names(body: str) -> set[str]:
    """Return the names that compiled code may use beside those of parameters."""
    template = _MAKE.template + _GUARD.template + body
    return {*re.findall(r"\b_\w+", template), *_STATE, *_OF_CALLS}


_OF_CALLS = "_func", "_code", "_defaults", "_kwdefaults"
