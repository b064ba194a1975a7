from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

import dtmetrics
from dtmetrics import MemoryExporter
from dtmetrics._cli.workload import Shop
from dtmetrics._runtime.runtime import default
from tests.support import protocol_grammar


@pytest.fixture(autouse=True)
def _own_observers() -> Iterator[None]:
    """Let what a shop has observed end with the test."""
    before = default.registry.observers[:]
    yield
    default.registry.observers[:] = before


def read(exporter: MemoryExporter) -> list[protocol_grammar.Line]:
    """Return the lines of data that were sent, as the tests' own grammar reads them."""
    return [
        protocol_grammar.read(line)
        for line in exporter.lines
        if not line.startswith("#")
    ]


def totals(lines: list[protocol_grammar.Line]) -> Counter[str]:
    """Return how often what each key counts or observes has happened."""
    found: Counter[str] = Counter()
    for line in lines:
        if line.kind == "count":
            found[line.key] += int(line.numbers["delta"])
        elif line.kind == "summary":
            found[line.key] += int(line.numbers["count"])
    return found


@pytest.mark.parametrize("interval", [None, 0.02], ids=["at the end", "all the time"])
def test_counts_as_the_library_does(interval: float | None) -> None:
    """What the shop counts by itself is what was sent, in one flush or in many."""
    exporter = MemoryExporter()
    dtmetrics.configure(exporter=exporter, interval=interval)
    shop = Shop(0.4)
    shop.run(lambda share: None)
    assert dtmetrics.shutdown()
    assert totals(read(exporter)) == shop.done
    assert set(shop.done) >= {
        "shop.orders.placed",
        "shop.cart.value",
        "function.duration",
        "http.server.request.duration",
    }
    stats = dtmetrics.stats()
    assert stats.collected == stats.accepted == len(read(exporter))
    assert stats.invalid == {}


def test_leaves_nobody_inside() -> None:
    """When the shop has closed no request is under way, in any region."""
    exporter = MemoryExporter()
    dtmetrics.configure(exporter=exporter, interval=None)
    Shop(0.2).run(lambda share: None)
    assert dtmetrics.shutdown()
    active = {
        line.dimensions["region"]: line.numbers["value"]
        for line in read(exporter)
        if line.key == "shop.requests.active"
    }
    assert active == {"eu": 0, "us": 0, "apac": 0}


def test_tells_its_progress() -> None:
    """Progress goes from nothing to all, and never back."""
    shares: list[float] = []
    Shop(0.2).run(shares.append)
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    assert shares[-1] == 1.0


def test_works_without_configure() -> None:
    """A program that never configures does the same work, and nothing is kept."""
    before = dtmetrics.stats()
    shop = Shop(0.1)
    shop.run(lambda share: None)
    assert shop.done["function.duration"] > 0
    assert dtmetrics.stats().collected == before.collected
