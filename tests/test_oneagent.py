from __future__ import annotations

from pathlib import Path

import pytest

from dtmetrics._config.config import Config
from dtmetrics._doctor import oneagent
from dtmetrics._doctor.finding import Finding, Status
from dtmetrics._doctor.oneagent import platform_findings

VIRTUAL = "dt_metadata_e617c525669e072eebe3d0f08212e8f2.json"


def found(directory: Path, *, enrich: bool = True) -> dict[str, Finding]:
    """Return the findings by their check."""
    config = Config(platform_directory=str(directory), enrich=enrich)
    return {each.check: each for each in platform_findings(config)}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let OneAgent's virtual file, which has no directory, be one of this test."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def test_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The absence of OneAgent and of the operator is not a problem."""
    monkeypatch.setattr(oneagent, "_ONEAGENT_DIRECTORIES", (str(tmp_path / "no"),))
    findings = found(tmp_path)
    assert findings["enrichment"].status is Status.NOTE
    assert findings["operator"].status is Status.SKIPPED
    assert findings["oneagent"].status is Status.SKIPPED


def test_enrichment(tmp_path: Path) -> None:
    """The dimensions that the files add are listed."""
    (tmp_path / "dt_metadata.json").write_text('{"k8s.pod.name": "shop-1"}')
    findings = found(tmp_path)
    assert findings["enrichment"].status is Status.OK
    assert "k8s.pod.name" in findings["enrichment"].text
    assert found(tmp_path, enrich=False)["enrichment"].status is Status.SKIPPED


def test_operator_file(tmp_path: Path) -> None:
    """The operator's file is usable or not, and its token is not shown."""
    path = tmp_path / "endpoint" / "endpoint.properties"
    path.parent.mkdir()
    path.write_text("nonsense")
    assert found(tmp_path)["operator"].status is Status.WARNING
    path.write_text("DT_METRICS_INGEST_URL=https://ag\nDT_METRICS_INGEST_API_TOKEN=CAN")
    operator = found(tmp_path)["operator"]
    assert operator.text == f"{path} has an endpoint and a token"
    path.write_text("DT_METRICS_INGEST_URL=https://ag\n")
    assert found(tmp_path)["operator"].text.endswith("an endpoint and no token")


def test_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A OneAgent that is installed may measure Python in other processes."""
    monkeypatch.setattr(oneagent, "_ONEAGENT_DIRECTORIES", (str(tmp_path),))
    finding = found(tmp_path)["oneagent"]
    assert finding.status is Status.NOTE
    assert "builtin:tech.python.gc.*" in finding.text


def test_monitored(tmp_path: Path) -> None:
    """Where OneAgent monitors the process, its own metrics of Python would double."""
    Path(VIRTUAL).write_text(f"{tmp_path}/real.json")
    finding = found(tmp_path)["oneagent"]
    assert finding.status is Status.WARNING
    assert "builtin:tech.python.activeThreads" in finding.text
    assert "twice" in finding.remedy
