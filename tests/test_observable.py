from __future__ import annotations

import enum
import gc
import re
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._record.invalid_values import TOO_MANY_KEYS
from dtmetrics._record.options import RecordingOptions
from tests.support.caller_values import INVALID, NUMBERS, Raises, ids
from tests.support.recorder import Recorder, dimensions_of


def observe(recorder: Recorder, *answers: Any, **options: Any) -> None:
    """Observe a function that returns these answers, one at each collection."""
    values = iter(answers)
    recorder.meter.observe("o", **options)(lambda: next(values))


@pytest.mark.parametrize(("value", "number"), NUMBERS, ids=ids(NUMBERS))
def test_number(recorder: Recorder, value: Any, number: Any) -> None:
    """A number is sent once, with the collection at which it was returned."""
    observe(recorder, value, [])
    [point] = recorder.points()
    assert point.payload == (number,)
    assert type(point.payload[0]) in (int, float)
    assert recorder.points() == []


def test_several(recorder: Recorder) -> None:
    """Several numbers are returned as pairs with dimensions, in any iterable."""
    rows = [(3, {"pool": "a"}), (4, {"Pool": "b", "x": None}), (5, {})]
    observe(recorder, rows, iter(rows), {*map(lambda row: (row[0], _Dims()), rows[:1])})
    expected = ["o gauge,5", "o,pool=a gauge,3", "o,pool=b gauge,4"]
    assert recorder.lines() == expected
    assert recorder.lines() == expected
    assert recorder.lines() == ["o,pool=a gauge,3"]


class _Dims:
    def items(self) -> list[tuple[str, str]]:
        return [("pool", "a")]


def test_decorates(recorder: Recorder) -> None:
    """The observed function is returned unchanged."""

    def function() -> float:
        return 1.5

    assert recorder.meter.observe("o")(function) is function
    assert function() == 1.5


def test_last_wins(recorder: Recorder) -> None:
    """Of two rows that are equal after cleaning the last is sent."""
    observe(recorder, [(1, {"A": 1}), (2, {"a": 1})])
    assert recorder.lines() == ["o,a=1 gauge,2"]


def test_raises_half_way(recorder: Recorder) -> None:
    """The rows that a generator yields before it raises count, and the failure is counted."""

    def function() -> Iterator[Any]:
        yield 1, {"a": 1}
        yield 2, {"a": 2}
        raise RuntimeError

    recorder.meter.observe("o")(function)
    recorder.meter.observe("fails")(lambda: 1 / 0)
    recorder.meter.observe("after")(lambda: 7)
    assert recorder.lines() == ["after gauge,7", "o,a=1 gauge,1", "o,a=2 gauge,2"]
    assert recorder.registry.invalid_values.total() == {"observing it failed": 2}


@pytest.mark.parametrize(("value", "reason"), INVALID, ids=ids(INVALID))
def test_invalid_row(recorder: Recorder, value: Any, reason: str) -> None:
    """A row with an invalid number is rejected alone."""
    observe(recorder, [(1, {"a": 1}), (value, {"a": 2}), (3, {"a": 3})])
    assert recorder.lines() == ["o,a=1 gauge,1", "o,a=3 gauge,3"]
    assert recorder.registry.invalid_values.total() == {reason: 1}


@pytest.mark.parametrize(
    "answer",
    ["text", b"bytes", None, [3], (3, {"a": 1}), {"a": 3}, [(1, None)], [(1, 2, 3)]],
    ids=repr,
)
def test_wrong_answers(recorder: Recorder, answer: Any) -> None:
    """An answer of another shape counts as one invalid value."""
    observe(recorder, answer, 5)
    assert recorder.lines() == []
    assert sum(recorder.registry.invalid_values.total().values()) == 1
    assert recorder.lines() == ["o gauge,5"]


def test_hostile_dimensions(recorder: Recorder) -> None:
    """The dimensions of a row may have keys and values of any class."""
    observe(recorder, [(1, {"a": Raises(), 7: [1], Raises: "x", "b": enum.Enum})])
    [point] = recorder.points()
    assert dimensions_of(point)["_"] == "[1]"
    assert "a" not in dimensions_of(point)


def test_dimensions() -> None:
    """Default, meter and defined dimensions are added to every row, whose own win."""
    recorder = Recorder(dimensions={"a": "default", "b": "default", "c": "default"})
    meter = recorder.meters.get("m").bind(b="meter", d="meter")
    options: Any = {"dimensions": {"d": "defined", "e": "defined"}}
    meter.observe("o", **options)(lambda: [(1, {"e": "row", "c": None})])
    assert recorder.lines() == ["o,a=default,b=meter,d=defined,e=row gauge,1"]


def test_level(recorder: Recorder) -> None:
    """A function below the level is not called."""
    recorder.meter.observe("o", level=10)(lambda: pytest.fail("called"))
    recorder.meter.observe("...")(lambda: pytest.fail("called"))
    assert recorder.lines() == []


def test_wrong_kind(recorder: Recorder) -> None:
    """Only gauges and counters can be observed."""
    with pytest.raises(TypeError, match="histogram"):
        recorder.meter.observe("o", kind="histogram")  # type: ignore[arg-type]


