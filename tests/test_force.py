"""A configure(force=True) loses nothing: gauges, totals, blocks, points, a spool."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from dtmetrics import MemoryExporter
from dtmetrics._core.secret import Secret
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.errors import ConfigError, ConflictError
from dtmetrics.exporters import Batch, ExportResult
from tests.support.endpoint import Endpoint, accept, answer, hang_up
from tests.support.runtime_calls import Down, inc

TOKENS = "dt0c01.FIRST.SECRET", "dt0c01.SECOND.SECRET"

#: Settings that leave the lines as they are, and settings that change each.
SAME: dict[str, Any] = {"interval": None, "enrich": False, "metadata": False}
OTHER: dict[str, Any] = {**SAME, "dimensions": {"stage": "test"}, "prefix": "shop"}
CHANGES = pytest.mark.parametrize("settings", [SAME, OTHER], ids=["same", "other"])


def lines(exporter: MemoryExporter) -> list[str]:
    """Return the lines so far, without source and timestamp, and forget them."""
    found = [line.rpartition(" ")[0] for line in exporter.lines]
    exporter.lines.clear()
    return sorted(line.replace(",dt.metrics.source=dtmetrics", "") for line in found)


def change(runtime: Runtime, exporter: MemoryExporter, **settings: Any) -> list[str]:
    """Replace the settings; return what was collected with the earlier ones."""
    runtime.configure(exporter=exporter, force=True, **settings)
    delivery = runtime._delivery
    assert delivery is not None
    delivery.destinations[0].sender.send(delivery.clock.monotonic() + 5.0)
    return lines(exporter)


def named(settings: dict[str, Any], *texts: str) -> list[str]:
    """Return *texts* with the prefix and the dimension of *settings*."""
    if settings is SAME:
        return list(texts)
    return ["shop." + text.replace(" ", ",stage=test ", 1) for text in texts]


# -- what instruments hold -------------------------------------------------------------


@CHANGES
def test_gauges(runtime: Runtime, settings: dict[str, Any]) -> None:
    """A gauge keeps its value, in each of its series, and goes on from it."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, **SAME)
    gauge = runtime.meters.root.gauge("depth")
    gauge.set(7)
    gauge.set(1, queue='say "hi"')
    gauge.inc(2, queue="b")
    runtime.flush()
    lines(exporter)
    change(runtime, exporter, **settings)
    gauge.inc()
    gauge.dec(1, queue="b")
    runtime.flush()
    expected = [
        "depth gauge,8",
        'depth,queue="say \\"hi\\"" gauge,1',
        "depth,queue=b gauge,1",
    ]
    if settings is OTHER:
        expected = [
            'shop.depth,queue="say \\"hi\\"",stage=test gauge,1',
            "shop.depth,queue=b,stage=test gauge,1",
            "shop.depth,stage=test gauge,8",
        ]
    assert lines(exporter) == sorted(expected)


@CHANGES
def test_active_blocks(runtime: Runtime, settings: dict[str, Any]) -> None:
    """Blocks and calls that run meanwhile count on, and count off when they end."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, **SAME)
    gauge = runtime.meters.root.gauge("jobs.active")

    @gauge
    def job() -> None:
        with gauge:
            for _ in range(3):
                change(runtime, exporter, **settings)
            runtime.flush()
            assert lines(exporter) == named(
                settings, "jobs.active gauge,min=2,max=2,sum=2,count=1"
            )
        runtime.flush()
        assert lines(exporter) == named(
            settings, "jobs.active gauge,min=1,max=2,sum=1,count=1"
        )

    job()
    runtime.flush()
    assert lines(exporter) == named(
        settings, "jobs.active gauge,min=0,max=1,sum=0,count=1"
    )


@CHANGES
def test_observed_totals(runtime: Runtime, settings: dict[str, Any]) -> None:
    """An observed total goes on: what was added meanwhile is sent, and nothing twice."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, **SAME)
    total = [10.0]

    @runtime.meters.root.observe("jobs.total", kind="counter")
    def jobs() -> list[tuple[float, dict[str, object]]]:
        return [(total[0], {"queue": "a"})]

    runtime.flush()
    total[0] = 12
    sent = change(runtime, exporter, **settings)
    assert sent == ["jobs.total,queue=a count,delta=2"]
    total[0] = 15
    runtime.flush()
    assert lines(exporter) == named(settings, "jobs.total,queue=a count,delta=3")


