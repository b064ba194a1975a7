"""Hostile texts as names, units, descriptions and dimensions; the lines they give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from random import Random

import pytest

from dtmetrics._protocol.line import encode
from dtmetrics._protocol.metadata import encode_metadata
from dtmetrics._protocol.normalize import clean_dimension_key, clean_dimension_value
from dtmetrics._protocol.parse import ParsedMetadata, parse
from tests.support.protocol_grammar import read
from tests.support.recorder import MOMENT, Recorder
from tests.support.strategies import NASTY

# Includes whole lines, after a line end or the end of a value.
PIECES = [*NASTY, *"aZ09", "\nevil count,delta=1", '",evil="1', '" count,delta=7\n']
# A name, a unit, a description and three dimensions.
TEXTS_PER_RECORD = 9
Meaning = tuple[str, frozenset[tuple[str, str]]]
# Recorded in one registry, so that some have the same key.
RECORDS = 500


def hostile(seed: int) -> Iterator[str]:
    """Yield endless texts of pieces that have broken metrics and of any characters."""
    random = Random(seed)
    while True:
        any_character = chr(random.randrange(0x110000))
        pieces = random.choices([*PIECES, any_character], k=random.randrange(1, 8))
        yield "".join(pieces) * random.choice([1, 1, 1, 1, 50])


@pytest.mark.parametrize(
    "count",
    [
        20_000,
        pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
def test_no_text_injects_a_line(count: int) -> None:
    """Each point is one line with its key, dimensions and number, each metadata one line."""
    texts = hostile(seed=count)
    for _ in range(0, count, TEXTS_PER_RECORD * RECORDS):
        recorder = Recorder()
        expected: Counter[Meaning] = Counter()
        for number in range(1, RECORDS + 1):
            name, unit, description, *pairs = islice(texts, TEXTS_PER_RECORD)
            counter = recorder.meter.counter(name, unit=unit, description=description)
            dimensions = dict(zip(pairs[::2], pairs[1::2], strict=True))
            counter.inc(number, **dimensions)
            if not counter.origin.family.void:
                expected[counter.origin.family.key, cleaned(dimensions)] += number
        assert meanings_of_lines(recorder) == expected
        assert_metadata(recorder)


def cleaned(dimensions: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """Return *dimensions* cleaned; of two with the same key the last."""
    pairs = {
        clean_dimension_key(k): clean_dimension_value(v) for k, v in dimensions.items()
    }
    return frozenset((key, value) for key, value in pairs.items() if key and value)


def meanings_of_lines(recorder: Recorder) -> Counter[Meaning]:
    """Return the contents of the lines; assert that each point has one line."""
    chunks = [*recorder.registry.collect(MOMENT)]
    text = "\n".join(line for chunk in chunks for line in encode(chunk))
    lines = text.splitlines()
    assert len(lines) == sum(len(chunk.identities) for chunk in chunks)
    meanings: Counter[Meaning] = Counter()
    for line in map(read, lines):
        assert line.kind == "count"
        assert line.timestamp == MOMENT
        meanings[line.key, frozenset(line.dimensions.items())] += line.numbers["delta"]
    return meanings


def assert_metadata(recorder: Recorder) -> None:
    """Assert that the metadata of each key is one line of that key."""
    for metadata in recorder.registry.catalog.collect_metadata():
        line = encode_metadata(metadata)
        if line is not None:
            assert line.splitlines() == [line]
            parsed = parse(line)
            assert isinstance(parsed, ParsedMetadata)
            assert parsed.key == metadata.key