def test_records_meanwhile(recorder: Recorder) -> None:
    """An observed function may record, define and collect, because no lock is held."""
    counter = recorder.meter.counter("c")

    def function() -> int:
        counter.inc()
        recorder.meter.gauge("g").set(1)
        return len(list(recorder.registry.collect(0, size=1)))

    recorder.meter.observe("o")(lambda: 5 if nested.pop() else function())
    nested = [True, False]
    assert recorder.lines() == ["o gauge,3"]
    assert recorder.registry.invalid_values.total() == {}


# -- running totals -----------------------------------------------------------------------


def test_counter(recorder: Recorder) -> None:
    """The increase of a running total is sent; a total that fell was reset."""
    observe(recorder, 100, 103, 103, 2, 0, 4.5, kind="counter")
    assert [recorder.lines() for _ in range(6)] == [
        [],
        ["o count,delta=3"],
        [],
        ["o count,delta=2"],
        [],
        ["o count,delta=4.5"],
    ]


totals = st.lists(st.none() | st.integers(0, 1000), min_size=1, max_size=8)


@given(st.dictionaries(st.sampled_from("abcd"), totals), st.integers(1, 5))
def test_counter_adds_up(rows: dict[str, list[int | None]], limit: int) -> None:
    """All increases are sent, whatever the limit of series."""
    recorder = Recorder(max_series_per_metric=limit)
    rounds = max(map(len, rows.values()), default=0)
    answers = [
        [
            (series[turn], {"a": name})
            for name, series in rows.items()
            if turn < len(series) and series[turn] is not None
        ]
        for turn in range(rounds)
    ]
    expected = 0
    before: dict[str, int] = {}
    for answer in answers:
        now = {str(dimensions["a"]): total for total, dimensions in answer}
        for name, total in now.items():
            old = before.get(name, total)
            expected += total - old if total >= old else total
        before = now
    observe(recorder, *answers, kind="counter")
    sent = sum(point.payload[0] for _ in range(rounds) for point in recorder.points())
    assert sent == expected


def test_counter_of_colliding_rows(recorder: Recorder) -> None:
    """Totals of rows that are equal after cleaning are added."""
    observe(
        recorder,
        [(10, {"A": 1}), (5, {"a": 1})],
        [(11, {"A": 1}), (7, {"a": 1})],
        kind="counter",
    )
    assert recorder.lines() == []
    assert recorder.lines() == ["o,a=1 count,delta=3"]


def test_counter_that_fails_half_way(recorder: Recorder) -> None:
    """After a failure the next answer sends the increases that were missed."""

    def rows(*totals: int) -> Iterator[Any]:
        for place, total in enumerate(totals):
            yield total, {"a": place}
        if len(totals) < 2:
            raise RuntimeError

    observe(recorder, rows(1, 10), rows(2), rows(3, 15), kind="counter")
    assert recorder.lines() == []
    assert recorder.lines() == ["o,a=0 count,delta=1"]
    assert recorder.lines() == ["o,a=0 count,delta=1", "o,a=1 count,delta=5"]


def test_counter_forgets_old_totals(recorder: Recorder) -> None:
    """A total that the function stops returning is forgotten."""
    observe(recorder, *([(turn, {"a": turn})] for turn in range(50)), kind="counter")
    for _ in range(50):
        recorder.points()
    [observation] = recorder.registry.observers.values()
    assert len(observation.totals) == 1  # type: ignore[attr-defined]


def restart(recorder: Recorder) -> None:
    """Stop recording, and start again."""
    recorder.registry.stop()
    recorder.registry.start(RecordingOptions(), lambda: True)


@pytest.mark.parametrize(
    "begin_anew", [lambda recorder: recorder.registry.reset_after_fork(), restart]
)
def test_counter_begins_anew(recorder: Recorder, begin_anew: Any) -> None:
    """An increase before a fork, or while recording was off, is not sent after it."""
    observe(recorder, 100, 110, 115, kind="counter")
    assert recorder.lines() == []
    begin_anew(recorder)
    assert recorder.lines() == []
    assert recorder.lines() == ["o count,delta=5"]


def test_counter_beyond_a_double(recorder: Recorder) -> None:
    """An increase beyond a double is rejected."""
    observe(recorder, -1.5e308, 1.5e308, 1.6e308, kind="counter")
    assert [recorder.lines() for _ in range(3)][:2] == [[], []]
    assert recorder.registry.invalid_values.total() == {"not finite": 1}


# -- the same definition again, and the end of an observation ---------------------------

MODULE = """
@observe("bytes.served", kind="counter")
def served():
    return TOTAL[0]
"""


def load(recorder: Recorder, total: list[int]) -> None:
    """Load a module that observes, as its first import or a later reload does."""
    names = {"observe": recorder.meter.observe, "TOTAL": total, "__name__": "shop"}
    exec(MODULE, names)


def test_module_loaded_again(recorder: Recorder) -> None:
    """A module that is loaded twice is observed once, and no increase is missing."""
    total = [0]
    load(recorder, total)
    assert recorder.lines() == []
    total[0] += 100
    load(recorder, total)
    total[0] += 20
    assert recorder.lines() == ["bytes.served count,delta=120"]
    assert recorder.lines() == []


