from __future__ import annotations

import logging
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._record.dimensions import TOO_MANY
from dtmetrics._record.platform import PlatformDimensions
from tests.support.endpoint import Endpoint
from tests.support.protocol_grammar import read
from tests.support.recorder import Recorder, dimensions_of
from tests.support.script import expect

PROCESS_ENTITY = "dt.entity.process_group_instance"


def pairs(beginning: str, count: int) -> dict[str, str]:
    """Return *count* dimensions whose keys have this beginning."""
    return {f"{beginning}{n:02}": str(n) for n in range(count)}


@given(st.integers(0, 60), st.integers(0, 50), st.integers(0, 10))
def test_limit(platform: int, own: int, common: int) -> None:
    """Every dimension of a program is sent, and of the platform's what is left of 50."""
    both = pairs("both", common)
    enrichment = {**pairs("platform", platform), **dict.fromkeys(both, "p")}
    program = dict(list({**both, **pairs("own", own)}.items())[:50])
    dimensions = PlatformDimensions(enrichment)
    found = dict(dimensions.added_to(tuple(sorted(program.items()))))
    assert found.keys() >= program.keys()
    assert len(found) == min(50, len(enrichment.keys() | program.keys()))
    assert {found[key] for key in both if key in found} <= {"p"}


def test_series_stay_apart(caplog: pytest.LogCaptureFixture) -> None:
    """Two series that differ in one of many dimensions are not one, and it is logged once."""
    recorder = Recorder(
        enrichment=pairs("k8s.label", 49), dimensions=pairs("default", 10)
    )
    calls = recorder.meter.counter("calls", dimensions=pairs("own", 10))
    for region in ("eu", "us", "eu"):
        calls.inc(region=region)
    points = recorder.points()
    assert sorted(dimensions_of(point)["region"] for point in points) == ["eu", "us"]
    for point in points:
        found = dimensions_of(point)
        assert len(found) == 50
        assert found.keys() > pairs("default", 10).keys() | pairs("own", 10).keys()
    assert recorder.registry.invalid_values.total() == {}
    calls.inc(region="asia")
    recorder.points()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    left_out = ", ".join(pairs("k8s.label", 20))
    assert record.getMessage() == (
        f"dtmetrics: some series have more than 50 dimensions: {left_out}, which "
        "OneAgent or the Kubernetes operator adds, were left out of them"
    )


def test_too_many_of_the_program() -> None:
    """More than 50 dimensions of a program alone are invalid values, as ever."""
    recorder = Recorder(enrichment=pairs("platform", 10))
    recorder.meter.counter("c").inc(1, **pairs("own", 52))
    [point] = recorder.points()
    assert all(key.startswith("own") for key in dimensions_of(point))
    assert recorder.registry.invalid_values.total() == {TOO_MANY: 2}


def test_cleaned() -> None:
    """Keys and values of the platform are cleaned as those of a program are."""
    dimensions = PlatformDimensions({"Pod Name": "a\nb", "...": "x"})
    assert dimensions.added_to(()) == (("pod_name", "a_b"),)


def test_process() -> None:
    """The number of the process is added, unless enrichment names the process."""
    own = (("a", "1"),)
    number = ("dt.process.pid", str(os.getpid()))
    assert PlatformDimensions({}, "dt.process.pid").added_to(own) == (*own, number)
    named = PlatformDimensions({PROCESS_ENTITY: "PGI-1"}, "dt.process.pid")
    assert named.added_to(own) == (*own, (PROCESS_ENTITY, "PGI-1"))
    assert PlatformDimensions({}).added_to(own) is own


def test_process_has_room() -> None:
    """Of the platform's dimensions the number of the process is the last to be left out."""
    dimensions = PlatformDimensions(pairs("platform", 50), "dt.process.id")
    found = dict(dimensions.added_to(tuple(pairs("own", 49).items())))
    assert "dt.process.id" in found


def test_without_process_a_fork_changes_nothing() -> None:
    """Without the number of the process, the series of the parent go on in the child."""
    recorder = Recorder(enrichment={"a": "1"})
    handle = recorder.meter.counter("c")
    handle.inc()
    before = recorder.registry.series_count
    recorder.registry.reset_after_fork()
    assert recorder.registry.series_count == before == 1


def test_logged_once_over_forks(caplog: pytest.LogCaptureFixture) -> None:
    """What the parent has logged a child does not log again."""
    recorder = Recorder(enrichment=pairs("p", 50), process_dimension="dt.process.pid")
    for _ in range(2):
        recorder.meter.counter("c").inc(1, **pairs("own", 10))
        assert len(recorder.points()) == 1
        recorder.registry.reset_after_fork()
    assert len(caplog.records) == 1


def test_overflow_series_names_the_process() -> None:
    """The series for what exceeds a limit has the number of the process too."""
    recorder = Recorder(process_dimension="dt.process.pid", max_series_per_metric=1)
    for _ in range(2):
        for n in range(3):
            recorder.meter.counter("c").inc(n=n)
        found = [dimensions_of(point) for point in recorder.points()]
        assert len(found) == 2
        assert {each["dt.process.pid"] for each in found} == {str(os.getpid())}
        recorder.registry.reset_after_fork()


PRE_FORK = """
import os
from dtmetrics import configure, counter, flush, gauge

configure(interval=None)
orders, depth = counter("orders"), gauge("depth")

def record():
    orders.inc()
    depth.inc()
    assert flush()

record()
child = os.fork()
if not child:
    record()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
record()
print(os.getpid(), child)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize(
    ("text", "key"), [("true", "dt.process.pid"), ("dt.process.id", "dt.process.id")]
)
def test_each_process_names_itself(text: str, key: str) -> None:
    """After a fork the child sends its own number, and the parent goes on with its own."""
    environ = {
        "DTMETRICS_PROCESS_DIMENSION": text,
        "PYTHONWARNINGS": "ignore::DeprecationWarning",  # of a fork with threads
    }
    with Endpoint() as endpoint:
        out = expect(PRE_FORK, DTMETRICS_ENDPOINT=endpoint.url, **environ)
        points = [read(line) for line in endpoint.lines]
    parent, child = out.split()
    found = [(point.key, point.dimensions.get(key)) for point in points]
    assert sorted(each for each in found if each[0] == "orders") == sorted(
        [("orders", parent), ("orders", parent), ("orders", child)]
    )
    assert {number for name, number in found if name == "depth"} == {parent, child}
