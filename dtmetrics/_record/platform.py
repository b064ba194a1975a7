"""The dimensions of the platform: of the process, its pod and its host."""

from __future__ import annotations

import os
from collections.abc import KeysView, Mapping

from dtmetrics._core import log
from dtmetrics._protocol.normalize import (
    DIMENSIONS_LIMIT,
    clean_dimension_key,
    clean_dimension_value,
)
from dtmetrics._protocol.point import Dimensions

__all__ = ["PlatformDimensions"]

# By this a OneAgent has related its data points to a process already.
_PROCESS_ENTITY = "dt.entity.process_group_instance"


class PlatformDimensions:
    """Dimensions that win over those of a program with the same key.

    Beyond the endpoint's limit they are left out, because they are the same in every
    series of the process: without one of the program's own, two series would be one.

    *process_key* is the key of the number of this process; without one, or if the
    *enrichment* names the process, that is not added.
    """

    def __init__(
        self, enrichment: Mapping[str, str] = {}, process_key: str = ""
    ) -> None:
        cleaned = {
            key: clean_dimension_value(value)
            for name, value in enrichment.items()
            if (key := clean_dimension_key(name))
        }
        self._process_key = "" if _PROCESS_ENTITY in cleaned else process_key
        if self._process_key:
            cleaned[self._process_key] = str(os.getpid())
        self._pairs = cleaned
        self._left_out: dict[str, None] = {}
        self._reported = False

    def after_fork(self) -> PlatformDimensions:
        """Return the dimensions of a forked child: these, if they name no process."""
        if not self._process_key:
            return self
        child = PlatformDimensions(self._pairs, self._process_key)
        child._reported = self._reported
        return child

    def keys(self) -> KeysView[str]:
        """Return the keys of these dimensions."""
        return self._pairs.keys()

    def added_to(self, own: Dimensions) -> Dimensions:
        """Return *own* dimensions, at most 50, with those of the platform."""
        if not self._pairs:
            return own
        merged = dict(own)
        room = DIMENSIONS_LIMIT - len(merged)
        # The number of the process is the last, and so the last to be left out.
        for key in reversed(self._pairs):
            if key not in merged:
                if not room:
                    self._left_out[key] = None
                    continue
                room -= 1
            merged[key] = self._pairs[key]
        return tuple(sorted(merged.items()))

    def report(self) -> None:
        """Log, once, which dimensions were left out of a series."""
        if self._left_out and not self._reported:
            self._reported = True
            log.warning(
                "some series have more than %d dimensions: %s, which OneAgent or the "
                "Kubernetes operator adds, were left out of them",
                DIMENSIONS_LIMIT,
                ", ".join(sorted(self._left_out)),
            )