def test_factory_called_again(recorder: Recorder) -> None:
    """A factory that is called again replaces its function; other dimensions do not."""

    def create(size: int, **dimensions: str) -> None:
        @recorder.meter.observe("pool.size", dimensions=dimensions)
        def pool_size() -> int:
            return size

    create(1)
    create(2)
    create(3, pool="a")
    create(4, pool="b")
    assert recorder.lines() == [
        "pool.size gauge,2",
        "pool.size,pool=a gauge,3",
        "pool.size,pool=b gauge,4",
    ]


def test_other_functions_are_kept(recorder: Recorder) -> None:
    """Two functions, and the methods of two objects, may observe one key."""

    class Pool:
        def __init__(self, name: str) -> None:
            self.name = name

        def size(self) -> Any:
            return [(1, {"pool": self.name})]

    pools = [Pool("a"), Pool("b")]
    for pool in [*pools, *pools]:
        recorder.meter.observe("pool.size")(pool.size)

    @recorder.meter.observe("pool.size")
    def main_pool() -> Any:
        return [(2, {"pool": "main"})]

    assert recorder.lines() == [
        "pool.size,pool=a gauge,1",
        "pool.size,pool=b gauge,1",
        "pool.size,pool=main gauge,2",
    ]


class Queue(deque[int]):
    """A queue with a method in Python and methods in C."""

    def size(self) -> int:
        return len(self)


@pytest.mark.parametrize("method", ["size", "__len__"])
def test_methods_are_held_weakly(recorder: Recorder, method: str) -> None:
    """The method of an object is observed as long as the object is alive."""
    queue = Queue([1, 2])
    recorder.meter.observe("queue.size")(getattr(queue, method))
    assert recorder.lines() == ["queue.size gauge,2"]
    freed = weakref.ref(queue)
    del queue
    assert freed() is None
    assert recorder.lines() == []
    assert recorder.registry.observers == {}


def test_method_of_an_object_without_weak_references(recorder: Recorder) -> None:
    """The method of an object that cannot be referenced weakly is kept."""
    recorder.meter.observe("list.size")([1, 2, 3].__len__)
    gc.collect()
    assert recorder.lines() == ["list.size gauge,3"]


def test_unobserve(recorder: Recorder) -> None:
    """A function is not called after unobserve(), which ignores one that was not observed."""

    class Pool:
        def size(self) -> int:
            return 1

    def function() -> int:
        return 2

    pool = Pool()
    recorder.meter.observe("pool.size")(pool.size)
    recorder.meter.observe("a")(function)
    recorder.meter.observe("b")(function)
    recorder.meter.unobserve(pool.size)
    recorder.meter.unobserve(lambda: 3)
    assert recorder.lines() == ["a gauge,2", "b gauge,2"]
    recorder.meter.unobserve(function)
    assert recorder.lines() == []


def test_failures_are_logged_with_class_and_line(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """A function that raises is logged once, with the class of the error and its place."""

    @recorder.meter.observe("pool.size")
    def size() -> float:
        return {"secret": 1}["size"]

    for _ in range(3):
        recorder.points()
    [record] = caplog.messages
    assert re.search(
        r"observing it failed \(KeyError at test_observable.py:\d+\)$", record
    )
    assert recorder.registry.invalid_values.total() == {"observing it failed": 3}


class Level:
    """A callable object, which has no name."""

    def __init__(self, level: int) -> None:
        self.level = level

    def __call__(self) -> int:
        return self.level


def test_callable_objects(recorder: Recorder) -> None:
    """A callable object is observed once, beside others, until it is unobserved."""
    one, other = Level(1), Level(2)
    for level in (one, other, one):
        recorder.meter.observe("levels", kind="gauge")(level)
    assert len(recorder.registry.observers) == 2
    recorder.meter.unobserve(other)
    assert recorder.lines() == ["levels gauge,1"]


def test_objects_that_are_gone_end_alone(recorder: Recorder) -> None:
    """The end of an object ends the observation of its method, and no other."""
    queues = [Queue([1]), Queue([1, 2])]
    for number, queue in enumerate(queues):
        observed = recorder.meter.observe("queue.size", dimensions={"n": number})
        observed(queue.size)
    del queues[0], queue
    assert recorder.lines() == ["queue.size,n=1 gauge,2"]
    assert len(recorder.registry.observers) == 1


@pytest.mark.parametrize("kind", ["gauge", "counter"])
def test_no_room(kind: Any) -> None:
    """Numbers of a key that has no room for its first series are counted."""
    recorder = Recorder(max_series=1)
    recorder.meter.counter("c").inc()
    totals = iter([1, 3])
    recorder.meter.observe("o", kind=kind)(lambda: next(totals))
    assert recorder.lines() == ["c count,delta=1"]
    assert recorder.lines() == []
    invalid = {"gauge": 2, "counter": 1}[kind]  # the first total adds nothing
    assert recorder.registry.invalid_values.total() == {TOO_MANY_KEYS: invalid}
