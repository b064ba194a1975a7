"""The official libraries' own test tables, and where we differ from them on purpose."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dtmetrics._record.dimensions import merge
from dtmetrics._wire.line import identify, number_text
from dtmetrics._wire.names import (
    Remembered,
    clean_dimension_key,
    clean_dimension_value,
    clean_key,
    text_of,
)
from dtmetrics._wire.point import (
    CountDelta,
    DataPoint,
    GaugeSummary,
    GaugeValue,
    Identity,
    Payload,
)
from tests.grammar import Line, read
from tests.recorder import MOMENT, Recorder, one_line_of

Case = dict[str, Any]

VECTORS = Path(__file__).parents[2] / "shared" / "vectors.json"
CASES: list[Case] = json.loads(VECTORS.read_text("utf-8")) if VECTORS.exists() else []

#: What the tests below run, filled by their decorators.
RUN: set[tuple[str, str]] = set()

LATER = "for the issue that brings this part of the product"
#: What they do not run, and why: a kind of an area, or a whole area.
NOT_RUN = {
    "metadata": LATER,
    "response": LATER,
    "endpoint": LATER,
    ("line", "accepted_by_docs"): "reading lines: tests/test_parse.py runs it",
    ("number", "is_valid_summary"): "reading lines: tests/test_parse.py runs it",
    ("line", "cumulative_to_delta"): "observed counters: a matter of recording",
    ("metric_key", "invalid_type"): "our signatures say str, and mypy looks at them",
    ("dimension_key", "invalid_type"): "our signatures say str, and mypy looks at them",
    ("dimension_value", "invalid_type"): "any value may be one: it has a text_of()",
    ("dimension_value", "needs_normalisation_quoted"): "no value is taken as quoted",
    ("number", "histogram_estimate_min"): "no histograms: a summary is kept",
    ("number", "histogram_estimate_max"): "no histograms: a summary is kept",
}


class Difference(NamedTuple):
    """Cases that we answer otherwise than the official libraries, and how."""

    why: str
    ids: str
    ours: Callable[[Any], object]  # takes the case's input


def filler(key: str, value: str, start: int, stop: int) -> str:
    """Return dimensions with numbers in them."""
    return "".join(f",{key}{n}={value}{n}" for n in range(start, stop))


DIM1_TO_49 = filler("dim", "val", 1, 50)

DIFFERENCES = [
    Difference(
        "tenants refused sections that start with a digit (protocol.md 2)",
        "mk-016 mk-017 mk-018 mk-047",
        lambda raw: re.sub(r"\.(?=[0-9])", "._", raw),
    ),
    Difference(
        "so these keys need an underscore",
        "mk-130 mk-131 mk-132 mk-139",
        lambda raw: True,
    ),
    Difference(
        "250 characters are published as well as 255, and are safe",
        "mk-055 dv-024 dv-035 dv-036 dv-037 dv-038",
        lambda raw: raw[:250],
    ),
    Difference("so these are too long", "mk-141 dv-260", lambda raw: True),
    Difference(
        "the 250 characters are those of the value, not of its escaped form",
        "dv-106 dv-107 dv-108 dv-109 dv-118 dv-119 dv-120 dv-121 dv-122 dv-237 dv-238 "
        "dv-239 dv-240 dv-241 dv-095 dv-097 dv-099 dv-101",
        lambda raw: raw[:250].rstrip("\0"),
    ),
    Difference(
        "what gets escaped is not changed: cleaning and escaping are two steps",
        "dv-262 dv-263 dv-264 dv-265 dv-266 dv-267 dv-268 dv-269 dv-270 dv-271",
        lambda raw: False,
    ),
    Difference(
        "a line end becomes an underscore in every value, as in the other libraries",
        "dv-331",
        lambda raw: r'"\"C:\\Program Files\\Foo\\bar.exe\" -flag_next"',
    ),
    Difference(
        "a bool is a number in Python, and counts as one",
        "ln-144",
        lambda point: "name gauge,1",
    ),
    Difference(
        "of one observation one number is sent three times, so it cannot disagree",
        "ln-190",
        lambda point: "ltt gauge,min=0.764418,max=0.764418,sum=0.764418,count=1",
    ),
    Difference(
        "a long key is cut; of a line's length only the 50,000 are a limit",
        "ln-217",
        lambda point: f"{'a' * 250} gauge,101",
    ),
    *(
        Difference(
            "of more than 50 dimensions the 50 most specific are sent",
            id_,
            lambda point, line=line: line,
        )
        for id_, line in {
            "ln-015": f"metric{filler('dim', 'val', 5505, 5555)} gauge,100",
            "ln-085": f"my.metric{DIM1_TO_49},dim51=val51 count,delta=1",
            "ln-087": f"my.metric{DIM1_TO_49},dim51=metadataVal count,delta=1",
            "ln-189": (
                "serialized.as.too.long.line"
                f"{filler('key', 'val', 3250, 3300)} gauge,1.23"
            ),
        }.items()
    ),
    Difference(
        "a first digit cannot stay in a dimension's key, so 11 of these 51 are left",
        "ln-216",
        lambda point: (
            f"myMetric,_=value{''.join(f',_{n}=value' for n in range(10))} gauge,101"
        ),
    ),
]
DIFFERENT = {id_: each for each in DIFFERENCES for id_ in each.ids.split()}

#: Lines that no instrument of ours can ask for.
NOT_OURS = {
    "a summary that no values have: a series sums up, nobody writes its fields": (
        "ln-033 ln-042 ln-043 ln-044 ln-045 ln-118 ln-119 ln-129 ln-132 ln-135 ln-164 "
        "ln-165"
    ),
    "a summary of nothing: a series without values has nothing to say": (
        "ln-094 ln-187 ln-188"
    ),
    "data that there is no instrument for": (
        "ln-111 ln-120 ln-231 ln-232 ln-233 ln-234 ln-235 ln-236 ln-237 ln-238"
    ),
}
IMPOSSIBLE = {id_: why for why, ids in NOT_OURS.items() for id_ in ids.split()}


def vectors(area: str, *kinds: str) -> pytest.MarkDecorator:
    """Let a test run the cases of these kinds, or say that they are absent."""
    RUN.update((area, kind) for kind in kinds)
    absent = pytest.mark.skip(reason=f"{VECTORS} is absent")
    found = [
        pytest.param(case, id=case["id"])
        for case in CASES
        if case["area"] == area and case["kind"] in kinds
    ]
    return pytest.mark.parametrize(
        "case", found or [pytest.param({}, marks=absent, id=f"{area}-{kinds[0]}")]
    )


def agree(case: Case, ours: object, theirs: object) -> None:
    """Check that we answer as they do, or differ as the table says."""
    difference = DIFFERENT.get(case["id"])
    if difference is None:
        assert ours == theirs
    else:
        assert ours == difference.ours(case["input"]) != theirs, difference.why


def without_escapes(text: str) -> str:
    """Return what the escaped *text* means."""
    return re.sub(r"\\(.)", r"\1", text)


# -- names ----------------------------------------------------------------------


@vectors("metric_key", "normalise")
def test_keys(case: Case) -> None:
    """Metric keys are mended as the official libraries mend them."""
    agree(case, clean_key(case["input"]), case["expected"])


@vectors("metric_key", "needs_normalisation")
def test_fine_keys(case: Case) -> None:
    """What the official libraries find fine as a metric key is left alone."""
    agree(case, clean_key(case["input"]) != case["input"], case["expected"])


@vectors("metric_key", "with_prefix")
def test_prefixes(case: Case) -> None:
    """A prefix is joined by one dot, and mended with the key."""
    agree(case, prefixed(case["input"]), case["expected"])


@vectors("dimension_key", "normalise")
def test_dimension_keys(case: Case) -> None:
    """Dimension keys are mended as the official libraries mend them."""
    agree(case, clean_dimension_key(case["input"]), case["expected"])


@vectors("dimension_key", "needs_normalisation")
def test_fine_dimension_keys(case: Case) -> None:
    """What the official libraries find fine as a dimension key is left alone."""
    agree(case, clean_dimension_key(case["input"]) != case["input"], case["expected"])


@vectors("dimension_value", "normalise_without_escape")
def test_values(case: Case) -> None:
    """Dimension values are mended as the official libraries mend them."""
    agree(case, clean_dimension_value(text_of(case["input"])), case["expected"])


@vectors("dimension_value", "normalise_and_escape", "escape_only")
def test_escaped_values(case: Case) -> None:
    """Dimension values mean what they mean in the official libraries."""
    ours = clean_dimension_value(text_of(case["input"]))
    agree(case, ours, without_escapes(case["expected"]))


@vectors("dimension_value", "prequoted_passthrough")
def test_quoted_values(case: Case) -> None:
    """What one library takes for quotes around a value is data, like all of it."""
    theirs = without_escapes(case["expected"][1:-1])
    agree(case, clean_dimension_value(case["input"]), f'"{theirs}"')


@vectors("dimension_value", "needs_normalisation")
def test_fine_values(case: Case) -> None:
    """What the official libraries find fine as a value is left alone."""
    ours = clean_dimension_value(case["input"]) != case["input"]
    agree(case, ours, case["expected"])


@vectors("dimension_value", "char_needs_escape")
def test_plain_characters(case: Case) -> None:
    """What the official libraries write as it is stands as it is in our lines."""
    identity = identify("a", (("b", case["input"]),))
    agree(case, identity.head != f"a,b={case['input']}", case["expected"])


@vectors("dimension_value", "quoted_form")
def test_quotes(case: Case) -> None:
    """In quotes we escape as the documentation does."""
    value = clean_dimension_value(case["input"])
    agree(case, identify("a", (("b", value),)).head[4:], case["expected"])


# -- numbers --------------------------------------------------------------------


@vectors("number", "format")
def test_numbers(case: Case) -> None:
    """A number's text is the same number, and its exponent follows a point."""
    number = value_of(case["input"])
    if case["expected"] is None:
        assert recorded("gauge", number) == []
    else:
        text = number_text(number)
        agree(case, float(text), float(case["expected"]))
        assert "e" not in text.partition(".")[0]


