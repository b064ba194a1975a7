"""A value that does not show in logs, tracebacks and pickles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

__all__ = ["SECRET_SETTINGS", "Secret", "hide_secrets"]

#: The settings of ``configure()`` that are passed on as a Secret. An endpoint may hold
#: a token too, by mistake, in its query, and a proxy's URL its credentials.
SECRET_SETTINGS = frozenset(("endpoint", "key_password", "proxy", "token"))


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


def hide_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return *settings* with each value that may be secret, and is not None, as Secret.

    >>> hide_secrets({"token": "dt0c01.public.secret", "interval": 10})
    {'token': ***, 'interval': 10}
    """
    return {
        name: Secret(value)
        if name in SECRET_SETTINGS and not isinstance(value, Secret | None)
        else value
        for name, value in settings.items()
    }
