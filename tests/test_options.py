from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._record.generation import Generation
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.source import Source
from tests.support.recorder import Recorder

scopes = st.lists(st.sampled_from(["shop", "cart", "db"]), max_size=4).map(".".join)
levels = st.sampled_from([0, 1, 10, 15, 20, 30, 40, 50])


@given(st.dictionaries(scopes.filter(bool), levels, max_size=5), levels, scopes)
def test_levels_are_those_of_logging(
    by_scope: dict[str, int], level: int, scope: str
) -> None:
    """A scope records from the effective level of a logger with the same levels."""
    manager = logging.Manager(logging.RootLogger(level))
    for name, own_level in by_scope.items():
        manager.getLogger(name).setLevel(own_level)
    logger = manager.getLogger(scope) if scope else manager.root
    lowest = logger.getEffectiveLevel()
    options = RecordingOptions(level=level, levels=by_scope)
    generation = Generation(options, bool)
    for _ in range(2):
        assert generation.enabled(Source("c", scope, lowest))
        assert not generation.enabled(Source("c", scope, lowest - 1))


def test_options_are_immutable() -> None:
    """Options are replaced as a whole, so that a record never sees half of a change."""
    with pytest.raises(AttributeError):
        RecordingOptions().prefix = "shop"  # type: ignore[misc]


def test_levels() -> None:
    """Level and scope decide which instruments record, as in logging."""
    recorder = Recorder(
        level=logging.WARNING, levels={"shop": logging.DEBUG, "shop.db": logging.ERROR}
    )
    for scope in ("", "shop", "shop.cart.items", "shop.db", "shop.db.pool", "shopping"):
        for level in (logging.DEBUG, logging.WARNING, logging.ERROR):
            counter = recorder.meters.get(scope).counter(f"m{level}", level=level)
            counter.inc(1, scope=scope or "root")
    assert recorder.lines() == sorted(
        [
            "m10,scope=shop count,delta=1",
            "m10,scope=shop.cart.items count,delta=1",
            "m30,scope=root count,delta=1",
            "m30,scope=shop count,delta=1",
            "m30,scope=shop.cart.items count,delta=1",
            "m30,scope=shopping count,delta=1",
            "m40,scope=root count,delta=1",
            "m40,scope=shop count,delta=1",
            "m40,scope=shop.cart.items count,delta=1",
            "m40,scope=shop.db count,delta=1",
            "m40,scope=shop.db.pool count,delta=1",
            "m40,scope=shopping count,delta=1",
        ]
    )


def test_levels_of_a_restart() -> None:
    """A new start() applies its levels to old instruments."""
    recorder = Recorder(level=logging.ERROR)
    counter = recorder.meters.get("shop").counter("c")
    counter.inc()
    recorder.registry.start(RecordingOptions(levels={"shop": 1}), lambda: True)
    counter.inc()
    recorder.registry.start(RecordingOptions(level=logging.ERROR), lambda: True)
    counter.inc()
    assert recorder.lines() == []
