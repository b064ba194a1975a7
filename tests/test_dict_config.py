"""``dict_config()``, ``file_config()`` and ``DTMETRICS_CONFIG``, in a program."""

from __future__ import annotations

import inspect
import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dtmetrics
from dtmetrics import ConsoleExporter, MemoryExporter, dict_config, file_config
from dtmetrics._config.config import Config
from dtmetrics._core.secret import Secret
from dtmetrics._runtime.runtime import Runtime, default
from dtmetrics.errors import ConfigError, ConflictError
from dtmetrics.exporters import DynatraceExporter
from tests.support.endpoint import Endpoint

TOKEN = "dt0c01.CANARY.secret"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file of settings."""
    path = tmp_path / "shop.toml"
    path.write_text('interval = 5\nlevel = "DEBUG"\n')
    return path


def running() -> Config:
    """Return the settings in effect."""
    assert default._config is not None
    return default._config


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what has been logged as a warning, and forget it."""
    found = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    caplog.clear()
    return found


def test_mapping() -> None:
    """The settings of a mapping take effect as those of configure() do."""
    with Endpoint() as endpoint:
        dict_config({"endpoint": endpoint.url, "interval": None, "prefix": "shop"})
        dtmetrics.counter("orders").inc()
        assert dtmetrics.flush()
        assert endpoint.total("shop.orders") == 1


def test_file(file: Path) -> None:
    """The settings of a file take effect, whichever kind of path names it."""
    for path in file, str(file):
        file_config(path, force=True)
        assert (running().interval, running().level) == (5.0, logging.DEBUG)


def test_variable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``configure()`` reads the file that the environment names, below arguments."""
    monkeypatch.setenv("DTMETRICS_CONFIG", str(file))
    dtmetrics.configure(level="ERROR")
    assert (running().interval, running().level) == (5.0, logging.ERROR)


def test_variable_is_not_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that the program names replaces the one that the environment names."""
    monkeypatch.setenv("DTMETRICS_CONFIG", "/missing")
    file_config(file)
    assert running().interval == 5.0
    dict_config({"level": "ERROR"}, force=True)
    assert (running().interval, running().level) == (60.0, logging.ERROR)


def test_problems(file: Path) -> None:
    """A problem raises a ConfigError, and what runs goes on as before."""
    dict_config({"interval": None})
    before = running()
    file.write_text("levles = 1\ninterval = 0")
    with pytest.raises(ConfigError) as caught:
        file_config(file, force=True)
    assert caught.value.problems == (
        f"{file}: levles is not a setting (did you mean levels?)",
        f"{file}: interval must be between 0 and 86400 seconds, got 0 (did you mean "
        "None?)",
    )
    with pytest.raises(ConfigError, match=r"path must be a path, got 1"):
        file_config(1, force=True)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="settings must be a table of settings"):
        dict_config([], force=True)  # type: ignore[arg-type]
    assert running() is before


def test_strict_document() -> None:
    """A document may be strict about definitions."""
    runtime = Runtime()  # of its own, because definitions outlive a test
    runtime.get_meter("a").counter("orders")
    runtime.get_meter("b").gauge("orders")
    with pytest.raises(ConflictError):
        runtime.dict_config(Secret({"strict": True}))


def test_disabled(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environment switches everything off, no document is checked."""
    monkeypatch.setenv("DTMETRICS_DISABLED", "true")
    dict_config({"levles": 1})
    file_config("/missing")
    monkeypatch.setenv("DTMETRICS_CONFIG", "/missing")
    dtmetrics.configure()
    assert not default.registry.recording


def test_second_call(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A second call changes nothing; settings that differ are named, others are not."""
    settings: dict[str, Any] = {"interval": 5, "level": "DEBUG", "exporters": "console"}
    dict_config(settings)
    before = running()
    dict_config(settings)
    dict_config({})
    file_config(file)
    dtmetrics.configure()
    assert warnings(caplog) == []
    for call in (
        lambda: dict_config({"interval": 6, "level": "DEBUG"}),
        lambda: dict_config({"interval": 5, "level": "ERROR", "levles": 1}),
        lambda: dtmetrics.configure(interval=6),
    ):
        call()
        [warning] = warnings(caplog)
        assert "force=True" in warning
    file.write_text("interval = 7")
    file_config(file)
    [warning] = warnings(caplog)
    assert "other settings (interval): force=True" in warning
    assert running() is before


def test_travels(file: Path, monkeypatch: pytest.MonkeyPatch, runtime: Runtime) -> None:
    """Settings of a document travel as arguments do, those of the variable as variables do."""
    file.write_text('interval = 5\nproxy = false\nexporters = "console"')
    runtime.file_config(file)
    sent = json.loads(runtime.travel.sent)
    assert sent["arguments"] == {"interval": 5.0, "proxy": False}
    monkeypatch.setenv("DTMETRICS_CONFIG", str(file))
    monkeypatch.setenv("DTMETRICS_PREFIX", "shop")
    runtime.configure(level="ERROR", force=True)
    sent = json.loads(runtime.travel.sent)
    assert sent["arguments"] == {"level": 40}
    variables = {"enrich": False, "prefix": "shop", "interval": 5.0, "proxy": False}
    assert sent["variables"] == variables
    # The worker has a file of its own, which wins over variables from elsewhere.
    file.write_text("interval = 9")
    worker = Runtime()
    worker.arrive(runtime.travel.sent)
    assert worker._config is not None
    found = worker._config.interval, worker._config.level, worker._config.prefix
    assert found == (9.0, 40, "shop")
    worker.shutdown()


def test_exporter_of_the_program(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DynatraceExporter takes its destination from the file of the environment."""
    file.write_text(f"endpoint = 'https://abc.example'\ntoken = '{TOKEN}'")
    monkeypatch.setenv("DTMETRICS_CONFIG", str(file))
    exporter = DynatraceExporter()
    assert "https://abc.example" in repr(exporter)
    dtmetrics.configure(exporters=[exporter, MemoryExporter()], interval=None)
    assert running().exporters[0] is exporter


def dict_with_a_secret(file: Path) -> None:
    """Configure by a mapping whose secret stands in another place."""
    dict_config({"tokens": TOKEN, "token": [TOKEN]})


def file_with_a_secret(file: Path) -> None:
    """Configure by such a file."""
    file_config(file)


@pytest.mark.parametrize("configure", [dict_with_a_secret, file_with_a_secret])
def test_secret_in_no_traceback(configure: Callable[[Path], None], file: Path) -> None:
    """The traceback of a call shows no secret of its argument."""
    file.write_text(f'tokens = "{TOKEN}"\ntoken = ["{TOKEN}"]')
    with pytest.raises(ConfigError) as caught:
        configure(file)
    trace = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    shown = "".join(trace.format())
    assert "dict_config.py" in shown
    assert "CANARY" not in shown


def test_console_by_name() -> None:
    """The console exporter is made by its name."""
    dict_config({"exporters": ["console"], "interval": None})
    [exporter] = running().exporters
    assert isinstance(exporter, ConsoleExporter)


@pytest.mark.parametrize("call", [dict_config, file_config])
def test_signature(call: Callable[..., None]) -> None:
    """*force* is passed by keyword."""
    _, force = inspect.signature(call).parameters.values()
    assert (force.kind, force.default) == (force.KEYWORD_ONLY, False)
