"""Instruments are pickled and copied by their definition, as a logger is by its name."""

from __future__ import annotations

import copy
import dataclasses
import functools
import pickle
import threading
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

import dtmetrics
from dtmetrics import (
    MemoryExporter,
    configure,
    context,
    counter,
    flush,
    gauge,
    get_meter,
    stats,
    summary,
    timed,
)
from dtmetrics._record.registry import Registry
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.errors import ConflictError
from dtmetrics.integrations.wsgi import MetricsMiddleware
from tests.support.recorder import Recorder
from tests.support.script import expect

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)

METER = get_meter("shop.db")
#: What a copy or a pickle is the same object of.
SAME = [
    counter("placed"),
    counter("placed.all", unit="{order}", description="Orders", level="DEBUG"),
    counter("placed.by", dimensions={"a": 1, "b": "x", "c": None, "d": 1.5, "e": True}),
    counter("placed.by", dimensions={"a": 1}).bind(region="eu", count=3),
    gauge("depth"),
    summary("value").bind(region="eu"),
    METER,
    METER.bind(server="replica"),
    METER.bind(server="replica").counter("queries").bind(table="orders"),
    METER.bind(server="replica").counter("queries", dimensions={"a": 1}),
    get_meter(),
]
TIMER = timed("took", args=("x",), ignore=(KeyError,)).bind(region="eu")
#: What records into the same series after pickling.
ALIKE: list[Any] = [
    counter("placed").bind(a=1).bind(b=2).bind(a=3),
    timed("took"),
    TIMER,
    METER.bind(a=1).bind(b=2).gauge("open"),
]


def id_of(target: object) -> str:
    """Return the id of a test with *target*."""
    bound = getattr(target, "_dimensions", "")
    return f"{target} {bound}" if " at 0x" not in repr(target) else "context"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("target", SAME, ids=id_of)
def test_same(target: Any, protocol: int) -> None:
    """Unpickling an instrument or a meter in its process gives the same object."""
    assert pickle.loads(pickle.dumps(target, protocol)) is target


@pytest.mark.parametrize("library", ["cloudpickle", "dill"])
@pytest.mark.parametrize("target", SAME, ids=id_of)
def test_other_picklers(target: Any, library: str) -> None:
    """Cloudpickle and dill pickle an instrument as pickle does."""
    module = pytest.importorskip(library)
    assert module.loads(module.dumps(target)) is target


@pytest.mark.parametrize("target", [*SAME, *ALIKE, context(a=1)], ids=id_of)
def test_copies(target: Any) -> None:
    """A copy, deep or shallow, is the object itself, also inside of what holds it."""
    holder = Holder(target)
    assert copy.copy(target) is copy.deepcopy(target) is target
    assert copy.deepcopy(holder).instrument is copy.copy(holder).instrument is target
    assert dataclasses.replace(holder).instrument is target
    assert dataclasses.asdict(holder)["instrument"] is target


@dataclasses.dataclass
class Holder:
    """An object that has an instrument."""

    instrument: Any
    number: int = 0


class Job:
    """A class that has an instrument."""

    runs = counter("job.runs")

    def __init__(self) -> None:
        self.depth = gauge("job.depth").bind(queue="mail")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_holders(protocol: int) -> None:
    """Objects, partials, bound methods and containers that have an instrument are pickled."""
    runs = counter("placed")
    job = pickle.loads(pickle.dumps(Job(), protocol))
    assert job.runs is Job.runs
    assert job.depth is gauge("job.depth").bind(queue="mail")
    held = [Holder(runs), functools.partial(runs.inc, region="eu"), runs.inc, {runs: 1}]
    loaded = pickle.loads(pickle.dumps(held, protocol))
    assert loaded == [held[0], loaded[1], runs.inc, {runs: 1}]
    assert loaded[1].func == runs.inc


def recorded(record: Callable[[], object]) -> list[str]:
    """Return the lines that *record* makes, without values and moments."""
    exporter = MemoryExporter()
    configure(exporter=exporter, interval=None, force=True)
    record()
    assert flush()
    return [line.split(" ")[0] for line in exporter.lines if line[0] != "#"]


