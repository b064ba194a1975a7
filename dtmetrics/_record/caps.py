"""Limits that metric keys have reached: which dimension grew, and by what values."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from dtmetrics._core import log
from dtmetrics._record.catalog import Family
from dtmetrics._record.dimensions import dimensions_in
from dtmetrics._record.invalid_values import TOO_MANY_KEYS
from dtmetrics._record.options import RecordingOptions

__all__ = ["Caps"]

# Parsing the dimensions of a series takes 20 us.
_MOST_PARSED = 500
_MOST_KEYS = 100
_SAMPLES = 3


class Caps:
    """Describes and logs each metric key that reached a limit, once."""

    def __init__(self) -> None:
        self._described: dict[str, str] = {}
        self._logged: set[str] = set()

    def describe(
        self, families: Iterable[Family], options: RecordingOptions
    ) -> dict[str, str]:
        """Return what grew, by metric key, of the first hundred keys with a limit."""
        capped = (family for family in families if family.capped)
        return {
            family.key: self._description(family, options)
            for family in islice(capped, _MOST_KEYS)
        }

    def report(self, families: Iterable[Family], options: RecordingOptions) -> None:
        """Log each metric key that has reached a limit since the last call."""
        for family in families:
            if not family.capped:
                continue
            if not family.series:
                self._log_once(
                    TOO_MANY_KEYS,
                    f"no room: {TOO_MANY_KEYS} ({options.max_series}); neither has any "
                    "other new key",
                    family,
                )
            elif family.key not in self._logged:
                self._log_once(family.key, self._description(family, options), family)

    def _log_once(self, what: str, description: str, family: Family) -> None:
        if what not in self._logged and len(self._logged) < _MOST_KEYS:
            self._logged.add(what)
            log.warning("%s has %s", family.definition, description)

    def _description(self, family: Family, options: RecordingOptions) -> str:
        if not family.series:
            return f"no room: {TOO_MANY_KEYS} ({options.max_series})"
        limit = min(len(family.series), options.max_series_per_metric)
        known = self._described.get(family.key)
        if known is None:
            known = self._described[family.key] = _grown(family)
        return f"reached its limit of {limit} series; {known}"


def _grown(family: Family) -> str:
    """Return which dimension has the most values, with some of them."""
    values: dict[str, dict[str, None]] = {}
    for series in islice(family.all_series(), _MOST_PARSED):
        for key, value in dimensions_in(series.line_prefix).items():
            values.setdefault(key, {})[value] = None
    key = max(values, key=lambda key: len(values[key]), default="")
    samples = ", ".join(map(repr, islice(values.get(key, ()), _SAMPLES)))
    return f"dimension {key} has the most values, such as {samples}"
