"""A function whose platform freezes or ends the process between two calls."""

from collections.abc import Mapping

from dtmetrics import configure, counter
from dtmetrics.integrations.faas import invocation

configure(interval=None)  # no thread
placed = counter("orders.placed", unit="{order}")


@invocation("orders", trigger="http")
def place_order(request: Mapping[str, str]) -> str:
    """Answer a request, and deliver what it has recorded."""
    placed.inc(region=request["region"])
    return "placed"
