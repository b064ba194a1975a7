"""Limits that metric keys have reached: which dimension grew, and by what values."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from itertools import islice

from dtmetrics._core import log
from dtmetrics._record.dimensions import dimensions_in
from dtmetrics._record.family import Family
from dtmetrics._record.invalid_values import TOO_MANY_KEYS
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.value_caps import OTHER

__all__ = ["Caps", "most_values"]

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
        capped = (each for each in families if each.capped or each.folded)
        return {
            family.key: self._description(family, options)
            for family in islice(capped, _MOST_KEYS)
        }

    def report(self, families: Iterable[Family], options: RecordingOptions) -> None:
        """Log each metric key that has reached a limit since the last call."""
        for family in families:
            if family.folded:
                self._log_folded(family)
            if not family.capped:
                self._described.pop(family.key, None)  # idle series have made room
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

    def _log_folded(self, family: Family) -> None:
        names = ", ".join(family.folded)
        self._log_once(f"{family.key} {names}", _folded(family), family)

    def _log_once(self, what: str, description: str, family: Family) -> None:
        if what not in self._logged and len(self._logged) < _MOST_KEYS:
            self._logged.add(what)
            log.warning("%s has %s", family.definition, description)

    def _description(self, family: Family, options: RecordingOptions) -> str:
        if not family.capped:
            return _folded(family)
        if not family.series:
            return f"no room: {TOO_MANY_KEYS} ({options.max_series})"
        limit = min(len(family.series), options.max_series_per_metric)
        known = self._described.get(family.key)
        if known is None:
            known = self._described[family.key] = _grown(family)
        return f"reached its limit of {limit} series; {known}"


def most_values(
    family: Family,
    *,
    without: Container[str] = (),
    most_parsed: int | None = None,
) -> tuple[str, Collection[str]] | None:
    """Return the dimension of *family* with the most values, and these.

    None if no dimension beside those of *without* has two.
    """
    values: dict[str, dict[str, None]] = {}
    for series in islice(family.all_series(), most_parsed):
        for key, value in dimensions_in(series.line_prefix).items():
            if key not in without:
                values.setdefault(key, {})[value] = None
    key = max(values, key=lambda key: len(values[key]), default="")
    return (key, values[key]) if len(values.get(key, ())) > 1 else None


def _grown(family: Family) -> str:
    """Return which dimension has grown, with some of its values."""
    key, values = most_values(family, most_parsed=_MOST_PARSED) or ("", ())
    samples = ", ".join(map(repr, islice(values, _SAMPLES)))
    return f"dimension {key} has the most values, such as {samples}"


def _folded(family: Family) -> str:
    """Return which dimensions have no further values."""
    ended = ", ".join(
        f"the dimension {name} after {count} values"
        for name, count in family.folded.items()
    )
    return f"many series; cap='auto' has ended {ended}, further ones are {OTHER}"