@vectors("number", "is_valid_value")
def test_valid_numbers(case: Case) -> None:
    """What the official libraries refuse as a number is not sent."""
    sent = recorded("gauge", value_of(case["input"])) != []
    agree(case, sent, case["expected"])


# -- lines ----------------------------------------------------------------------


@vectors("line", "serialise")
def test_lines(case: Case) -> None:
    """Our lines say what those of the official libraries say."""
    if case["id"] in IMPOSSIBLE:
        pytest.skip(IMPOSSIBLE[case["id"]])
    point, theirs = case["input"], case["expected"]
    if case["id"] in DIFFERENT:
        theirs = DIFFERENT[case["id"]].ours(point)
    if theirs == {"ok": True, "dimension_count": 50}:
        assert len(line_of(point).dimensions) == 50
    elif isinstance(theirs, dict):
        assert theirs.keys() == {"error"}
        assert not prefixed(point) or not recorded(point["type"], value_of(point))
    else:
        # Nobody gives our points a time: each carries that of its collection. So the
        # times that the official libraries leave out as impossible do not come up.
        ours, line = line_of(point), read(in_quotes(theirs))
        assert ours == line._replace(timestamp=line.timestamp or ours.timestamp)


@vectors("line", "local_aggregation")
def test_aggregation(case: Case) -> None:
    """What is added to one series is sent once; dimensions have no order."""
    recorder = Recorder()
    for each in case["input"]:
        counter = recorder.meter.counter(each["key"])
        counter.inc(each["delta"], **each.get("dims", {}))
    (line,) = recorder.lines()
    assert read(line).numbers == {"delta": case["expected"]["delta"]}


