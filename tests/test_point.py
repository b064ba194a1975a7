from __future__ import annotations

import pytest

from dtmetrics._protocol.line import identify
from dtmetrics._protocol.point import (
    CountDelta,
    DataPoint,
    DataPoints,
    GaugeSummary,
    GaugeValue,
)

ORDERS = identify("orders", (("region", "eu"),))


@pytest.mark.parametrize(
    "value",
    [
        CountDelta(1),
        GaugeValue(1),
        GaugeSummary(1, 2, 3, 2),
        DataPoint(ORDERS, GaugeValue(1), 1_700_000_000_000),
        DataPoints(GaugeValue, [ORDERS], [1], 1_700_000_000_000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_frozen(value: object) -> None:
    """Objects that are shared between threads cannot be changed or extended."""
    for name in ("delta", "min", "timestamp_ms", "other"):
        with pytest.raises(AttributeError):
            setattr(value, name, 2)


def test_identity_shows_its_line_prefix() -> None:
    """The repr of an identity has the start of each line of its series."""
    assert repr(ORDERS) == "<Identity orders,region=eu>"
    assert (ORDERS.key, ORDERS.line_prefix) == ("orders", "orders,region=eu")


def test_identities_are_compared_as_objects() -> None:
    """Two identities with the same text are not equal, and have no __dict__."""
    again = identify("orders", (("region", "eu"),))
    assert again != ORDERS
    assert len({ORDERS, ORDERS}) == 1
    assert not hasattr(ORDERS, "__dict__")


def test_payloads_show_their_fields() -> None:
    """A payload shows the names of its numbers; the count of a summary is a number."""
    summary = GaugeSummary(min=1, max=2, sum=3, count=2)
    assert repr(summary) == "GaugeSummary(min=1, max=2, sum=3, count=2)"
    assert summary.count == 2


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_points_in_parts(size: int) -> None:
    """Points are split in order, each once, with its identity and its value."""
    identities = [identify(f"k{n}", ()) for n in range(7)]
    points = DataPoints(CountDelta, identities, range(7), 5)
    parts = [*points.parts(size)]
    assert all(len(part.identities) <= size for part in parts)
    assert [point for part in parts for point in part.each()] == [
        DataPoint(identity, CountDelta(n), 5) for n, identity in enumerate(identities)
    ]


def test_since() -> None:
    """A part of several points begins at an index."""
    points = DataPoints(CountDelta, [ORDERS] * 3, [1, 2, 3], 1_700_000_000_000)
    assert points.since(1) == points._replace(identities=[ORDERS] * 2, values=[2, 3])
