"""Jobs for RQ, and a client that enqueues some."""

import sys

from redis import Redis
from rq import Queue, Retry

from dtmetrics import configure
from dtmetrics.integrations.rq import instrument_rq

configure()
instrument_rq()


def price(item: int) -> int:
    """Return the price of an item."""
    return 10 * item


def book(order: int) -> None:
    """Fail, because no warehouse answers."""
    raise ConnectionError(f"order {order}")


if __name__ == "__main__":
    queue = Queue(connection=Redis.from_url(sys.argv[1]))
    for item in range(3):
        queue.enqueue("rq_jobs.price", item)
    queue.enqueue("rq_jobs.book", 1, retry=Retry(max=2))
