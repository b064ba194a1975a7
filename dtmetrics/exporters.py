"""Exporters: the port through which data points leave the process.

The flusher hands each batch of lines to an exporter, which answers with an
`ExportResult`. By default that is a `DynatraceExporter`. `ConsoleExporter` and
`MemoryExporter` are for development and tests, and any object with the three methods
of `Exporter` can be passed to ``configure(exporter=...)``, or several to
``configure(exporters=[...])``.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol, TextIO

from dtmetrics._protocol.point import Identity

if TYPE_CHECKING:
    from dtmetrics._runtime.dynatrace_exporter import DynatraceExporter

__all__ = [
    "Batch",
    "ConsoleExporter",
    "DynatraceExporter",
    "ExportResult",
    "Exporter",
    "LineMessage",
    "MemoryExporter",
    "Outcome",
]


# The endpoint takes no points from more than an hour ago, so a longer pause would drop
# all that waits.
_LONGEST_RETRY_AFTER = 60 * 60.0


class Batch:
    """The lines of one request. Its text never changes.

    Args:
        text: Lines of the Dynatrace metrics ingestion protocol in UTF-8, with a line
            feed between them and none at the end.
        identities: The series of each line, in the order of the lines. Empty for a
            batch of metadata, which holds no data points.
        created_ms: When its points were collected, in milliseconds since 1970, UTC.
    """

    __slots__ = ("_compressed", "_text", "created_ms", "identities")

    def __init__(
        self, text: bytes, identities: Sequence[Identity], created_ms: int
    ) -> None:
        self._text: bytes | None = text
        self._compressed = b""
        self.identities: Sequence[Identity] = identities
        self.created_ms: int = created_ms

    @property
    def text(self) -> bytes:
        """The lines in UTF-8, with a line feed between them."""
        text = self._text
        return zlib.decompress(self._compressed) if text is None else text

    @property
    def points(self) -> int:
        """How many data points it holds: one for each line, none for metadata."""
        return len(self.identities)

    @property
    def size(self) -> int:
        """How many bytes of memory it takes, approximately."""
        text = self._compressed if self._text is None else self._text
        return len(text) + 8 * len(self.identities)

    def compress(self) -> None:
        """Take less memory while the batch waits: a fifth, for 1.4 us a line."""
        text = self._text
        if text is not None:
            compressed = zlib.compress(text, 1)
            if len(compressed) < len(text):  # one or two lines may grow
                self._compressed = compressed
                self._text = None

    def halves(self) -> tuple[Batch, Batch]:
        """Return two batches with half of the lines each. It must have two lines."""
        lines = self.text.split(b"\n")
        middle = len(lines) // 2
        first, second = (
            Batch(b"\n".join(lines[part]), self.identities[part], self.created_ms)
            for part in (slice(middle), slice(middle, None))
        )
        if self._text is None:
            first.compress()
            second.compress()
        return first, second


class Outcome(Enum):
    """What the attempt to export a batch has led to."""

    #: The endpoint accepted or rejected each line. `ExportResult.rejected` counts.
    ANSWERED = "answered"
    #: Nothing was accepted. The batch waits and is sent again after a backoff.
    RETRY = "retry"
    #: Nothing was accepted, and the endpoint asked to come later.
    THROTTLED = "throttled"
    #: Nothing is accepted until a setting changes, a token for example.
    MISCONFIGURED = "misconfigured"
    #: The batch was sent and the answer is unknown: the lines may count already.
    INDETERMINATE = "indeterminate"
    #: Nothing was accepted because the batch is too large. It is sent in halves.
    TOO_LARGE = "too large"
    #: The batch was rejected unread because of some line in it. It is sent in halves.
    MALFORMED = "malformed"
    #: The batch will never be accepted. Its points are dropped.
    REJECTED = "rejected"


class LineMessage(NamedTuple):
    """What the endpoint reports about one line of a batch."""

    #: The index of the line in its batch, from 0.
    line: int
    #: The endpoint's words.
    message: str


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an exporter returns for a batch.

    Args:
        outcome: What the attempt has led to.
        rejected: How many lines the endpoint rejected, with `Outcome.ANSWERED`. All
            other lines of the batch count as accepted.
        reason: A short text for the log and for ``stats().last_error``. It must not
            hold what was sent, nor a token.
        retry_after: For how many seconds the endpoint asked to send nothing, from 0
            to 3,600. None leaves the pause to the backoff.
        rejected_lines: Messages about rejected lines. It may name fewer than
            *rejected*.
        warnings: Messages about lines that were accepted.
        clock_ahead: By how many seconds the clock of this host is ahead of the
            endpoint's, as far as the answer shows. A difference of more than five
            minutes is logged.

    Raises:
        TypeError: A field has another type.
        ValueError: *retry_after* is out of its range.

    >>> from dtmetrics.exporters import ExportResult, Outcome
    >>> ExportResult(Outcome.RETRY, reason="status 503", retry_after=30.0).outcome
    <Outcome.RETRY: 'retry'>
    """

    outcome: Outcome
    rejected: int = 0
    reason: str = ""
    retry_after: float | None = None
    rejected_lines: Sequence[LineMessage] = field(default=())
    warnings: Sequence[LineMessage] = field(default=())
    clock_ahead: float = 0.0

    def __post_init__(self) -> None:
        # An exporter may be the user's own. A wrong type would spoil the account, and
        # a pause that is not a number would end all sending.
        _require("outcome", self.outcome, Outcome, "an Outcome")
        _require("rejected", self.rejected, int, "an int")
        _require("reason", self.reason, str, "a str")
        _require("clock_ahead", self.clock_ahead, (int, float), "a number")
        pause = self.retry_after
        if pause is not None:
            _require("retry_after", pause, (int, float), "a number or None")
            if not 0 <= pause <= _LONGEST_RETRY_AFTER:
                raise ValueError(
                    f"retry_after must be between 0 and {_LONGEST_RETRY_AFTER:.0f} "
                    f"seconds, got {pause}"
                )


