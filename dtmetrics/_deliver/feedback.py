"""Feedback: what the endpoint reports about lines, brought to their instruments."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from dtmetrics._core import log
from dtmetrics._record.registry import Registry
from dtmetrics.exporters import Batch, ExportResult, LineMessage, Outcome

__all__ = ["Feedback"]

# An instrument all of whose lines were rejected in so many batches in a row is
# quarantined: at an interval of a minute, after five minutes.
_MOST_REJECTIONS = 5

# A bound for log records, and for entries of ``stats().warnings``.
_MOST_MESSAGES = 1_000

# Parts of a line and numbers within a message: "failed to parse metric key of message
# 'load.-1 3'; error at '-' (index 5)". The end of a message may be cut off.
_QUOTED = re.compile(r"'[^']*(?:'|$)|[-+]?[0-9.]+")


class Feedback:
    """Logs once why lines are rejected, and quarantines hopeless instruments."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        #: Whether it may quarantine instruments.
        self.quarantines = True
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start anew in a forked child: the messages were the parent's."""
        #: The endpoint's first warning about accepted lines, by metric key.
        self.warnings: dict[str, str] = {}
        #: In how many batches in a row all lines of a metric key were rejected.
        self.rejections_in_a_row: Counter[str] = Counter()
        self._logged: set[tuple[str, str]] = set()

    def take(self, batch: Batch, result: ExportResult) -> None:
        """Use what *result* reports about the lines of *batch*."""
        for warning in result.warnings:
            key = _key_of(batch, warning)
            if key not in self.warnings and len(self.warnings) < _MOST_MESSAGES:
                self.warnings[key] = warning.message
                log.info("the endpoint warns about %s: %s", key, warning.message)
        reasons: dict[str, str] = {}
        for rejection in result.rejected_lines:
            key = _key_of(batch, rejection)
            reasons.setdefault(key, rejection.message)
            self._log_once(key, rejection.message)
        rejections = result.rejected or self.rejections_in_a_row
        if (
            self.quarantines
            and rejections
            and batch.points
            and result.outcome is Outcome.ANSWERED
        ):
            self._count_rejections(batch, result, reasons)

    def _log_once(self, key: str, message: str) -> None:
        record = key, _kind_of(message)
        if record not in self._logged and len(self._logged) < _MOST_MESSAGES:
            self._logged.add(record)
            what = "the metadata of " if key.startswith("#") else ""
            name = key.removeprefix("#")
            instrument = self._registry.catalog.definition_of(name) or name
            log.warning("the endpoint rejected %s%s: %s", what, instrument, message)

    def _count_rejections(
        self, batch: Batch, result: ExportResult, reasons: Mapping[str, str]
    ) -> None:
        # A wrong clock is not an instrument's fault: all points of a batch have its
        # time.
        if any("timestamp" in _kind_of(reason) for reason in reasons.values()):
            return
        for key, rejected in _verdicts(batch, result).items():
            if not rejected:
                self.rejections_in_a_row.pop(key, None)
                continue
            self.rejections_in_a_row[key] += 1
            if self.rejections_in_a_row[key] >= _MOST_REJECTIONS:
                self._registry.quarantine(key, reasons.get(key) or result.reason)


def _key_of(batch: Batch, message: LineMessage) -> str:
    """Return the metric key of a line; of a metadata line with ``#`` before it."""
    if batch.points:
        return batch.identities[message.line].key
    return batch.text.split(b"\n")[message.line].partition(b" ")[0].decode()


def _kind_of(message: str) -> str:
    """Return *message* without what it quotes, which differs each time."""
    return _QUOTED.sub("", message)


def _verdicts(batch: Batch, result: ExportResult) -> dict[str, bool]:
    """Return for each key whether all its lines were rejected.

    A list of rejected lines may be cut off ("First 10 errors reported"), their number
    is complete. Keys about which neither is certain are left out.
    """
    lines = Counter(each.key for each in batch.identities)
    if result.rejected >= batch.points:
        return dict.fromkeys(lines, True)
    rejected = {message.line for message in result.rejected_lines}
    unlisted = max(0, result.rejected - len(rejected))
    # Behind the last line of a list that is cut off, any line may have been rejected.
    known = max(rejected, default=-1) + 1 if unlisted else batch.points
    listed = Counter(batch.identities[line].key for line in rejected)
    accepted = Counter(each.key for each in batch.identities[:known])
    accepted.subtract(listed)
    verdicts = {}
    for key, count in lines.items():
        if accepted[key] or count - listed[key] > unlisted:
            verdicts[key] = False
        elif listed[key]:
            # All of its lines that are known; the others are assumed to be alike.
            verdicts[key] = True
    return verdicts
