"""The settings that travel with a pickle, and what they mean in the process they arrive in."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from dtmetrics import ConsoleExporter, MemoryExporter
from dtmetrics._config.config import Config
from dtmetrics._config.settings import SETTINGS
from dtmetrics._config.travelling import TRAVELLING, encode, resolve
from dtmetrics._core.secret import hide_secrets
from dtmetrics.errors import ConfigError

CANARY = "dt0c01.CANARY.secret"
ELSEWHERE = "https://abc12345.live.dynatrace.com/api/v2/metrics/ingest"

#: A value of each setting that travels, other than its default.
VALUES: dict[str, Any] = {
    "endpoint": "http://127.0.0.1:9/metrics/ingest",
    "allow_plain_http": True,
    "cap": "auto",
    "compression": "gzip",
    "delivery": "at_most_once",
    "dimensions": {"a": "b", "n": 1},
    "enrich": False,
    "flush_at_os_exit": False,
    "interval": None,
    "level": "OFF",
    "levels": {"shop": "DEBUG"},
    "max_outbox_bytes": 10,
    "budget": 40,
    "max_series": 20,
    "max_series_per_metric": 30,
    "metadata": False,
    "prefix": "pre",
    "process_dimension": True,
    "proxy": "http://proxy.example:3128",
    "rules": [{"key": "a.*", "cap": {"b": 3}, "drop_dimensions": ["c"]}],
    "runtime": ("cpu", "gc"),
    "self_metrics": False,
    "strict": True,
    "worker_dimension": False,
}


def sent(**arguments: Any) -> str:
    """Return the text with the settings of ``configure(**arguments)``."""
    arguments = hide_secrets(arguments)
    return encode(Config.resolve(arguments), arguments, 1)


def received(text: str) -> Config:
    """Return what *text* means here."""
    return resolve(json.loads(text))


def as_dict(config: Config) -> dict[str, Any]:
    """Return the fields of *config*, with its proxy as a text."""
    values = {each.name: getattr(config, each.name) for each in fields(Config)}
    values["proxy"] = values["proxy"] and values["proxy"].reveal()
    return values


def test_each_setting() -> None:
    """A setting travels, or is one of those that do not."""
    files = {"token_file", "ca_file", "client_cert", "client_key", "spool"}
    staying = {"token", "key_password", "exporter", "exporters", "announce", "travels"}
    assert VALUES.keys() | files == TRAVELLING == SETTINGS.keys() - staying


def test_rules_with_a_function() -> None:
    """Rules stay if one of them has a function, which a text cannot hold."""
    rules: Any = [{"key": "a", "replace": {"b": str.lower}}]
    assert received(sent(rules=rules)).rules == ()


def test_arguments() -> None:
    """What is given as arguments is the same in the other process, but for what stays."""
    one = Config.resolve(hide_secrets({**VALUES, "announce": False}))
    other = received(sent(**VALUES, announce=True, travels=True))
    assert {**as_dict(other), "token": ""} == {**as_dict(one), "token": ""}


@pytest.mark.parametrize("name", ["process_dimension", "interval", "proxy"])
def test_values_of_their_own(name: str) -> None:
    """Values that turn a setting off travel as well."""
    off = {"process_dimension": False, "interval": None, "proxy": False}[name]
    found = getattr(received(sent(**{name: off})), name)
    assert found in (off, "")


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the sender counts where the receiver has none, and no argument is given."""
    monkeypatch.setenv("DTMETRICS_PREFIX", "variable")
    monkeypatch.setenv("DTMETRICS_INTERVAL", "10")
    monkeypatch.setenv("DTMETRICS_LEVEL", "DEBUG")
    text = sent(level="ERROR")
    monkeypatch.delenv("DTMETRICS_PREFIX")
    monkeypatch.setenv("DTMETRICS_INTERVAL", "20")
    found = received(text)
    assert (found.prefix, found.interval, found.level) == ("variable", 20.0, 40)


def test_endpoint_by_default() -> None:
    """Without an endpoint the operator's file of the other host decides, or its OneAgent."""
    assert received(sent(prefix="a")).endpoint_from_file
    assert not received(sent(endpoint="http://localhost:14499")).endpoint_from_file