def _require(
    name: str, value: object, kind: type | tuple[type, ...], requirement: str
) -> None:
    # Not the value itself, which may hold what was sent.
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {requirement}, got {type(value).__name__}")


class Exporter(Protocol):
    """Sends batches somewhere: an object with these three methods.

    One thread at a time calls it. An exporter that raises, or returns anything but an
    `ExportResult`, has its batch counted as `Outcome.INDETERMINATE`: it is sent once
    more, then dropped. The log and ``stats().last_error`` name the exporter.

    >>> import dtmetrics
    >>> from dtmetrics.exporters import Batch, ExportResult, Outcome
    >>> class KeyPrinter:
    ...     def export(self, batch: Batch, timeout: float) -> ExportResult:
    ...         print(sorted(identity.key for identity in batch.identities))
    ...         return ExportResult(Outcome.ANSWERED)
    ...
    ...     def close(self) -> None:
    ...         pass
    ...
    ...     def reset_after_fork(self) -> None:
    ...         pass
    >>> dtmetrics.configure(exporter=KeyPrinter(), interval=None, force=True)
    >>> dtmetrics.counter("shop.orders").inc()
    >>> dtmetrics.flush()
    ['shop.orders']
    True
    >>> dtmetrics.shutdown()
    True
    """

    def export(self, batch: Batch, timeout: float, /) -> ExportResult:
        """Send *batch* within about *timeout* seconds; return what came of it.

        It may block. The program goes on recording meanwhile.
        """

    def close(self) -> None:
        """Release connections and files. A later export may open them again."""

    def reset_after_fork(self) -> None:
        """Drop what a forked child inherited, without using it.

        The connections are still the parent's, and so are the answers on them.
        """


class ConsoleExporter:
    """Writes each line to a stream. For development.

    Args:
        stream: A text stream, which stays open. None is ``sys.stderr``, as it is at
            the moment of the export.

    >>> import sys
    >>> import dtmetrics
    >>> exporter = dtmetrics.ConsoleExporter(sys.stdout)
    >>> dtmetrics.configure(exporter=exporter, interval=None, force=True)
    >>> dtmetrics.counter("shop.orders").inc(2)
    >>> dtmetrics.flush()  # doctest: +ELLIPSIS
    shop.orders,dt.metrics.source=dtmetrics count,delta=2 ...
    True
    >>> dtmetrics.shutdown()
    True
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def export(self, batch: Batch, timeout: float, /) -> ExportResult:
        """Write the lines of *batch*."""
        stream = self._stream or sys.stderr
        stream.write(batch.text.decode() + "\n")
        stream.flush()
        return ExportResult(Outcome.ANSWERED)

    def close(self) -> None:
        """Leave the stream open: it belongs to the caller."""

    def reset_after_fork(self) -> None:
        """Do nothing: a stream is safe to use in a forked child."""


class MemoryExporter:
    """Collects every line in the list ``lines``. For tests.

    >>> import dtmetrics
    >>> exporter = dtmetrics.MemoryExporter()
    >>> dtmetrics.configure(exporter=exporter, interval=None, force=True)
    >>> dtmetrics.counter("shop.orders").inc(2)
    >>> dtmetrics.flush()
    True
    >>> exporter.lines  # doctest: +ELLIPSIS
    ['shop.orders,dt.metrics.source=dtmetrics count,delta=2 ...']
    >>> dtmetrics.shutdown()
    True
    """

    def __init__(self) -> None:
        #: Every line that was exported, oldest first.
        self.lines: list[str] = []

    def export(self, batch: Batch, timeout: float, /) -> ExportResult:
        """Add the lines of *batch* to ``lines``."""
        self.lines += batch.text.decode().split("\n")
        return ExportResult(Outcome.ANSWERED)

    def close(self) -> None:
        """Leave ``lines`` as it is, to be read afterwards."""

    def reset_after_fork(self) -> None:
        """Empty ``lines`` in a forked child: they are the parent's."""
        self.lines.clear()


if not TYPE_CHECKING:  # a type checker would take any name for one of this module

    def __getattr__(name: str) -> object:
        """Load `DynatraceExporter` at its first use: it is made of other modules."""
        if name == "DynatraceExporter":
            from dtmetrics._runtime.dynatrace_exporter import (  # noqa: PLC0415
                DynatraceExporter,
            )

            return DynatraceExporter
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
