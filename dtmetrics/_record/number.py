"""What counts as a number: an int or a float that the endpoint can read."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any

from dtmetrics._core.safe_call import call_safely

__all__ = ["LARGEST", "NOT_A_NUMBER", "NOT_FINITE", "Number", "judged", "number_of"]

Number = int | float

NOT_A_NUMBER = "not a number"
NOT_FINITE = "not finite"

#: Beyond it an integer has no double, which is what the endpoint reads.
LARGEST = int(sys.float_info.max)


def judged(value: Any, refuse: Callable[[str], None]) -> Number | None:
    """Return *value* as an int or a float that has a double; refuse what has none."""
    number = call_safely(number_of, value, default=None)
    if number is None:
        refuse(NOT_A_NUMBER)
    elif not -LARGEST <= number <= LARGEST:
        refuse(NOT_FINITE)
        number = None
    return number


def number_of(value: Any) -> Number | None:
    """Return *value* as an exact int or float; raises or returns None where not."""
    kind = type(value)
    if hasattr(kind, "__index__"):
        return operator.index(value)
    # float() by itself reads numbers out of texts and buffers.
    return float(value) if hasattr(kind, "__float__") else None
