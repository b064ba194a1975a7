from __future__ import annotations

import asyncio

import pytest

from dtmetrics._decorate.decorate import Ready
from tests.support.call_recorder import logged
from tests.support.script import expect


def test_ready_never_waits() -> None:
    """A Ready is awaited without the event loop, any number of times."""
    ready = Ready("value")

    async def twice() -> list[str]:
        return [await ready, await ready]

    with pytest.raises(StopIteration) as stop:
        twice().send(None)
    assert stop.value.value == ["value", "value"]
    assert asyncio.run(twice()) == ["value", "value"]


def test_not_callable() -> None:
    """Decorating something that is not callable raises a TypeError that names it."""
    with pytest.raises(TypeError, match="cannot decorate 3: it is not callable"):
        logged(3)


def test_first_decoration_loads_wrapt() -> None:
    """The first decoration loads wrapt (0.1 s); instruments and blocks do not."""
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
