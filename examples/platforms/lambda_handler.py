"""A function of AWS Lambda, which its platform freezes between two invocations."""

from typing import Any

from dtmetrics import configure, counter, flush, timed

configure(interval=None)  # no thread
placed = counter("orders.placed", unit="{order}")


@timed("order.duration")
def place_order(event: dict[str, Any]) -> dict[str, Any]:
    """Place an order."""
    placed.inc(region=event["region"])
    return {"statusCode": 200}


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 -- of the runtime
    """Answer an invocation, and deliver what it has recorded."""
    try:
        return place_order(event)
    finally:
        left = context.get_remaining_time_in_millis() / 1000
        flush(timeout=min(2.0, left / 2))
