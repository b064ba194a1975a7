"""Counts of log records and of warnings."""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import dtmetrics
from dtmetrics._core.suppress_instrumentation import suppress_instrumentation
from dtmetrics.integrations import logging as ours
from dtmetrics.integrations.logging import (
    MetricsHandler,
    instrument_warnings,
    uninstrument_warnings,
)
from tests.support.caller_values import Raises
from tests.support.recorder import Recorder
from tests.support.script import expect


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """Return a logger of this test, which logs all levels nowhere else."""
    made = logging.getLogger("tests.metrics")
    made.setLevel(1)
    made.propagate = False
    yield made
    made.handlers.clear()


def counts(recorder: Recorder) -> dict[tuple[str, str], int]:
    """Return the numbers of records by logger and level."""
    found = {}
    for (key, pairs), payload in recorder.payloads().items():
        assert key == "log.records"
        dimensions = dict(pairs)
        found[dimensions["logger.name"], dimensions["log.level"]] = payload[0]
    return found


def test_counts(recorder: Recorder, logger: logging.Logger) -> None:
    """Records are counted by level and logger, from the level of the handler on."""
    logger.addHandler(MetricsHandler("INFO", meter=recorder.meter))
    child = logger.getChild("db")
    logger.debug("no")
    logger.info("a %s", "text")
    logger.info("b")
    child.error("b")
    try:
        raise ValueError
    except ValueError:
        child.exception("c")
    assert counts(recorder) == {
        ("tests.metrics", "INFO"): 2,
        ("tests.metrics.db", "ERROR"): 2,
    }


def test_levels(recorder: Recorder, logger: logging.Logger) -> None:
    """A level without a name counts as the next lower one, one with a name as itself."""
    handler = MetricsHandler(meter=recorder.meter)
    logger.addHandler(handler)
    logging.addLevelName(25, "NOTICE")
    try:
        for level in (25, 26, 1, 1_000_000, *range(30, 40)):
            logger.log(level, "x")
    finally:
        logging._levelToName.pop(25)
        logging._nameToLevel.pop("NOTICE")
    assert counts(recorder) == {
        ("tests.metrics", "NOTICE"): 1,
        ("tests.metrics", "INFO"): 1,
        ("tests.metrics", "NOTSET"): 1,
        ("tests.metrics", "CRITICAL"): 1,
        ("tests.metrics", "WARNING"): 10,
    }
    assert len(handler._counters) == 5


def test_names_are_bounded(recorder: Recorder, logger: logging.Logger) -> None:
    """Loggers beyond the limit count together; those before keep their names."""
    handler = MetricsHandler(max_loggers=2, meter=recorder.meter)
    for number in [0, 1, 2, 3, 4, 0, 1]:
        handler.handle(logging.makeLogRecord({"name": f"job.{number}", "levelno": 20}))
    assert counts(recorder) == {
        ("job.0", "INFO"): 2,
        ("job.1", "INFO"): 2,
        ("_OTHER", "INFO"): 3,
    }
    assert len(handler._counters) == 3


