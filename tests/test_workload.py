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
def _remove_observers() -> Iterator[None]:
    """Remove the observers of a shop after its test."""
    before = default.registry.observers.copy()
    yield
    default.registry.observers.clear()
    default.registry.observers.update(before)


def read(exporter: MemoryExporter) -> list[protocol_grammar.Line]:
    """Return the data lines that were exported, parsed by the tests' own grammar."""
    return [
        protocol_grammar.read(line)
        for line in exporter.lines
        if not line.startswith("#")
    ]


def totals(lines: list[protocol_grammar.Line]) -> Counter[str]:
    """Return the total count or number of observations of each key."""
    total: Counter[str] = Counter()
    for line in lines:
        if line.kind == "count":
            total[line.key] += int(line.numbers["delta"])
        elif line.kind == "summary" and line.key != "shop.requests.active":
            total[line.key] += int(line.numbers["count"])
    return total


@pytest.mark.parametrize("interval", [None, 0.02], ids=["one flush", "many flushes"])
def test_counts_as_the_library_does(interval: float | None) -> None:
    """The exported totals are those that the shop counts itself, in any number of flushes."""
    exporter = MemoryExporter()
    dtmetrics.configure(exporter=exporter, interval=interval)
    shop = Shop(0.4)
    shop.run(lambda share: None)
    assert dtmetrics.shutdown()
    assert totals(read(exporter)) == shop.counts
    assert set(shop.counts) >= {
        "shop.orders.placed",
        "shop.cart.value",
        "function.duration",
        "shop.request.duration",
    }
    stats = dtmetrics.stats()
    assert stats.collected == stats.accepted == len(read(exporter))
    assert stats.invalid == {}


def test_ends_without_active_requests() -> None:
    """After the shop has ended, no region has an active request."""
    exporter = MemoryExporter()
    dtmetrics.configure(exporter=exporter, interval=None)
    Shop(0.2).run(lambda share: None)
    assert dtmetrics.shutdown()
    active = {
        line.dimensions["region"]: line.numbers["sum"]
        for line in read(exporter)
        if line.key == "shop.requests.active"
    }
    assert active == {"eu": 0, "us": 0, "apac": 0}


def test_progress() -> None:
    """The reported progress grows from 0 to 1."""
    shares: list[float] = []
    Shop(0.2).run(shares.append)
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    assert shares[-1] == 1.0


def test_works_without_configure() -> None:
    """Without configure() the program does the same work, and nothing is collected."""
    before = dtmetrics.stats()
    shop = Shop(0.1)
    shop.run(lambda share: None)
    assert shop.counts["function.duration"] > 0
    assert dtmetrics.stats().collected == before.collected
