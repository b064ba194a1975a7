"""Tasks for Celery, and a client that sends some."""

from celery import Celery, Task, chord

from dtmetrics import configure
from dtmetrics.integrations.celery import instrument_celery

configure()
app = Celery("celery_tasks", broker="redis://localhost", backend="redis://localhost")
instrument_celery(app)


@app.task
def price(item: int) -> int:
    """Return the price of an item."""
    return 10 * item


@app.task
def total(prices: list[int]) -> int:
    """Return the sum of prices."""
    return sum(prices)


@app.task(bind=True, max_retries=2, default_retry_delay=0)
def book(self: Task, order: int) -> None:
    """Fail, because no warehouse answers; the third time for good."""
    raise self.retry(exc=ConnectionError(f"order {order}"))


if __name__ == "__main__":
    order = chord(price.s(item) for item in range(3))(total.s())
    booking = book.delay(1)
    print(order.get(timeout=60))
    booking.get(timeout=60, propagate=False)
