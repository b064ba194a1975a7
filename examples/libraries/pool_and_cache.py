"""A pool of threads and a cache, both observed."""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from dtmetrics import configure
from dtmetrics.integrations.caches import instrument_cache
from dtmetrics.integrations.executors import instrument_executor

configure()


@lru_cache(maxsize=100)
def price(item: str) -> int:
    """Return the price of an item."""
    return len(item)


def check(number: int) -> int:
    """Return *number* if an order may have it."""
    if number > 2:
        raise ValueError(number)
    return number


instrument_cache(price, name="prices")
total = price("tea") + price("milk") + price("tea")

with ThreadPoolExecutor(max_workers=4) as executor:
    instrument_executor(executor, name="orders")
    checks = [executor.submit(check, number) for number in range(4)]
