"""Compiles what is called instead of a timed function, with the function's parameters.

A timer without ``args=`` and ``result=`` takes two readings of the clock and an append.
The three steps of a `CallHook`, each a call, would add 120 ns. A wrapper with the
parameters of the function itself needs neither a tuple nor a dictionary for ``*args,
**kwargs``. A closure that takes these costs more for each timed call (``python -m
benchmarks.closures``, CPython 3.11.7): 19 % without arguments, 29 % with two, 31 % for
a method, 39 % with two keywords, 5 to 17 % for a coroutine. Compiling takes 0.1 ms,
once for all functions whose parameters have the same names.

The wrapper rejects wrong arguments by itself, with the message of the function: it has
the function's name, and the defaults that the function had when it was decorated.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from keyword import iskeyword
from types import CodeType, FunctionType
from typing import NamedTuple, cast

from dtmetrics._decorate.hooks import Call, CallHook
from dtmetrics._record.instruments import Summary

__all__ = ["CallOptions", "timed_call"]

# Its names begin with an underscore, as those of few parameters do. The series is read
# when the call has ended, because it may be another one by then.
_TEMPLATE = """\
def _make(_func, _registry, _enabled, _clock, _summary, _fail, _result_dimensions):
    _record_with = _summary.record_with
    {async_}def call({parameters}):
        _series = _summary._series
        if _series.buffer is None and not (
            _registry.recording and (_series.enabled or _enabled())
        ):
            return {await_}_func({arguments})
        _start = _clock()
        try:
            _result = {await_}_func({arguments})
        except BaseException as _error:
            _fail(_start, _error, (), {{{wanted}}})
            raise
        _took = _clock() - _start
{record}
        return _result
    return call
"""
_RECORD = """\
        _series = _summary._series
        _buffer = _series.buffer
        if _buffer is None:
            _summary.record(_took)
        else:
            _buffer.append(_took)
            if len(_buffer) > _series.limit:
                _series.fold_if_free()\
"""
# None, as optional arguments often are, makes no dimension.
_RECORD_ARGUMENTS = """\
        _pairs = {{{wanted}}}
        if {absent}:
            _pairs = {{_k: _v for _k, _v in _pairs.items() if _v is not None}}
        _record_with(_took, _pairs)\
"""
_RECORD_RESULT = """\
        _record_with(_took, _result_dimensions(_result, {{{wanted}}}))\
"""
_ALL = _TEMPLATE + _RECORD + _RECORD_ARGUMENTS + _RECORD_RESULT
_TEMPLATE_NAMES = {"len", "BaseException", *re.findall(r"\b_\w+", _ALL)}

_CACHED_SHAPES = 1024

# inspect.CO_VARARGS and CO_VARKEYWORDS. Importing inspect takes 12 ms.
_VARARGS, _VARKEYWORDS = 0x04, 0x08


class _Shape(NamedTuple):
    """Parameters as source: how they are declared, and how they are passed on."""

    parameters: str
    arguments: str
    #: Those that hold one argument each.
    names: tuple[str, ...] = ()


_ANY = _Shape("*args, **kwargs", "*args, **kwargs")


class CallOptions(NamedTuple):
    """What a call records beside its duration."""

    #: The arguments whose values are dimensions.
    arguments: tuple[str, ...] = ()
    #: Adds the dimensions of a result to those of the arguments.
    of_result: Callable[[object, dict[str, object]], dict[str, object]] | None = None


def timed_call(
    func: Call,
    hook: CallHook,
    summary: Summary,
    options: CallOptions = CallOptions(),  # noqa: B008 -- immutable
    *,
    awaited: bool,
) -> Call | None:
    """Return a wrapper of *func* that records its duration into *summary*.

    None if a wanted argument is not a parameter of its own.
    """
    is_function = type(func) is FunctionType
    shape = _shape_of(func.__code__) if is_function else _ANY
    if not set(options.arguments) <= set(shape.names):
        return None
    of_result = options.of_result
    record = _RECORD_ARGUMENTS if options.arguments else _RECORD
    if of_result is not None:
        record = _RECORD_RESULT
    make = _compiled(shape, options.arguments, record, awaited=awaited)
    registry, enabled = summary.registry, summary.origin.enabled
    call = make(func, registry, enabled, hook.begin, summary, hook.fail, of_result)
    if shape is not _ANY:
        call.__defaults__ = func.__defaults__
        call.__kwdefaults__ = func.__kwdefaults__
    return call


@lru_cache(_CACHED_SHAPES)
def _compiled(
    shape: _Shape, names: tuple[str, ...], record: str, *, awaited: bool
) -> Callable[..., FunctionType]:
    parameters, arguments, _ = shape
    wanted = ", ".join(f"{name!r}: {name}" for name in names)
    absent = " or ".join(f"{name} is None" for name in names) or "False"
    record = record.format(wanted=wanted, absent=absent)
    async_, await_ = ("async ", "await ") if awaited else ("", "")
    source = _TEMPLATE.format(**locals())
    name = f"<dtmetrics: {async_}call({parameters})>"
    namespace: dict[str, object] = {"__name__": __name__}
    exec(compile(source, name, "exec"), namespace)  # noqa: S102 -- see above
    # Tracebacks show the line. The import takes 1.3 ms, and only this needs it.
    import linecache  # noqa: PLC0415

    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    return cast("Callable[..., FunctionType]", namespace["_make"])


def _shape_of(code: CodeType) -> _Shape:
    names = [*code.co_varnames]
    end = code.co_argcount
    positional, names = names[:end], names[end:]
    end = code.co_kwonlyargcount
    keywords, names = names[:end], names[end:]
    var_positional = [f"*{names.pop(0)}"] if code.co_flags & _VARARGS else []
    var_keyword = [f"**{names.pop(0)}"] if code.co_flags & _VARKEYWORDS else []
    if var_positional and var_keyword:
        # Both are made in any case. And such a function may replace its own code by
        # one with other parameters, as networkx compiles its functions when called.
        return _ANY

    starred = [name.lstrip("*") for name in var_positional + var_keyword]
    if not all(map(_is_usable, [*positional, *keywords, *starred])):
        return _ANY
    only = code.co_posonlyargcount
    parameters = [
        *positional[:only],
        *(["/"] if only else []),
        *positional[only:],
        *(var_positional or (["*"] if keywords else [])),
        *keywords,
        *var_keyword,
    ]
    by_keyword = [f"{name}={name}" for name in keywords]
    arguments = [*positional, *var_positional, *by_keyword, *var_keyword]
    own = (*positional, *keywords)
    return _Shape(", ".join(parameters), ", ".join(arguments), own)


def _is_usable(name: str) -> bool:
    return name.isidentifier() and not iskeyword(name) and name not in _TEMPLATE_NAMES
