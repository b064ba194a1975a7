"""Hostile texts wherever a caller can give one, and the lines that come of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from random import Random

import pytest

from dtmetrics._wire.line import encode
from dtmetrics._wire.metadata import encode_metadata
from dtmetrics._wire.parse import ParsedMetadata, parse
from tests.grammar import read
from tests.recorder import MOMENT, Recorder
from tests.strategies import NASTY

# With what makes a line, behind the end of one or of a value.
PIECES = [*NASTY, *"aZ09", "\nevil count,delta=1", '",evil="1', '" count,delta=7\n']
# A name, its unit and description, and three dimensions.
TEXTS_EACH = 9
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
        total = 0
        for number in range(1, RECORDS + 1):
            name, unit, description, *pairs = islice(texts, TEXTS_EACH)
            counter = recorder.meter.counter(name, unit=unit, description=description)
            counter.inc(number, **dict(zip(pairs[::2], pairs[1::2], strict=True)))
            total += 0 if counter._origin.family.void else number
        assert total_of_lines(recorder) == total
        assert_metadata(recorder)


def total_of_lines(recorder: Recorder) -> float:
    """Return what the lines add up to, which are those of the points and no other."""
    points = recorder.points()
    lines = "\n".join(encode(points)).splitlines()
    total = 0.0
    for (identity, _, _), line in zip(points, map(read, lines), strict=True):
        assert line.kind == "count"
        assert line.key == identity.key
        assert line.dimensions == dict(identity.dimensions)
        assert line.timestamp == MOMENT
        total += line.numbers["delta"]
    return total


def assert_metadata(recorder: Recorder) -> None:
    """Check that what the keys mean is one line each, of that key."""
    for metadata in recorder.registry.collect_metadata():
        line = encode_metadata(metadata)
        if line is not None:
            assert line.splitlines() == [line]
            parsed = parse(line)
            assert isinstance(parsed, ParsedMetadata)
            assert parsed.key == metadata.key
