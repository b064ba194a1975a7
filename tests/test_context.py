from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from threading import Barrier, Thread

import pytest

from dtmetrics._record.dimensions import CONTEXT
from tests.support.caller_values import Raises
from tests.support.recorder import Recorder, dimensions_of


def test_context(recorder: Recorder) -> None:
    """A context's dimensions go with all that is recorded inside, and no further."""
    counter = recorder.meter.counter("c")
    counter.inc()
    with recorder.registry.context(tenant="acme", self=1):
        counter.inc(2)
        with recorder.registry.context(tenant=None, user="u"):
            counter.inc(3)
        counter.inc(4, tenant="own")
    counter.inc(5)
    assert recorder.lines() == [
        "c count,delta=6",
        "c,self=1,tenant=acme count,delta=2",
        "c,self=1,tenant=own count,delta=4",
        "c,self=1,user=u count,delta=3",
    ]


def test_context_precedence() -> None:
    """Default, meter, context, bound, call: the later wins."""
    layers = ["default", "meter", "context", "bound", "call"]
    recorder = Recorder(dimensions={f"d{i}": "default" for i in range(5)})

    def of(layer: int) -> dict[str, str]:
        return {f"d{i}": layers[layer] for i in range(layer, 5)}

    meter = recorder.meters.get("m").bind(**of(1))
    defined = meter.counter("c", dimensions={"d3": "definition", "d9": "definition"})
    counter = defined.bind(**of(3))
    with recorder.registry.context(**of(2)):
        counter.inc(1, **of(4))
    [point] = recorder.points()
    wanted = {f"d{i}": layer for i, layer in enumerate(layers)}
    assert dimensions_of(point) == {**wanted, "d9": "definition"}


def test_context_in_threads(recorder: Recorder) -> None:
    """Each thread has its own context."""
    counter = recorder.meter.counter("c")
    barrier = Barrier(4)

    def work(name: str) -> None:
        with recorder.registry.context(thread=name):
            barrier.wait(30)
            counter.inc()
            barrier.wait(30)

    threads = [Thread(target=work, args=(f"t{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.lines() == [f"c,thread=t{i} count,delta=1" for i in range(4)]


def test_context_in_tasks(recorder: Recorder) -> None:
    """Interleaved tasks do not see each other's context."""
    counter = recorder.meter.counter("c")

    async def work(name: str) -> None:
        with recorder.registry.context(task=name):
            for _ in range(3):
                await asyncio.sleep(0)
                counter.inc()

    async def main() -> None:
        await asyncio.gather(*(work(f"t{i}") for i in range(3)))
        counter.inc()

    asyncio.run(main())
    assert recorder.lines() == [
        "c count,delta=1",
        *(f"c,task=t{i} count,delta=3" for i in range(3)),
    ]


def test_context_ended_elsewhere(recorder: Recorder) -> None:
    """An asynchronous generator that is ended in another context ends quietly."""
    counter = recorder.meter.counter("c")

    async def numbers() -> AsyncIterator[int]:
        with recorder.registry.context(inside=True):
            counter.inc()
            yield 1

    async def main() -> None:
        generator = numbers()
        await asyncio.create_task(generator.__anext__())  # type: ignore[arg-type]
        counter.inc()
        await generator.aclose()  # type: ignore[attr-defined]
        counter.inc()

    asyncio.run(main())
    assert recorder.lines() == ["c count,delta=2", "c,inside=true count,delta=1"]


def test_context_survives_an_error(recorder: Recorder) -> None:
    """A context ends with its block, also when the block fails."""
    with pytest.raises(KeyError), recorder.registry.context(a=1):
        raise KeyError
    assert CONTEXT.get() == ()


def test_context_of_hostile_values(recorder: Recorder) -> None:
    """What has no text is no dimension; what surrounds it is kept."""
    with recorder.registry.context(a="1"), recorder.registry.context(a=Raises(), b=2):
        recorder.meter.counter("c").inc()
    assert recorder.lines() == ["c,a=1,b=2 count,delta=1"]


def test_context_keeps_little(recorder: Recorder) -> None:
    """A context keeps neither a caller's objects nor megabytes."""

    class Text:
        def __str__(self) -> str:
            return "x" * 1_000_000

    text = Text()
    gone = weakref.ref(text)
    with recorder.registry.context(**{"text": text, "k" * 1_000_000: "x" * 1_000_000}):
        recorder.meter.counter("c").inc()
        assert max(len(part) for pair in CONTEXT.get() for part in pair) <= 250
    del text
    gc.collect()
    assert gone() is None
    [point] = recorder.points()
    assert dimensions_of(point) == {"k" * 100: "x" * 250, "text": "x" * 250}
