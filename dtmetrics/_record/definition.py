"""Definitions: what code asks for when it makes an instrument, and where."""

from __future__ import annotations

from sys import _getframe
from typing import NamedTuple

from dtmetrics._core.error_place import PACKAGE
from dtmetrics._core.safe_call import call_safely

__all__ = ["Definition", "calling_site"]


class Definition(NamedTuple):
    """The arguments of one ``counter()``, ``gauge()`` and so on.

    ``kind`` is "counter", "gauge" or "summary"; ``site`` is ``file:line``.
    """

    name: str
    kind: str
    unit: str = ""
    description: str = ""
    site: str = ""

    def __str__(self) -> str:
        name = call_safely(repr, self.name, default="?")  # a caller passed it
        return f"{self.kind} {name} (defined at {self.site})"


def calling_site() -> str:
    """Return ``file:line`` of the nearest caller outside of this package."""
    frame = _getframe(1)  # inspect.stack() would read source files
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