def test_filters(recorder: Recorder) -> None:
    """A filter may drop a record, replace it, or fail, which drops it as well."""
    handler = MetricsHandler(meter=recorder.meter)
    record = logging.makeLogRecord({"name": "shop", "levelno": 20})

    def only(record: logging.LogRecord) -> bool:
        return record.name != "shop"

    handler.addFilter(only)
    assert not handler.handle(record)
    handler.removeFilter(only)
    handler.addFilter(lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    assert not handler.handle(record)
    handler.filters.clear()
    handler.addFilter(lambda _: True)
    assert handler.handle(record)
    handler.filters.clear()
    other = logging.makeLogRecord({"name": "other", "levelno": 20})
    handler.filter = lambda _: other  # type: ignore[assignment, method-assign, return-value]
    handler.filters.append(only)
    assert handler.handle(record)
    assert counts(recorder) == {("shop", "INFO"): 1, ("other", "INFO"): 1}


@pytest.mark.parametrize("field", ["name", "levelno"])
@pytest.mark.parametrize("value", [[], Raises(), {}], ids=["list", "raises", "dict"])
def test_hostile_records(recorder: Recorder, field: str, value: Any) -> None:
    """A record may be made of anything: it is counted as invalid, and nothing is raised."""
    handler = MetricsHandler(meter=recorder.meter)
    record = logging.makeLogRecord({"name": "shop", "levelno": 20, field: value})
    assert handler.handle(record)
    handler.handle(logging.makeLogRecord({"name": "shop", "levelno": 20}))
    recorder.lines()
    invalid = recorder.registry.invalid_values.total()
    assert sum(invalid.values()) <= 1


def test_own_requests(recorder: Recorder, logger: logging.Logger) -> None:
    """What is logged during the exporter's own requests is not counted."""
    logger.addHandler(MetricsHandler(meter=recorder.meter))
    suppress_instrumentation(logger.info, "HTTP Request: POST")
    assert recorder.lines() == []


def test_inside_a_collection(recorder: Recorder) -> None:
    """A record that is logged while values are collected counts for the next collection."""
    handler = MetricsHandler(meter=recorder.meter)
    logger = logging.getLogger("dtmetrics")
    logger.addHandler(handler)

    def failing() -> float:
        logger.warning("dtmetrics: while it collects")
        return 1.0

    recorder.meter.observe("o")(failing)
    try:
        assert recorder.lines() == ["o gauge,1"]
        recorder.registry.observers.clear()
        [line] = recorder.lines()
    finally:
        logger.removeHandler(handler)
    assert line.endswith("log.level=WARNING,logger.name=dtmetrics count,delta=1")


def test_recursion() -> None:
    """A record that is logged while another one is counted is counted too."""
    recorder = Recorder()
    handler = MetricsHandler(meter=recorder.meter)

    def handle(level: int) -> None:
        # Not by a logger: newer ones ignore what is logged meanwhile in their thread.
        handler.handle(logging.makeLogRecord({"name": "shop", "levelno": level}))

    def wake() -> bool:
        handle(logging.WARNING)
        return True

    recorder.registry.start(recorder.registry.generation.options, wake)
    handle(logging.INFO)
    found = counts(recorder)
    assert found["shop", "INFO"] == 1
    assert found["shop", "WARNING"] >= 1


def test_inside_a_flush() -> None:
    """Everything that dtmetrics and its HTTP library log about a flush is harmless."""
    program = """
import logging
import dtmetrics
from dtmetrics.integrations.logging import MetricsHandler

logging.getLogger().addHandler(MetricsHandler())
logging.getLogger().setLevel(1)
dtmetrics.configure(endpoint="http://127.0.0.1:9", interval=None)
dtmetrics.counter("orders").inc()
for _ in range(3):
    assert not dtmetrics.flush(timeout=2.0)
before = dtmetrics.stats().collected
dtmetrics.flush(timeout=2.0)
print(dtmetrics.stats().collected - before <= 2, dtmetrics.stats().invalid)
dtmetrics.shutdown(0.1)
"""
    assert expect(program).startswith("True {}")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork() -> None:
    """A child that is forked while another thread logs can log: there is no lock."""
    program = """
import logging, os, signal, threading, warnings
from dtmetrics.integrations.logging import MetricsHandler

warnings.simplefilter("ignore")
inside, go_on = threading.Event(), threading.Event()
handler = MetricsHandler()
handler.addFilter(lambda _: inside.set() or go_on.wait(60))
record = logging.makeLogRecord({"name": "shop", "levelno": 20})
thread = threading.Thread(target=handler.handle, args=(record,))
thread.start()
assert inside.wait(60)
pid = os.fork()
if not pid:
    signal.alarm(60)
    handler.filters.clear()
    os._exit(0 if handler.handle(record) else 1)
print(os.waitpid(pid, 0)[1], handler.lock)
go_on.set()
"""
    assert expect(program) == "0 None\n"


# -- warnings ------------------------------------------------------------------------


class ShopWarning(UserWarning):
    """A warning of the program's own."""


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Return what is printed of warnings, all of which are shown."""
    shown = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("always")

        def show(message: Any, category: Any, *_: Any, **__: Any) -> None:
            shown.write(f"{category.__name__}: {message}\n")

        monkeypatch.setattr(warnings, "showwarning", show)
        ours._warnings.installed = None
        yield shown
        uninstrument_warnings()


def test_warnings(recorder: Recorder, shown: io.StringIO) -> None:
    """Warnings are counted by category and shown as before."""
    instrument_warnings(meter=recorder.meter)
    instrument_warnings(meter=recorder.meter)
    for _ in range(2):
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    warnings.warn("own", ShopWarning, stacklevel=1)
    assert recorder.lines() == [
        "python.warnings,warning.category=DeprecationWarning count,delta=2",
        f"python.warnings,warning.category={__name__}.ShopWarning count,delta=1",
    ]
    assert shown.getvalue().count("DeprecationWarning: old") == 2


def test_uninstrument_warnings(recorder: Recorder, shown: io.StringIO) -> None:
    """Warnings are shown, and not counted, after it is undone; it can be done again."""
    instrument_warnings(meter=recorder.meter)
    uninstrument_warnings()
    warnings.warn("a", UserWarning, stacklevel=1)
    assert recorder.lines() == []
    instrument_warnings(meter=recorder.meter)
    warnings.warn("b", UserWarning, stacklevel=1)
    assert recorder.lines() == [
        "python.warnings,warning.category=UserWarning count,delta=1"
    ]
    assert shown.getvalue() == "UserWarning: a\nUserWarning: b\n"


def test_not_shown(recorder: Recorder, shown: io.StringIO) -> None:
    """A warning that is ignored, raised or recorded is not counted."""
    instrument_warnings(meter=recorder.meter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.warn("ignored", UserWarning, stacklevel=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning):
            warnings.warn("raised", UserWarning, stacklevel=1)
    with pytest.warns(UserWarning, match="recorded"):
        warnings.warn("recorded", UserWarning, stacklevel=1)
    assert recorder.lines() == []


def test_own_warnings(recorder: Recorder, shown: io.StringIO) -> None:
    """A warning about the exporter's own request is not counted."""
    instrument_warnings(meter=recorder.meter)
    suppress_instrumentation(lambda: warnings.warn("x", UserWarning, stacklevel=1))
    assert recorder.lines() == []
    assert shown.getvalue() == "UserWarning: x\n"


def test_captured_warnings(recorder: Recorder, shown: io.StringIO) -> None:
    """Beside logging.captureWarnings() a warning is counted, and logged."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger("py.warnings").addHandler(handler)
    logging.captureWarnings(True)
    try:
        instrument_warnings(meter=recorder.meter)
        warnings.warn("x", UserWarning, stacklevel=1)
    finally:
        logging.captureWarnings(False)
        logging.getLogger("py.warnings").removeHandler(handler)
    assert len(records) == len(recorder.lines()) == 1


def test_default_meter() -> None:
    """The default meter is that of the module."""
    assert MetricsHandler()._records.origin.source.scope == ours.__name__
    assert dtmetrics.get_meter(ours.__name__).name == ours.__name__
