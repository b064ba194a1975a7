"""Feedback: rejected lines and warnings, brought to their instruments."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from dtmetrics._deliver.feedback import Feedback
from dtmetrics._protocol.line import identify
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import Batch, ExportResult, LineMessage, Outcome
from dtmetrics.receiver import running
from tests.support.endpoint import Endpoint, partly
from tests.support.recorder import MOMENT, Recorder


def batch_of(*keys: str) -> Batch:
    """Return a batch with one line for each of *keys*."""
    text = "\n".join(f"{key} count,delta=1 {MOMENT}" for key in keys)
    return Batch(text.encode(), tuple(identify(key, ()) for key in keys), MOMENT)


def answered(rejected: int, *lines: tuple[int, str], warned: Any = ()) -> ExportResult:
    """Return the result that some lines were rejected, and which."""
    return ExportResult(
        Outcome.ANSWERED,
        rejected,
        f"{rejected} lines rejected",
        rejected_lines=[LineMessage(*each) for each in lines],
        warnings=[LineMessage(*each) for each in warned],
    )


class Reports:
    """A recorder with two counters, and the endpoint's reports about their lines."""

    def __init__(self) -> None:
        self.recorder = Recorder(prefix="acme")
        self.good = self.recorder.meter.counter("good")
        self.bad = self.recorder.meter.counter("bad", description="rejected")
        self.feedback = Feedback(self.recorder.registry)
        self.record()

    def record(self) -> list[str]:
        """Record with both; return the keys that were collected."""
        self.good.inc()
        self.bad.inc(1, a=1)
        self.bad.inc()
        return [point.identity.key for point in self.recorder.points()]

    def report(self, result: ExportResult, *keys: str, times: int = 1) -> None:
        """Take *result* for a batch with these keys."""
        for _ in range(times):
            self.feedback.take(batch_of(*keys or ("acme.good", "acme.bad")), result)

    @property
    def quarantined(self) -> dict[str, str]:
        """The reasons for which keys are quarantined."""
        return self.recorder.registry.catalog.all_quarantined()


BAD = answered(1, (1, "invalid metric key"))


@pytest.fixture
def reports() -> Reports:
    """Return a recorder, and what reports about its lines."""
    return Reports()


