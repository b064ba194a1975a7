from __future__ import annotations

import pytest

from dtmetrics._config import environment


def test_settings_with_their_variables() -> None:
    """Each setting comes with the variable that sets it; endpoint and token as secrets."""
    environ = {"DTMETRICS_INTERVAL": " 10 ", "DTMETRICS_PREFIX": " ", "OTHER": "x"}
    environ |= {"DTMETRICS_TOKEN": "abc", "DT_METRICS_INGEST_URL": "url"}
    settings = environment.settings_of(environ)
    assert {name: (source, str(text)) for name, (source, text) in settings.items()} == {
        "endpoint": ("DT_METRICS_INGEST_URL", "***"),
        "token": ("DTMETRICS_TOKEN", "***"),
        "interval": ("DTMETRICS_INTERVAL", "10"),
    }


def test_real_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping, the environment of the process is read at the call."""
    name = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS"
    monkeypatch.setenv("DTMETRICS_SPOOL", "/tmp/spool")
    monkeypatch.setenv(name, "GET, BREW,")
    assert environment.settings_of()["spool"] == ("DTMETRICS_SPOOL", "/tmp/spool")
    assert environment.known_http_methods() == {"GET", "BREW"}
    assert environment.known_http_methods({}) == frozenset()


@pytest.mark.parametrize(
    ("environ", "system", "path"),
    [
        ({}, "posix", "/var/lib/dynatrace/enrichment"),
        ({}, "nt", r"C:\ProgramData\dynatrace\enrichment"),
        ({"ProgramData": r"D:\Data"}, "nt", r"D:\Data\dynatrace\enrichment"),
    ],
)
def test_platform_directory(environ: dict[str, str], system: str, path: str) -> None:
    """Each operating system has its own directory for the platform's files."""
    assert environment.platform_directory(environ, system) == path
