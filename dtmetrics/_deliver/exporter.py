"""The port to the outside: a body goes out, an answer comes back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol, TextIO

from dtmetrics._wire.point import Identity

__all__ = [
    "Body",
    "ConsoleExporter",
    "ExportResult",
    "Exporter",
    "LineNote",
    "MemoryExporter",
    "Outcome",
]


@dataclass(frozen=True, slots=True)
class Body:
    """Lines that go out in one piece. Once made it never changes.

    ``identities`` says, line by line, whose points they are. A body of metadata
    holds no points, and its ``identities`` are empty.
    """

    text: bytes
    identities: tuple[Identity, ...]
    created_ms: int

    @property
    def points(self) -> int:
        """How many data points it holds."""
        return len(self.identities)


class Outcome(Enum):
    """What became of a body."""

    ANSWERED = "answered"  # each of its lines was accepted or refused
    KEEP = "keep"  # nothing of it was taken: it has to wait
    UNKNOWN = "unknown"  # it may have been taken or not
    DROP = "drop"  # it will never be taken


class LineNote(NamedTuple):
    """What the endpoint says of a line, by its number in the body, from 0 on."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What became of an export. A refused line is an answer, not an error.

    ``rejected`` counts refused lines, of which ``refused`` may name only some;
    ``warnings`` are about lines that were taken. ``reason`` is short and never holds
    what was sent.
    """

    outcome: Outcome
    rejected: int = 0
    reason: str = ""
    retry_after: float | None = None
    refused: Sequence[LineNote] = field(default=())
    warnings: Sequence[LineNote] = field(default=())


class Exporter(Protocol):
    """Sends bodies somewhere. Called by one thread at a time; need not be quick."""

    def export(self, body: Body, timeout: float) -> ExportResult:
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

    def export(self, body: Body, timeout: float) -> ExportResult:
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

    def export(self, body: Body, timeout: float) -> ExportResult:
        """Keep the lines of *body*."""
        self.lines += body.text.decode().split("\n")
        return ExportResult(Outcome.ANSWERED)

    def close(self) -> None:
        """Keep the lines: they are why it exists."""

    def reset_after_fork(self) -> None:
        """In a forked child: forget the parent's lines."""
        self.lines.clear()
