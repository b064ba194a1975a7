"""What the endpoint says of single lines, brought home to their instruments."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from dtmetrics._core import log
from dtmetrics._record.registry import Registry
from dtmetrics.exporters import Batch, ExportResult, LineMessage, Outcome

__all__ = ["Feedback"]

# After so many bodies in a row in which the endpoint refused all of its lines, an
# instrument is not worth recording: at an interval of a minute, five minutes.
_STRIKES = 5

# How many different things are worth a line of the log, or a place in the statistics.
_MOST_SAID = 1_000

# Parts of the line and numbers, in the endpoint's words: "failed to parse metric key
# of message 'load.-1 3'; error at '-' (index 5)". The end of a message may be cut.
_QUOTED = re.compile(r"'[^']*(?:'|$)|[-+]?[0-9.]+")


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

    def take(self, body: Batch, result: ExportResult) -> None:
        """Take note of what *result* says of the lines of *body*."""
        for note in result.warnings:
            key = _key_of(body, note)
            if key not in self.warnings and len(self.warnings) < _MOST_SAID:
                self.warnings[key] = note.message
                log.info("the endpoint says of %s: %s", key, note.message)
        reasons: dict[str, str] = {}
        for note in result.rejected_lines:
            key = _key_of(body, note)
            reasons.setdefault(key, note.message)
            self._say_once(key, note.message)
        answered = result.outcome is Outcome.ANSWERED and body.points
        if answered and (result.rejected or self._strikes):
            self._count_strikes(body, result, reasons)

    def _say_once(self, key: str, message: str) -> None:
        said = key, _kind_of(message)
        if said not in self._said and len(self._said) < _MOST_SAID:
            self._said.add(said)
            what = "the metadata of " if key.startswith("#") else ""
            name = key.removeprefix("#")
            whose = self._registry.catalog.definition_of(name) or name
            log.warning("the endpoint refused %s%s: %s", what, whose, message)

    def _count_strikes(
        self, body: Batch, result: ExportResult, reasons: Mapping[str, str]
    ) -> None:
        # A wrong clock is no instrument's fault; all points of a body have its time.
        if any("timestamp" in _kind_of(reason) for reason in reasons.values()):
            return
        for key, refused in _fates(body, result).items():
            if not refused:
                self._strikes.pop(key, None)
                continue
            self._strikes[key] += 1
            if self._strikes[key] >= _STRIKES:
                self._registry.quarantine(key, reasons.get(key) or result.reason)


def _key_of(body: Batch, note: LineMessage) -> str:
    """Return whose line it is; for one of metadata with the ``#`` before."""
    if body.points:
        return body.identities[note.line].key
    return body.text.split(b"\n")[note.line].partition(b" ")[0].decode()


def _kind_of(message: str) -> str:
    """Return *message* without what it quotes, which is new each time."""
    return _QUOTED.sub("", message)


def _fates(body: Batch, result: ExportResult) -> dict[str, bool]:
    """Return of which keys all lines were refused, and of which some were taken.

    A list of refused lines may be cut ("First 10 errors reported"), a number is not.
    Keys of which neither is known are left out.
    """
    lines = Counter(each.key for each in body.identities)
    if result.rejected >= body.points:
        return dict.fromkeys(lines, True)
    refused = {note.line for note in result.rejected_lines}
    unlisted = max(0, result.rejected - len(refused))
    # Behind the last line of a list that is cut, any line may have been refused.
    known = max(refused, default=-1) + 1 if unlisted else body.points
    listed = Counter(body.identities[line].key for line in refused)
    taken = Counter(each.key for each in body.identities[:known])
    taken.subtract(listed)
    fates = {}
    for key, count in lines.items():
        if taken[key] or count - listed[key] > unlisted:
            fates[key] = False
        elif listed[key]:
            # All of it that is known; those behind the list are taken for the same.
            fates[key] = True
    return fates