def test_rejections_name_the_instrument(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    """Each reason is logged once for an instrument, with the place of its definition."""
    reports.report(BAD, times=3)
    reports.report(answered(1, (0, "invalid metric key")))
    logged = [record.getMessage() for record in caplog.records]
    assert [text.partition(" (defined at ")[0] for text in logged] == [
        "dtmetrics: the endpoint rejected counter 'bad'",
        "dtmetrics: the endpoint rejected counter 'good'",
    ]
    assert all(f"{__file__}:" in text for text in logged)


@pytest.mark.parametrize(
    "text",
    [
        "timestamp out of range: 170000000000{} is not between 1 hour ago and now",
        "failed to parse metric key of message 'bad{} count,delta=1'; error at 'b'",
        "invalid metric type in message 'bad gauge,{0}" + "x{0}" * 100,
        "inconsistent gauge fields: min <= avg <= max doesn't hold: -{0}.5 <= {0}",
    ],
    ids=["time", "quoted", "cut", "numbers"],
)
def test_a_reason_is_the_same_whatever_it_quotes(
    reports: Reports, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """Numbers and quoted parts of a line, new in each message, make no new reason."""
    for number in range(4):
        reports.report(answered(1, (1, text.format(number)[:200])))
    assert len(caplog.records) == 1


def test_always_rejected(reports: Reports, caplog: pytest.LogCaptureFixture) -> None:
    """An instrument whose lines are all rejected five times in a row is quarantined."""
    reports.report(BAD, times=4)
    assert reports.quarantined == {}
    assert sorted(reports.record()) == ["acme.bad", "acme.bad", "acme.good"]
    reports.report(BAD)
    assert reports.quarantined == {"acme.bad": "invalid metric key"}
    assert reports.record() == ["acme.good"]
    assert reports.recorder.registry.series_count == 1
    assert "is quarantined: invalid metric key" in caplog.text


def test_quarantined_keeps_no_series(reports: Reports) -> None:
    """Handles of a quarantined instrument make no series, whatever they record."""
    bound = reports.bad.bind(b=1)
    bound.inc()
    reports.report(BAD, times=5)
    for number in range(100):
        bound.inc()
        reports.bad.inc(1, n=number)
        reports.bad.bind(n=number).inc()
    assert reports.recorder.registry.series_count == 1
    assert reports.record() == ["acme.good"]


def test_observed_and_quarantined(reports: Reports) -> None:
    """A quarantined instrument ends the calls of its callback."""
    calls: list[int] = []

    @reports.recorder.meter.observe("seen")
    def seen() -> int:
        calls.append(1)
        return 1

    reports.recorder.points()
    reports.report(answered(1, (0, "no")), "acme.seen", times=5)
    before = len(calls)
    reports.recorder.points()
    assert len(calls) == before


def test_once_accepted(reports: Reports) -> None:
    """One accepted line in between starts the count anew."""
    reports.report(BAD, times=4)
    reports.report(answered(0))
    reports.report(BAD, times=4)
    assert reports.quarantined == {}


def test_no_answer_in_between(reports: Reports) -> None:
    """Attempts without an answer in between leave the count as it is."""
    for outcome in (Outcome.RETRY, Outcome.INDETERMINATE, Outcome.REJECTED):
        reports.report(BAD)
        reports.report(ExportResult(outcome, reason="status 503"))
    reports.report(BAD, times=2)
    assert reports.quarantined == {"acme.bad": "invalid metric key"}


def test_some_of_its_lines(reports: Reports) -> None:
    """An instrument of which only some lines are rejected is not quarantined."""
    keys = "acme.bad", "acme.bad"
    reports.report(answered(1, (1, "bad value")), *keys, times=9)
    reports.report(answered(1, (1, "bad value"), (1, "bad time")), *keys, times=9)
    assert reports.quarantined == {}


def test_cut_list(reports: Reports) -> None:
    """Where all lines are rejected and only some are listed, all count as rejected."""
    reports.report(answered(2, (0, "invalid")), times=5)
    assert reports.quarantined == {
        "acme.good": "invalid",
        "acme.bad": "2 lines rejected",
    }


BAD_LINES = ["acme.bad"] * 30
FIRST_TEN = [(line, "invalid") for line in range(10)]


@pytest.mark.parametrize(
    ("rejected", "keys", "quarantined"),
    [
        (30, [*BAD_LINES, "acme.good"], ["acme.bad"]),
        (30, [*BAD_LINES, *["acme.good"] * 30], ["acme.bad"]),
        (29, [*BAD_LINES, "acme.good"], []),  # one of its lines was accepted
        (10, [*BAD_LINES, "acme.good"], []),
    ],
)
def test_list_of_the_first_ten(
    reports: Reports, rejected: int, keys: list[str], quarantined: list[str]
) -> None:
    """Many rejected lines are enough, even if their list is cut off at ten."""
    reports.report(answered(rejected, *FIRST_TEN), *keys, times=5)
    assert [*reports.quarantined] == quarantined


def test_behind_the_end_of_the_list(reports: Reports) -> None:
    """Lines behind the last of a list that is cut off prove nothing."""
    reports.report(BAD, times=4)
    reports.report(answered(29, *FIRST_TEN), *["acme.good"] * 30, "acme.bad", times=9)
    assert reports.quarantined == {}
    reports.report(BAD)
    assert [*reports.quarantined] == ["acme.bad"]


def test_accepted_before_the_end_of_the_list(reports: Reports) -> None:
    """A line that a list passes over was accepted."""
    first = [(line + 1, "invalid") for line in range(10)]
    reports.report(answered(29, *first), *BAD_LINES, "acme.good", times=9)
    assert reports.quarantined == {}


def test_record_that_was_under_way(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    """A series that a thread makes during the quarantine is removed as well."""
    reports.report(BAD, times=5)
    registry, family = reports.recorder.registry, reports.bad.origin.family
    registry.own_series(family, (("late", 1),))  # a thread that began before
    reports.report(BAD)
    assert family.series == {}
    assert registry.series_count == 1
    assert caplog.text.count("is quarantined") == 1


def test_wrong_clock(reports: Reports) -> None:
    """Lines rejected for a wrong clock quarantine no instrument, listed or not."""
    late = "timestamp out of range: 17 is not between"
    reports.report(answered(2, (0, late), (1, late)), times=9)
    reports.report(answered(2, (0, late)), times=9)
    assert reports.quarantined == {}
    named = answered(1, (1, "invalid metric key 'timestamp'"))
    reports.report(named, times=5)
    assert [*reports.quarantined] == ["acme.bad"]


def test_metadata_is_not_counted(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    """Rejected metadata names its instrument as well, and quarantines nothing."""
    for _ in range(9):
        batch = Batch(b"#acme.bad count dt.meta.unit=s", (), MOMENT)
        reports.feedback.take(batch, answered(0, (0, "invalid metadata")))
    [logged] = [record.getMessage() for record in caplog.records]
    assert logged.startswith(
        f"dtmetrics: the endpoint rejected the metadata of counter 'bad' (defined at {__file__}:"
    )
    assert logged.endswith("): invalid metadata")
    assert reports.quarantined == {}


def test_warnings(reports: Reports, caplog: pytest.LogCaptureFixture) -> None:
    """A warning about accepted lines is in the statistics by key, and logged once."""
    caplog.set_level(logging.INFO, "dtmetrics")
    text = "metric key 'acme.bad' changed to 'acme.bad.count'"
    for _ in range(3):
        reports.report(answered(0, warned=[(1, text)]))
    assert reports.feedback.warnings == {"acme.bad": text}
    metadata = Batch(b"#acme.good count dt.meta.unit=s\n#acme.bad count", (), MOMENT)
    reports.feedback.take(metadata, answered(0, warned=[(1, "known already")]))
    assert reports.feedback.warnings == {"acme.bad": text, "#acme.bad": "known already"}
    assert [record.levelno for record in caplog.records] == [logging.INFO] * 2


def test_bounded(reports: Reports, caplog: pytest.LogCaptureFixture) -> None:
    """An endpoint with a new message each time does not fill the memory."""
    for number in range(1_100):
        key = f"k{number}"
        reports.report(answered(0, (0, f"r{number}"), warned=[(0, "w")]), key)
    assert len(reports.feedback.warnings) == len(caplog.records) == 1_000


def test_forked(reports: Reports) -> None:
    """A forked child counts rejections anew."""
    reports.report(BAD, times=4)
    reports.report(answered(0, warned=[(0, "w")]))
    reports.report(BAD, times=4)
    reports.feedback.reset_after_fork()
    assert reports.feedback.warnings == {}
    reports.report(BAD)
    assert reports.quarantined == {}


def test_quarantine(runtime: Runtime) -> None:
    """An instrument that the endpoint always rejects is quarantined, and sent no more."""
    counter = runtime.meters.root.counter
    with Endpoint(otherwise=partly(1, 1, [(2, "invalid metric key")])) as endpoint:
        runtime.configure(
            endpoint=endpoint.url, interval=None, metadata=False, self_metrics=False
        )
        for _ in range(6):
            counter("good").inc()
            counter("bad").inc()
            assert runtime.flush()
        stats = runtime.stats()
        runtime.shutdown()
    assert stats.quarantined == {"bad": "invalid metric key"}
    assert (stats.collected, stats.rejected) == (11, 6)
    assert [len(request.lines) for request in endpoint.requests] == [2] * 5 + [1]


def test_suffixes(runtime: Runtime) -> None:
    """The statistics name the keys that classic metrics rename."""
    root = runtime.meters.root
    with running() as url:
        runtime.configure(endpoint=f"{url}/metrics/ingest", interval=None, enrich=False)
        root.counter("orders").inc()
        root.counter("orders.count").inc()
        root.gauge("pool.count").set(1)
        assert runtime.shutdown()
    assert runtime.stats().warnings == {
        "orders": "metric key 'orders' changed to 'orders.count'",
        "pool.count": "metric key 'pool.count' changed to 'pool.count.gauge'",
    }
