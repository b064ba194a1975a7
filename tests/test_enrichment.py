from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._config.enrichment import directory_of, enrichment, first_line, pairs_of
from dtmetrics._runtime.runtime import Process
from dtmetrics.exporters import MemoryExporter
from tests.support.recorder import Recorder, dimensions_of

VIRTUAL = "dt_metadata_e617c525669e072eebe3d0f08212e8f2"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of the platform's files, which is the working one as well."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def says(path: Path, **pairs: str) -> None:
    """Write *pairs* to the file at *path*, in its form."""
    if path.suffix == ".json":
        path.write_text(json.dumps(pairs), "utf-8")
    else:
        path.write_text("".join(f"{k}={v}\n" for k, v in pairs.items()), "utf-8")


def test_nothing_there(here: Path) -> None:
    """Most processes have no such file, and get no dimension."""
    assert enrichment(str(here)) == {}


@pytest.mark.parametrize("form", ["json", "properties"])
def test_what_oneagent_shows(here: Path, form: str) -> None:
    """OneAgent's file is opened by its bare name, and leads to another."""
    target = here / f"elsewhere.{form}"
    says(target, **{"dt.entity.process_group_instance": "PGI-1"})
    (here / f"{VIRTUAL}.{form}").write_text(f" {target}\n\nmore\n", "utf-8")
    assert enrichment("/nowhere") == {"dt.entity.process_group_instance": "PGI-1"}


@pytest.mark.parametrize("form", ["json", "properties"])
def test_pod_and_host(here: Path, form: str) -> None:
    """Pod and host say what they know, each in one of two forms; the host wins."""
    says(here / f"dt_metadata.{form}", **{"k8s.pod.name": "p", "dt.entity.host": "a"})
    says(here / f"dt_host_metadata.{form}", **{"dt.entity.host": "HOST-1"})
    assert enrichment(str(here)) == {"k8s.pod.name": "p", "dt.entity.host": "HOST-1"}


def test_the_second_form_is_read_where_the_first_is_none(here: Path) -> None:
    """A broken file says nothing, and hides nothing."""
    (here / "dt_metadata.json").write_text('{"a": ', "utf-8")
    says(here / "dt_metadata.properties", a="1")
    (here / f"{VIRTUAL}.properties").write_text("missing.properties", "utf-8")
    assert enrichment(str(here)) == {"a": "1"}


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
def test_broken_json(here: Path, text: bytes) -> None:
    """Whatever a file holds, reading it ends well."""
    (here / "dt_metadata.json").write_bytes(text)
    assert enrichment(str(here)) == {}


@pytest.mark.parametrize("text", ['{"a": "1"}', "a=1"], ids=["json", "properties"])
def test_byte_order_mark(here: Path, text: str) -> None:
    """What some editors put before a text is no part of it."""
    form = "json" if text.startswith("{") else "properties"
    (here / f"dt_metadata.{form}").write_text(text, "utf-8-sig")
    assert enrichment(str(here)) == {"a": "1"}


def test_a_directory_in_its_place(here: Path) -> None:
    """What cannot be read as a file says nothing."""
    (here / "dt_metadata.json").mkdir()
    assert enrichment(str(here)) == {}
    assert enrichment("\0") == {}


@given(st.text())
def test_properties(text: str) -> None:
    """Any text gives pairs with a key and a value, without blanks around them."""
    for key, value in pairs_of(text).items():
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
    """Lines are split at their first equals sign, and nothing in them is escaped."""
    assert pairs_of(text) == pairs


def test_first_line() -> None:
    """Of several lines the first that is not blank counts."""
    assert first_line("\t \n a path \nanother") == "a path"


@pytest.mark.parametrize(
    ("environ", "system", "path"),
    [
        ({}, "posix", "/var/lib/dynatrace/enrichment"),
        ({}, "nt", r"C:\ProgramData\dynatrace\enrichment"),
        ({"ProgramData": r"D:\Data"}, "nt", r"D:\Data\dynatrace\enrichment"),
    ],
)
def test_directory(environ: dict[str, str], system: str, path: str) -> None:
    """Each system has a place for these files."""
    assert directory_of(environ, system) == path


def test_enrichment_is_the_most_specific() -> None:
    """What the platform says wins over what the program says, and is kept first."""
    recorder = Recorder(
        enrichment={"dt.entity.host": "HOST-1"}, dimensions={"dt.entity.host": "d"}
    )
    many = {f"d{n}": n for n in range(50)}
    recorder.meter.counter("c").inc(1, **{"dt.entity.host": "mine", **many})
    [point] = recorder.points()
    assert dimensions_of(point)["dt.entity.host"] == "HOST-1"
    assert len(dimensions_of(point)) == 50


@pytest.mark.parametrize(("enrich", "added"), [(True, ",k8s.pod.name=p"), (False, "")])
def test_whole_way(
    here: Path,
    process: Process,
    monkeypatch: pytest.MonkeyPatch,
    enrich: bool,
    added: str,
) -> None:
    """What the platform says goes with every line, unless that is switched off."""
    says(here / "dt_metadata.json", **{"k8s.pod.name": "p"})
    monkeypatch.setattr("dtmetrics._config.config.directory_of", lambda _: str(here))
    exporter = MemoryExporter()
    process.configure(exporter=exporter, interval=None, enrich=enrich)
    process.meters.root.counter("c").inc()
    assert process.flush()
    [line] = exporter.lines
    assert line.startswith(f"c,dt.metrics.source=dtmetrics{added} count,")