def test_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, password or credentials are in the text, from whichever source."""
    with_credentials = f"http://user:{CANARY}@proxy.example:3128"
    texts = [
        sent(endpoint=ELSEWHERE, token=CANARY, proxy=with_credentials),
        sent(endpoint=ELSEWHERE, token=lambda: CANARY),
    ]
    monkeypatch.setenv("DTMETRICS_TOKEN", CANARY)
    monkeypatch.setenv("DTMETRICS_PROXY", with_credentials)
    texts.append(sent(endpoint=ELSEWHERE))
    file = tmp_path / "token"
    file.write_text(CANARY)
    texts.append(sent(endpoint=ELSEWHERE, token_file=str(file)))
    for text in texts:
        assert "CANARY" not in text
        assert "proxy" not in text


def test_token_of_the_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is that of the other environment; without one the error names the host."""
    text = sent(endpoint=ELSEWHERE, token=CANARY)
    with pytest.raises(ConfigError, match="token must be set for the endpoint at"):
        received(text)
    monkeypatch.setenv("DTMETRICS_TOKEN", "dt0c01.OTHER.secret")
    assert received(text).token.reveal() == "dt0c01.OTHER.secret"


def test_token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a token's file travels; where it cannot be read, a variable counts."""
    file = tmp_path / "token"
    file.write_text(CANARY)
    monkeypatch.chdir(tmp_path)
    text = sent(endpoint=ELSEWHERE, token_file="token")
    monkeypatch.chdir("/")
    assert received(text).token_file == str(file)
    file.unlink()
    with pytest.raises(ConfigError, match="token must be set"):
        received(text)
    monkeypatch.setenv("DTMETRICS_TOKEN", "dt0c01.OTHER.secret")
    assert received(text).token.reveal() == "dt0c01.OTHER.secret"


def test_token_file_of_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token of the receiver's environment wins over a file of the sender's variable."""
    file = tmp_path / "token"
    file.write_text(CANARY)
    monkeypatch.setenv("DTMETRICS_TOKEN_FILE", str(file))
    text = sent(endpoint=ELSEWHERE)
    monkeypatch.delenv("DTMETRICS_TOKEN_FILE")
    assert received(text).token_file == str(file)
    monkeypatch.setenv("DTMETRICS_TOKEN", "dt0c01.OTHER.secret")
    found = received(text)
    assert (found.token_file, found.token.reveal()) == (None, "dt0c01.OTHER.secret")


@pytest.mark.parametrize(
    "arguments",
    [{"exporter": MemoryExporter()}, {"exporters": [MemoryExporter()]}],
)
def test_exporter(arguments: Any) -> None:
    """Of an exporter only the name of its class travels."""
    assert json.loads(sent(**arguments)) == {"number": 1, "exporter": "MemoryExporter"}


class EmptyExporter(MemoryExporter):
    """An exporter that is false where a truth value is needed."""

    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize("name", ["exporter", "exporters"])
def test_exporter_that_is_false(name: str) -> None:
    """An exporter counts as one, whatever its truth value is."""
    exporter = EmptyExporter()
    given: Any = exporter if name == "exporter" else [exporter]
    assert json.loads(sent(**{name: given}))["exporter"] == "EmptyExporter"


def test_exporters_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exporters that a variable names are those of each environment."""
    monkeypatch.setenv("DTMETRICS_EXPORTER", "console")
    text = sent(prefix="a")
    assert isinstance(received(text).exporters[0], ConsoleExporter)
    monkeypatch.delenv("DTMETRICS_EXPORTER")
    assert not received(text).exporters


def test_values_of_any_type() -> None:
    """Dimension values of other types travel as the texts that they are sent as."""
    found = received(sent(dimensions={"path": Path("a"), "n": 1.5, "none": None}))
    assert found.dimensions == {"path": "a", "n": 1.5, "none": None}


def made(**arguments: Any) -> str:
    """Return a text with *arguments* that is not checked."""
    return json.dumps({"number": 1, "arguments": arguments, "variables": {}})


def test_not_a_way_in() -> None:
    """Settings are checked where they arrive, and those that do not travel are left out."""
    found = received(made(token=CANARY, exporter="x", announce=True, unknown=1))
    assert not found.token
    assert found.exporter is None
    assert not found.announce
    invalid = made(interval=-1, endpoint="ftp://x", prefix="dt.", level="LOUD", spool=5)
    with pytest.raises(ConfigError) as caught:
        received(invalid)
    assert len(caught.value.problems) == 5


def test_size() -> None:
    """The text of usual settings is short, and the same for the same settings."""
    usual = {"endpoint": "http://127.0.0.1:9", "prefix": "shop", "interval": 10}
    assert len(sent(**usual)) < 150
    assert sent(**usual) == sent(**dict(reversed(usual.items())))
