"""Refusals: what stands for a series where an instrument does not record."""

from __future__ import annotations

from threading import Lock

from dtmetrics._record.gauge_series import GaugeSeries
from dtmetrics._record.invalid_values import TOO_MANY_KEYS

__all__ = ["DISABLED", "MERGED_GAUGES", "NO_ROOM", "OTHER_KIND", "Refusal"]


class Refusal(GaugeSeries):
    """Stands for a series; each record is counted as invalid, for *reason* if any."""

    __slots__ = ("reason",)

    def __init__(self, reason: str = "") -> None:
        super().__init__("", "", Lock(), bool, 0)
        self.reason: str = reason


#: While a level or a rule disables the instrument.
DISABLED = Refusal()

#: For a new metric key without room.
NO_ROOM = Refusal(TOO_MANY_KEYS)

#: For a gauge that would have the series of another one. Its value would be that of
#: whichever was set last.
MERGED_GAUGES = Refusal("gauge that a rule merges with another")

#: For an instrument that a rule renames to the key of another kind.
OTHER_KIND = Refusal("renamed by a rule to the key of another kind of instrument")
