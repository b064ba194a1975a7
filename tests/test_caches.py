"""Hits, misses and sizes of caches."""

from __future__ import annotations

import gc
import math
import os
import threading
import weakref
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import cachetools
import pytest

from dtmetrics.integrations import caches as ours
from dtmetrics.integrations.caches import instrument_cache, uninstrument_cache
from tests.support.recorder import Recorder
from tests.support.script import expect


def double(number: int) -> int:
    """Return twice the number."""
    return 2 * number


def lines(recorder: Recorder) -> list[str]:
    """Collect; return the lines without what all of them have."""
    return [
        line.replace(",cache.name=", " ").removeprefix("cache.")
        for line in recorder.lines()
    ]


MAKERS: list[Callable[..., Any]] = [
    lru_cache(maxsize=2),
    cachetools.cached(cachetools.LRUCache(2), info=True),
    cachetools.cached(cachetools.LRUCache(2), info=True, lock=threading.Lock()),
]


@pytest.mark.parametrize("index", range(3), ids=["functools", "cachetools", "locked"])
def test_function(recorder: Recorder, index: int) -> None:
    """Hits and misses are counted from the call on; the first collection has them."""
    function = MAKERS[index](double)
    assert [function(n) for n in (1, 1, 2)] == [2, 2, 4]
    instrument_cache(function, name="doubles", meter=recorder.meter)
    assert [function(n) for n in (1, 2, 3, 3)] == [2, 4, 6, 6]
    assert lines(recorder) == [
        "hits doubles count,delta=3",
        "max_size doubles gauge,2",
        "misses doubles count,delta=1",
        "size doubles gauge,2",
    ]
    function(3)
    assert lines(recorder) == [
        "hits doubles count,delta=1",
        "max_size doubles gauge,2",
        "size doubles gauge,2",
    ]
    function.cache_clear()
    function(3)
    assert "misses doubles count,delta=1" in lines(recorder)
    uninstrument_cache(function)
    function(3)
    assert lines(recorder) == []


def test_without_limit(recorder: Recorder) -> None:
    """A cache without a limit has no greatest size."""
    function = cache(double)
    infinite = cachetools.Cache[int, int](math.inf)
    instrument_cache(function, name="endless", meter=recorder.meter)
    instrument_cache(infinite, name="infinite", meter=recorder.meter)
    function(1)
    assert lines(recorder) == [
        "misses endless count,delta=1",
        "size endless gauge,1",
        "size infinite gauge,0",
    ]


def test_object(recorder: Recorder) -> None:
    """Of a cache of cachetools the sizes are known; its own measure of them counts."""
    texts = cachetools.TTLCache[int, str](100, ttl=60, getsizeof=len)
    texts[1] = "abc"
    instrument_cache(texts, name="texts", meter=recorder.meter)
    assert lines(recorder) == ["max_size texts gauge,100", "size texts gauge,3"]


class Shop:
    """Has a method with a cache."""

    @lru_cache(maxsize=8)  # noqa: B019 -- as people write it
    def price(self, item: int) -> int:
        return item


def test_method(recorder: Recorder) -> None:
    """The cache of a method is that of all objects, however it is named."""
    shop = Shop()
    instrument_cache(shop.price, name="prices", meter=recorder.meter)
    instrument_cache(Shop.price, name="prices", meter=recorder.meter)
    shop.price(1)
    assert "misses prices count,delta=1" in lines(recorder)
    uninstrument_cache(shop.price)
    assert lines(recorder) == []


def test_one_name(recorder: Recorder) -> None:
    """Caches of one name are added up; one that is gone stays in the totals alone."""
    first, second = lru_cache(2)(double), lru_cache(3)(double)
    for each in (first, second):
        instrument_cache(each, name="both", meter=recorder.meter)
        each(1)
    assert lines(recorder) == [
        "max_size both gauge,5",
        "misses both count,delta=2",
        "size both gauge,2",
    ]
    gone = weakref.ref(first)
    del first, each
    gc.collect()
    assert gone() is None
    second(2)
    assert lines(recorder) == [
        "max_size both gauge,3",
        "misses both count,delta=1",
        "size both gauge,2",
    ]
    instrument_cache(lru_cache(1)(double), name="soon gone", meter=recorder.meter)
    instrument_cache(second, name="again", meter=recorder.meter)
    assert len(ours._caches[recorder.meter]._caches) == 1


def test_configure_later(recorder: Recorder) -> None:
    """What a cache counted before recording starts, or while it is off, is not sent."""
    options = recorder.registry.generation.options
    function = lru_cache(2)(double)
    instrument_cache(function, name="early", meter=recorder.meter)
    function(1)
    recorder.registry.start(options, bool)
    function(1)
    function(1)
    assert "hits early count,delta=2" in lines(recorder)
    off = options._replace(level=10_000)
    recorder.registry.restart(off)
    function(1)
    assert lines(recorder) == []
    recorder.registry.restart(options)
    function(1)
    assert "hits early count,delta=1" in lines(recorder)


def test_locked_at_a_fork(recorder: Recorder) -> None:
    """A forked child does not wait for the lock of a cache, and counts anew."""
    lock = threading.Lock()
    function = cachetools.cached(cachetools.LRUCache(2), info=True, lock=lock)(double)
    instrument_cache(function, name="locked", meter=recorder.meter)
    function(1)
    with lock:
        recorder.registry.reset_after_fork()
    assert "misses" not in " ".join(lines(recorder))
    function(2)
    assert "misses locked count,delta=1" in lines(recorder)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork() -> None:
    """A child counts from the fork on, and its parent goes on."""
    program = """
import os
from functools import lru_cache
import dtmetrics
from dtmetrics.integrations.caches import instrument_cache

exporter = dtmetrics.MemoryExporter()
dtmetrics.configure(exporter=exporter, interval=None, metadata=False)
price = lru_cache(2)(abs)
instrument_cache(price, name="prices")
price(1)
pid = os.fork()
if pid:
    os.waitpid(pid, 0)
else:
    price(1)
    price(1)
dtmetrics.flush()
counts = [line for line in exporter.lines if "delta" in line]
print(*[line.split(",")[0] + line.split("delta")[1].split()[0] for line in counts], flush=True)
"""
    assert expect(program).splitlines() == ["cache.hits=2", "cache.misses=1"]


def test_fails(recorder: Recorder) -> None:
    """A cache whose fields cannot be read is left out."""

    class Broken:
        maxsize = "many"
        currsize = 3

    broken = Broken()
    instrument_cache(broken, name="broken", meter=recorder.meter)
    assert lines(recorder) == ["size broken gauge,3"]


@pytest.mark.parametrize("wrong", [double, {}, None], ids=["function", "dict", "None"])
def test_wrong(wrong: Any) -> None:
    """An object without counts raises a TypeError."""
    with pytest.raises(TypeError, match="cache must be a function with cache_info"):
        instrument_cache(wrong, name="x")
    uninstrument_cache(wrong)