def use(target: Any) -> None:
    """Record one value with *target*."""
    verb = getattr(target, "set", None) or getattr(target, "record", None) or target.inc
    verb(1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("target", ALIKE, ids=id_of)
def test_alike(target: Any, protocol: int) -> None:
    """What is unpickled as another object records into the same series."""
    loaded = pickle.loads(pickle.dumps(target, protocol))
    assert repr(loaded) == repr(target) or target is ALIKE[0]
    assert recorded(lambda: [use(target), use(loaded)]) == recorded(lambda: use(target))


def test_timer_options() -> None:
    """A timer keeps its options; what is not picklable in them raises what it raises."""
    loaded = pickle.loads(pickle.dumps(TIMER))
    assert loaded.options == TIMER.options
    assert loaded.clock is TIMER.clock
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        pickle.dumps(timed("took", result=lambda result: {}))


def test_timers_in_use() -> None:
    """A timer is pickled and copied the same while it times a block."""
    timer = timed("took.in.use")
    with timer:
        assert copy.deepcopy(timer) is timer
        loaded = pickle.loads(pickle.dumps(timer))
        with loaded:
            pass
    assert repr(loaded) == repr(timer)


def blocks() -> dict[str, Any]:
    """Return blocks: new, running and ended."""
    timer = timed("block.took")
    running, ended = timer(), timer()
    running.__enter__()
    with ended:
        pass
    return {"new": timer(), "running": running, "ended": ended}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickled_blocks(protocol: int) -> None:
    """A block keeps its duration until it was pickled, and can time another block."""
    for name, block in blocks().items():
        loaded = pickle.loads(pickle.dumps(block, protocol))
        took = loaded.elapsed
        assert (took == 0) == (name == "new")
        assert loaded.elapsed == took
        assert name != "ended" or took == block.elapsed
        assert (
            len(
                recorded(
                    lambda loaded=loaded: loaded.__enter__() and loaded.__exit__(*NONE)
                )
            )
            == 1
        )


NONE = (None, None, None)


def test_copied_blocks() -> None:
    """A copy of a block that has begun is the block, so that it is recorded once."""
    made = blocks()
    for name, block in made.items():
        for each in (copy.copy(block), copy.deepcopy(block)):
            assert (each is block) == (name != "new")
    with copy.copy(made["new"]), copy.deepcopy(made["new"]):
        assert made["new"].elapsed == 0


def test_running_block_is_recorded_once() -> None:
    """Of a running block and what is unpickled from it only the block is recorded."""

    def run() -> None:
        block = timed("block.once")()
        with block:
            loaded = pickle.loads(pickle.dumps(block))
        loaded.__exit__(*NONE)

    assert len([line for line in recorded(run) if line.startswith("block.once")]) == 1
    assert [*stats().invalid.values()] == [1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_contexts(protocol: int) -> None:
    """A context is pickled with its dimensions, whether it is in use or not."""
    block = context(tenant="acme", number=1)
    with block:
        loaded = pickle.loads(pickle.dumps(block, protocol))

    def run() -> None:
        with loaded:
            counter("in.context").inc()

    [line] = recorded(run)
    assert "number=1" in line
    assert "tenant=acme" in line


@pytest.mark.parametrize("name", sorted({*dtmetrics.__all__} - {"Level"}))
def test_front_door(name: str) -> None:
    """All that dtmetrics exports is pickled by reference: workers flush and configure by it."""
    public = getattr(dtmetrics, name)
    for protocol in PROTOCOLS:
        loaded = pickle.loads(pickle.dumps(public, protocol))
        assert loaded == public
        assert getattr(loaded, "__self__", None) is getattr(public, "__self__", None)


def test_stats() -> None:
    """Stats are values, which a worker can return."""
    counter("placed").inc()
    assert pickle.loads(pickle.dumps(stats())) == stats()


class Color(Enum):
    RED = "red"


class Unpicklable:
    """A value that is not picklable, and has a text."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __str__(self) -> str:
        return "text"


class Textless(Unpicklable):
    def __str__(self) -> str:
        raise RuntimeError


def test_values_of_any_type() -> None:
    """Dimension values of other types are pickled as the texts that they are sent as."""
    bound = counter("any.type", dimensions={"a": Color.RED}).bind(b=Unpicklable())
    loaded = pickle.loads(pickle.dumps(bound))
    assert recorded(lambda: [bound.inc(), loaded.inc()]) == recorded(bound.inc)
    assert "Bound" not in repr(loaded)
    assert repr(loaded) == "<Counter 'any.type', a='red', b='text'>"
    for each in (METER.bind(b=Unpicklable()), context(b=Unpicklable())):
        assert pickle.loads(pickle.dumps(each))
    assert repr(pickle.loads(pickle.dumps(bound.bind(c=Textless())))) == repr(loaded)


def test_nothing_recorded_is_pickled() -> None:
    """A pickle is as long before a counter has counted as after, and has no dimensions of calls."""
    hits = counter("pickled.hits")
    configure(exporter=MemoryExporter(), interval=None)
    before = pickle.dumps(hits)
    for _ in range(1_000):
        hits.inc(7, secret="value")
    assert flush()
    assert pickle.dumps(hits) == before


@pytest.mark.parametrize("name", [None, 3, "", object()])
def test_invalid_definition(name: Any) -> None:
    """An instrument that records nothing is unpickled as one that records nothing."""
    loaded = pickle.loads(pickle.dumps(counter(name)))
    assert recorded(loaded.inc) == []


def test_private_registry() -> None:
    """An instrument whose registry is not that of the process cannot be pickled."""
    for target in (Recorder().meter.counter("a"), Registry(), Recorder().meter):
        with pytest.raises(TypeError, match="cannot pickle a registry"):
            pickle.dumps(target)
    with pytest.raises(pickle.PicklingError, match="not the same object"):
        pickle.dumps(Runtime().get_meter("a").counter("b"))


UNPICKLE = """
import pickle, sys
{configured}
loaded = [pickle.loads(bytes.fromhex(text)) for text in sys.argv[1:]]
{then}
"""


def elsewhere(*targets: object, configured: str = "", then: str) -> str:
    """Return what a new process prints that unpickles *targets* and does *then*."""
    source = UNPICKLE.format(configured=configured, then=then)
    return expect(source, *(pickle.dumps(target).hex() for target in targets))


def test_other_process() -> None:
    """In another process an instrument has the definition, and the settings of the process."""
    targets = (
        counter("other.placed", unit="{order}", description="Orders").bind(region="eu"),
        METER.counter("other.debug", level="DEBUG", dimensions={"a": 1}),
        METER.bind(server="b").gauge("other.depth"),
        timed("other.took"),
    )
    out = elsewhere(
        *targets,
        then="""
import logging
from dtmetrics import MemoryExporter, configure, flush, stats
logging.disable()  # of the limit that is reached
placed, debug, depth, took = loaded
placed.inc()  # before configure(): nothing is recorded
exporter = MemoryExporter()
configure(
    exporter=exporter, interval=None, prefix="pre", dimensions={"service": "shop"},
    levels={"shop.db": "INFO"}, max_series_per_metric=2,
)
for number in range(5):
    placed.inc(n=number)
debug.inc()
depth.set(3)
took.record(2)
assert flush()
for line in sorted(exporter.lines):
    print(line if line[0] == "#" else line.rpartition(" ")[0])
print(stats().capped.keys())
""",
    )
    assert out.replace(",dt.metrics.source=dtmetrics", "").splitlines() == [
        '#pre.other.placed count dt.meta.unit=Count,dt.meta.description="Orders"',
        "#pre.other.took gauge dt.meta.unit=s",
        "pre.other.depth,server=b,service=shop gauge,3",
        "pre.other.placed,dtmetrics.overflow=true,service=shop count,delta=3",
        "pre.other.placed,n=0,region=eu,service=shop count,delta=1",
        "pre.other.placed,n=1,region=eu,service=shop count,delta=1",
        "pre.other.took,service=shop gauge,min=2,max=2,sum=2,count=1",
        "dict_keys(['pre.other.placed'])",
    ]


def test_definition_elsewhere() -> None:
    """A conflict is logged with the places of both definitions; strict settings raise it."""
    here = __file__.rpartition("/")[2]
    program = """
from dtmetrics import counter
import logging
logging.basicConfig(format="%(message)s", stream=sys.stdout)
counter("conflicting")
"""
    pickled = pickle.dumps(gauge("conflicting"))
    source = UNPICKLE.format(configured=program, then="loaded[0].set(1)")
    out = expect(source, pickled.hex())
    assert f"{here}:" in out
    assert "<string>:" in out
    assert "pickle" not in out.replace(here, "")
    other = Recorder(strict=True)
    other.meter.counter("conflicting")
    definition = gauge("conflicting").origin.definition
    with pytest.raises(ConflictError, match="conflicting"):
        other.meter._maker.restore(definition, 20, ())


def application(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    """Answer every request."""
    start("204 No Content", [])
    return []


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))]
)
def test_middleware(copied: Callable[[Any], Any]) -> None:
    """An application with a middleware is pickled and copied, and records afterwards."""
    made = MetricsMiddleware(application, active_requests=True, exclude="/health")
    environ = {"REQUEST_METHOD": "GET", "wsgi.url_scheme": "http", "PATH_INFO": "/"}

    def answer(middleware: Any) -> None:
        body = middleware(environ, lambda *_: None)
        assert [*body] == []
        body.close()

    recorded(lambda: answer(made))  # fills its cache
    lines = recorded(lambda: answer(copied(made)))
    assert len(lines) == 2
    assert lines[0].startswith("http.server.")


def test_earlier_pickles() -> None:
    """What an earlier version has pickled can be unpickled."""
    loaded = {name: pickle.loads(pickled) for name, pickled in EARLIER.items()}
    assert repr(loaded["counter"]) == "<Counter 'a', k=1, r='eu'>"
    assert loaded["gauge"] is get_meter("m").bind(s="b").gauge("g")
    assert loaded["timer"].options == timed("t", args=("x",)).options
    assert loaded["context"]._dimensions == {"a": 1}
    assert loaded["flush"] == flush


#: What 0.1.0 has pickled.
EARLIER = {
    "counter": (
        b"cdtmetrics._record.pickling\nrestored_instrument\np0\n(c__builtin__\n"
        b"getattr\np1\n(cdtmetrics._runtime.runtime\ndefault\np2\nVget_meter\np3\n"
        b"tp4\nRp5\n(V\np6\ntp7\nRp8\n(Va\np9\nVcounter\np10\nVu\np11\nVd\np12\n"
        b"Vshop.py:5\np13\ntp14\nI20\n((Vk\np15\nI1\ntp16\ntp17\n((Vr\np18\nVeu\np19\n"
        b"tp20\ntp21\ntp22\nRp23\n."
    ),
    "gauge": (
        b"cdtmetrics._record.pickling\nrestored_instrument\np0\n"
        b"(cdtmetrics._record.pickling\nrestored_meter\np1\n(c__builtin__\ngetattr\n"
        b"p2\n(cdtmetrics._runtime.runtime\ndefault\np3\nVget_meter\np4\ntp5\nRp6\n"
        b"(Vm\np7\ntp8\nRp9\n((Vs\np10\nVb\np11\ntp12\ntp13\ntp14\nRp15\n(Vg\np16\n"
        b"Vgauge\np17\nV\np18\ng18\nVshop.py:6\np19\ntp20\nI20\n(t(ttp21\nRp22\n."
    ),
    "timer": (
        b"cdtmetrics._record.timer\nTimer\np0\n(cdtmetrics._record.pickling\n"
        b"restored_instrument\np1\n(c__builtin__\ngetattr\np2\n"
        b"(cdtmetrics._runtime.runtime\ndefault\np3\nVget_meter\np4\ntp5\nRp6\n(V\n"
        b"p7\ntp8\nRp9\n(Vt\np10\nVsummary\np11\nVs\np12\ng7\nVshop.py:7\np13\ntp14\n"
        b"I20\n(t(ttp15\nRp16\nccopy_reg\n_reconstructor\np17\n"
        b"(cdtmetrics._record.timed_block\nTimerOptions\np18\nc__builtin__\ntuple\n"
        b"p19\n((dp20\nVx\np21\nNsNI01\n(tVtotal\np22\nI00\ntp23\ntp24\nRp25\nctime\n"
        b"perf_counter\np26\ntp27\nRp28\n."
    ),
    "context": (
        b"cdtmetrics._record.context\nContextBlock\np0\n(c__builtin__\ngetattr\np1\n"
        b"(g1\n(cdtmetrics._runtime.runtime\ndefault\np2\nVget_meter\np3\ntp4\nRp5\n"
        b"(V\np6\ntp7\nRp8\nVregistry\np9\ntp10\nRp11\n(dp12\nVa\np13\nI1\nstp14\n"
        b"Rp15\n."
    ),
    "flush": (
        b"c__builtin__\ngetattr\np0\n(cdtmetrics._runtime.runtime\ndefault\np1\n"
        b"Vflush\np2\ntp3\nRp4\n."
    ),
}


def test_origin(runtime: Runtime) -> None:
    """What an instrument shares with those bound to it is that of the same definition."""
    origin = counter("origin.pickled", unit="{order}").origin
    assert pickle.loads(pickle.dumps(origin)) is origin
