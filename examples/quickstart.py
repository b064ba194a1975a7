"""Ten lines: what most programs need. Run `dtmetrics dev` beside it and look there."""

from dtmetrics import configure, counter, gauge, timed

configure(interval=1.0)  # to the OneAgent of this host, or to `dtmetrics dev`

placed = counter("orders.placed", unit="{order}", description="Orders taken")


@timed("checkout.duration", args=("region",))
def checkout(region: str, items: int) -> int:
    """Take an order."""
    placed.inc(region=region)
    return items * 2


for number in range(10):
    with timed("render.duration") as t:
        checkout("eu" if number % 2 else "us", number)
        t.set(kind="page")
gauge("queue.depth").set(3)
# What is left is sent when the program ends.
