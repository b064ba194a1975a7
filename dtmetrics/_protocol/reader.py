"""A line and how far it has been read: what ``parse`` spells its grammar with."""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

__all__ = ["Reader", "Refusal", "RefusedError"]

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Refusal(NamedTuple):
    """Why a line is refused, and at which of its characters reading stopped."""

    message: str
    index: int  # type: ignore[assignment]  # nobody looks tuple.index() up here


class RefusedError(Exception):
    """Carries a refusal out of the grammar; ``parse`` returns it."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.refusal = Refusal(message, index)


class Reader:
    """A line and how far it has been read."""

    __slots__ = ("at", "line")

    def __init__(self, line: str) -> None:
        self.line = line
        self.at = 0

    def next_is(self, characters: str) -> bool:
        """Whether one of *characters* comes next."""
        # Slicing, because at the end of a line there is no next character.
        return self.line[self.at : self.at + 1] in tuple(characters)

    def done(self) -> bool:
        """Whether the line has been read to its end."""
        return self.at == len(self.line)

    def skip(self, text: str) -> bool:
        """Step over *text* if it comes next."""
        if self.line.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def expect(self, text: str, fault: str) -> None:
        """Step over *text*, which has to come next."""
        if not self.skip(text):
            self.refuse(fault)

    def take(self, pattern: re.Pattern[str]) -> str:
        """Step over what *pattern* matches here, which may be nothing."""
        if (match := pattern.match(self.line, self.at)) is None:
            return ""
        self.at = match.end()
        return match.group()

    def refuse(self, fault: str, at: int | None = None) -> NoReturn:
        """Refuse the line for *fault*, seen at the character *at*."""
        at = self.at if at is None else at
        if at >= len(self.line):
            raise RefusedError("unexpected end of input", len(self.line))
        line = self.line
        quoted = line if len(line) <= 200 else line[max(0, at - 150) : at + 50]
        message = f"{fault} message '{quoted}'; error at '{line[at]}'  (index {at})"
        # These texts are printed and logged, so no control character passes.
        raise RefusedError(_UNPRINTABLE.sub("?", message), at)