def test_total_of_a_disabled_instrument(runtime: Runtime) -> None:
    """What is added while a level disables an observed total is not sent."""
    exporter = MemoryExporter()
    total = [10.0]
    runtime.configure(exporter=exporter, **SAME)
    meter = runtime.get_meter("shop")
    meter.observe("jobs.total", kind="counter")(lambda: total[0])
    runtime.flush()
    for level, added in (("ERROR", 5), ("INFO", 2)):
        total[0] += 1
        runtime.configure(exporter=exporter, levels={"shop": level}, force=True, **SAME)
        total[0] += added
        runtime.flush()
    total[0] += 3
    runtime.flush()
    assert lines(exporter) == [f"jobs.total count,delta={n}" for n in (1, 3)]


@CHANGES
def test_timers_and_contexts(runtime: Runtime, settings: dict[str, Any]) -> None:
    """A timed block and a context that are open are recorded as if nothing happened."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, **SAME)
    with runtime.registry.context(user="u"), runtime.meters.root.timed("render"):
        runtime.configure(exporter=exporter, force=True, **settings)
    runtime.flush()
    (line,) = lines(exporter)
    assert line.startswith(
        named(settings, "render,user=u gauge")[0].replace(
            "user=u,stage=test", "stage=test,user=u"
        )
    )
    assert "count=1" in line


def test_level(runtime: Runtime) -> None:
    """A gauge whose instrument is disabled is not sent any more, and others are."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, **SAME)
    gauge, other = (
        runtime.get_meter("shop").gauge("depth"),
        runtime.get_meter().gauge("x"),
    )
    gauge.set(7)
    other.set(1)
    with gauge:
        change(runtime, exporter, levels={"shop": "ERROR"}, **SAME)
    runtime.flush()
    assert lines(exporter) == ["x gauge,1"]


def test_removed_default(runtime: Runtime) -> None:
    """A default dimension that a call has removed is not added to its gauge again."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, dimensions={"stage": "a", "zone": "z"}, **SAME)
    gauge = runtime.meters.root.gauge("depth")
    gauge.set(1, stage=None)
    change(runtime, exporter, dimensions={"stage": "b", "zone": "y"}, **SAME)
    gauge.inc(stage=None)
    runtime.flush()
    assert lines(exporter) == ["depth,zone=y gauge,2"]


def test_process_dimension(runtime: Runtime) -> None:
    """A gauge goes on in the series with the process, and back in that without it."""
    shared: dict[str, Any] = {"self_metrics": False, **SAME}
    with Endpoint() as endpoint:
        runtime.configure(endpoint=endpoint.url, **shared)
        gauge = runtime.meters.root.gauge("depth")
        gauge.set(7, queue="a")
        for process_dimension in True, False:
            runtime.configure(
                endpoint=endpoint.url,
                process_dimension=process_dimension,
                force=True,
                **shared,
            )
            gauge.inc(queue="a")
            assert runtime.flush()
        runtime.shutdown()
        found = [line.rpartition(" ")[0] for line in endpoint.lines]
    common = "depth,dt.metrics.source=dtmetrics"
    assert [*dict.fromkeys(found)] == [
        f"{common},queue=a gauge,7",
        f"{common},dt.process.pid={os.getpid()},queue=a gauge,8",
        f"{common},queue=a gauge,9",
    ]


def test_fewer_series(runtime: Runtime) -> None:
    """Gauges for which there is no room any more go on in the overflow series."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, **SAME)
    gauge = runtime.meters.root.gauge("depth")
    for number in range(5):
        gauge.set(number, queue=str(number))
    change(runtime, exporter, max_series_per_metric=2, **SAME)
    runtime.flush()
    sent = lines(exporter)
    assert len(sent) == 3
    assert any("dtmetrics.overflow=true" in line for line in sent)


