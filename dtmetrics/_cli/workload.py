"""The program that ``dtmetrics demo`` measures: a small shop, for some seconds.

It uses the public API as an application would. It also counts by itself what it does,
so that the endpoint's numbers can be compared with the truth.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from queue import SimpleQueue
from time import monotonic

from dtmetrics import context, counter, gauge, observe, summary, timed

__all__ = ["Shop"]

placed = counter("shop.orders.placed", unit="{order}", description="Orders placed")
failed = counter("shop.orders.failed", unit="{order}", description="Orders that failed")
value = summary("shop.cart.value", unit="EUR", description="Value of a cart")
stock = gauge("shop.stock.level", unit="{item}", description="Items in stock")
active = gauge("shop.requests.active", unit="{request}")
request_time = timed("shop.request.duration", args=("method", "route"))


class OutOfStockError(Exception):
    """What was ordered is out of stock."""


class Shop:
    """Takes orders in threads and packs them in tasks, until time is up."""

    def __init__(self, seconds: float, seed: int = 7) -> None:
        self.counts: Counter[str] = Counter()
        self._seconds = seconds
        self._seed = seed
        self._counts_lock = threading.Lock()
        self._parcels: SimpleQueue[int] = SimpleQueue()
        observe("shop.parcels.waiting", unit="{parcel}")(self._parcels.qsize)

    def run(self, progress: Callable[[float], object]) -> None:
        """Run for the time; call *progress* with the share of it that has passed."""
        start = monotonic()
        closing = threading.Event()
        threads = [
            threading.Thread(target=self._serve, args=(region, n, closing))
            for n, region in enumerate(("eu", "us", "apac"))
        ]
        threads.append(threading.Thread(target=self._warehouse, args=(closing,)))
        for thread in threads:
            thread.start()
        while (passed := monotonic() - start) < self._seconds:
            progress(passed / self._seconds)
            closing.wait(0.1)
        closing.set()
        for thread in threads:
            thread.join()
        progress(1.0)

    def _count(self, what: str, amount: int = 1) -> None:
        with self._counts_lock:
            self.counts[what] += amount

    def _serve(self, region: str, number: int, closing: threading.Event) -> None:
        chance = random.Random(self._seed + number)  # noqa: S311 -- not for secrets
        with context(region=region):
            while not closing.is_set():
                self._request("POST", "/orders/{id}", chance)
                closing.wait(chance.uniform(0.001, 0.02))

    @request_time
    def _request(self, method: str, route: str, chance: random.Random) -> None:
        with active:
            self._count("shop.request.duration")
            try:
                self._order(chance.randint(1, 9))
            except OutOfStockError:
                failed.inc(reason="stock")
                self._count("shop.orders.failed")

    @timed
    def _order(self, items: int) -> None:
        self._count("function.duration")
        if items == 9:
            raise OutOfStockError(items)
        value.record(sum(self._prices(items)))
        placed.inc()
        self._count("shop.cart.value")
        self._count("shop.orders.placed")
        self._parcels.put(items)

    @timed("shop.pricing.duration", generator="active")
    def _prices(self, items: int) -> Iterator[float]:
        self._count("shop.pricing.duration")
        for item in range(items):
            yield 0.99 + item

    def _warehouse(self, closing: threading.Event) -> None:
        asyncio.run(self._pack(closing))

    async def _pack(self, closing: threading.Event) -> None:
        while not closing.is_set():
            await asyncio.gather(*(self._packer(n) for n in range(4)))
            stock.set(1000 - self._parcels.qsize())
            await asyncio.sleep(0.05)

    @timed("shop.packing.duration", args=("packer",))
    async def _packer(self, packer: int) -> None:
        self._count("shop.packing.duration")
        async for _ in self._shelf():
            await asyncio.sleep(0.002)

    @timed("shop.shelf.duration")
    async def _shelf(self) -> AsyncIterator[int]:
        self._count("shop.shelf.duration")
        for _ in range(3):
            if not self._parcels.empty():
                yield self._parcels.get()
