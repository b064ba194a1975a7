from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._config.platform_files import (
    first_line,
    parse_properties,
    read_enrichment,
)
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import MemoryExporter
from tests.support.recorder import Recorder, dimensions_of

VIRTUAL = "dt_metadata_e617c525669e072eebe3d0f08212e8f2"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the platform's directory, which is the working directory as well."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, **pairs: str) -> None:
    """Write *pairs* to the file at *path* in the format of its extension."""
    if path.suffix == ".json":
        path.write_text(json.dumps(pairs), "utf-8")
    else:
        path.write_text("".join(f"{k}={v}\n" for k, v in pairs.items()), "utf-8")


def test_no_file(directory: Path) -> None:
    """Without any file there is no dimension."""
    assert read_enrichment(str(directory)) == {}


@pytest.mark.parametrize("form", ["json", "properties"])
def test_virtual_file(directory: Path, form: str) -> None:
    """OneAgent's virtual file is opened by its bare name and holds the path of another."""
    target = directory / f"elsewhere.{form}"
    write(target, **{"dt.entity.process_group_instance": "PGI-1"})
    (directory / f"{VIRTUAL}.{form}").write_text(f" {target}\n\nmore\n", "utf-8")
    assert read_enrichment("/nowhere") == {"dt.entity.process_group_instance": "PGI-1"}


@pytest.mark.parametrize("form", ["json", "properties"])
def test_pod_and_host(directory: Path, form: str) -> None:
    """Pod and host each have a file in one of two formats; the host's wins."""
    write(
        directory / f"dt_metadata.{form}",
        **{"k8s.pod.name": "p", "dt.entity.host": "a"},
    )
    write(directory / f"dt_host_metadata.{form}", **{"dt.entity.host": "HOST-1"})
    assert read_enrichment(str(directory)) == {
        "k8s.pod.name": "p",
        "dt.entity.host": "HOST-1",
    }


def test_broken_file_is_skipped(directory: Path) -> None:
    """A broken file is skipped, and the one in the other format is read."""
    (directory / "dt_metadata.json").write_text('{"a": ', "utf-8")
    write(directory / "dt_metadata.properties", a="1")
    (directory / f"{VIRTUAL}.properties").write_text("missing.properties", "utf-8")
    assert read_enrichment(str(directory)) == {"a": "1"}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"3",
        b'{"a": {"x": 1}, "n": 1, "": "x", "b": ""}',
        b"\xff\xfe",
        b"[" * 60_000,
    ],
    ids=["empty", "list", "number", "values", "no text", "deep"],
)
def test_broken_json(directory: Path, text: bytes) -> None:
    """A JSON file that is not an object of texts gives no dimension and no error."""
    (directory / "dt_metadata.json").write_bytes(text)
    assert read_enrichment(str(directory)) == {}


@pytest.mark.parametrize("text", ['{"a": "1"}', "a=1"], ids=["json", "properties"])
def test_byte_order_mark(directory: Path, text: str) -> None:
    """A byte order mark is not a part of the text."""
    form = "json" if text.startswith("{") else "properties"
    (directory / f"dt_metadata.{form}").write_text(text, "utf-8-sig")
    assert read_enrichment(str(directory)) == {"a": "1"}


def test_directory_instead_of_a_file(directory: Path) -> None:
    """A path that cannot be read as a file gives no dimension."""
    (directory / "dt_metadata.json").mkdir()
    assert read_enrichment(str(directory)) == {}
    assert read_enrichment("\0") == {}


@given(st.text())
def test_properties(text: str) -> None:
    """Any text gives pairs with a key and a value, without spaces around them."""
    for key, value in parse_properties(text).items():
        assert key == key.strip() != ""
        assert value == value.strip() != ""
        assert "=" not in key


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a=1\r\nb = two words \n", {"a": "1", "b": "two words"}),
        ("a=b=c==", {"a": "b=c=="}),
        ("a=1\na=2", {"a": "2"}),
        ("=1\n2=\n===\n\nnone", {}),
        (r"path=C:\temp\x", {"path": r"C:\temp\x"}),
    ],
)
def test_properties_are_plain(text: str, pairs: dict[str, str]) -> None:
    """Lines are split at their first equals sign, and nothing is unescaped."""
    assert parse_properties(text) == pairs


def test_first_line() -> None:
    """Blank lines before the first line are skipped."""
    assert first_line("\t \n a path \nanother") == "a path"


def test_enrichment_wins() -> None:
    """Dimensions of the platform win over the program's of the same key."""
    recorder = Recorder(
        enrichment={"dt.entity.host": "HOST-1"}, dimensions={"dt.entity.host": "d"}
    )
    recorder.meter.counter("c").inc(1, **{"dt.entity.host": "mine"})
    [point] = recorder.points()
    assert dimensions_of(point) == {"dt.entity.host": "HOST-1"}


@pytest.mark.parametrize(("enrich", "added"), [(True, ",k8s.pod.name=p"), (False, "")])
def test_enrich_setting(
    directory: Path,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    enrich: bool,
    added: str,
) -> None:
    """The platform's dimensions are on every line, unless ``enrich=False``."""
    write(directory / "dt_metadata.json", **{"k8s.pod.name": "p"})
    monkeypatch.setattr(
        "dtmetrics._config.environment.platform_directory", lambda _: str(directory)
    )
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, interval=None, enrich=enrich)
    runtime.meters.root.counter("c").inc()
    assert runtime.flush()
    [line] = exporter.lines
    assert line.startswith(f"c,dt.metrics.source=dtmetrics{added} count,")
