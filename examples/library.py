"""A library that instruments itself: it costs almost nothing until it is configured."""

from dtmetrics import configure, get_meter, observe

# -- in the library --------------------------------------------------------------

meter = get_meter("acme.cache")
hits = meter.counter("cache.hits")
misses = meter.counter("cache.misses")
lookups = meter.timed("cache.lookup.duration")


class Cache:
    """Stores what was looked up."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    @lookups
    def get(self, key: str) -> str:
        """Return the value of *key*, and compute it at the first call."""
        (hits if key in self.entries else misses).inc()
        return self.entries.setdefault(key, key.upper())


# -- in an application ------------------------------------------------------------

configure(interval=None, prefix="shop", levels={"acme.cache": "INFO"})
cache = Cache()
observe("cache.size", unit="{entry}")(lambda: len(cache.entries))
for word in ("a", "b", "a", "a"):
    cache.get(word)
