"""A library that instruments itself, and an application that uses it."""

from dtmetrics import configure, get_meter, observe

# -- in the library: acme/cache.py ------------------------------------------------

meter = get_meter("acme.cache")  # in a module of its own: get_meter(__name__)
hits = meter.counter("cache.hits", unit="{hit}")
misses = meter.counter("cache.misses", unit="{miss}")
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


# -- in the application -----------------------------------------------------------

configure(prefix="shop", levels={"acme": "INFO"})
cache = Cache()
observe("cache.size", unit="{entry}")(lambda: len(cache.entries))
for word in ("a", "b", "a", "a"):
    cache.get(word)
