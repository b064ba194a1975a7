"""A library that instruments itself: silent, and nearly free, until somebody asks."""

from dtmetrics import configure, get_meter, observe

# -- in the library --------------------------------------------------------------

meter = get_meter("acme.cache")
hits = meter.counter("cache.hits")
misses = meter.counter("cache.misses")
lookups = meter.timed("cache.lookup.duration")


class Cache:
    """Keeps what was looked up."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    @lookups
    def get(self, key: str) -> str:
        """Return the value of *key*, made if need be."""
        (hits if key in self.kept else misses).inc()
        return self.kept.setdefault(key, key.upper())


# -- in an application ------------------------------------------------------------

configure(interval=None, prefix="shop", levels={"acme.cache": "INFO"})
cache = Cache()
observe("cache.size", unit="{entry}")(lambda: len(cache.kept))
for word in ("a", "b", "a", "a"):
    cache.get(word)
