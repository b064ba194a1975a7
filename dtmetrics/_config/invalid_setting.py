"""The one form of every settings error, and how a value is shown in it.

::

    SETTING must REQUIREMENT, got VALUE
    SETTING must REQUIREMENT, got VALUE (did you mean HINT?)
    NAME is not a setting (did you mean HINT?)

SETTING is the argument or the environment variable, with the key in brackets where the
value is an entry of a mapping or a list: ``levels['shop.db']``, ``exporters[1]``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from typing import TypeVar

from dtmetrics._core.secret import Secret

__all__ = ["InvalidSettingError", "check_each", "describe", "near", "unknown"]

T = TypeVar("T")

_SHOWN_CHARACTERS = 60
# A Secret prints as three asterisks.
_SHOWN_AS_THEY_ARE = bool, float, int, str, type(None), Secret

# Every Dynatrace token begins this way, also one that was given as another setting
# (https://docs.dynatrace.com/docs/discover-dynatrace/references/dynatrace-api/basics/dynatrace-api-authentication).
_TOKEN_START = re.compile(r"dt0[a-z][0-9]{2}\.", re.IGNORECASE)


@dataclass(eq=False, repr=False)
class InvalidSettingError(Exception):
    """One setting that cannot work; ``sentence()`` words it for a ConfigError.

    *got* replaces the value where showing it would not help or not be safe. *key* is
    the key of an entry in a mapping, or its place in a list; *path* is what comes
    after it: ``.cap['http.route']``. *others* are the errors of other entries.
    """

    requirement: str
    value: object = None
    _: KW_ONLY
    got: str = ""
    hint: str = ""
    key: str | int | None = None
    path: str = ""
    others: tuple[InvalidSettingError, ...] = ()

    def __post_init__(self) -> None:
        self.args = (self.requirement,)  # a value may hold a token

    def sentence(self, source: str, token: str = "") -> str:
        """Return the error as one sentence about *source*, without the *token*."""
        key = "" if self.key is None else f"[{describe(self.key, token)}]"
        key += "" if _holds_token(self.path, token) else self.path
        got = self.got or describe(self.value, token)
        is_shown = self.hint and not _holds_token(self.hint, token)
        hint = f" (did you mean {self.hint}?)" if is_shown else ""
        return f"{source}{key} must {self.requirement}, got {got}{hint}"

    def sentences(self, source: str, token: str = "") -> list[str]:
        """Return one sentence for this error, and one for each of the *others*."""
        return [each.sentence(source, token) for each in (self, *self.others)]


def check_each(checks: Iterable[Callable[[], T]]) -> list[T]:
    """Return what each of *checks* returns.

    Raises the first InvalidSettingError of them, with all others.
    """
    found: list[T] = []
    errors: list[InvalidSettingError] = []
    for check in checks:
        try:
            found.append(check())
        except InvalidSettingError as error:  # noqa: PERF203 -- each is reported
            errors += error, *error.others
    if errors:
        errors[0].others = tuple(errors[1:])
        raise errors[0]
    return found


def unknown(name: object, known: Iterable[str], place: str = "") -> str:
    """Return the sentence for a *name* at *place* that is not among the *known* ones.

    >>> unknown("levles", ["level", "levels"])
    'levles is not a setting (did you mean levels?)'
    """
    is_plain = isinstance(name, str) and re.fullmatch(r"[\w.-]{1,60}", name, re.ASCII)
    shown = name if is_plain and not _holds_token(str(name), "") else describe(name)
    hint = near(name, known) if isinstance(name, str) else ""
    return f"{place}{shown} is not a setting" + f" (did you mean {hint}?)" * bool(hint)


def describe(value: object, token: str = "") -> str:
    """Return a short text that shows *value*, or its type where that is safer.

    Only values of plain types are shown: the ``repr`` of another may be long, hold
    secrets or raise. A text that contains a token is hidden as a whole.

    >>> describe("x" * 100)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'..."
    >>> describe([1, 2])
    'an object of type list'
    """
    if isinstance(value, type):
        return f"the class {_name(value)}"
    if type(value) not in _SHOWN_AS_THEY_ARE:
        return f"an object of type {_name(type(value))}"
    if isinstance(value, str):
        if _holds_token(value, token):
            return repr(Secret(value))
        cut = "..." if len(value) > _SHOWN_CHARACTERS else ""
        return repr(value[:_SHOWN_CHARACTERS]) + cut
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an int of {value.bit_length()} bits"  # repr() raises beyond a size
    return repr(value)


def _holds_token(text: str, token: str) -> bool:
    # A token that is invalid for one character may stand elsewhere without it, and a
    # host name is lower-cased.
    parts = {token.strip(), *re.findall("[!-~]{8,}", token)} - {""}
    known = any(part.lower() in text.lower() for part in parts)
    return known or _TOKEN_START.search(text) is not None


def _name(kind: type) -> str:
    # A class may have any text as its name.
    name = "".join(c if c.isprintable() else "?" for c in kind.__name__)
    return name[:_SHOWN_CHARACTERS] or "nameless"


def near(text: str, known: Iterable[str]) -> str:
    """Return which of the *known* texts was probably meant, or nothing.

    >>> near("WARNNG", ["INFO", "WARNING"])
    'WARNING'
    """
    from difflib import get_close_matches  # noqa: PLC0415 -- 3 ms, for errors only

    return "".join(get_close_matches(text[:40], [*known], 1))
