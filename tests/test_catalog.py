from __future__ import annotations

from typing import Any

import pytest

from dtmetrics._record.family import Definition
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.registry import Registry
from dtmetrics.errors import ConflictError, DefinitionError, InvalidKeyError
from tests.support.caller_values import Raises
from tests.support.recorder import Recorder

BAD = {"empty": "", "dots": "...", "reserved": "dt.cpu", "int": 123, "none": None}


@pytest.mark.parametrize("name", BAD.values(), ids=BAD)
def test_invalid_key_under_strict(name: Any) -> None:
    """Under strict settings a metric that cannot have a key raises."""
    recorder = Recorder(strict=True)
    with pytest.raises(InvalidKeyError, match=r"test_catalog\.py:\d+\)"):
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
    assert "test_catalog.py" in caplog.text
    assert recorder.registry.invalid_values.total() == {}


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
    assert said.count("test_catalog.py") == 2
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
        recorder.registry.start(RecordingOptions(strict=True), lambda: True)
    assert not recorder.registry.recording


def test_strict_start_tells_once() -> None:
    """What was raised where it was defined is not raised again by the next start."""
    recorder = Recorder(strict=True)
    with pytest.raises(DefinitionError):
        recorder.meter.counter("...")
    recorder.registry.stop()
    recorder.registry.start(RecordingOptions(strict=True), lambda: True)
    assert recorder.registry.recording


def test_definition_is_shared() -> None:
    """Whoever defines a key first says what it is."""
    registry = Registry()
    first = registry.catalog.define(Definition("a", "counter", unit="s"))
    assert registry.catalog.define(Definition("a", "counter", unit="ms")) is first
    assert first.definition.unit == "s"