def prefixed(given: Case) -> str | None:
    """Return the key of a metric, made as the registry makes it."""
    key = clean_key(given["key"])
    return clean_key(f"{given['prefix']}.{key or ''}") if given.get("prefix") else key


def line_of(given: Case) -> Line:
    """Return what our line says for the input of a case."""
    moment = given.get("timestamp_ms", MOMENT)
    legal = moment if 946_684_800_000 <= moment < 32_503_680_000_000 else MOMENT
    return read(one_line_of(DataPoint(identity_of(given), payload_of(given), legal)))


def identity_of(given: Case) -> Identity:
    """Merge the layers of dimensions as the registry does."""
    static = pairs_of(given, "static_dimensions")
    static += [tuple(each.split("=")) for each in given.get("dynatrace_metadata", ())]
    if "metrics_source" in given:
        static.append(("dt.metrics.source", given["metrics_source"]))
    layers = (
        pairs_of(given, "default_dimensions"),
        pairs_of(given, "dimensions"),
        static,
    )
    key = prefixed(given)
    assert key
    clean = Remembered(clean_dimension_key)
    return identify(key, merge([tuple(layer) for layer in layers], clean, [].append))


def pairs_of(given: Case, layer: str) -> list[tuple[str, Any]]:
    """Return one layer of dimensions, also where the case only says how to make it."""
    pairs = [(key or "", value) for key, value in given.get(layer, ())]
    if how := given.get(f"{layer}_generator"):
        made = re.match(r"(.*)=(.*) for i in range\((\d+)\)", how)
        assert made
        numbers = range(int(made[3]))
        pairs += [(made[1].format(i=n), made[2].format(i=n)) for n in numbers]
        pairs += re.findall(r"\[(\w+)=(\w+)\]?", how)
    return pairs


