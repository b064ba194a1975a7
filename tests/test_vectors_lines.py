"""Conformance with the official libraries: whole lines."""

from __future__ import annotations

import re
from typing import Any

from dtmetrics._protocol.line import identify
from dtmetrics._protocol.point import (
    CountDelta,
    DataPoint,
    GaugeSummary,
    GaugeValue,
    Identity,
    Payload,
)
from dtmetrics._record.dimensions import merge
from tests.support.protocol_grammar import Line, read
from tests.support.recorder import MOMENT, Recorder, one_line_of
from tests.support.vector_results import prefixed_key, recorded, value_of
from tests.support.vectors import DIFFERENT, Case, Difference, cannot, differ, vectors


def filler(key: str, value: str, start: int, stop: int) -> str:
    """Return numbered dimensions."""
    return "".join(f",{key}{n}={value}{n}" for n in range(start, stop))


DIM1_TO_49 = filler("dim", "val", 1, 50)

differ(
    Difference(
        "a bool is a number in Python",
        "ln-144",
        lambda point: "name gauge,1",
    ),
    Difference(
        "a summary of one observation has one number as min, max and sum",
        "ln-190",
        lambda point: "ltt gauge,min=0.764418,max=0.764418,sum=0.764418,count=1",
    ),
    Difference(
        "a long key is cut; a line can have 50,000 characters",
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
        "a dimension key cannot start with a digit, so 11 of these 51 keys are distinct",
        "ln-216",
        lambda point: (
            f"myMetric,_=value{''.join(f',_{n}=value' for n in range(10))} gauge,101"
        ),
    ),
)
# Lines that the instruments cannot produce.
cannot(
    {
        "no values have such a summary: a series computes its fields": (
            "ln-033 ln-042 ln-043 ln-044 ln-045 ln-118 ln-119 ln-129 ln-132 ln-135 ln-164 "
            "ln-165"
        ),
        "a summary without values: such a series is not sent": ("ln-094 ln-187 ln-188"),
        "data that no instrument records": (
            "ln-111 ln-120 ln-231 ln-232 ln-233 ln-234 ln-235 ln-236 ln-237 ln-238"
        ),
    }
)


@vectors("line", "serialise")
def test_lines(case: Case) -> None:
    """Lines have the meaning of those of the official libraries."""
    point, theirs = case["input"], case["expected"]
    if case["id"] in DIFFERENT:
        theirs = DIFFERENT[case["id"]].ours(point)
    if theirs == {"ok": True, "dimension_count": 50}:
        assert len(line_of(point).dimensions) == 50
    elif isinstance(theirs, dict):
        assert theirs.keys() == {"error"}
        assert not prefixed_key(point) or not recorded(point["type"], value_of(point))
    else:
        # A point always has the timestamp of its collection. So the timestamps that the
        # official libraries leave out as implausible cannot occur.
        ours, line = line_of(point), read(in_quotes(theirs))
        assert ours == line._replace(timestamp=line.timestamp or ours.timestamp)


@vectors("line", "local_aggregation")
def test_aggregation(case: Case) -> None:
    """Increments of one series are added up; dimensions have no order."""
    recorder = Recorder()
    for each in case["input"]:
        counter = recorder.meter.counter(each["key"])
        counter.inc(each["delta"], **each.get("dims", {}))
    (line,) = recorder.lines()
    assert read(line).numbers == {"delta": case["expected"]["delta"]}


def line_of(case_input: Case) -> Line:
    """Return the parts of the line for the input of a case."""
    moment = case_input.get("timestamp_ms", MOMENT)
    legal = moment if 946_684_800_000 <= moment < 32_503_680_000_000 else MOMENT
    return read(
        one_line_of(DataPoint(identity_of(case_input), payload_of(case_input), legal))
    )


def identity_of(case_input: Case) -> Identity:
    """Return the identity; layers of dimensions are merged as the registry does."""
    static = pairs_of(case_input, "static_dimensions")
    static += [
        tuple(each.split("=")) for each in case_input.get("dynatrace_metadata", ())
    ]
    if "metrics_source" in case_input:
        static.append(("dt.metrics.source", case_input["metrics_source"]))
    layers = (
        pairs_of(case_input, "default_dimensions"),
        pairs_of(case_input, "dimensions"),
        static,
    )
    key = prefixed_key(case_input)
    assert key
    return identify(key, merge([tuple(layer) for layer in layers], [].append))


def pairs_of(case_input: Case, layer: str) -> list[tuple[str, Any]]:
    """Return one layer of dimensions; a case may have a generator for it."""
    pairs = [(key or "", value) for key, value in case_input.get(layer, ())]
    if generator := case_input.get(f"{layer}_generator"):
        made = re.match(r"(.*)=(.*) for i in range\((\d+)\)", generator)
        assert made
        numbers = range(int(made[3]))
        pairs += [(made[1].format(i=n), made[2].format(i=n)) for n in numbers]
        pairs += re.findall(r"\[(\w+)=(\w+)\]?", generator)
    return pairs


def payload_of(case_input: Case) -> Payload:
    """Return the payload that the input of a case describes."""
    value = case_input["value"]
    if case_input["type"] == "summary":
        return GaugeSummary(**value)
    return {"gauge": GaugeValue, "count_delta": CountDelta}[case_input["type"]](value)


def in_quotes(line: str) -> str:
    r"""Return *line* with bare values, such as ``a\ b``, in quotes."""
    blank = re.search(r"(?<!\\)(?:\\\\)* ", line)
    assert blank
    prefix, rest = line[: blank.end()], line[blank.end() :]
    return re.sub(r'=((?:\\.|[^\\,=" ])+)', _in_quotes, prefix) + rest


def _in_quotes(value: re.Match[str]) -> str:
    return '="' + re.sub(r"\\([ ,=])", r"\1", value[1]) + '"'
