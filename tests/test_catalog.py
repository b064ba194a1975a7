from __future__ import annotations

from typing import Any

import pytest

from dtmetrics._protocol.normalize import clean_key
from dtmetrics._record import catalog
from dtmetrics._record.definition import Definition
from dtmetrics._record.family import Family
from dtmetrics._record.invalid_values import ignore
from dtmetrics._record.options import RecordingOptions
from dtmetrics.errors import ConflictError, DefinitionError, InvalidKeyError
from tests.support.caller_values import Raises
from tests.support.recorder import Recorder

BAD = {"empty": "", "dots": "...", "reserved": "dt.cpu", "int": 123, "none": None}


@pytest.mark.parametrize("name", BAD.values(), ids=BAD)
def test_invalid_key_under_strict(name: Any) -> None:
    """Under strict settings an invalid name raises."""
    recorder = Recorder(strict=True)
    with pytest.raises(InvalidKeyError, match=r"test_catalog\.py:\d+\)"):
        recorder.meter.counter(name)


@pytest.mark.parametrize("name", BAD.values(), ids=BAD)
def test_invalid_key(
    name: Any, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """An invalid name is logged once, and the instrument records nothing."""
    for _ in range(3):
        recorder.meter.bind(a=1).counter(name).inc()
    assert recorder.lines() == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "it records nothing" in caplog.text
    assert "test_catalog.py" in caplog.text
    assert recorder.registry.invalid_values.total() == {}


def test_hostile_name(recorder: Recorder) -> None:
    """A name that is not a text is invalid, even if its methods raise."""
    recorder.meter.counter(Raises()).inc()  # type: ignore[arg-type]
    recorder.meter.gauge([]).set(1)  # type: ignore[arg-type]
    recorder.meter.timed("...", args=("x",))(lambda x: x)(1)
    assert recorder.lines() == []


def test_defined_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that a signal handler defines while it is defined is one instrument."""
    recorder = Recorder(prefix="app")
    clean = catalog.clean_key

    def interrupted(key: str) -> str | None:
        if key == "app.c":
            monkeypatch.setattr(catalog, "clean_key", clean)
            recorder.meter.counter("c").inc()
        return clean(key)

    monkeypatch.setattr(catalog, "clean_key", interrupted)
    recorder.meter.counter("c").inc()
    assert recorder.lines() == ["app.c count,delta=2"]


def test_conflict(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """A key of two kinds is logged once, with both places; the first kind records."""
    first = recorder.meter.counter("a.b")
    for _ in range(2):
        recorder.meters.get("other").gauge("a.b").set(7)
    first.inc()
    assert recorder.lines() == ["a.b count,delta=1"]
    [message] = caplog.messages
    assert message.count("test_catalog.py") == 2
    assert "gauge 'a.b'" in message
    assert "counter 'a.b'" in message


def test_conflict_after_cleaning() -> None:
    """Names that are equal after cleaning are one key, which has one kind."""
    recorder = Recorder(strict=True)
    recorder.meter.counter("a b").inc()
    recorder.meter.counter("a_b").inc(2)
    assert recorder.lines() == ["a_b count,delta=3"]
    with pytest.raises(ConflictError, match="summary 'a!b'.*counter 'a b'"):
        recorder.meter.summary("a!b")


def test_strict_start_raises_earlier_errors() -> None:
    """A strict start raises the first error of earlier definitions, and starts nothing."""
    recorder = Recorder()
    recorder.registry.stop()
    recorder.meter.counter("a")
    recorder.meter.gauge("a")
    recorder.meter.gauge("...")
    with pytest.raises(ConflictError):
        recorder.registry.start(RecordingOptions(strict=True), lambda: True)
    assert not recorder.registry.recording


def test_strict_start_after_a_raised_error() -> None:
    """An error that the definition raised is not raised again by the next start."""
    recorder = Recorder(strict=True)
    with pytest.raises(DefinitionError):
        recorder.meter.counter("...")
    recorder.registry.stop()
    recorder.registry.start(RecordingOptions(strict=True), lambda: True)
    assert recorder.registry.recording


# -- families --------------------------------------------------------------------------


def test_first_metadata_counts() -> None:
    """The first definition with a unit or a description gives both, not its site."""
    family = Family(Definition("a", "counter", site="x:1"), "a", ignore)
    assert not family.has_metadata
    for number, unit in enumerate(["", "s", "ms"]):
        definition = Definition("a", "counter", unit=unit, site=f"y:{number}")
        family.add_definition(definition)
    assert family.has_metadata
    assert family.definition == Definition("a", "counter", unit="s", site="x:1")


# -- keys ------------------------------------------------------------------------------


def test_prefix_is_applied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is cleaned once when it is defined and once at each start, never later."""
    cleaned: list[str] = []

    def clean(raw: str) -> str | None:
        cleaned.append(raw)
        return clean_key(raw)

    monkeypatch.setattr(catalog, "clean_key", clean)
    recorder = Recorder(prefix="acme")
    counters = [recorder.meter.counter(f"c{number}") for number in range(50)]
    assert len(cleaned) == 2 * 50  # the name, and the prefix with it
    recorder.registry.start(RecordingOptions(prefix="shop"), lambda: True)
    assert len(cleaned) == 3 * 50
    for number, counter in enumerate(counters):
        counter.inc()
        counter.inc(2, a=number)
        assert recorder.registry.catalog.definition_of(f"shop.c{number}")
    assert len(recorder.lines()) == 100
    assert recorder.registry.catalog.collect_metadata() == []
    for number in range(50):
        recorder.registry.quarantine(f"shop.c{number}", "rejected")
    assert len(recorder.registry.catalog.all_quarantined()) == 50
    assert len(cleaned) == 3 * 50


def test_keys_that_a_prefix_makes_equal() -> None:
    """Names that differ only past the limit of a prefixed key are quarantined together."""
    recorder = Recorder(prefix="p" * 200)
    names = ["n" * 60 + end for end in "ab"]
    for name in names:
        recorder.meter.counter(name).inc()
    [key] = {point.identity.key for point in recorder.points()}
    recorder.registry.quarantine(key, "rejected")
    for name in names:
        recorder.meter.counter(name).inc()
    assert recorder.lines() == []
    assert recorder.registry.catalog.all_quarantined() == {key: "rejected"}


def test_quarantine_ends_with_a_start(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """A quarantine is logged once, with its reason, and lasts until the next start."""
    counter = recorder.meter.counter("c")
    for _ in range(2):
        counter.inc()
        recorder.registry.quarantine("c", "invalid metric key")
        assert recorder.registry.catalog.all_quarantined() == {
            "c": "invalid metric key"
        }
        assert recorder.lines() == []
    [message] = caplog.messages
    assert message.endswith("is quarantined: invalid metric key")
    recorder.registry.start(RecordingOptions(), lambda: True)
    counter.inc()
    assert recorder.lines() == ["c count,delta=1"]


def test_quarantine_of_an_unknown_key(recorder: Recorder) -> None:
    """Quarantining a key that was never defined changes nothing."""
    recorder.registry.quarantine("unknown", "rejected")
    assert recorder.registry.catalog.all_quarantined() == {}
    assert recorder.registry.catalog.definition_of("unknown") is None
