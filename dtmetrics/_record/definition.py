"""Definitions: what code asks for when it makes an instrument, and where."""

from __future__ import annotations

from contextvars import ContextVar
from sys import _getframe
from typing import NamedTuple

from dtmetrics._core.error_place import PACKAGE
from dtmetrics._core.safe_call import call_safely

__all__ = ["RESTORED_SITE", "Definition", "calling_site"]

#: The site of the definition that is being unpickled; empty otherwise.
RESTORED_SITE: ContextVar[str] = ContextVar("dtmetrics.site", default="")


class Definition(NamedTuple):
    """The arguments of one ``counter()``, ``gauge()`` and so on.

    ``kind`` is "counter", "gauge" or "summary"; ``site`` is ``file:line``; ``ttl`` is
    that of a gauge, in seconds.
    """

    name: str
    kind: str
    unit: str = ""
    description: str = ""
    site: str = ""
    ttl: float | None = None

    @property
    def is_gauge(self) -> bool:
        """Whether it is that of a gauge, observed ones included."""
        return self.kind == "gauge"

    def __str__(self) -> str:
        name = call_safely(repr, self.name, default="?")  # a caller passed it
        return f"{self.kind} {name} (defined at {self.site})"


def calling_site() -> str:
    """Return ``file:line`` of the nearest caller outside of this package."""
    restored = RESTORED_SITE.get()
    if restored:
        return restored
    frame = _getframe(1)  # inspect.stack() would read source files
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
