"""Batching: every line once, within the endpoint's limits."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dtmetrics._deliver.batching import (
    BYTES_LIMIT,
    LINES_LIMIT,
    batches,
    metadata_batches,
)
from dtmetrics._protocol.line import identify
from dtmetrics._protocol.metadata import Metadata, encode_metadata
from dtmetrics._protocol.point import CountDelta, DataPoints
from tests.support.recorder import MOMENT, Recorder, one_line_of


def points(count: int, width: int = 6) -> DataPoints:
    """Return so many points, whose keys are at least so wide."""
    identities = [identify(f"k{n}".ljust(width, "x"), ()) for n in range(count)]
    return DataPoints(CountDelta, identities, [1] * count, MOMENT)


CHUNKS = st.lists(
    st.builds(points, st.integers(0, 700), st.sampled_from([6, 300, 4_000])), max_size=6
)


@settings(max_examples=30)  # of up to 4,200 lines each
@given(CHUNKS)
def test_conserves(chunks: list[DataPoints]) -> None:
    """Each line is in one batch, in order, beside its identity.

    No batch is larger than the endpoint takes in one request.
    """
    every = [point for chunk in chunks for point in chunk.each()]
    lines = [one_line_of(point).encode() for point in every]
    made = list(batches(chunks, MOMENT))
    assert [line for batch in made for line in batch.text.split(b"\n")] == lines
    assert sum(batch.points for batch in made) == len(lines)
    for batch in made:
        found = batch.text.split(b"\n")
        assert len(found) == batch.points <= LINES_LIMIT
        assert len(batch.text) <= BYTES_LIMIT
        prefixes = (identity.line_prefix.encode() for identity in batch.identities)
        assert all(map(bytes.startswith, found, prefixes))
        assert batch.created_ms == MOMENT


@pytest.mark.parametrize(
    ("count", "expected"), [(0, []), (1, [1]), (1_000, [1_000]), (1_001, [1_000, 1])]
)
def test_lines_limit(count: int, expected: list[int]) -> None:
    """A batch holds up to a thousand lines, and none is empty."""
    assert [batch.points for batch in batches([points(count)], MOMENT)] == expected


@pytest.mark.parametrize("width", [949, 950, 951])
def test_bytes_limit(width: int) -> None:
    """A batch holds up to 950,000 bytes, and not one more."""
    extra = len(one_line_of(next(points(1).each()))) - 6
    made = points(999, width - 1 - extra)  # with its line end each line is *width*
    sizes = [len(batch.text) for batch in batches([made], MOMENT)]
    assert max(sizes) <= BYTES_LIMIT
    assert sum(sizes) + len(sizes) == 999 * width
    assert len(sizes) == (1 if 999 * width - 1 <= BYTES_LIMIT else 2)


def test_one_line_too_long() -> None:
    """A line that is longer than a batch may be gets a batch of its own."""
    made = [points(1), points(1, BYTES_LIMIT + 1), points(1)]
    assert [batch.points for batch in batches(made, MOMENT)] == [1, 1, 1]


def test_is_lazy() -> None:
    """Chunks are drained one batch at a time."""
    drained: list[int] = []

    def chunks() -> Iterator[DataPoints]:
        for number in range(10):
            drained.append(number)
            yield points(LINES_LIMIT)

    made = batches(chunks(), MOMENT)
    next(made)
    assert drained == [0]


METADATA = st.lists(
    st.builds(
        Metadata,
        st.sampled_from(["a", "b" * 250]),
        st.sampled_from(["counter", "gauge"]),
        st.sampled_from(["", "s", "no unit"]),
        st.sampled_from(["", "x", '"' * 5_000, "\U0001f600" * 5_000]),
    ),
    max_size=30,
)


LONG = Metadata("b" * 250, "gauge", "s", "\U0001f600" * 5_000)


@given(METADATA, st.integers(1, 10))
@example([LONG] * 30, 10)
def test_metadata_conserves(metadata: list[Metadata], times: int) -> None:
    """Each piece of metadata is one line, in batches without points within the limits."""
    made = list(metadata_batches(metadata * times, MOMENT))
    lines = [line for batch in made for line in batch.text.decode().split("\n")]
    assert lines == [line for line in map(encode_metadata, metadata * times) if line]
    for batch in made:
        assert batch.points == 0
        assert len(batch.text) <= BYTES_LIMIT
        assert batch.text.count(b"\n") < LINES_LIMIT
        assert batch.created_ms == MOMENT


def test_memory_stays_small() -> None:
    """Collecting and batching 20,000 series holds less than 2 MB at any moment."""
    recorder = Recorder(max_series_per_metric=20_000)
    counter = recorder.meter.counter("requests")
    for number in range(20_000):
        counter.bind(route=f"/route/{number}", method="GET").inc(number + 1)
    chunks = recorder.registry.collect(MOMENT)
    tracemalloc.start()
    try:
        points = sum(batch.points for batch in batches(chunks, MOMENT))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert points == 20_000
    assert peak < 2 << 20


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), MemoryError()])
def test_error_of_a_chunk(error: BaseException) -> None:
    """An error that ends the chunks is raised, and nothing is yielded after it."""

    def chunks() -> Iterator[DataPoints]:
        yield points(1_003)
        raise error

    made = batches(chunks(), MOMENT)
    assert next(made).points == 1_000
    with pytest.raises(type(error)):
        next(made)


def test_closed_in_the_middle() -> None:
    """A generator that is closed early yields no more, and raises nothing."""
    made = batches([points(1_500)], MOMENT)
    assert next(made).points == 1_000
    made.close()  # type: ignore[attr-defined]
