from __future__ import annotations

import asyncio

import pytest

from dtmetrics._decorate.decorate import Ready
from tests.support.call_recorder import around
from tests.support.script import expect


def test_ready_never_waits() -> None:
    """What is ready is had without the event loop, and as often as one likes."""
    ready = Ready("value")

    async def twice() -> list[str]:
        return [await ready, await ready]

    with pytest.raises(StopIteration) as stop:
        twice().send(None)
    assert stop.value.value == ["value", "value"]
    assert asyncio.run(twice()) == ["value", "value"]


def test_not_callable() -> None:
    """What cannot be called cannot be decorated, and is told so at once."""
    with pytest.raises(TypeError, match="cannot decorate 3: it is not callable"):
        around(3)


def test_first_decoration_loads_wrapt() -> None:
    """A program that decorates nothing does not wait for wrapt (0.1 s) to load."""
    loaded = expect(
        """
        import sys
        from dtmetrics import counter, timed
        handle = counter("jobs.run")
        with timed("block.duration"), handle:
            print("wrapt" in sys.modules)
        timed(len)
        print("wrapt" in sys.modules)
        """
    )
    assert loaded.split() == ["False", "True"]