def test_quarantine_ends(runtime: Runtime) -> None:
    """An instrument that was quarantined records again."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, **SAME)
    inc(runtime)
    runtime.registry.quarantine("orders", "rejected")
    inc(runtime)
    runtime.configure(exporter=exporter, force=True, **SAME)
    assert runtime.stats().quarantined == {}
    inc(runtime)
    runtime.flush()
    assert lines(exporter) == ["orders count,delta=1"]


@CHANGES
def test_shutdown_ends_it(runtime: Runtime, settings: dict[str, Any]) -> None:
    """Nothing survives a shutdown but the definitions."""
    exporter = MemoryExporter()
    total = [10.0]
    runtime.configure(exporter=exporter, **SAME)
    root = runtime.meters.root
    gauge, active = root.gauge("depth"), root.gauge("jobs.active")
    root.observe("jobs.total", kind="counter")(lambda: total[0])
    gauge.set(7)

    @active
    def job() -> None:
        runtime.configure(exporter=exporter, force=True, **settings)
        runtime.shutdown()
        lines(exporter)
        total[0] += 5
        runtime.configure(exporter=exporter, **settings)

    job()
    runtime.flush()
    assert lines(exporter) == []
    assert runtime.stats().collected == 0
    gauge.inc()
    total[0] += 1
    runtime.flush()
    assert lines(exporter) == sorted(
        named(settings, "depth gauge,1", "jobs.total count,delta=1")
    )


# -- what waits ------------------------------------------------------------------------


def test_rotated_token(runtime: Runtime) -> None:
    """What waited while the token was revoked is sent at once with the next token."""
    with Endpoint(answer(401), answer(401), answer(401)) as endpoint:
        runtime.configure(endpoint=endpoint.url, token=Secret(TOKENS[0]), interval=None)
        for _ in range(3):
            inc(runtime)
            assert not runtime.flush()
        waiting = runtime.stats()
        assert (waiting.waiting, waiting.accepted) == (3, 0)
        runtime.configure(
            endpoint=endpoint.url, token=Secret(TOKENS[1]), interval=None, force=True
        )
        inc(runtime)
        assert runtime.flush()
        assert endpoint.total("orders") == 4
        assert runtime.stats().waiting == 0


def test_other_endpoint(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    """What waits for another endpoint is delivered there in time."""
    with Endpoint(answer(503), accept()) as first, Endpoint() as second:
        runtime.configure(endpoint=first.url, interval=None, self_metrics=False)
        inc(runtime)
        assert not runtime.flush()
        inc(runtime)
        runtime.configure(
            endpoint=second.url, interval=None, self_metrics=False, force=True
        )
        inc(runtime)
        assert runtime.flush()
        assert (first.total("orders"), second.total("orders")) == (2, 1)
        assert runtime.stats()[:5] == (3, 3, 0, {}, 0)
        assert "undelivered" not in caplog.text


def test_sent_by_the_next_exporter(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """What a replaced exporter does not deliver in time is sent by the next one."""
    exporter = MemoryExporter()
    runtime.configure(exporter=Down(), **SAME)
    for number in range(20):
        inc(runtime)
        runtime.configure(exporter=Down(), force=True, **SAME)
        assert runtime.stats()[:5] == (number + 1, 0, 0, {}, number + 1)
    assert (
        "1 data points that Down did not take in time are sent to Down" in caplog.text
    )
    runtime.configure(exporter=exporter, force=True, **SAME)
    inc(runtime)
    assert runtime.flush()
    assert lines(exporter) == ["orders count,delta=1"] * 21
    assert runtime.stats()[:5] == (21, 21, 0, {}, 0)


def test_counted_if_there_are_several(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """Where several exporters follow, what the first one did not deliver is counted."""
    one, other = MemoryExporter(), MemoryExporter()
    runtime.configure(exporter=Down(), **SAME)
    inc(runtime)
    assert not runtime.flush()
    runtime.configure(exporters=[one, other], force=True, **SAME)
    assert runtime.stats()[:5] == (1, 0, 0, {"endpoint changed": 1}, 0)
    assert "reconfigured with 1 data points undelivered to Down" in caplog.text
    runtime.flush()
    dropped = "dtmetrics.client.points.dropped"
    assert lines(one) == [f'{dropped},reason="endpoint changed" count,delta=1']


def test_attempt_that_hangs(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a replaced exporter is still exporting when the time is over is counted."""
    monkeypatch.setattr("dtmetrics._runtime.runtime.EXIT_SECONDS", 0.05)
    entered, release = threading.Event(), threading.Event()

    class Hangs(MemoryExporter):
        def export(self, batch: Batch, timeout: float) -> ExportResult:
            entered.set()
            release.wait()
            return super().export(batch, timeout)

    runtime.configure(exporter=Hangs(), **{**SAME, "interval": 0.01})
    inc(runtime)
    entered.wait()
    runtime.configure(exporter=MemoryExporter(), force=True, **SAME)
    stats = runtime.stats()
    assert stats.collected == stats.dropped["endpoint changed"] > 0
    assert "undelivered to Hangs" in caplog.text
    release.set()
    for thread in _flushers():
        thread.join()
    assert runtime.stats() == stats


def test_same_exporter(runtime: Runtime) -> None:
    """What waits for an exporter object goes on waiting for it."""
    exporter = Down()
    runtime.configure(exporter=exporter, **SAME)
    inc(runtime)
    runtime.flush()
    runtime.configure(exporter=exporter, force=True, max_outbox_bytes=1, **SAME)
    assert runtime.stats()[:5] == (1, 0, 0, {}, 1)
    inc(runtime)
    runtime.flush()
    assert runtime.stats().dropped == {"outbox full": 1}
    runtime.shutdown(0)


