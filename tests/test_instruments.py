from __future__ import annotations

import asyncio

import pytest

from tests.support.recorder import Recorder


def test_counter_block(recorder: Recorder) -> None:
    """A block counts each pass, with the error.type of one that failed."""
    counter = recorder.meter.counter("c")
    with counter as entered:
        assert entered is counter
    with pytest.raises(KeyError), counter:
        raise KeyError
    assert recorder.lines() == [
        "c count,delta=1",
        "c,error.type=KeyError count,delta=1",
    ]


def test_counter_decorates(recorder: Recorder) -> None:
    """A decorated function counts each call, with the error.type of one that failed."""

    @recorder.meter.counter("c")
    def half(number: int) -> float:
        return number / 2

    assert half(4) == 2
    with pytest.raises(TypeError):
        half("x")  # type: ignore[arg-type]
    assert recorder.lines() == [
        "c count,delta=1",
        "c,error.type=TypeError count,delta=1",
    ]


def test_summary(recorder: Recorder) -> None:
    """A summary sends minimum, maximum, sum and count of each interval."""
    summary = recorder.meter.summary("s")
    for value in (3, 1.5, 2):
        summary.record(value)
    assert recorder.lines() == ["s gauge,min=1.5,max=3,sum=6.5,count=3"]
    assert recorder.lines() == []


@pytest.mark.parametrize("kind", ["counter", "gauge"])
def test_async_block(recorder: Recorder, kind: str) -> None:
    """``async with`` records as ``with`` does, failures included."""
    used = getattr(recorder.meter, kind)("name")

    async def run() -> None:
        async with used as entered:
            assert entered is used
        async with used:
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(run())
    assert (
        recorder.lines()
        == {
            "counter": [
                "name count,delta=1",
                "name,error.type=LookupError count,delta=1",
            ],
            "gauge": ["name gauge,0"],
        }[kind]
    )


def test_off(recorder: Recorder) -> None:
    """While recording is off no verb records."""
    meter = recorder.meter
    counter, gauge, summary = meter.counter("c"), meter.gauge("g"), meter.summary("s")
    settings = recorder.registry.generation.options
    recorder.registry.stop()
    for dimensions in ({}, {"a": 1}):
        counter.inc(**dimensions)
        gauge.set(1, **dimensions)
        gauge.inc(**dimensions)
        gauge.dec(2.5, **dimensions)
        gauge.remove(**dimensions)
        summary.record(1, **dimensions)
    recorder.registry.start(settings, lambda: True)
    assert recorder.lines() == []
