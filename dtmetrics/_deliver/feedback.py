"""What the endpoint says of single lines, brought home to their instruments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dtmetrics._deliver.exporter import Body, ExportResult, LineNote
from dtmetrics._record import log
from dtmetrics._record.registry import Registry

__all__ = ["Feedback"]

# After so many bodies in a row in which the endpoint refused all of its lines, an
# instrument is not worth recording: at an interval of a minute, five minutes.
_STRIKES = 5

# How many different things are worth a line of the log, or a place in the statistics.
_MOST_SAID = 1_000


class Feedback:
    """Says once why an instrument's lines are refused, and ends what is hopeless."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: what was said so far was the parent's."""
        #: What the endpoint remarked last on lines that it took, by metric key.
        self.warnings: dict[str, str] = {}
        self._said: set[tuple[str, str]] = set()
        self._strikes: Counter[str] = Counter()

    def take(self, body: Body, result: ExportResult) -> None:
        """Take note of what *result* says of the lines of *body*."""
        for note in result.warnings:
            key = _key_of(body, note)
            if key not in self.warnings and len(self.warnings) < _MOST_SAID:
                self.warnings[key] = note.message
                log.info("the endpoint says of %s: %s", key, note.message)
        reasons: dict[str, str] = {}
        for note in result.refused:
            key = _key_of(body, note)
            reasons.setdefault(key, note.message)
            self._say_once(key, note.message)
        if body.points and (reasons or self._strikes):
            self._count_strikes(body, result, reasons)

    def _say_once(self, key: str, message: str) -> None:
        if (key, message) not in self._said and len(self._said) < _MOST_SAID:
            self._said.add((key, message))
            whose = self._registry.definition_of(key) or key
            log.warning("the endpoint refused %s: %s", whose, message)

    def _count_strikes(
        self, body: Body, result: ExportResult, reasons: Mapping[str, str]
    ) -> None:
        refused = Counter(_key_of(body, note) for note in result.refused)
        for key, lines in Counter(each.key for each in body.identities).items():
            # A list of refused lines may be cut; a number is not.
            if refused[key] < lines and result.rejected < body.points:
                self._strikes.pop(key, None)
                continue
            reason = reasons.get(key) or result.reason
            if "timestamp" in reason:  # a wrong clock is no instrument's fault
                continue
            self._strikes[key] += 1
            if self._strikes[key] == _STRIKES:
                self._registry.set_aside(key, reason)


def _key_of(body: Body, note: LineNote) -> str:
    return body.identities[note.line].key if note.line < body.points else "metadata"
