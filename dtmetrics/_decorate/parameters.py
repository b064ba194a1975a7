"""The parameters of a function as source code, for a function that has the same."""

from __future__ import annotations

from functools import lru_cache
from keyword import iskeyword
from types import FunctionType
from typing import NamedTuple

from dtmetrics._decorate.defaults import DEFAULT_OF, names_with_defaults

__all__ = ["ANY", "Parameters", "parameters_of"]

_CACHED = 1024

# inspect.CO_VARARGS and CO_VARKEYWORDS. Importing inspect takes 12 ms.
_VARARGS, _VARKEYWORDS = 0x04, 0x08


class Parameters(NamedTuple):
    """How parameters are declared, and how they are passed on."""

    declared: str
    passed: str
    #: A tuple and a dictionary of the arguments.
    args: str
    kwargs: str
    #: Those that hold one argument each, and all.
    names: tuple[str, ...] = ()
    all_names: tuple[str, ...] = ()
    #: Tests whether the function may have other defaults or other code by now.
    guard: str = ""
    #: Whether the function uses super().
    has_cell: bool = False
    #: Whether all names can be written in source code.
    writable: bool = True


ANY = Parameters("*args, **kwargs", "*args, **kwargs", "args", "kwargs")


class _Layout(NamedTuple):
    names: tuple[str, ...]
    positional_only: int
    positional: int
    keyword_only: int
    flags: int
    optional: tuple[tuple[str, ...], tuple[str, ...]]
    has_cell: bool


def parameters_of(func: FunctionType) -> Parameters:
    """Return the parameters of *func*."""
    code = func.__code__
    flags = code.co_flags & (_VARARGS | _VARKEYWORDS)
    count = code.co_argcount + code.co_kwonlyargcount
    layout = _Layout(
        code.co_varnames[: count + bool(flags & _VARARGS) + bool(flags & _VARKEYWORDS)],
        code.co_posonlyargcount,
        code.co_argcount,
        code.co_kwonlyargcount,
        flags,
        names_with_defaults(func),
        "__class__" in code.co_freevars,
    )
    return _parameters(layout)


@lru_cache(_CACHED)
def _parameters(layout: _Layout) -> Parameters:
    names = [*layout.names]
    positional, names = names[: layout.positional], names[layout.positional :]
    keywords, names = names[: layout.keyword_only], names[layout.keyword_only :]
    var_positional = [f"*{names.pop(0)}"] if layout.flags & _VARARGS else []
    var_keyword = [f"**{names.pop(0)}"] if layout.flags & _VARKEYWORDS else []
    only = layout.positional_only
    declared = [
        *positional[:only],
        *(["/"] if only else []),
        *positional[only:],
        *(var_positional or (["*"] if keywords else [])),
        *keywords,
        *var_keyword,
    ]
    by_keyword = [f"{name}={name}" for name in keywords]
    passed = [*positional, *var_positional, *by_keyword, *var_keyword]
    pairs = [f"{name!r}: {name}" for name in keywords]
    return Parameters(
        declared=", ".join(declared),
        passed=", ".join(passed),
        args="(" + "".join(f"{each}, " for each in positional + var_positional) + ")",
        kwargs="{" + ", ".join(pairs + var_keyword) + "}",
        names=(*positional, *keywords),
        all_names=layout.names,
        guard=_guard(layout.optional, takes_any=bool(var_positional and var_keyword)),
        has_cell=layout.has_cell,
        writable=all(map(_is_writable, layout.names)),
    )


def _guard(optional: tuple[tuple[str, ...], ...], *, takes_any: bool) -> str:
    # An argument that is the default of the wrapper may have been omitted, and the
    # function may have another one by now. To compare the argument takes 9 ns of a
    # call, and to read the defaults of the function 20 ns more.
    tests = []
    if takes_any:  # networkx replaces the code of such functions when they are called
        tests.append("_func.__code__ is not _code")
    for attribute, names in zip(("_defaults", "_kwdefaults"), optional, strict=True):
        if names:
            same = " or ".join(f"{name} is {DEFAULT_OF}{name}" for name in names)
            tests.append(f"({same}) and _func._{attribute}__ is not {attribute}")
    return " or ".join(tests)


def _is_writable(name: str) -> bool:
    return (
        name.isidentifier()
        and not iskeyword(name)
        and not name.startswith(DEFAULT_OF)
        and name != "__class__"
    )
