from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from dtmetrics._config.config import Config
from dtmetrics._config.platform_files import EndpointFileExporter, endpoint_file
from dtmetrics._core.secret import Secret
from dtmetrics._runtime.factories import make_exporter
from dtmetrics.errors import ConfigError

TOKEN = Secret("dt0c01.CANARY.secret")

IN_CLUSTER = "http://dynakube-activegate.dynatrace/e/abc12345/api/v2/metrics/ingest"


def notes(endpoint: str, **more: object) -> list[str]:
    """Return what is noted about an endpoint that a user sets."""
    arguments = {"endpoint": Secret(endpoint), "token": TOKEN, **more}
    return list(Config.resolve(arguments, {}).notes)


def of_file(url: str, **arguments: object) -> Config:
    """Return the settings with the URL of the operator's file."""
    return Config.resolve(arguments, {}).with_destination(Secret(url), TOKEN)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://abc12345.live.dynatrace.com",
        "https://gateway.apps.example.com",
        "http://localhost:14499",
    ],
)
def test_nothing_to_note(endpoint: str) -> None:
    """An endpoint that is used as it was written needs no note."""
    assert notes(endpoint) == []
    assert not Config.resolve({}, {}).notes


def test_user_interface() -> None:
    """The address of the user interface is corrected, and that is noted with both hosts."""
    url = "https://abc12345.apps.dynatrace.com"
    assert notes(url) == [
        "endpoint names the user interface of Dynatrace; its API is at "
        "'abc12345.live.dynatrace.com', which is used instead"
    ]
    environ = {"DTMETRICS_ENDPOINT": f" {url}/ ", "DTMETRICS_TOKEN": "x"}
    [note] = Config.resolve({}, environ).notes
    assert note.startswith("DTMETRICS_ENDPOINT names the user interface")


def test_token_in_a_host() -> None:
    """A token that was pasted into the host is not shown in a note."""
    [note] = notes("https://CANARY.apps.dynatrace.com", token=Secret("CANARY"))
    assert "canary" not in note.lower()


def test_operators_plain_http() -> None:
    """A plain http URL in the operator's file is used for a host in the cluster."""
    config = of_file(IN_CLUSTER)
    assert config.endpoint == IN_CLUSTER
    assert config.token.reveal() == TOKEN.reveal()
    assert config.notes == (
        "the token is sent unencrypted to 'dynakube-activegate.dynatrace', which the "
        "Kubernetes operator names by an http:// URL; allow_plain_http=True accepts that",
    )
    assert of_file(IN_CLUSTER, allow_plain_http=True).notes == ()


def test_public_host_of_the_operator() -> None:
    """A plain http URL of a public host is invalid, also in the operator's file."""
    with pytest.raises(ConfigError, match="must begin with https"):
        of_file("http://activegate.example.com/e/abc12345")


def test_cluster_host_of_a_user() -> None:
    """A plain http URL of a cluster that a user sets is invalid without permission."""
    with pytest.raises(ConfigError, match="must begin with https"):
        notes(IN_CLUSTER)
    assert notes(IN_CLUSTER, allow_plain_http=True) == []
    environ = {"DT_METRICS_INGEST_URL": IN_CLUSTER, "DT_METRICS_INGEST_API_TOKEN": "x"}
    with pytest.raises(
        ConfigError, match="DT_METRICS_INGEST_URL must begin with https"
    ):
        Config.resolve({}, environ)


def write(path: Path, token: str) -> None:
    """Write the file of an operator whose ActiveGate is in the cluster."""
    entries = (
        f"DT_METRICS_INGEST_URL={IN_CLUSTER}\nDT_METRICS_INGEST_API_TOKEN={token}\n"
    )
    path.write_text(entries, "utf-8")


def test_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A note is logged once, also if the token in the file is rotated."""
    config = replace(Config.resolve({}, {}), platform_directory=str(tmp_path))
    path = Path(endpoint_file(str(tmp_path)))
    path.parent.mkdir()
    write(path, "CANARY-1")
    moves: list[int] = []
    exporter = make_exporter(
        config, on_move=lambda: moves.append(1), while_waiting=lambda: 1.0
    )
    assert isinstance(exporter, EndpointFileExporter)
    for token in ("CANARY-2", "CANARY-3"):
        write(path, token)
        exporter._check()  # a change is applied by the second check that finds it
        exporter._check()
    assert len(moves) == 2
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "the token is sent unencrypted" in record.getMessage()
    assert "CANARY" not in caplog.text
