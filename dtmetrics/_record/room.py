"""Room for series: the limits of their number and of the values that they hold."""

from __future__ import annotations

from dtmetrics._protocol.normalize import line_prefix
from dtmetrics._record.family import AnySeries, Family
from dtmetrics._record.generation import Generation

__all__ = ["has_room", "new_series", "overflow_prefix"]

# How many values all series together may hold before they are folded. 50,000 summaries
# with 60 values each take 38 MB; with three times the budget 123 MB. A value costs more
# the sooner it is folded: 200 ns with a limit of 64, 380 ns with 7.
_BUDGET, _LOWEST_LIMIT, _HIGHEST_LIMIT = 350_000, 7, 512

# A tenth of the room for series is left to the first series of new keys.
_RESERVED_FOR_NEW_KEYS = 10


def has_room(family: Family, generation: Generation, series_count: int) -> bool:
    """Return whether *family* may have one more series beside *series_count* of all."""
    options = generation.options
    count = len(family.series)
    if count >= options.max_series_per_metric:
        count -= overflow_prefix(family, generation) in family.series
    limit = options.max_series
    if count:  # so that one metric cannot take the room of all keys to come
        limit -= limit // _RESERVED_FOR_NEW_KEYS
    return count < options.max_series_per_metric and series_count < limit


def overflow_prefix(family: Family, generation: Generation) -> str:
    """Return the line prefix of the series for what exceeds a limit of *family*."""
    dimensions = generation.overflow_dimensions(gauge=family.definition.is_gauge)
    return line_prefix(family.key, dimensions)


def new_series(family: Family, prefix: str, series_count: int) -> AnySeries:
    """Return a series of *family*, which is one more than *series_count*."""
    fair_share = _BUDGET // (series_count + 1)
    limit = max(_LOWEST_LIMIT, min(_HIGHEST_LIMIT, fair_share))
    return family.new_series(prefix, limit)