def test_attempt_under_way(runtime: Runtime) -> None:
    """An attempt that is under way ends as it would have, and counts once."""
    answering = threading.Event()
    with Endpoint(accept(until=answering)) as endpoint:
        runtime.configure(endpoint=endpoint.url, token=Secret(TOKENS[0]), **SAME)
        inc(runtime)
        sending = threading.Thread(target=runtime.flush)
        sending.start()
        endpoint.wait_for(1)
        runtime.configure(
            endpoint=endpoint.url, token=Secret(TOKENS[1]), force=True, **SAME
        )
        answering.set()
        sending.join()
        assert runtime.flush()
        assert endpoint.total("orders") == 1


def test_refused_attempt_under_way(runtime: Runtime) -> None:
    """An attempt with the old token that is refused does not delay the new one."""
    refusing = threading.Event()
    with Endpoint(answer(401, until=refusing)) as endpoint:
        runtime.configure(endpoint=endpoint.url, token=Secret(TOKENS[0]), **SAME)
        inc(runtime)
        flushed: list[bool] = []
        sending = threading.Thread(target=lambda: flushed.append(runtime.flush()))
        sending.start()
        endpoint.wait_for(1)
        runtime.configure(
            endpoint=endpoint.url, token=Secret(TOKENS[1]), force=True, **SAME
        )
        refusing.set()
        sending.join()
        assert flushed == [True]
        assert endpoint.total("orders") == 1


def test_probe_under_way(runtime: Runtime) -> None:
    """A probe with the old token that is refused does not delay the new one."""
    refusing = threading.Event()
    with Endpoint(hang_up(), answer(401, until=refusing)) as endpoint:
        runtime.configure(endpoint=endpoint.url, token=Secret(TOKENS[0]), **SAME)
        inc(runtime)
        assert not runtime.flush()
        flushed: list[bool] = []
        probing = threading.Thread(target=lambda: flushed.append(runtime.flush()))
        probing.start()
        endpoint.wait_for(2)
        runtime.configure(
            endpoint=endpoint.url, token=Secret(TOKENS[1]), force=True, **SAME
        )
        refusing.set()
        probing.join()
        # That flush went on with the new settings.
        assert flushed == [True]
        assert endpoint.total("orders") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the spool needs flock()")
