"""A text that shows itself to nobody who does not ask for its value."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["Secret"]


class Secret:
    """Holds what must not appear in logs, tracebacks with locals, or pickles.

    Every frame that a settings error passes holds its settings as locals, and tools
    that print those (Sentry, rich, Django's debug page) ask for their ``repr``.

    >>> Secret("dt0c01.public.secret")
    ***
    """

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def reveal(self) -> Any:
        """Return the value. Keep it no longer than needed."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
