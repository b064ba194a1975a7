"""A value that does not show in logs, tracebacks and pickles."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["SECRET_SETTINGS", "Secret"]

#: The settings of ``configure()`` that are passed on as a Secret. An endpoint may hold
#: a token too, by mistake, in its query.
SECRET_SETTINGS = frozenset(("endpoint", "token"))


class Secret:
    """Holds a value that only ``reveal()`` returns.

    Tools that report an error (Sentry, rich, Django's debug page) print the ``repr`` of
    the local variables of each frame. A Secret prints as three asterisks, and refuses
    to be pickled or copied.

    >>> Secret("dt0c01.public.secret")
    ***
    """

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def reveal(self) -> Any:  # noqa: ANN401 -- any setting may be secret
        """Return the value, of any type. Do not keep it in a variable for long."""
        return self._value

    def __bool__(self) -> bool:
        """Return whether the value is true, and not an empty token for example."""
        return bool(self._value)

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled or copied: use reveal()")
