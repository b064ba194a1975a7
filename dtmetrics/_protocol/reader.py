"""A line and the position up to which it has been read; the parser's only tool."""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

__all__ = ["Reader", "RejectedLineError", "Rejection"]

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Rejection(NamedTuple):
    """Why a line is rejected, and the index of the character where reading stopped."""

    message: str
    index: int  # type: ignore[assignment]  # hides tuple.index() on purpose


class RejectedLineError(Exception):
    """Carries a rejection out of the grammar; ``parse()`` returns the rejection."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.rejection = Rejection(message, index)


class Reader:
    """A line and the position up to which it has been read.

    The position only grows, and each step costs what it reads: reading a line takes
    time in proportion to its length, whatever it contains.
    """

    __slots__ = ("line", "position")

    def __init__(self, line: str) -> None:
        self.line = line
        self.position = 0

    def next_is(self, characters: str) -> bool:
        """Whether one of *characters* comes next."""
        # A slice, because there is no next character at the end of a line.
        return self.line[self.position : self.position + 1] in tuple(characters)

    def at_end(self) -> bool:
        """Whether the line has been read to its end."""
        return self.position == len(self.line)

    def skip(self, text: str) -> bool:
        """Step over *text* if it comes next; return whether it did."""
        if self.line.startswith(text, self.position):
            self.position += len(text)
            return True
        return False

    def expect(self, text: str, problem: str) -> None:
        """Step over *text*; reject the line for *problem* if it does not come next."""
        if not self.skip(text):
            self.reject(problem)

    def take(self, pattern: re.Pattern[str]) -> str:
        """Step over what *pattern* matches here and return it; it may be empty."""
        if (match := pattern.match(self.line, self.position)) is None:
            return ""
        self.position = match.end()
        return match.group()

    def reject(self, problem: str, index: int | None = None) -> NoReturn:
        """Reject the line for *problem*, found at the character *index*.

        Without an index it was found where reading stopped. The message has the form
        that the endpoint's messages have:
        https://github.com/micrometer-metrics/micrometer/issues/2295
        """
        index = self.position if index is None else index
        if index >= len(self.line):
            raise RejectedLineError("unexpected end of input", len(self.line))
        line = self.line
        excerpt = line if len(line) <= 200 else line[max(0, index - 150) : index + 50]
        message = (
            f"{problem} message '{excerpt}'; error at '{line[index]}'  (index {index})"
        )
        # The message is printed and logged. Control characters must not reach there.
        raise RejectedLineError(_UNPRINTABLE.sub("?", message), index)
