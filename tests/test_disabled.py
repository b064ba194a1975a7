from __future__ import annotations

import logging

import pytest

from dtmetrics import MemoryExporter, Stats
from dtmetrics._config.disabled import is_disabled
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.errors import ConfigError
from tests.support.runtime_calls import flusher_threads, inc, keys


@pytest.mark.parametrize(
    ("text", "disabled"),
    [("true", True), (" TRUE\n", True), ("1", True), ("false", False), ("", False)],
)
def test_text(text: str, disabled: bool) -> None:
    """The variable is true or false in any case, and counts as absent if it is empty."""
    assert is_disabled({"DTMETRICS_DISABLED": text}) is disabled
    assert not is_disabled({})


def test_neither_true_nor_false() -> None:
    """Another text raises a ConfigError, because it may mean either."""
    with pytest.raises(ConfigError) as caught:
        is_disabled({"DTMETRICS_DISABLED": "perhaps"})
    assert caught.value.problems == (
        "DTMETRICS_DISABLED must be True or False, got 'perhaps'",
    )


def test_nothing_is_recorded(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that is disabled records nothing, and every call returns normally."""
    monkeypatch.setenv("DTMETRICS_DISABLED", "true")
    caplog.set_level(logging.INFO)
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, interval=1.0)
    inc(runtime)
    assert runtime.flush()
    assert runtime.stats() == Stats()
    assert runtime.shutdown()
    assert exporter.lines == []
    assert flusher_threads() == []
    assert caplog.messages == [
        "dtmetrics: disabled by the environment: nothing is recorded"
    ]


def test_arguments_are_not_checked(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments that are invalid, or lack a token, raise nothing while it is disabled."""
    monkeypatch.setenv("DTMETRICS_DISABLED", "1")
    runtime.configure(endpoint="https://abc.example", interval=-1, strict=True)
    assert not runtime.registry.recording


def test_force_ends_what_runs(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration that runs ends with ``force=True``, after its final flush."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, interval=None)
    inc(runtime)
    monkeypatch.setenv("DTMETRICS_DISABLED", "true")
    runtime.configure()
    inc(runtime)
    assert runtime.registry.recording
    runtime.configure(force=True)
    inc(runtime)
    assert not runtime.registry.recording
    assert keys(exporter) == ["orders"]
