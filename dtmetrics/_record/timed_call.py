"""The source of what is called instead of a timed function.

A timer without ``args=`` and ``result=`` takes two readings of the clock and an append.
The three steps of a `CallHook`, each a call, would add 120 ns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from dtmetrics._decorate.hooks import Body, CallHook
from dtmetrics._record.guarded_call import GUARD
from dtmetrics._record.instruments import Summary

__all__ = ["CallOptions", "timed_call"]

# Each name from outside costs a call 1 to 3 ns, so there are few. The series is read
# when the call has ended, because it may be another one by then.
_TIMED = """\
        _start = _clock()
        try:
            _result = $call
        except _BaseException as _error:
            _fail(_start, _error, (), {WANTED})
            raise
        _took = _clock() - _start
"""
_RECORD = """\
        _series = _instrument._series
        _buffer = _series.buffer
        if _buffer is None:
            _instrument.record(_took)
        else:
            _buffer.append(_took)
            if _len(_buffer) > _series.limit:
                _series.fold_if_free()
        return _result\
"""
# None, as optional arguments often are, makes no dimension.
_RECORD_ARGUMENTS = """\
        _pairs = {WANTED}
        if ABSENT:
            _pairs = {_k: _v for _k, _v in _pairs.items() if _v is not None}
        _record_with(_took, _pairs)
        return _result\
"""
_RECORD_RESULT = """\
        _record_with(_took, _result_dimensions(_result, {WANTED}))
        return _result\
"""

_CACHED_SOURCES = 1024


class CallOptions(NamedTuple):
    """What a call records beside its duration."""

    #: The arguments whose values are dimensions.
    arguments: tuple[str, ...] = ()
    #: Adds the dimensions of a result to those of the arguments.
    of_result: Callable[[object, dict[str, object]], dict[str, object]] | None = None


def timed_call(
    names: tuple[str, ...], hook: CallHook, summary: Summary, options: CallOptions
) -> Body | None:
    """Return what records the duration of a call into *summary*.

    None if a wanted argument is not among *names*, those of single arguments.
    """
    if not set(options.arguments) <= set(names):
        return None
    state = {
        "_clock": hook.begin,
        "_instrument": summary,
        "_fail": hook.fail,
        "_record_with": summary.record_with,
        "_result_dimensions": options.of_result,
        "_len": len,
    }
    return Body(_source(options.arguments, options.of_result is not None), state)


@lru_cache(_CACHED_SOURCES)
def _source(arguments: tuple[str, ...], with_result: bool, /) -> str:  # noqa: FBT001 -- positional, for the cache
    record = _RECORD_ARGUMENTS if arguments else _RECORD
    if with_result:
        record = _RECORD_RESULT
    wanted = ", ".join(f"{name!r}: {name}" for name in arguments)
    absent = " or ".join(f"{name} is None" for name in arguments)
    source = (GUARD + _TIMED + record).replace("WANTED", wanted)
    return source.replace("ABSENT", absent)
