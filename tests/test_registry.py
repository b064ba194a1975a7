from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator, Iterator
from threading import Barrier, Thread
from typing import Any

import pytest

from dtmetrics._record.family import Definition
from dtmetrics._record.meter import Meters
from dtmetrics._record.recording import Recording
from dtmetrics._record.registry import AMBIENT, Registry
from dtmetrics.errors import ConflictError, DefinitionError, InvalidKeyError
from tests.recorder import MOMENT, Recorder
from tests.values import REFUSED, Raises


class Aside(int):
    """A limit that does something when it is first compared."""

    done = False

    def __gt__(self, other: object) -> bool:
        if not self.done:
            self.done = True
            self.action()
        return int(self) > int(other)  # type: ignore[call-overload, no-any-return]


# -- defining -------------------------------------------------------------------------


BAD = {"empty": "", "dots": "...", "reserved": "dt.cpu", "int": 123, "none": None}


@pytest.mark.parametrize("name", BAD.values(), ids=BAD)
def test_invalid_key_under_strict(name: Any) -> None:
    """Under strict settings a metric that cannot have a key raises."""
    recorder = Recorder(strict=True)
    with pytest.raises(InvalidKeyError, match=r"test_registry\.py:\d+\)"):
        recorder.meter.counter(name)


@pytest.mark.parametrize("name", BAD.values(), ids=BAD)
def test_invalid_key(
    name: Any, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Else it is said once, and the metric records nothing."""
    for _ in range(3):
        recorder.meter.bind(a=1).counter(name).inc()
    assert recorder.lines() == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "it records nothing" in caplog.text
    assert "test_registry.py" in caplog.text
    assert recorder.registry.refusals.total() == {}


def test_hostile_name(recorder: Recorder) -> None:
    """A name may be any object; it is refused without asking it much."""
    recorder.meter.counter(Raises()).inc()  # type: ignore[arg-type]
    recorder.meter.gauge([]).set(1)  # type: ignore[arg-type]
    recorder.meter.timed("...", args=("x",))(lambda x: x)(1)
    assert recorder.lines() == []


def test_conflict(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """One key as two kinds is said once, with both places; the first one counts."""
    first = recorder.meter.counter("a.b")
    for _ in range(2):
        recorder.meters.get("other").gauge("a.b").set(7)
    first.inc()
    assert recorder.lines() == ["a.b count,delta=1"]
    [said] = caplog.messages
    assert said.count("test_registry.py") == 2
    assert "gauge 'a.b'" in said
    assert "counter 'a.b'" in said


def test_conflict_after_cleaning() -> None:
    """Names that are one key after cleaning are one metric, so of one kind."""
    recorder = Recorder(strict=True)
    recorder.meter.counter("a b").inc()
    recorder.meter.counter("a_b").inc(2)
    assert recorder.lines() == ["a_b count,delta=3"]
    with pytest.raises(ConflictError, match="summary 'a!b'.*counter 'a b'"):
        recorder.meter.summary("a!b")


def test_strict_start_tells_of_before() -> None:
    """A strict start raises for what was defined before, and starts nothing."""
    recorder = Recorder()
    recorder.registry.stop()
    recorder.meter.counter("a")
    recorder.meter.gauge("a")
    recorder.meter.gauge("...")
    with pytest.raises(ConflictError):
        recorder.registry.start(Recording(strict=True), lambda: True)
    assert not recorder.registry.recording


def test_strict_start_tells_once() -> None:
    """What was raised where it was defined is not raised again by the next start."""
    recorder = Recorder(strict=True)
    with pytest.raises(DefinitionError):
        recorder.meter.counter("...")
    recorder.registry.stop()
    recorder.registry.start(Recording(strict=True), lambda: True)
    assert recorder.registry.recording


# -- starting and stopping ------------------------------------------------------------


def test_off() -> None:
    """Before start() nothing is kept and nothing raises, whatever is recorded."""
    registry = Registry()
    meter = Meters(registry).root
    counter, gauge, summary = meter.counter("c"), meter.gauge("g"), meter.summary("s")
    with registry.context(a=1):
        counter.inc("x", b=Raises())  # type: ignore[arg-type]
        gauge.set(Raises())  # type: ignore[arg-type]
        gauge.dec(None)  # type: ignore[arg-type]
        gauge.remove(x=1)
        summary.record(1)
        with gauge, counter:
            pass
    assert list(registry.collect(MOMENT)) == []
    assert registry.series_count == 0
    assert registry.refusals.total() == {}


def test_methods_grabbed_before_start() -> None:
    """A bound method that was grabbed before start() records after it."""
    recorder = Recorder()
    recorder.registry.stop()
    inc, put = recorder.meter.counter("c").inc, recorder.meter.gauge("g").set
    inc()
    put(1)
    recorder.registry.start(Recording(), lambda: True)
    inc(2)
    put(3)
    assert recorder.lines() == ["c count,delta=2", "g gauge,3"]


def test_stop(recorder: Recorder) -> None:
    """After stop() nothing is recorded, and what was can be collected."""
    counter = recorder.meter.counter("c")
    counter.inc(5)
    counter.inc(6, a=1)
    recorder.registry.stop()
    counter.inc(7)
    counter.inc(8, a=1)
    assert recorder.lines() == ["c count,delta=5", "c,a=1 count,delta=6"]


def test_restart(recorder: Recorder) -> None:
    """After a new start() old handles record, into new series with new settings."""
    counter, gauge = recorder.meter.counter("c"), recorder.meter.gauge("g")
    counter.inc()
    counter.inc(1, a=1)
    gauge.set(1)
    gauge.inc("x")  # type: ignore[arg-type]
    recorder.registry.start(
        Recording(prefix="new", dimensions={"host": "h"}), lambda: True
    )
    assert recorder.registry.series_count == 0
    assert recorder.registry.refusals.total() == {}
    counter.inc(2)
    counter.inc(3, a=1)
    gauge.inc()
    assert recorder.lines() == [
        "new.c,a=1,host=h count,delta=3",
        "new.c,host=h count,delta=2",
        "new.g,host=h gauge,1",
    ]


def test_wakes_once(recorder: Recorder) -> None:
    """The first record wakes whoever collects; no other does."""
    assert recorder.wakes == 0
    for number in range(5):
        recorder.meter.counter("c").inc(1, number=number)
    assert recorder.wakes == 1


def test_wakes_until_it_works() -> None:
    """One that could not be woken, or raised, is asked again; nothing is lost."""
    answers: Iterator[Any] = iter([False, RuntimeError, True, AssertionError])

    def wake() -> bool:
        answer = next(answers)
        if answer not in (True, False):
            raise answer
        return bool(answer)

    recorder = Recorder()
    recorder.registry.start(Recording(), wake)
    counter = recorder.meter.counter("c")
    for _ in range(5):
        counter.inc()
    assert recorder.lines() == ["c count,delta=5"]
    assert next(answers) is AssertionError


def test_start_while_waking(recorder: Recorder) -> None:
    """A start() in the middle of a record's waking is not taken for awake."""
    woken: list[str] = []
    registry = recorder.registry

    def first() -> bool:
        woken.append("first")
        registry.start(Recording(), lambda: not woken.append("second"))  # type: ignore[func-returns-value]
        return True

    registry.start(Recording(), first)
    counter = recorder.meter.counter("c")
    counter.inc()
    counter.inc()
    assert woken == ["first", "second"]


def test_clear_while_wiring(recorder: Recorder) -> None:
    """A series that is let go while a handle gets at it is not recorded into again."""
    registry = recorder.registry
    counter = recorder.meter.counter("c")

    def wake() -> bool:
        registry.clear()
        return True

    registry.start(Recording(), wake)
    counter.inc()  # lost: it was let go together with its series
    counter.inc()
    counter.inc()
    assert recorder.lines() == ["c count,delta=2"]


def test_start_while_making(recorder: Recorder) -> None:
    """A handle that was looking when settings changed does not keep the old ones."""
    registry = recorder.registry

    class Restarts:
        done = False

        def __str__(self) -> str:
            if not Restarts.done:
                Restarts.done = True
                registry.start(Recording(dimensions={"env": "new"}), lambda: True)
            return "x"

    registry.start(Recording(dimensions={"env": "old"}), lambda: True)
    counter = recorder.meter.counter("c").bind(a=Restarts())
    counter.inc()
    counter.inc()
    assert recorder.lines() == ["c,a=x,env=new count,delta=2"]


# -- limits -----------------------------------------------------------------------------


def test_limit_per_metric() -> None:
    """Past a metric's limit all else goes to its overflow series: no value is lost."""
    recorder = Recorder(max_series_per_metric=2, dimensions={"host": "h"})
    counter = recorder.meter.counter("c")
    for number in range(10):
        counter.inc(number, number=number)
    recorder.meter.counter("other").inc(1, number=1)
    assert recorder.lines() == [
        "c,dtmetrics.overflow=true,host=h count,delta=44",
        "c,host=h,number=1 count,delta=1",
        "other,host=h,number=1 count,delta=1",
    ]


def test_limit_per_process() -> None:
    """Past the limit of the process every metric has its overflow series."""
    recorder = Recorder(max_series=3)
    for name in "ab":
        for number in range(3):
            recorder.meter.summary(name).record(number, number=number)
    recorder.meter.gauge("g").set(5)
    assert recorder.lines() == [
        "a,number=0 gauge,min=0,max=0,sum=0,count=1",
        "a,number=1 gauge,min=1,max=1,sum=1,count=1",
        "a,number=2 gauge,min=2,max=2,sum=2,count=1",
        "b,dtmetrics.overflow=true gauge,min=0,max=2,sum=3,count=3",
        "g,dtmetrics.overflow=true gauge,5",
    ]


def test_known_series_at_the_limit() -> None:
    """What has its own series keeps it, however many come after."""
    recorder = Recorder(max_series_per_metric=1)
    counter = recorder.meter.counter("c")
    counter.inc(1, a=1)
    counter.inc(1, a=2)
    recorder.meter.bind(a=1).counter("c").inc()
    counter.inc(1, a=1)
    assert recorder.lines() == [
        "c,a=1 count,delta=3",
        "c,dtmetrics.overflow=true count,delta=1",
    ]


def test_overflow_by_hand() -> None:
    """There is one overflow series, even where a caller records into one by name."""
    recorder = Recorder(max_series_per_metric=1)
    counter = recorder.meter.counter("c")
    counter.inc(1, **{"dtmetrics.overflow": True})
    counter.inc(1, a=1)
    counter.inc(1, a=2)
    assert recorder.lines() == [
        "c,a=1 count,delta=1",
        "c,dtmetrics.overflow=true count,delta=2",
    ]


def test_series_count() -> None:
    """Every series that is held is counted, and a removed one makes room."""
    recorder = Recorder(max_series_per_metric=2)
    gauge = recorder.meter.gauge("g")
    for number in range(4):
        gauge.set(number, number=number)
    assert recorder.registry.series_count == 3
    gauge.remove(number=0)
    assert recorder.registry.series_count == 2
    gauge.set(9, number=9)
    assert recorder.registry.series_count == 3
    assert "g,number=9 gauge,9" in recorder.lines()
    recorder.registry.clear()
    assert recorder.registry.series_count == 0


@pytest.mark.parametrize("limit", [1, 0])
def test_made_twice_at_once(limit: int) -> None:
    """A series that a signal handler makes while it is being made is made once."""
    aside = Aside(limit)
    recorder = Recorder(max_series_per_metric=aside)
    counter = recorder.meter.counter("c")
    other = counter.bind()
    aside.action = other.inc  # type: ignore[attr-defined]
    counter.inc(2)
    other.inc(3)
    [line] = recorder.lines()
    assert line.endswith("count,delta=6")
    assert recorder.registry.series_count == 1


# -- refusals ---------------------------------------------------------------------------


def test_refusals_are_counted_and_said_once(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Every refusal counts; it is said once per metric and reason, at a collection."""
    counter, gauge = recorder.meter.counter("c"), recorder.meter.gauge("g")
    for _ in range(3):
        for _ in range(500):
            counter.inc(-1)
            counter.inc("x")  # type: ignore[arg-type]
            gauge.set(float("nan"))
        seen = len(caplog.messages)
        assert recorder.lines() == []
    assert seen == 3
    assert recorder.registry.refusals.total() == {
        "negative increment": 1_500,
        "not a number": 1_500,
        "not finite": 1_500,
    }
    assert len(caplog.messages) == 3
    assert all("test_registry.py" in message for message in caplog.messages)


def test_refusals_are_not_logged_by_recording(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Recording never logs."""
    caplog.set_level(logging.DEBUG)
    for _ in range(1_000):
        recorder.meter.gauge("g").set("x", **{"a" * 300: Raises()})  # type: ignore[arg-type]
    assert caplog.messages == []


def test_refusals_after_fork(recorder: Recorder) -> None:
    """A child begins to count refusals anew."""
    recorder.meter.gauge("g").set("x")  # type: ignore[arg-type]
    recorder.registry.reset_after_fork()
    assert recorder.registry.refusals.total() == {}
    recorder.meter.gauge("g").set("x")  # type: ignore[arg-type]
    assert recorder.registry.refusals.total() == {"not a number": 1}


# -- levels -----------------------------------------------------------------------------


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
    recorder.registry.start(Recording(levels={"shop": 0}), lambda: True)
    counter.inc()
    recorder.registry.start(Recording(level=logging.ERROR), lambda: True)
    counter.inc()
    assert recorder.lines() == []


# -- context ----------------------------------------------------------------------------


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
    assert dict(point.identity.dimensions) == {**wanted, "d9": "definition"}


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
    assert AMBIENT.get() == ()


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
        assert max(len(part) for pair in AMBIENT.get() for part in pair) <= 250
    del text
    gc.collect()
    assert gone() is None
    [point] = recorder.points()
    assert point.identity.dimensions == (("k" * 100, "x" * 250), ("text", "x" * 250))


# -- collecting -------------------------------------------------------------------------


def test_collects_in_chunks(recorder: Recorder) -> None:
    """A collection comes in chunks, and never holds a lock between two of them."""
    counter = recorder.meter.counter("c")
    for number in range(10):
        counter.inc(1, number=number)
    sizes = []
    for chunk in recorder.registry.collect(MOMENT, size=4):
        sizes.append(len(chunk))
        assert counter._origin.family.lock.acquire(blocking=False)
        counter._origin.family.lock.release()
        counter.inc(1, late=True)
    assert sizes == [4, 4, 2]
    assert all(point.timestamp_ms == MOMENT for point in recorder.points())


def test_prefix() -> None:
    """The prefix comes before every key, and is cleaned with it."""
    recorder = Recorder(prefix="my app")
    recorder.meter.counter("orders placed").inc()
    assert recorder.lines() == ["my_app.orders_placed count,delta=1"]


@pytest.mark.parametrize("prefix", [".", "..."])
def test_prefix_of_nothing(prefix: str) -> None:
    """A prefix with nothing valid in it is as good as none."""
    recorder = Recorder(prefix=prefix)
    recorder.meter.counter("c").inc()
    assert recorder.lines() == ["c count,delta=1"]


def test_collecting_survives_hostile_values(recorder: Recorder) -> None:
    """A value that nobody can add up takes no other with it."""
    for value, _ in REFUSED:
        for record in (
            recorder.meter.counter("c").inc,
            recorder.meter.gauge("g").set,
            recorder.meter.gauge("g").inc,
            recorder.meter.gauge("g").dec,
            recorder.meter.summary("s").record,
        ):
            record(1)
            record(value)
    count = len(REFUSED)
    assert recorder.lines() == [
        f"c count,delta={count}",
        "g gauge,1",
        f"s gauge,min=1,max=1,sum={count},count={count}",
    ]
    assert sum(recorder.registry.refusals.total().values()) == 5 * count


# -- forking ----------------------------------------------------------------------------


def test_reset_after_fork(recorder: Recorder) -> None:
    """A child keeps handles and series, but nothing that its parent recorded."""
    counter, gauge = recorder.meter.counter("c"), recorder.meter.gauge("g")
    summary = recorder.meter.summary("s")
    counter.inc(5)
    counter.inc(5, a=1)
    gauge.set(5)
    gauge.inc(1, a=1)
    summary.record(5)
    recorder.registry.series_count += 1  # another thread was making one
    epoch = recorder.registry.epoch
    recorder.registry.reset_after_fork()
    assert recorder.registry.epoch is not epoch
    assert recorder.registry.series_count == 5
    assert recorder.lines() == []
    counter.inc()
    counter.inc(2, a=1)
    gauge.inc(3)
    summary.record(4)
    assert recorder.wakes == 2
    assert recorder.lines() == [
        "c count,delta=1",
        "c,a=1 count,delta=2",
        "g gauge,3",
        "s gauge,min=4,max=4,sum=4,count=1",
    ]


def test_definition_is_shared() -> None:
    """Whoever defines a key first says what it is."""
    registry = Registry()
    first = registry.define(Definition("a", "counter", unit="s"))
    assert registry.define(Definition("a", "counter", unit="ms")) is first
    assert first.definition.unit == "s"
