from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dtmetrics._config.config import Config
from dtmetrics._core.secret import hide_secrets
from dtmetrics._runtime.factories import make_targets, recording_options
from dtmetrics.exporters import DynatraceExporter, MemoryExporter

HERE = DynatraceExporter(endpoint="http://127.0.0.1:9")
ELSEWHERE = DynatraceExporter(endpoint="https://abc.example", token="x")


def resolve(**settings: Any) -> Config:
    """Return the settings with which a program calls configure()."""
    return Config.resolve(hide_secrets(settings), environ={})


@pytest.mark.parametrize(
    ("settings", "is_added"),
    [
        ({}, True),
        ({"endpoint": "http://127.0.0.1:9"}, True),
        ({"endpoint": "https://abc.example", "token": "x"}, False),
        ({"exporter": MemoryExporter()}, False),
        ({"exporter": HERE}, True),
        ({"exporter": ELSEWHERE}, False),
        ({"exporters": [MemoryExporter(), HERE]}, True),
        ({"exporters": [HERE, ELSEWHERE]}, False),
        ({"exporters": [MemoryExporter()]}, False),
        ({"exporters": "console,dynatrace"}, True),
    ],
)
def test_process_dimension(settings: dict[str, Any], is_added: bool) -> None:
    """Only a OneAgent on this host gets the number of the process.

    All exporters get the same, so one endpoint on another host leaves it out.
    """
    added = recording_options(resolve(**settings, process_dimension=True))
    assert added.process_dimension == ("dt.process.pid" if is_added else "")
    assert recording_options(resolve(**settings)).process_dimension == ""


def test_process_dimension_with_the_operators_file(tmp_path: Path) -> None:
    """The operator's file names an endpoint on another host."""
    path = tmp_path / "endpoint" / "endpoint.properties"
    path.parent.mkdir()
    path.write_text("DT_METRICS_INGEST_URL=https://abc.example\n")
    config = replace(resolve(process_dimension=True), platform_directory=str(tmp_path))
    assert recording_options(config).process_dimension == ""


def test_pause_of_each(tmp_path: Path) -> None:
    """Of several exporters, each has the pauses that fit its endpoint and its token."""
    path = tmp_path / "token"
    path.write_text("x")
    changing = DynatraceExporter(endpoint="https://abc.example", token_file=path)
    config = resolve(exporters=[HERE, ELSEWHERE, changing])
    targets = make_targets(config, on_move=bool, while_waiting=float)
    policies = [each.policy for each in targets]
    assert [each.longest_pause for each in policies] == [10.0, 60.0, 60.0]
    assert [each.longest_slow_pause for each in policies] == [300.0, 300.0, 60.0]
