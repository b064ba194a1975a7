from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import dtmetrics
from dtmetrics import MemoryExporter
from dtmetrics._instrument.invocations import Invocations
from dtmetrics._runtime.runtime import Runtime, default
from dtmetrics.integrations.faas import invocation
from tests.support.protocol_grammar import Line, lines_of


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryExporter]:
    """Return the exporter of a process that has just begun, without a thread."""
    monkeypatch.setattr(Invocations, "_cold", True)
    exporter = MemoryExporter()
    dtmetrics.configure(
        exporter=exporter, interval=None, metadata=False, dimensions={}, force=True
    )
    yield exporter
    dtmetrics.shutdown()


@pytest.fixture
def timeouts(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the timeout of each flush."""
    found: list[float] = []

    def flush(self: Runtime, timeout: float) -> bool:
        found.append(timeout)
        return True

    monkeypatch.setattr(Runtime, "flush", flush)
    return found


def lines(exporter: MemoryExporter, key: str) -> list[Line]:
    """Return what was delivered of *key*."""
    return lines_of(exporter.lines, key)


def test_block(exporter: MemoryExporter) -> None:
    """A block is an invocation, and is delivered with all else before the block ends."""
    with invocation("orders", trigger="http", dimensions={"region": "eu"}):
        dtmetrics.counter("placed").inc()
    assert len(lines(exporter, "placed")) == 1
    [line] = lines(exporter, "faas.invoke_duration")
    assert line.dimensions == {
        "dt.metrics.source": "dtmetrics",
        "faas.coldstart": "true",
        "faas.name": "orders",
        "faas.trigger": "http",
        "region": "eu",
    }
    assert line.numbers["count"] == 1
    assert lines(exporter, "faas.errors") == []


def test_cold_start(exporter: MemoryExporter) -> None:
    """The first invocation of a process is a cold start, whichever function it is of."""
    for name in ("orders", "carts", "orders"):
        with invocation(name):
            pass
    starts = [
        each.dimensions["faas.coldstart"]
        for each in lines(exporter, "faas.invoke_duration")
    ]
    assert starts == ["true", "false", "false"]


@pytest.mark.parametrize("error", [KeyError(), SystemExit(3), KeyboardInterrupt()])
def test_errors(error: BaseException, exporter: MemoryExporter) -> None:
    """An exception is recorded by its type, delivered, and passed on."""
    with pytest.raises(type(error)), invocation():
        raise error
    [duration] = lines(exporter, "faas.invoke_duration")
    [errors] = lines(exporter, "faas.errors")
    assert errors.dimensions == duration.dimensions
    assert errors.dimensions["error.type"] == type(error).__name__
    assert errors.numbers["delta"] == 1


def test_decorated_function(exporter: MemoryExporter) -> None:
    """A decorated function keeps its signature, result and exceptions."""

    @invocation("orders")
    def place(request: str, fail: bool = False) -> str:
        if fail:
            raise KeyError(request)
        return request

    assert (
        str(inspect.signature(place))
        == "(request: 'str', fail: 'bool' = False) -> 'str'"
    )
    assert place("a") == "a"
    with pytest.raises(KeyError):
        place("a", fail=True)
    counts = {
        each.dimensions.get("error.type"): each.numbers["count"]
        for each in lines(exporter, "faas.invoke_duration")
    }
    assert counts == {None: 1, "KeyError": 1}


def test_coroutines(exporter: MemoryExporter) -> None:
    """A coroutine function is an invocation until it returns, and so is a block."""

    @invocation("orders")
    async def place(request: str) -> str:
        await asyncio.sleep(0)
        return request

    async def main() -> None:
        assert await place("a") == "a"
        async with invocation("carts") as entered:
            assert isinstance(entered, type(invocation()))

    asyncio.run(main())
    names = [
        each.dimensions["faas.name"] for each in lines(exporter, "faas.invoke_duration")
    ]
    assert names == ["orders", "carts"]


@pytest.mark.parametrize(
    ("left", "timeout", "expected"),
    [
        (60.0, 2.0, 2.0),
        (3.0, 2.0, 1.5),
        (1.0, 2.0, 0.4),
        (0.5, 2.0, 0.0),
        (-1.0, 2.0, 0.0),
        (60.0, 0.5, 0.5),
        ("no number", 2.0, 2.0),
    ],
)
def test_budget(
    left: Any,
    timeout: float,
    expected: float,
    exporter: MemoryExporter,
    timeouts: list[float],
) -> None:
    """A flush takes at most half of what is left, and leaves time to abort a request."""
    with invocation(remaining=lambda: left, timeout=timeout):
        pass
    assert timeouts == [pytest.approx(expected)]


def test_no_limit(exporter: MemoryExporter, timeouts: list[float]) -> None:
    """Where the platform sets no limit, the timeout alone holds."""
    with invocation(timeout=3.5):
        pass
    assert timeouts == [3.5]


def test_unconfigured(timeouts: list[float]) -> None:
    """Before configure() nothing is recorded or flushed."""
    decorated = invocation("orders")(lambda: 3)
    assert decorated() == 3
    with invocation("orders"):
        pass
    assert timeouts == []


def test_exit_without_entry(exporter: MemoryExporter) -> None:
    """An exit that no entry precedes records nothing."""
    block = invocation("orders")
    with block:
        pass
    block.__exit__(None, None, None)
    assert len(lines(exporter, "faas.invoke_duration")) == 1


def test_no_thread(exporter: MemoryExporter) -> None:
    """After an invocation no thread is left."""
    before = threading.active_count()
    with invocation("orders"):
        pass
    assert threading.active_count() == before


@pytest.mark.parametrize("interval", [None, 30.0])
def test_warns_of_a_thread(
    interval: float | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A configuration with a thread is logged, at the first invocation."""
    monkeypatch.setattr(Invocations, "_cold", True)
    dtmetrics.configure(exporter=MemoryExporter(), interval=interval)
    assert default.interval == interval
    try:
        for _ in range(2):
            with invocation("orders"):
                pass
    finally:
        dtmetrics.shutdown()
    assert default.interval is None
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == (interval is not None)
    assert all("configure(interval=None)" in each.getMessage() for each in warnings)
