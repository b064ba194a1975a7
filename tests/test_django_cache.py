from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("django")

from asgiref.sync import ThreadSensitiveContext
from django.core.cache import cache, caches
from django.core.cache.backends.locmem import LocMemCache
from django.test import override_settings

from dtmetrics._core.suppress_instrumentation import SUPPRESSED
from tests.support.django_site import Seen

DURATION = "django.cache.operation.duration"
NAMES = "django.cache.name", "django.cache.operation", "error.type"


@pytest.fixture
def seen() -> Iterator[Seen]:
    """Return the recorded lines; the cache is empty."""
    cache.clear()
    yield Seen()
    cache.clear()


def recorded(seen: Seen) -> dict[tuple[str | None, ...], int]:
    """Return the number of operations by cache, name and error."""
    return dict(seen.counts(DURATION, *NAMES))


OPERATIONS: list[tuple[str, tuple[Any, ...], Any]] = [
    ("set", ("a", 1), None),
    ("get", ("a",), 1),
    ("get", ("none", "default"), "default"),
    ("add", ("a", 2), False),
    ("incr", ("a", 3), 4),
    ("decr", ("a",), 3),
    ("touch", ("a", 10), True),
    ("has_key", ("a",), True),
    ("set_many", ({"b": 1, "c": 2},), []),
    ("get_many", (["a", "b", "x"],), {"a": 3, "b": 1}),
    ("delete_many", (["b", "c"],), None),
    ("delete", ("a",), True),
    ("clear", (), None),
]
EACH = {("default", name, None): 2 if name == "get" else 1 for name, _, _ in OPERATIONS}


def test_operations(seen: Seen) -> None:
    """Each operation is recorded once, by cache and name, and returns what it did.

    An operation that calls others is one operation.
    """
    for name, args, answer in OPERATIONS:
        assert getattr(cache, name)(*args) == answer
    assert recorded(seen) == EACH


def test_asynchronous_operations(seen: Seen) -> None:
    """Asynchronous operations are recorded once, alone and several at once."""

    async def operate() -> None:
        async with ThreadSensitiveContext():
            for name, args, answer in OPERATIONS:
                assert await getattr(cache, f"a{name}")(*args) == answer
            await asyncio.gather(*[cache.aget("a") for _ in range(5)])

    asyncio.run(operate())
    assert recorded(seen) == {**EACH, ("default", "get", None): 7}


def test_callbacks(seen: Seen) -> None:
    """An operation that calls the application back is recorded by its parts."""
    assert cache.get_or_set("a", lambda: cache.get("b", 7)) == 7
    assert recorded(seen).keys() == {("default", n, None) for n in ("get", "add")}
    assert "a" in cache
    assert recorded(seen)["default", "has_key", None] == 1


def test_errors(seen: Seen) -> None:
    """A failed operation is recorded with its exception's type; the exception passes."""
    with pytest.raises(ValueError, match="none"):
        cache.incr("none")
    assert recorded(seen) == {("default", "incr", "ValueError"): 1}


def test_each_cache(seen: Seen, tmp_path: Any) -> None:
    """Each cache has its name; caches of changed settings are recorded too."""
    files = "django.core.cache.backends.filebased.FileBasedCache"
    local = "django.core.cache.backends.locmem.LocMemCache"
    configured = {
        "default": {"BACKEND": local, "LOCATION": "other"},
        "files": {"BACKEND": files, "LOCATION": str(tmp_path)},
    }
    with override_settings(CACHES=configured):
        caches["files"].set("a", 1)
        assert caches["files"].get("a") == 1
        assert cache.get("a") is None
    assert recorded(seen) == {
        ("files", "set", None): 1,
        ("files", "get", None): 1,
        ("default", "get", None): 1,
    }


class Few:
    """An application's own cache, with few operations, that stores nothing."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        """Accept Django's arguments."""

    def close(self, **_: Any) -> None:
        """Do nothing."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the answer for a missing key."""
        return default

    def delete(self, key: str) -> bool:
        """Return the answer for a missing key."""
        return False


def test_caches_that_lack_operations(seen: Seen) -> None:
    """Of an application's own cache the operations that it has are recorded."""
    with override_settings(CACHES={"default": {"BACKEND": f"{__name__}.Few"}}):
        assert cache.get("a", 7) == 7
        assert cache.delete("a") is False
        assert not hasattr(cache, "aget")
    assert recorded(seen) == {
        ("default", "get", None): 1,
        ("default", "delete", None): 1,
    }


def test_exporting(seen: Seen) -> None:
    """Operations of an exporter are not recorded."""

    async def get() -> None:
        async with ThreadSensitiveContext():
            await cache.aget("a")

    token = SUPPRESSED.set(True)
    cache.get("a")
    asyncio.run(get())
    SUPPRESSED.reset(token)
    assert recorded(seen) == {}


def test_methods_stay_methods() -> None:
    """Instrumenting changes neither a cache's class nor its methods' kinds."""
    assert cache.get("a") is None
    assert type(caches["default"]) is LocMemCache
    assert LocMemCache.get.__name__ == "get"
    assert inspect.iscoroutinefunction(LocMemCache.aget)
