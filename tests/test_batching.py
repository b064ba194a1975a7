from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dtmetrics._deliver.batching import BYTES_LIMIT, LINES_LIMIT, pack, pack_metadata
from dtmetrics._protocol.line import identify
from dtmetrics._protocol.metadata import Metadata, encode_metadata
from dtmetrics._protocol.point import CountDelta, DataPoints
from tests.support.recorder import MOMENT, Recorder, one_line_of


def points(count: int, width: int = 6) -> DataPoints:
    """Return so many points, whose keys are at least so wide."""
    owners = [identify(f"k{n}".ljust(width, "x"), ()) for n in range(count)]
    return DataPoints(CountDelta, owners, [1] * count, MOMENT)


CHUNKS = st.lists(
    st.builds(points, st.integers(0, 700), st.sampled_from([6, 300, 4_000])), max_size=6
)


@given(CHUNKS)
def test_conserves(chunks: list[DataPoints]) -> None:
    """Whatever is packed comes out whole: each line once, in order, beside its owner.

    And no body is more than the endpoint takes in one request.
    """
    every = [point for chunk in chunks for point in chunk.each()]
    lines = [one_line_of(point).encode() for point in every]
    bodies = list(pack(chunks, MOMENT))
    assert [line for body in bodies for line in body.text.split(b"\n")] == lines
    assert sum(body.points for body in bodies) == len(lines)
    for body in bodies:
        own = body.text.split(b"\n")
        assert len(own) == body.points <= LINES_LIMIT
        assert len(body.text) <= BYTES_LIMIT
        heads = (identity.line_prefix.encode() for identity in body.identities)
        assert all(map(bytes.startswith, own, heads))
        assert body.created_ms == MOMENT


@pytest.mark.parametrize(
    ("count", "bodies"), [(0, []), (1, [1]), (1_000, [1_000]), (1_001, [1_000, 1])]
)
def test_lines_limit(count: int, bodies: list[int]) -> None:
    """A request holds up to a thousand lines, and none is made of nothing."""
    assert [body.points for body in pack([points(count)], MOMENT)] == bodies


@pytest.mark.parametrize("width", [949, 950, 951])
def test_bytes_limit(width: int) -> None:
    """A request holds up to 950,000 bytes, and not one more."""
    extra = len(one_line_of(next(points(1).each()))) - 6
    made = points(999, width - 1 - extra)  # with its line end each line is *width*
    sizes = [len(body.text) for body in pack([made], MOMENT)]
    assert max(sizes) <= BYTES_LIMIT
    assert sum(sizes) + len(sizes) == 999 * width
    assert len(sizes) == (1 if 999 * width - 1 <= BYTES_LIMIT else 2)


def test_one_line_too_long() -> None:
    """A line beyond all limits makes a body of its own; packing comes to an end."""
    made = [points(1), points(1, BYTES_LIMIT + 1), points(1)]
    assert [body.points for body in pack(made, MOMENT)] == [1, 1, 1]


def test_is_lazy() -> None:
    """Packing holds one body at a time: flushing 50,000 series stays small."""
    asked: list[int] = []

    def chunks() -> Iterator[DataPoints]:
        for number in range(10):
            asked.append(number)
            yield points(LINES_LIMIT)

    bodies = pack(chunks(), MOMENT)
    next(bodies)
    assert asked == [0]


meanings = st.lists(
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


@given(meanings, st.integers(1, 10))
@example([LONG] * 30, 10)
def test_metadata_conserves(news: list[Metadata], times: int) -> None:
    """Each meaning is one line of a body, without points, that the endpoint takes."""
    bodies = list(pack_metadata(news * times, MOMENT))
    lines = [line for body in bodies for line in body.text.decode().split("\n")]
    assert lines == [line for line in map(encode_metadata, news * times) if line]
    for body in bodies:
        assert body.points == 0
        assert len(body.text) <= BYTES_LIMIT
        assert body.text.count(b"\n") < LINES_LIMIT
        assert body.created_ms == MOMENT


def test_memory_stays_small() -> None:
    """Collecting and packing 20,000 series holds less than 2 MB at any moment."""
    recorder = Recorder(max_series_per_metric=20_000)
    counter = recorder.meter.counter("requests")
    for number in range(20_000):
        counter.bind(route=f"/route/{number}", method="GET").inc(number + 1)
    chunks = recorder.registry.collect(MOMENT)
    tracemalloc.start()
    try:
        points = sum(body.points for body in pack(chunks, MOMENT))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert points == 20_000
    assert peak < 2 << 20


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), MemoryError()])
def test_what_was_drained_is_kept(error: BaseException) -> None:
    """An error in the middle passes through, after what came before it.

    What has been drained is in no series any more.
    """

    def chunks() -> Iterator[DataPoints]:
        yield points(3)
        raise error

    packed = pack(chunks(), MOMENT)
    assert next(packed).points == 3
    with pytest.raises(type(error)):
        next(packed)


def test_given_up_in_the_middle() -> None:
    """Who asks for no more gets no more, and no error."""
    packed = pack([points(1_500)], MOMENT)
    assert next(packed).points == 1_000
    packed.close()  # type: ignore[attr-defined]
