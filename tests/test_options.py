from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._record.options import RecordingOptions
from tests.support.recorder import Recorder

scopes = st.lists(st.sampled_from(["shop", "cart", "db"]), max_size=4).map(".".join)
levels = st.integers(0, 50)


@given(st.dictionaries(scopes.filter(bool), levels, max_size=5), levels, scopes)
def test_least_level_is_that_of_logging(
    given_levels: dict[str, int], level: int, scope: str
) -> None:
    """A scope's level is the effective level of a logger that is set up alike."""
    manager = logging.Manager(logging.RootLogger(level + 1))
    for name, own in given_levels.items():
        manager.getLogger(name).setLevel(own + 1)  # where 0 stands for: not set
    logger = manager.getLogger(scope) if scope else manager.root
    settings = RecordingOptions(level=level, levels=given_levels)
    assert settings.least_level(scope) == logger.getEffectiveLevel() - 1


def test_settings_do_not_change() -> None:
    """Settings are replaced as a whole, never changed under those who record."""
    with pytest.raises(AttributeError):
        RecordingOptions().prefix = "shop"  # type: ignore[misc]


def test_levels() -> None:
    """What records is decided by level and scope, as in logging."""
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
    """A new start() brings new levels to old handles."""
    recorder = Recorder(level=logging.ERROR)
    counter = recorder.meters.get("shop").counter("c")
    counter.inc()
    recorder.registry.start(RecordingOptions(levels={"shop": 0}), lambda: True)
    counter.inc()
    recorder.registry.start(RecordingOptions(level=logging.ERROR), lambda: True)
    counter.inc()
    assert recorder.lines() == []
