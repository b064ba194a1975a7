from __future__ import annotations

import logging
import pickle
import sys
from pathlib import Path

import pytest

import dtmetrics
from dtmetrics import Rule
from dtmetrics._record import worker_number
from dtmetrics._record.catalog import Catalog
from dtmetrics._record.options import Numbered, RecordingOptions
from dtmetrics.errors import ConflictError, MissingExtraError
from tests.support.recorder import Recorder


def keys(recorder: Recorder) -> list[str]:
    """Collect; return the keys and dimensions of the lines."""
    return [line.partition(" ")[0] for line in recorder.lines()]


@pytest.fixture
def own_numbers(own_tempdir: Path) -> None:
    """Use numbers of the test's own."""
    worker_number._take_number.cache_clear()


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the import of the sketches fail, as where they are not installed."""
    monkeypatch.setitem(sys.modules, "fastdigest", None)


def test_names() -> None:
    """The keys name the percentile in percent, with an underscore for the point."""
    pytest.importorskip("fastdigest")
    recorder = Recorder(prefix="shop")
    fractions = (0.000001, 0.07, 0.5, 0.999)
    recorder.meter.summary("cart value", percentiles=fractions, slo=[0.1]).record(0.05)
    assert keys(recorder) == [
        "shop.cart_value",
        "shop.cart_value.p0_0001",
        "shop.cart_value.p50",
        "shop.cart_value.p7",
        "shop.cart_value.p99_9",
        "shop.cart_value.slo,le=0.1",
    ]


def test_metadata() -> None:
    """Unit and description are sent as soon as the summary has a series."""
    pytest.importorskip("fastdigest")
    recorder = Recorder()
    catalog = recorder.registry.catalog
    timer = recorder.meter.timed("t", percentiles=[0.95], slo=[1])
    assert catalog.collect_metadata() == []
    timer.record(1)
    assert [(each.key, *each[1:]) for each in catalog.collect_metadata()] == [
        ("t", "summary", "s", ""),
        ("t.p95", "gauge", "s", "Percentile 95 of t in the interval"),
        ("t.slo", "counter", "{value}", "Values of t that were at most le"),
    ]
    assert catalog.collect_metadata() == []


def test_limits() -> None:
    """The limits count the series of the summary alone."""
    recorder = Recorder(max_series_per_metric=2)
    summary = recorder.meter.summary("s", slo=[1, 2, 3])
    for number in range(4):
        summary.record(1, n=number)
    assert recorder.registry.series_count == 3
    assert keys(recorder) == [
        "s,dtmetrics.overflow=true",
        "s,n=0",
        "s,n=1",
        *(
            f"s.slo,{where}"
            for where in (
                "dtmetrics.overflow=true,le=1",
                "dtmetrics.overflow=true,le=2",
                "dtmetrics.overflow=true,le=3",
                *(f"le={le},n={n}" for le in (1, 2, 3) for n in (0, 1)),
            )
        ),
    ]


@pytest.mark.usefixtures("own_numbers")
def test_worker() -> None:
    """Percentiles have the dimension of the worker, as gauges do; counts have not."""
    pytest.importorskip("fastdigest")
    recorder = Recorder(numbered=Numbered.ALL)
    summary = recorder.meter.summary("s", percentiles=[0.5], slo=[1])
    summary.record(1, a='b"c')
    summary.record(1, **{"dtmetrics.worker": "own"})
    assert keys(recorder) == [
        's,a="b\\"c"',
        "s,dtmetrics.worker=own",
        's.p50,a="b\\"c",dtmetrics.worker=0',
        "s.p50,dtmetrics.worker=own",
        's.slo,a="b\\"c",le=1',
        "s.slo,dtmetrics.worker=own,le=1",
    ]


@pytest.mark.usefixtures("own_numbers")
def test_worker_after_a_fork() -> None:
    """A child sends percentiles with its own number."""
    pytest.importorskip("fastdigest")
    recorder = Recorder(numbered=Numbered.CHILDREN)
    summary = recorder.meter.summary("s", percentiles=[0.5])
    summary.record(1)
    assert keys(recorder) == ["s", "s.p50"]
    recorder.registry.reset_after_fork()
    summary.record(1)
    assert keys(recorder) == ["s", "s.p50,dtmetrics.worker=0"]


def test_full_of_dimensions() -> None:
    """A series with 50 dimensions sends its percentiles without that of the worker."""
    pytest.importorskip("fastdigest")
    recorder = Recorder(numbered=Numbered.ALL)
    summary = recorder.meter.summary("s", percentiles=[0.5])
    summary.record(1, **{f"d{n}": n for n in range(50)})
    assert [key.count("=") for key in keys(recorder)] == [50, 50]


def test_restart() -> None:
    """After a change of the options they have the new prefix, and nothing is lost."""
    recorder = Recorder()
    summary = recorder.meter.summary("s", slo=[1])
    series = summary.find_series({})
    assert series is not None
    summary.record(0)
    recorder.registry.restart(RecordingOptions(prefix="shop"))
    summary.record(0)
    series.values.append(0)  # by a thread that had looked it up before
    assert recorder.lines() == [
        "s gauge,min=0,max=0,sum=0,count=2",
        "s.slo,le=1 count,delta=2",
        "shop.s gauge,min=0,max=0,sum=0,count=1",
        "shop.s.slo,le=1 count,delta=1",
    ]


def test_defined_after_records() -> None:
    """Options may come with a later definition; what was recorded before is sent."""
    recorder = Recorder()
    plain = recorder.meter.summary("s")
    plain.record(1)
    with_counts = recorder.meter.summary("s", slo=[5])
    plain.record(2)
    with_counts.record(3)
    assert recorder.registry.series_count == 1
    assert recorder.lines() == [
        "s gauge,min=1,max=1,sum=1,count=1",
        "s gauge,min=2,max=3,sum=5,count=2",
        "s.slo,le=5 count,delta=2",
    ]


def test_equal_definitions() -> None:
    """Equal definitions are one instrument; other options make another one."""
    meter = Recorder().meter
    summary = meter.summary("s", slo=(1, 2))
    assert meter.summary("s", slo=[1, 2.0]) is summary
    assert meter.summary("s", slo=(1, 2), unit="s") is not summary
    assert meter.summary("s") is not summary
    assert meter.timed("t", slo=(1,)).summary is meter.timed("t", slo=(1,)).summary


def test_other_options(caplog: pytest.LogCaptureFixture) -> None:
    """A second definition with other options is logged, and the first ones count."""
    recorder = Recorder()
    recorder.meter.summary("s", slo=(1,)).record(1)
    for _ in range(2):
        recorder.meter.summary("s", slo=(2,)).record(1)
    assert keys(recorder) == ["s", "s.slo,le=1"]
    [record] = caplog.records
    assert "summary 's'" in record.getMessage()
    assert record.getMessage().endswith("; the first ones count")
    strict = Recorder(strict=True)
    strict.meter.summary("s", slo=(1,))
    with pytest.raises(ConflictError, match="has other percentiles or thresholds"):
        strict.meter.summary("s", slo=(2,))


@pytest.mark.parametrize("first", ["counter", "summary"])
def test_conflict(first: str, caplog: pytest.LogCaptureFixture) -> None:
    """A key that is another instrument already is an error, and the rest is sent."""
    pytest.importorskip("fastdigest")
    recorder = Recorder()
    getattr(recorder.meter, first)("s.p50")
    recorder.meter.summary("s", percentiles=(0.5, 0.9)).record(1)
    assert keys(recorder) == ["s", "s.p90"]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    strict = Recorder(strict=True)
    getattr(strict.meter, first)("s.p50")
    for _ in range(2):
        with pytest.raises(ConflictError, match=r"gauge 's\.p50'"):
            strict.meter.summary("s", percentiles=(0.5, 0.9))


def test_later_conflict(caplog: pytest.LogCaptureFixture) -> None:
    """The key is taken for instruments of other kinds that are defined later."""
    recorder = Recorder()
    recorder.meter.summary("s", slo=(1,))
    recorder.meter.gauge("s.slo").set(1)
    assert recorder.lines() == []
    assert "counter 's.slo'" in caplog.text


def test_invalid_key() -> None:
    """A summary whose key is invalid has no derived keys."""
    recorder = Recorder()
    recorder.meter.summary("dt.s", slo=(1,)).record(1)
    assert recorder.lines() == []
    assert recorder.registry.catalog.all() == []


def test_quarantine() -> None:
    """A derived key that the endpoint rejects is not sent, and the rest is."""
    recorder = Recorder()
    summary = recorder.meter.summary("s", slo=(1,))
    summary.record(1)
    assert keys(recorder) == ["s", "s.slo,le=1"]
    recorder.registry.quarantine("s.slo", "rejected")
    summary.record(1)
    assert keys(recorder) == ["s"]
    recorder.registry.quarantine("s", "rejected")
    summary.record(1)
    assert keys(recorder) == []


@pytest.mark.usefixtures("without_the_extra")
def test_without_the_extra(caplog: pytest.LogCaptureFixture) -> None:
    """Without the library the summary records, and one log record has the command."""
    recorder = Recorder()
    for _ in range(2):
        recorder.meter.summary("s", percentiles=(0.5,), slo=(1,)).record(1)
        recorder.meter.summary("alone", percentiles=(0.5,)).record(1)
    assert keys(recorder) == ["alone", "s", "s.slo,le=1"]
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 2
    assert "python -m pip install 'dtmetrics[percentiles]'" in texts[0]
    with pytest.raises(MissingExtraError, match="pip install"):
        Recorder(strict=True).meter.timed("t", percentiles=(0.5,))


def test_pickles() -> None:
    """The options travel with what is pickled, and define the instrument elsewhere."""
    travels = dtmetrics.summary("derived.travels", slo=(1,), dimensions={"a": 1})
    assert pickle.loads(pickle.dumps(travels)) is travels
    assert pickle.loads(pickle.dumps(travels.origin)) == travels.origin
    made, arguments = travels.bind(b=2).__reduce__()
    there = Recorder()
    made(there.meter, *arguments[1:]).record(0.5)
    assert keys(there) == [
        "derived.travels,a=1,b=2",
        "derived.travels.slo,a=1,b=2,le=1",
    ]


def test_no_room_for_keys() -> None:
    """Where no new key has room, the summary is sent without them."""
    recorder = Recorder()
    catalog = recorder.registry.catalog
    recorder.meter.summary("s")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Catalog, "_most_families", 1)
        recorder.meter.summary("s", slo=(1,)).record(1)
    assert keys(recorder) == ["s"]
    assert len(catalog.all()) == 1


def test_renamed_by_a_rule(caplog: pytest.LogCaptureFixture) -> None:
    """Where a rule renames the summary, its percentiles and counts have the new key."""
    pytest.importorskip("fastdigest")
    recorder = Recorder(
        rules=[Rule(key="old.*", rename="new.*", drop_dimensions=["user"])]
    )
    timer = recorder.meter.timed("old.t", percentiles=(0.5,), slo=(1,))
    for user in range(3):
        timer.record(1, user=user)
    assert recorder.lines() == [
        "new.t gauge,min=1,max=1,sum=3,count=3",
        "new.t.p50 gauge,1",
        "new.t.slo,le=1 count,delta=3",
    ]
    recorder.meter.gauge("new.other.slo")
    recorder.meter.summary("old.other", slo=(1,)).record(1)
    assert recorder.lines() == ["new.other gauge,min=1,max=1,sum=1,count=1"]
    assert "new.other.slo" in caplog.text
    assert [each.key for each in recorder.registry.catalog.collect_metadata()] == [
        "new.t",
        "new.t.p50",
        "new.t.slo",
    ]


def test_renamed_under_strict() -> None:
    """A conflict that a rule makes raises nothing where it is recorded."""
    recorder = Recorder(rules=[Rule(key="old.*", rename="new.*")], strict=True)
    recorder.meter.gauge("new.s.slo")
    recorder.meter.summary("old.s", slo=(1,)).record(1)
    assert keys(recorder) == ["new.s"]
