"""Errors of foreign code, named by class and place: their texts may hold a secret."""

from __future__ import annotations

import os

__all__ = ["PACKAGE", "kind_and_place"]

#: How the path of each file of dtmetrics begins. With the separator, because a
#: directory `dtmetrics_app` beside it is not part of it.
PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")

# Files of this package, and code that has no file: a dataclass's methods, for example.
_OURS = PACKAGE, "<"


def kind_and_place(error: BaseException) -> str:
    """Return the class of *error* and where it was raised: ``KeyError at shop.py:12``.

    The place is the innermost outside this package, if there is one.
    """
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    foreign = [place for place in places if not place[0].startswith(_OURS)]
    if not places:
        return type(error).__name__
    file, line = (foreign or places)[-1]
    return f"{type(error).__name__} at {os.path.basename(file)}:{line}"
