"""Hostile texts wherever a caller can give one, and the lines that come of them."""

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

# With what makes a line, behind the end of one or of a value.
PIECES = [*NASTY, *"aZ09", "\nevil count,delta=1", '",evil="1', '" count,delta=7\n']
# A name, its unit and description, and three dimensions.
TEXTS_EACH = 9
Told = tuple[str, frozenset[tuple[str, str]]]
# Into one registry, so that some meet under one key.
RECORDS = 500


def hostile(seed: int) -> Iterator[str]:
    """Yield texts without end, of pieces that break metrics and of any characters."""
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
    """Each point is one line that says its key, its dimensions and its number.

    And so is what a key means.
    """
    texts = hostile(seed=count)
    for _ in range(0, count, TEXTS_EACH * RECORDS):
        recorder = Recorder()
        wanted: Counter[Told] = Counter()
        for number in range(1, RECORDS + 1):
            name, unit, description, *pairs = islice(texts, TEXTS_EACH)
            counter = recorder.meter.counter(name, unit=unit, description=description)
            dimensions = dict(zip(pairs[::2], pairs[1::2], strict=True))
            counter.inc(number, **dimensions)
            if not counter.origin.family.void:
                wanted[counter.origin.family.key, cleaned(dimensions)] += number
        assert told_by_lines(recorder) == wanted
        assert_metadata(recorder)


def cleaned(dimensions: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """Return *dimensions* as they are to arrive: the last of two with one key."""
    pairs = {
        clean_dimension_key(k): clean_dimension_value(v) for k, v in dimensions.items()
    }
    return frozenset((key, value) for key, value in pairs.items() if key and value)


def told_by_lines(recorder: Recorder) -> Counter[Told]:
    """Return what the lines say, which are those of the points and no other."""
    chunks = [*recorder.registry.collect(MOMENT)]
    text = "\n".join(line for chunk in chunks for line in encode(chunk))
    lines = text.splitlines()
    assert len(lines) == sum(len(chunk.identities) for chunk in chunks)
    told: Counter[Told] = Counter()
    for line in map(read, lines):
        assert line.kind == "count"
        assert line.timestamp == MOMENT
        told[line.key, frozenset(line.dimensions.items())] += line.numbers["delta"]
    return told


def assert_metadata(recorder: Recorder) -> None:
    """Check that what the keys mean is one line each, of that key."""
    for metadata in recorder.registry.catalog.collect_metadata():
        line = encode_metadata(metadata)
        if line is not None:
            assert line.splitlines() == [line]
            parsed = parse(line)
            assert isinstance(parsed, ParsedMetadata)
            assert parsed.key == metadata.key
