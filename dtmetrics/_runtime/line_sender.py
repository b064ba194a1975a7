"""Lines that are sent once, outside of any recording, and the endpoint's verdict.

``dtmetrics send`` uses it, and ``dtmetrics doctor`` for its test line.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from dtmetrics._config.config import Config
from dtmetrics._deliver.batching import BYTES_LIMIT, LINES_LIMIT
from dtmetrics._protocol.line import encode, identify
from dtmetrics._record.meters import Meters
from dtmetrics._record.registry import Registry
from dtmetrics._runtime.factories import make_exporter, recording_options
from dtmetrics.exporters import (
    Batch,
    Exporter,
    ExportResult,
    LineMessage,
    Outcome,
)

__all__ = ["Kind", "LineVerdict", "line_of", "send_lines"]

Kind = Literal["counter", "gauge", "summary"]

_EXPORT_SECONDS = 15.0

# All lines count as one series here.
_ANY = identify("line", ())
_IN_HALVES = Outcome.TOO_LARGE, Outcome.MALFORMED


@dataclass
class LineVerdict:
    """What became of lines. The numbers of lines begin with 1."""

    destination: str = ""
    accepted: int = 0
    rejected: int = 0
    #: Lines that were not accepted for a reason that is not in them.
    undelivered: int = 0
    #: Why: the last reason.
    reason: str = ""
    #: What the endpoint reports about single lines.
    messages: list[LineMessage] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether each line was accepted."""
        return not (self.rejected or self.undelivered)

    def sentences(self) -> list[str]:
        """Return the verdict in words."""
        counts = [
            f"{_lines(count)} {what}"
            for count, what in (
                (self.accepted, "accepted"),
                (self.rejected, "rejected"),
                (self.undelivered, "not delivered"),
            )
            if count
        ]
        listed = [f"line {n} rejected: {message}" for n, message in self.messages]
        verdict = f"{self.destination}: {', '.join(counts) or 'no lines'}"
        return [verdict, *listed, *filter(None, [self.reason])]


def line_of(
    config: Config,
    key: str,
    value: float,
    *,
    kind: Kind,
    dimensions: Mapping[str, str],
    timestamp_ms: int | None = None,
) -> str:
    """Return the line by which an instrument of *kind* reports *value*, if it may.

    The line has what the settings add: prefix, dimensions, enrichment. It is empty if
    the value is not one of that kind. Raises DefinitionError for an invalid key.
    """
    registry = Registry()
    options = replace(config, strict=True, level=1)
    registry.start(recording_options(options), lambda: True)
    meter = Meters(registry).root
    if kind == "counter":
        meter.counter(key).inc(value, **dimensions)
    elif kind == "gauge":
        meter.gauge(key).set(value, **dimensions)
    else:
        meter.summary(key).record(value, **dimensions)
    if timestamp_ms is None:
        timestamp_ms = _now_ms()
    lines = [line for chunk in registry.collect(timestamp_ms) for line in encode(chunk)]
    registry.stop()
    return "".join(lines)


def send_lines(config: Config, lines: Iterable[bytes]) -> LineVerdict:
    """Send *lines*, in UTF-8, to the endpoint of *config*, and return the verdict.

    Blank lines are left out. A batch that is not delivered ends the sending: the lines
    after it are counted as not delivered.
    """
    exporter = make_exporter(config)
    verdict = LineVerdict(getattr(exporter, "destination", ""))
    for batch, numbers in _batches(lines):
        if verdict.undelivered:
            verdict.undelivered += len(numbers)
        else:
            _send(exporter, batch, numbers, verdict)
    exporter.close()
    return verdict


def _send(
    exporter: Exporter, batch: Batch, numbers: list[int], verdict: LineVerdict
) -> None:
    result = exporter.export(batch, _EXPORT_SECONDS)
    if result.outcome in _IN_HALVES and len(numbers) > 1:
        middle = len(numbers) // 2
        halves = numbers[:middle], numbers[middle:]
        for half, its_numbers in zip(batch.halves(), halves, strict=True):
            _send(exporter, half, its_numbers, verdict)
        return
    _count(result, numbers, verdict)


def _count(result: ExportResult, numbers: list[int], verdict: LineVerdict) -> None:
    if result.outcome is Outcome.ANSWERED:
        verdict.accepted += len(numbers) - result.rejected
        verdict.rejected += result.rejected
        verdict.messages += [
            LineMessage(numbers[line], message)
            for line, message in result.rejected_lines
        ]
    else:
        verdict.undelivered += len(numbers)
        verdict.reason = result.reason


def _batches(lines: Iterable[bytes]) -> Iterator[tuple[Batch, list[int]]]:
    """Yield batches of *lines*, and the numbers of their lines."""
    texts: list[bytes] = []
    numbers: list[int] = []
    size = 0
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        if len(texts) == LINES_LIMIT or size + len(text) > BYTES_LIMIT:
            yield _batch(texts), numbers
            texts, numbers, size = [], [], 0
        texts.append(text)
        numbers.append(number)
        size += len(text) + 1
    if texts:
        yield _batch(texts), numbers


def _batch(texts: list[bytes]) -> Batch:
    return Batch(b"\n".join(texts), (_ANY,) * len(texts), _now_ms())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"
