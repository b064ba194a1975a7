"""The port to the outside: a body goes out, an answer comes back."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol, TextIO

from dtmetrics._protocol.point import Identity

__all__ = [
    "Batch",
    "ConsoleExporter",
    "ExportResult",
    "Exporter",
    "LineMessage",
    "MemoryExporter",
    "Outcome",
]


# Seconds; what is put off for longer is too old by then.
_LONGEST_PAUSE = 60 * 60.0


class Batch:
    """Lines that go out in one piece. Once made it never says anything else.

    ``identities`` says, line by line, whose points they are. A line stands for one
    point, or for as many as ``weights`` says, if points were put together while they
    waited. A body of metadata holds no points, and its ``identities`` are empty.
    """

    __slots__ = ("_packed", "_text", "created_ms", "identities", "weights")

    def __init__(
        self,
        text: bytes,
        identities: Sequence[Identity],
        created_ms: int,
        weights: Sequence[int] = (),
    ) -> None:
        self._text: bytes | None = text
        self._packed = b""
        self.identities = identities
        self.created_ms = created_ms
        self.weights = weights

    @property
    def text(self) -> bytes:
        """Its lines, with line ends between them."""
        text = self._text
        return zlib.decompress(self._packed) if text is None else text

    @property
    def points(self) -> int:
        """How many data points it holds."""
        return sum(self.weights) if self.weights else len(self.identities)

    @property
    def size(self) -> int:
        """How many bytes of memory it takes, about."""
        text = self._packed if self._text is None else self._text
        return len(text) + 8 * (len(self.identities) + len(self.weights))

    def stow(self) -> None:
        """Take less room, because it has to wait: a fifth, for 1.4 us a line."""
        text = self._text
        if text is not None:
            packed = zlib.compress(text, 1)
            if len(packed) < len(text):  # a line or two may grow
                self._packed = packed
                self._text = None

    def halves(self) -> tuple[Batch, Batch]:
        """Return two bodies with half of its lines each; it has to have two."""
        lines = self.text.split(b"\n")
        middle = len(lines) // 2
        first, second = (
            Batch(
                b"\n".join(lines[part]),
                self.identities[part],
                self.created_ms,
                self.weights[part],
            )
            for part in (slice(middle), slice(middle, None))
        )
        if self._text is None:
            first.stow()
            second.stow()
        return first, second


class Outcome(Enum):
    """What became of a body."""

    ANSWERED = "answered"  # each of its lines was accepted or refused
    RETRY = "retry"  # nothing of it was taken: it has to wait
    THROTTLED = "throttled"  # the same, and the endpoint asked to come later
    MISCONFIGURED = "misconfigured"  # the same, until somebody changes a setting
    INDETERMINATE = "indeterminate"  # it may have been taken or not
    TOO_LARGE = "too large"  # nothing of it was taken; a part of it may be
    MALFORMED = "malformed"  # the same, because of some line in it
    REJECTED = "rejected"  # it will never be taken


class LineMessage(NamedTuple):
    """What the endpoint says of a line, by its number in the body, from 0 on."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What became of an export. A refused line is an answer, not an error.

    ``rejected`` counts refused lines, of which ``rejected_lines`` may name only some;
    ``warnings`` are about lines that were taken. ``reason`` is short and never holds
    what was sent.
    """

    outcome: Outcome
    rejected: int = 0
    reason: str = ""
    retry_after: float | None = None
    rejected_lines: Sequence[LineMessage] = field(default=())
    warnings: Sequence[LineMessage] = field(default=())

    def __post_init__(self) -> None:
        # Whoever exports may be anybody: what is none of these would spoil the
        # account, and a pause that is no number stop all sending.
        given = self.outcome, self.rejected, self.reason, self.retry_after
        if not all(map(isinstance, given, (Outcome, int, str, int | float | None))):
            raise TypeError("no result of an export has such fields")
        pause = self.retry_after
        if pause is not None and not 0 <= pause <= _LONGEST_PAUSE:
            raise ValueError("nobody is to wait for so long")


class Exporter(Protocol):
    """Sends bodies somewhere. Called by one thread at a time; need not be quick."""

    def export(self, body: Batch, timeout: float) -> ExportResult:
        """Send *body*, within about *timeout* seconds, and say what became of it."""

    def close(self) -> None:
        """Let go of what is held. A later export may take it up again."""

    def reset_after_fork(self) -> None:
        """In a forked child: let go of the parent's connections, without a word."""


class ConsoleExporter:
    """Writes each line to a stream, by default standard error.

    >>> from dtmetrics import configure
    >>> configure(exporter=ConsoleExporter(), interval=None)
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def export(self, body: Batch, timeout: float) -> ExportResult:
        """Write the lines of *body*."""
        stream = self._stream or sys.stderr
        stream.write(body.text.decode() + "\n")
        stream.flush()
        return ExportResult(Outcome.ANSWERED)

    def close(self) -> None:
        """Keep the stream open: it is not ours."""

    def reset_after_fork(self) -> None:
        """Hold nothing that a fork could hurt."""


class MemoryExporter:
    """Keeps every line, in ``lines``: for tests and for looking at what is sent."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def export(self, body: Batch, timeout: float) -> ExportResult:
        """Keep the lines of *body*."""
        self.lines += body.text.decode().split("\n")
        return ExportResult(Outcome.ANSWERED)

    def close(self) -> None:
        """Keep the lines: they are why it exists."""

    def reset_after_fork(self) -> None:
        """In a forked child: forget the parent's lines."""
        self.lines.clear()
