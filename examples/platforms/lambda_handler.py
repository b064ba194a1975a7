"""A function of AWS Lambda, which its platform freezes between two invocations."""

from typing import Any

from dtmetrics import configure, counter
from dtmetrics.integrations.aws_lambda import handler

configure(interval=None)  # no thread
placed = counter("orders.placed", unit="{order}")


@handler(trigger="http")
def place_order(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer an invocation, and deliver what it has recorded."""
    placed.inc(region=event["region"])
    return {"statusCode": 200}
