"""What a function that is called instead of a target has in its cells."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from dtmetrics._decorate.codegen import FILE_PREFIX
from dtmetrics._decorate.hooks import CallHook
from dtmetrics._decorate.wrappers import GENERATOR_CALLS

__all__ = ["hook_and_target"]

#: A callable; which attributes it has is not known.
Target = Any


def hook_and_target(call: Target) -> tuple[CallHook | None, Target]:
    """Return what *call* runs and calls, if it is called instead of a target.

    Both are in its cells, also in those of a copy that was pickled by value.
    """
    if type(call) is not FunctionType or call.__closure__ is None:
        return None, None
    cells = dict(zip(call.__code__.co_freevars, call.__closure__, strict=True))
    if call.__code__.co_filename.startswith(FILE_PREFIX):
        return cells["_fail"].cell_contents.__self__, cells["_func"].cell_contents
    if call.__code__ in GENERATOR_CALLS:
        return cells["hook"].cell_contents, cells["func"].cell_contents
    return None, None