def payload_of(given: Case) -> Payload:
    """Return the payload that the input of a case describes."""
    value = given["value"]
    if given["type"] == "summary":
        return GaugeSummary(**value)
    return {"gauge": GaugeValue, "count_delta": CountDelta}[given["type"]](value)


def value_of(given: Case) -> Any:
    """Return a number as JSON could not write it, or any other value."""
    value = given.get("value", given)
    if isinstance(value, dict) and "float" in value:
        return float(value["float"])
    return int(value["int"]) if isinstance(value, dict) else value


def recorded(kind: str, value: Any) -> list[str]:
    """Return what is sent when *value* is recorded."""
    recorder = Recorder()
    if kind == "gauge":
        recorder.meter.gauge("a").set(value)
    else:
        recorder.meter.counter("a").inc(value)
    return recorder.lines()


def in_quotes(line: str) -> str:
    r"""Return *line* with values in quotes that it writes bare, as in ``a\ b``."""
    blank = re.search(r"(?<!\\)(?:\\\\)* ", line)
    assert blank
    head, rest = line[: blank.end()], line[blank.end() :]
    return re.sub(r'=((?:\\.|[^\\,=" ])+)', _in_quotes, head) + rest


def _in_quotes(value: re.Match[str]) -> str:
    return '="' + re.sub(r"\\([ ,=])", r"\1", value[1]) + '"'


# -- the tables themselves ----------------------------------------------------------


@pytest.mark.skipif(not CASES, reason=f"{VECTORS} is absent")
def test_every_kind_is_accounted_for() -> None:
    """Each kind of official test is run here, or there is a reason why not."""
    kinds = {(case["area"], case["kind"]) for case in CASES}
    named = {kind for kind in kinds if kind in NOT_RUN or kind[0] in NOT_RUN}
    assert kinds - named == RUN
    assert {kind for kind in NOT_RUN if isinstance(kind, tuple)} <= kinds - RUN


@pytest.mark.skipif(not CASES, reason=f"{VECTORS} is absent")
def test_no_difference_is_stale() -> None:
    """Every case that a table names exists, is run, and is named once."""
    run = {case["id"] for case in CASES if (case["area"], case["kind"]) in RUN}
    named = [id_ for each in DIFFERENCES for id_ in each.ids.split()] + [*IMPOSSIBLE]
    assert len(named) == len(set(named))
    assert set(named) <= run
