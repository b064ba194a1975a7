"""Values that callers record, and the number or the reason that each must give."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

NOT_A_NUMBER = "not a number"
NOT_FINITE = "not finite"


class Index:
    """An integer of another library, such as numpy."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Float:
    """A number of another library that converts to float."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __float__(self) -> Any:
        return self.value


class Real(float):
    """A subclass of float, as numpy.float64 is."""

    def __add__(self, other: Any) -> Any:
        return Real(float(self) + float(other))

    __radd__ = __add__


class Wraps(Index):
    """An unsigned integer of eight bits, whose negation wraps around."""

    def __neg__(self) -> Wraps:
        return Wraps(256 - self.value)


class Array:
    """An array: its comparisons are arrays, which have no truth value."""

    def _array(self, *_: Any) -> Array:
        return self

    __add__ = __radd__ = __sub__ = __neg__ = __lt__ = __ge__ = __eq__ = _array  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")

    def __float__(self) -> float:
        raise TypeError("only arrays of length one can be converted")


class Raises:
    """Raises in every method."""

    def _raise(self, *_: Any) -> Any:
        raise RuntimeError("hostile")

    __add__ = __radd__ = __sub__ = __neg__ = __float__ = __index__ = _raise
    __lt__ = __gt__ = __le__ = __ge__ = __eq__ = __bool__ = _raise  # type: ignore[assignment]
    __hash__ = __str__ = __repr__ = __len__ = _raise  # type: ignore[assignment]


class Lies(Raises):
    """Returns a value of a wrong type from every method."""

    def _lie(self, *_: Any) -> Any:
        return "a lie"

    __add__ = __radd__ = __sub__ = __neg__ = __float__ = __index__ = _lie
    __lt__ = __gt__ = __le__ = __ge__ = __eq__ = __bool__ = _lie  # type: ignore[assignment]
    __hash__ = __len__ = _lie  # type: ignore[assignment]
    __str__ = __repr__ = lambda self: 42  # type: ignore[assignment,return-value]


class Sneaks:
    """Behaves as a plain number in sums and comparisons."""

    def __add__(self, other: Any) -> int:
        return other - 1_000

    __radd__ = __add__

    def __lt__(self, other: Any) -> bool:
        return False

    __gt__ = __lt__

    def __ge__(self, other: Any) -> bool:
        return True


#: A recorded value, and the number that it counts as.
NUMBERS: list[tuple[Any, int | float]] = [
    (0, 0),
    (7, 7),
    (True, 1),
    (0.25, 0.25),
    (1e-300, 1e-300),
    (1 << 70, 1 << 70),
    (10**300, 10**300),
    (Decimal("0.5"), 0.5),
    (Fraction(1, 4), 0.25),
    (Index(3), 3),
    (Index(10**200), 10**200),
    (Float(2.5), 2.5),
    (Real(1.5), 1.5),
    (Wraps(5), 5),
]

#: A recorded value, and the reason for which it is rejected.
INVALID: list[tuple[Any, str]] = [
    (float("nan"), NOT_FINITE),
    (float("inf"), NOT_FINITE),
    (float("-inf"), NOT_FINITE),
    (Real("nan"), NOT_FINITE),
    (Decimal("NaN"), NOT_FINITE),
    (Decimal("Infinity"), NOT_FINITE),
    (10**400, NOT_FINITE),
    (10**5000, NOT_FINITE),
    (Index(10**400), NOT_FINITE),
    (Decimal("sNaN"), NOT_A_NUMBER),
    (Fraction(10**400), NOT_A_NUMBER),
    ("1", NOT_A_NUMBER),
    (b"1", NOT_A_NUMBER),
    (bytearray(b"1"), NOT_A_NUMBER),
    (memoryview(b"1"), NOT_A_NUMBER),
    (None, NOT_A_NUMBER),
    ([1], NOT_A_NUMBER),
    ((1,), NOT_A_NUMBER),
    ({1}, NOT_A_NUMBER),
    (1j, NOT_A_NUMBER),
    (object(), NOT_A_NUMBER),
    (Index("x"), NOT_A_NUMBER),  # type: ignore[arg-type]
    (Float("1"), NOT_A_NUMBER),
    (Array(), NOT_A_NUMBER),
    (Raises(), NOT_A_NUMBER),
    (Lies(), NOT_A_NUMBER),
]


def ids(cases: list[tuple[Any, Any]]) -> list[str]:
    """Return an id for each case; repr() of some would raise."""
    return [f"{place}-{type(value).__name__}" for place, (value, _) in enumerate(cases)]
