"""Conformance with the official libraries: metadata and enrichment files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dtmetrics._config.platform_files import first_line, read_enrichment
from dtmetrics._protocol.metadata import Metadata, encode_metadata
from dtmetrics._protocol.normalize import text_of
from dtmetrics._record.options import RecordingOptions
from dtmetrics._runtime.runtime import Runtime
from tests.support import protocol_grammar
from tests.support.delivery_rig import Script
from tests.support.recorder import Recorder
from tests.support.vectors import Case, Difference, agree, differ, vectors

Parts = tuple[str, str, dict[str, str]] | None

VIRTUAL = "dt_metadata_e617c525669e072eebe3d0f08212e8f2"


def quoted(text: str) -> str | None:
    r"""Return *text* in quotes, with `"` and `\` escaped; None if it is empty."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if text else None


def one_line(raw: str) -> str:
    """Return *raw* stripped, with a blank for each run of control characters."""
    return re.sub("[\x00-\x1f]+", " ", raw).strip()


differ(
    Difference(
        "a backslash is escaped: in the Java library it escapes the next character, even "
        "the closing quote",
        "md-010 md-011 md-015",
        lambda raw: quoted(one_line(raw)),
    ),
    Difference(
        "a line end is a blank: escaped line ends are not documented",
        "md-013 md-014",
        lambda raw: quoted(one_line(raw)),
    ),
    Difference(
        "a control character between two words becomes a blank",
        "md-017 md-028 md-029",
        lambda raw: quoted(one_line(raw)),
    ),
    Difference(
        "an unassigned character is text, as in dimensions",
        "md-021",
        quoted,
    ),
    Difference(
        "the limit is 1,023 characters, not that of a display name",
        "md-067 md-071",
        quoted,
    ),
    Difference(
        "quotes around a text are part of it",
        "md-036 md-037 md-038 md-039 md-040 md-041 md-042 md-043 md-044 md-045 md-046 "
        "md-047 md-048 md-049 md-050 md-051 md-052 md-053 md-054 md-055 md-056 md-057 "
        "md-058 md-059 md-060 md-061 md-062 md-063 md-064 md-065 md-066",
        lambda raw: quoted(one_line(raw)),
    ),
    Difference(
        "the API has no display names",
        "md-147 md-148 md-161 md-162 md-165 md-166 md-167 md-169 md-170 md-174 md-177 "
        "md-213",
        lambda case_input: parts(
            case_input["key"],
            unit=case_input.get("unit"),
            description=quoted(case_input.get("description", "")),
            prefix=case_input.get("prefix"),
        ),
    ),
    Difference(
        "the API has no display names, and a line end is a blank",
        "md-173",
        lambda case_input: parts("my.metric", description='"multiline description"'),
    ),
    Difference(
        "a line end of a description is a blank",
        "md-152",
        lambda case_input: parts("my.metric", description='"multiline description"'),
    ),
    Difference(
        "empty quotes are a text of two quotes",
        "md-156",
        lambda case_input: parts("my.metric", description=r'"\"\""'),
    ),
    Difference(
        "a unit that is an annotation is a Count",
        "md-159",
        lambda case_input: parts("my.metric", unit="Count"),
    ),
    Difference(
        "a unit that is an annotation is a Count, and the API has no display names",
        "md-171",
        lambda case_input: parts(
            "my.metric", unit="Count", description='"escape description"'
        ),
    ),
    Difference(
        "a unit that is an annotation is a Count, and quotes are text",
        "md-176",
        lambda case_input: parts("my.metric", unit="Count", description=r'"\"\""'),
    ),
    Difference(
        "quotes in a description are text, a unit has none, and no name is sent",
        "md-214",
        lambda case_input: parts("cloud.gcp.x", unit="Byte", description=r'"d \"q\""'),
    ),
    Difference(
        "of two definitions the first counts, as for the endpoint",
        "md-210",
        lambda case_input: [
            parts(
                "my.count",
                kind="count",
                unit="Bytes",
                description='"count 1 description"',
            )
        ],
    ),
    Difference(
        "metadata is sent in batches of its own, so that responses count points only",
        "md-211",
        lambda case_input: [2, 2],
    ),
    Difference(
        "each file is read: one that names a missing file does not affect the others",
        "md-246",
        lambda case_input: {"key1": "value1", "key2": "value2", "key3": "value3"},
    ),
)


def parts(
    key: str, prefix: str | None = None, kind: str = "gauge", **named: str | None
) -> Parts:
    """Return the parts of a metadata line; None if it has no properties."""
    properties = {f"dt.meta.{name}": text for name, text in named.items() if text}
    key = f"{prefix}.{key}" if prefix else key
    return (key, kind, properties) if properties else None


def read(line: str | None) -> Parts:
    """Return the parts of *line*, with texts in quotes, which are optional."""
    if line is None:
        return None
    found = re.fullmatch(r"#(\S+) (gauge|count) (.+)", line)
    assert found
    pairs = re.findall(r'(dt\.meta\.\w+)=("(?:\\.|[^"\\])*"|[^",]+)(?:,|$)', found[3])
    assert ",".join(map("=".join, pairs)) == found[3]
    properties = {
        name: text.strip('"') if name == "dt.meta.unit" else in_quotes(text)
        for name, text in pairs
    }
    return found[1], found[2], properties


def in_quotes(text: str) -> str:
    """Return *text* in quotes."""
    return text if text.startswith('"') else f'"{text}"'


# -- metadata ---------------------------------------------------------------------


@vectors("metadata", "metadata_string")
def test_descriptions(case: Case) -> None:
    """A description is that of the official libraries, in quotes."""
    line = encode_metadata(Metadata("key", "gauge", "", text_of(case["input"])))
    ours = line and line.removeprefix("#key gauge dt.meta.description=")
    agree(case, ours, in_quotes(case["expected"]) if case["expected"] else None)


@vectors("metadata", "unit_valid")
def test_units_that_are_sent(case: Case) -> None:
    """A unit is sent if the official libraries send it."""
    line = encode_metadata(Metadata("key", "gauge", text_of(case["input"]), ""))
    agree(case, line is not None, case["expected"])


@vectors("metadata", "unit_map")
def test_units_of_time(case: Case) -> None:
    """A unit of time that is written out has the name that micrometer gives it."""
    line = encode_metadata(Metadata("key", "gauge", case["input"], ""))
    agree(case, line, f"#key gauge dt.meta.unit={case['expected']}")


@vectors("metadata", "metadata_line")
def test_lines(case: Case) -> None:
    """The metadata line of a metric has the properties of the official one, in any order."""
    case_input = case["input"]
    recorder = Recorder()
    recorder.registry.start(
        RecordingOptions(prefix=case_input.get("prefix", "")), lambda: True
    )
    texts = {name: case_input.get(name) for name in ("unit", "description")}
    if case_input["type"] == "count":
        recorder.meter.counter(case_input["key"], **texts).inc()
    else:
        recorder.meter.gauge(case_input["key"], **texts).set(1)
    lines = [
        encode_metadata(each) for each in recorder.registry.catalog.collect_metadata()
    ]
    agree(case, read(lines[0] if lines else None), read(case["expected"]))


@vectors("metadata", "metadata_batch")
def test_flushes(case: Case, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush sends the data, and then the metadata of each key once."""
    case_input = case["input"]
    if isinstance(case_input, dict):
        monkeypatch.setattr(
            "dtmetrics._deliver.batching.LINES_LIMIT", case_input["batch_size"]
        )
        both = [
            {"key": "my.count", "delta": 1, "unit": "Bytes"},
            {"key": "my.gauge", "delta": 1, "unit": "Liters"},
        ]
        counts = [len(lines) for lines in flushed(runtime, both)]
        agree(case, counts, case["expected"]["request_line_counts"])
        return
    ours = [line for lines in flushed(runtime, case_input) for line in lines]
    theirs = [line.removesuffix(" <ts>") for line in case["expected"]]
    data = len(case_input)
    assert [protocol_grammar.read(line)[:4] for line in ours[:data]] == [
        protocol_grammar.read(line)[:4] for line in theirs[:data]
    ]
    agree(case, list(map(read, ours[data:])), list(map(read, theirs[data:])))


def flushed(runtime: Runtime, records: list[Case]) -> list[list[str]]:
    """Return the lines of each batch that is sent for these increments."""
    exporter = Script()
    runtime.configure(
        exporter=exporter,
        interval=None,
        dimensions={"dt.metrics.source": "micrometer"},
        metadata=all(each.get("export_metadata", True) for each in records),
        enrich=False,
    )
    for each in records:
        texts = {name: each.get(name) for name in ("unit", "description")}
        counter = runtime.meters.root.counter(each["key"], **texts)
        counter.inc(each["delta"], **each.get("dims", {}))
    assert runtime.flush()
    return [batch.text.decode().split("\n") for batch in exporter.batches]


# -- enrichment files ----------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of the enrichment files, and make it the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@vectors("metadata", "enrichment_properties")
def test_properties(case: Case, here: Path) -> None:
    """A properties file gives the pairs that the official libraries read from it."""
    text = "\n".join(line.removesuffix("\n") for line in case["input"])
    (here / "dt_metadata.properties").write_text(text, "utf-8")
    agree(case, read_enrichment(str(here)), case["expected"])


@vectors("metadata", "enrichment_map")
def test_maps(case: Case, here: Path) -> None:
    """A JSON file gives the pairs that have a key and a value."""
    (here / "dt_metadata.json").write_text(json.dumps(case["input"]), "utf-8")
    agree(case, read_enrichment(str(here)), case["expected"])


@vectors("metadata", "indirection_file")
def test_indirection(case: Case) -> None:
    """The first line of the file of OneAgent names another file."""
    agree(case, first_line(case["input"]) or None, case["expected"])


@vectors("metadata", "enrichment_files")
def test_files(case: Case, here: Path) -> None:
    """Files are found and followed as in the official libraries."""
    names = {
        "virtual": f"{VIRTUAL}.properties",
        "virtual_json": f"{VIRTUAL}.json",
        "fallback": "dt_metadata.properties",
    }
    for name, text in case["input"].items():
        path = here / names.get(name, name)
        if isinstance(text, dict):
            path.mkdir()  # reading it raises
        elif text is not None:
            path.write_text(text, "utf-8")
    agree(case, read_enrichment(str(here)), case["expected"])
