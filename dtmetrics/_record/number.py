"""Numbers: an int or a float that the endpoint can read."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import SupportsFloat, SupportsIndex, cast

from dtmetrics._core.safe_call import call_safely

__all__ = [
    "LARGEST",
    "NOT_A_NUMBER",
    "NOT_FINITE",
    "Number",
    "checked_number",
    "number_of",
]

Number = int | float

NOT_A_NUMBER = "not a number"
NOT_FINITE = "not finite"

#: A larger integer cannot be converted to a double, which the endpoint reads.
LARGEST = int(sys.float_info.max)


def checked_number(value: object, reject: Callable[[str], object]) -> Number | None:
    """Return *value* as an int or a float; reject what a double cannot hold."""
    # Without a call for plain ones: a signal handler might raise in it.
    number: Number | None
    if type(value) is int or type(value) is float:
        number = value
    else:
        number = call_safely(number_of, value, default=None)
    if number is None:
        reject(NOT_A_NUMBER)
    elif not -LARGEST <= number <= LARGEST:
        reject(NOT_FINITE)
        number = None
    return number


def number_of(value: object) -> Number | None:
    """Return *value* as an exact int or float; raise or return None if it has none."""
    # The class is asked, because an attribute of the value may be anything.
    kind = type(value)
    if hasattr(kind, "__index__"):
        return operator.index(cast("SupportsIndex", value))
    # float() alone would also read numbers from texts and buffers.
    if hasattr(kind, "__float__"):
        return float(cast("SupportsFloat", value))
    return None
