"""What most programs need. Run `dtmetrics dev` in another terminal to see it arrive."""

from dtmetrics import configure, counter, gauge, timed

configure(interval=1.0)  # to the OneAgent of this host, or to `dtmetrics dev`

placed = counter("orders.placed", unit="{order}", description="Orders placed")


@timed("checkout.duration", args=("region",))
def checkout(region: str, items: int) -> int:
    """Place an order."""
    placed.inc(region=region)
    return items * 2


for number in range(10):
    with timed("render.duration") as t:
        checkout("eu" if number % 2 else "us", number)
        t.set(kind="page")
gauge("queue.depth").set(3)
# The rest is sent when the program ends.
