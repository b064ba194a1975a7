"""The instruments of a convention: what a request is recorded into."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from dtmetrics._instrument.semconv import Names
from dtmetrics._record.instruments import Summary
from dtmetrics._record.meter import Meter

__all__ = ["Descriptions", "Measured"]


class Descriptions(NamedTuple):
    """What is said of each instrument."""

    duration: str
    request_size: str
    response_size: str


class Measured(NamedTuple):
    """A duration, and sizes where they are wanted."""

    duration: Summary
    per_second: int
    request_size: Summary | None
    response_size: Summary | None
    #: Dimensions that they are not bound to.
    named: Mapping[str, Any] = MappingProxyType({})

    @classmethod
    def define(
        cls, meter: Meter, names: Names, said: Descriptions, *, sizes: bool
    ) -> Measured:
        """Return what a convention names."""

        def size(name: str, description: str) -> Summary | None:
            if not sizes:
                return None
            return meter.summary(name, unit="By", description=description)

        return cls(
            meter.summary(names.duration, unit=names.unit, description=said.duration),
            names.per_second,
            size(names.request_size, said.request_size),
            size(names.response_size, said.response_size),
        )

    def bind(self, dimensions: Mapping[str, Any]) -> Measured:
        """Return these instruments with *dimensions* in all they record."""
        request, response = self.request_size, self.response_size
        return Measured(
            self.duration.bind(**dimensions),
            self.per_second,
            None if request is None else request.bind(**dimensions),
            None if response is None else response.bind(**dimensions),
        )