@pytest.mark.parametrize("other", ["same", "another", None])
def test_spool(runtime: Runtime, tmp_path: Path, other: str | None) -> None:
    """What waits on disk goes on waiting, in the spool of the new settings, once."""
    exporter, spools = Down(), [tmp_path / "same"]
    if other is not None:
        spools.append(tmp_path / other)
    runtime.configure(exporter=exporter, spool=spools[0], **SAME)
    inc(runtime)
    runtime.flush()
    settings = dict(SAME) if other is None else {**SAME, "spool": spools[-1]}
    runtime.configure(exporter=exporter, force=True, **settings)
    files = [path.parts[len(tmp_path.parts)] for path in tmp_path.glob("*/*/*/*.b")]
    assert files == ([] if other is None else [other])
    assert runtime.stats().spool.get("recovered", 0) == 0
    assert runtime.stats().waiting == 1
    runtime.shutdown(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the spool needs flock()")
def test_spool_of_another_endpoint(runtime: Runtime, tmp_path: Path) -> None:
    """What waits on disk for another endpoint stays there, and is sent to no other."""
    settings = {**SAME, "spool": tmp_path, "self_metrics": False}
    refused = answer(401)
    with Endpoint(refused, refused) as first, Endpoint() as second:
        runtime.configure(endpoint=first.url, **settings)
        inc(runtime)
        assert not runtime.flush()
        runtime.configure(endpoint=second.url, force=True, **settings)
        assert runtime.stats().dropped == {"endpoint changed": 1}
        assert runtime.flush()
        assert second.total("orders") == 0
        assert len([*tmp_path.glob("*/*/*.b")]) == 1
        runtime.configure(endpoint=first.url, force=True, **settings)
        assert runtime.flush()
        assert first.total("orders") == 1
        assert [*tmp_path.glob("*/*/*.b")] == []


# -- errors ----------------------------------------------------------------------------


def test_invalid_settings(runtime: Runtime) -> None:
    """Settings that are invalid leave everything as it was."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, **SAME)
    runtime.meters.root.gauge("depth").set(7)
    runtime.meters.root.counter("depth")
    for settings, error in (
        ({"level": "LOUD"}, ConfigError),
        ({"strict": True}, ConflictError),
    ):
        with pytest.raises(error):
            runtime.configure(exporter=Down(), force=True, **{**SAME, **settings})
    runtime.flush()
    assert lines(exporter) == ["depth gauge,7"]


def test_in_a_callback(runtime: Runtime) -> None:
    """In a callback of a flush it does nothing: it would wait for itself."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, **SAME)

    @runtime.meters.root.observe("depth")
    def depth() -> float:
        runtime.configure(exporter=Down(), force=True, **SAME)
        return 1

    assert runtime.flush()
    assert lines(exporter) == ["depth gauge,1"]


def test_hanging_callback(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A callback that hangs does not keep new settings from taking effect."""
    monkeypatch.setattr("dtmetrics._runtime.runtime.EXIT_SECONDS", 0.05)
    hanging, release = threading.Event(), threading.Event()
    first, second = MemoryExporter(), MemoryExporter()
    runtime.configure(exporter=first, **SAME)
    inc(runtime)

    @runtime.meters.root.observe("depth")
    def depth() -> float:
        hanging.set()
        release.wait()
        return 1

    collecting = threading.Thread(target=runtime.flush, args=(30.0,))
    collecting.start()
    hanging.wait()
    runtime.meters.root.unobserve(depth)
    runtime.configure(exporter=second, force=True, **SAME)
    assert "reconfigured while a callback hangs" in caplog.text
    inc(runtime, "later")
    assert runtime.flush()
    assert lines(second) == ["later count,delta=1"]
    release.set()
    collecting.join()
    runtime.flush()
    # What had been taken out of its series goes to the exporter of the present.
    assert lines(second) == ["depth gauge,1", "orders count,delta=1"]


# -- threads ---------------------------------------------------------------------------


@CHANGES
def test_exact_under_load(runtime: Runtime, settings: dict[str, Any]) -> None:
    """Of what threads record meanwhile, each count arrives once, each gauge is exact."""
    exporters = [MemoryExporter(), MemoryExporter()]
    every = {"interval": 0.02, "self_metrics": False}
    runtime.configure(exporter=exporters[0], **{**SAME, **every})
    root = runtime.meters.root
    counter, summary, gauge = root.counter("c"), root.summary("s"), root.gauge("g")
    active = root.gauge("active")
    changed = threading.Event()
    rounds = 2_000

    def record() -> None:
        for count in range(rounds):
            counter.inc()
            counter.inc(2, queue=str(count % 20))
            summary.record(1.0)
            with active:
                gauge.inc()
            if count == rounds // 2:
                changed.wait()

    threads = [threading.Thread(target=record) for _ in range(3)]
    for thread in threads:
        thread.start()
    changes = 0
    while changes < 2 or any(thread.is_alive() for thread in threads):
        changes += 1
        chosen = settings if changes % 2 else SAME
        runtime.configure(
            exporter=exporters[changes % 2], force=True, **{**chosen, **every}
        )
        stats = runtime.stats()
        accounted = stats.accepted + stats.rejected + sum(stats.dropped.values())
        assert stats.collected == accounted + stats.waiting
        changed.set()
    assert runtime.flush()
    assert runtime.stats().dropped == {}
    sent = [line.split(" ") for exporter in exporters for line in exporter.lines]
    payloads = [payload for where, payload, _ in sent if "active" not in where]
    counted = sum(float(p[12:]) for p in payloads if p.startswith("count,delta="))
    observed = sum(int(p.rpartition("count=")[2]) for p in payloads if "min=" in p)
    assert (counted, observed) == (9 * rounds, 3 * rounds)
    last = {
        where.partition(",")[0].removeprefix("shop."): payload
        for where, payload, _ in sorted(sent, key=lambda line: int(line[2]))
    }
    assert last["g"] == f"gauge,{3 * rounds}"
    assert last["active"].endswith(",sum=0,count=1")


def test_thread_goes_on(runtime: Runtime) -> None:
    """After it the flusher runs, without a further record, if it ran before."""
    exporter = MemoryExporter()
    runtime.configure(exporter=MemoryExporter(), **{**SAME, "interval": 3_600.0})
    runtime.configure(exporter=exporter, force=True, **{**SAME, "interval": 3_600.0})
    assert not _flushers()
    inc(runtime)
    assert len(_flushers()) == 1
    runtime.configure(exporter=exporter, force=True, **{**SAME, "interval": 1_800.0})
    delivery = runtime._delivery
    assert delivery is not None
    assert delivery.flusher._thread.thread in _flushers()


def _flushers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "dtmetrics-flusher"]
