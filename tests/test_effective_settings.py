from __future__ import annotations

from pathlib import Path

import pytest

from dtmetrics._config import environment
from dtmetrics._config.settings import SETTINGS
from dtmetrics._core.secret import Secret
from dtmetrics._doctor.effective_settings import (
    EffectiveSettings,
    resolve,
    settings_findings,
)
from dtmetrics._doctor.finding import Status

TOKEN = "dt0c01.ABC.CANARY"


@pytest.fixture
def operator_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the operator's file, in a directory of this test."""
    monkeypatch.setattr(
        environment, "platform_directory", lambda environ: str(tmp_path)
    )
    (tmp_path / "endpoint").mkdir()
    return tmp_path / "endpoint" / "endpoint.properties"


def shown(effective: EffectiveSettings) -> dict[str, str]:
    """Return the text of each finding, by setting."""
    found = [*settings_findings(effective)]
    assert "CANARY" not in repr([each.as_json() for each in found])
    texts = {str(each.details.get("setting")): each.text for each in found}
    return {name: text.partition(" = ")[2] for name, text in texts.items()}


def test_each_setting_has_an_origin() -> None:
    """Every setting of configure() is listed, with its value and where it comes from."""
    arguments = {"endpoint": Secret("https://abc.live.dynatrace.com")}
    environ = {
        "DTMETRICS_TOKEN": TOKEN,
        "DTMETRICS_INTERVAL": "10",
        "DTMETRICS_DIMENSIONS": "stage=test,service=shop",
    }
    texts = shown(resolve(arguments, environ))
    assert texts.keys() == SETTINGS.keys()
    url = "https://abc.live.dynatrace.com/api/v2/metrics/ingest"
    assert texts["endpoint"] == f"{url!r} (command line)"
    assert texts["token"] == "dt0c01.ABC.*** (environment, DTMETRICS_TOKEN)"
    assert texts["interval"] == "10.0 (environment, DTMETRICS_INTERVAL)"
    assert texts["dimensions"] == (
        "'stage=test, service=shop' (environment, DTMETRICS_DIMENSIONS)"
    )
    assert texts["prefix"] == "'' (default)"
    assert texts["spool"] == "none (default)"


@pytest.mark.parametrize(
    ("names", "shown_as", "problems"),
    [
        (
            "console",
            "ConsoleExporter",
            ["nothing is sent to the endpoint, which is not among the exporters"],
        ),
        ("dynatrace", "dynatrace", []),
        ("dynatrace,console", "ConsoleExporter, dynatrace", []),
    ],
)
def test_exporters(names: str, shown_as: str, problems: list[str]) -> None:
    """Exporters are listed, and the endpoint that gets nothing is examined as well."""
    environ = {"DTMETRICS_EXPORTER": names, "DTMETRICS_TOKEN": TOKEN}
    url = Secret("https://abc.live.dynatrace.com")
    effective = resolve({"endpoint": url}, environ)
    texts = shown(effective)
    assert texts["exporters"] == f"{shown_as} (environment, DTMETRICS_EXPORTER)"
    assert texts["token"].startswith("dt0c01.ABC.***")
    found = [each for each in settings_findings(effective) if each.remedy]
    assert [each.text for each in found] == problems
    for each in found:
        assert each.status is Status.PROBLEM
        assert each.remedy == "add dynatrace to DTMETRICS_EXPORTER"


def test_token_without_a_public_part() -> None:
    """Of a token that has not the usual form, nothing is shown."""
    environ = {"DTMETRICS_TOKEN": "CANARY"}
    arguments = {"endpoint": Secret("http://127.0.0.1:1")}
    assert shown(resolve(arguments, environ))["token"].startswith("*** (")


def test_file(operator_file: Path) -> None:
    """The endpoint and the token of the operator's file are the effective ones."""
    operator_file.write_text(
        "DT_METRICS_INGEST_URL=https://ag.example/e/1/api/v2/metrics/ingest\n"
        f"DT_METRICS_INGEST_API_TOKEN={TOKEN}\n"
    )
    texts = shown(resolve({}, {}))
    assert texts["endpoint"].endswith(f"ingest' (file, {operator_file})")
    assert texts["token"] == f"dt0c01.ABC.*** (file, {operator_file})"
    texts = shown(resolve({}, {"DTMETRICS_TOKEN": "dt0c01.DEF.CANARY"}))
    assert texts["token"] == "dt0c01.DEF.*** (environment, DTMETRICS_TOKEN)"


def test_no_file(operator_file: Path) -> None:
    """Without the file the OneAgent of this host is the endpoint, and gets no token."""
    texts = shown(resolve({}, {"DTMETRICS_TOKEN": TOKEN}))
    assert texts["endpoint"] == "'http://localhost:14499/metrics/ingest' (default)"
    assert texts["token"].startswith("none ")


def test_problems(operator_file: Path) -> None:
    """Settings that cannot work are problems, each with its sentence."""
    environ = {"DTMETRICS_INTERVAL": "-1", "DTMETRICS_LEVEL": "LOUD"}
    effective = resolve({}, environ)
    assert effective.config is None
    found = [*settings_findings(effective)]
    assert [each.status for each in found] == [Status.PROBLEM] * 2
    [interval] = [each for each in found if "INTERVAL" in each.text]
    assert interval.text.startswith("DTMETRICS_INTERVAL must be between 0 and")
    operator_file.write_text("DT_METRICS_INGEST_URL=ftp://ag.example\n")
    [found_in_file] = settings_findings(resolve({}, {}))
    assert found_in_file.text.startswith(f"{operator_file}: DT_METRICS_INGEST_URL must")


def test_file_of_settings(tmp_path: Path) -> None:
    """A setting of the file that the environment names is shown with the file."""
    file = tmp_path / "shop.toml"
    file.write_text("interval = 5\nlevel = 10\nexporters = 'console'")
    environ = {"DTMETRICS_CONFIG": str(file), "DTMETRICS_LEVEL": "20"}
    effective = resolve({}, environ)
    texts = shown(effective)
    assert texts["interval"] == f"5.0 (file, {file})"
    assert texts["level"] == "20 (environment, DTMETRICS_LEVEL)"
    assert texts["exporters"] == f"ConsoleExporter (file, {file})"
    [remedy] = [each.remedy for each in settings_findings(effective) if each.remedy]
    assert remedy == f"add dynatrace to {file}"
    file.write_text("levles = 1")
    [found] = settings_findings(resolve({}, environ))
    assert found.text.startswith(f"{file}: levles is not a setting")


def test_secrets_are_not_shown() -> None:
    """The URL of a proxy may hold credentials, and is not shown."""
    arguments = {"proxy": Secret("http://user:CANARY@proxy.example:3128")}
    assert shown(resolve(arguments, {}))["proxy"].startswith("***")
