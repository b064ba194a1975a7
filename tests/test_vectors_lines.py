"""The official libraries' tests of whole lines."""

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
from tests.support.vector_cases import prefixed, recorded, value_of
from tests.support.vectors import DIFFERENT, Case, Difference, cannot, differ, vectors


def filler(key: str, value: str, start: int, stop: int) -> str:
    """Return dimensions with numbers in them."""
    return "".join(f",{key}{n}={value}{n}" for n in range(start, stop))


DIM1_TO_49 = filler("dim", "val", 1, 50)

differ(
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
)
# Lines that no instrument of ours can ask for.
cannot(
    {
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
)


@vectors("line", "serialise")
def test_lines(case: Case) -> None:
    """Our lines say what those of the official libraries say."""
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
    return identify(key, merge([tuple(layer) for layer in layers], [].append))


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


def in_quotes(line: str) -> str:
    r"""Return *line* with values in quotes that it writes bare, as in ``a\ b``."""
    blank = re.search(r"(?<!\\)(?:\\\\)* ", line)
    assert blank
    head, rest = line[: blank.end()], line[blank.end() :]
    return re.sub(r'=((?:\\.|[^\\,=" ])+)', _in_quotes, head) + rest


def _in_quotes(value: re.Match[str]) -> str:
    return '="' + re.sub(r"\\([ ,=])", r"\1", value[1]) + '"'
