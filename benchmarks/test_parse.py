"""The cost of parsing a megabyte of hostile text: it must grow with length only."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dtmetrics._protocol.parse import LINE_LIMIT, parse

MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    ("start", "hostile"),
    [
        ("", "a"),
        ("", "\x00"),
        ("a", ".-"),
        ("a", ",b=c"),
        ("a,b=", "\\,"),
        ("a,b=", "\\"),
        ('a,b="', '\\"'),
        ('a,b="', "\ud800"),
        ("a ", "1"),
        ("a 1.", "1e1"),
        ("a gauge,min=", "1,max="),
        ("#a gauge ", "dt.meta.unit=s,"),
        ('#a gauge dt.meta.unit="', "\\n"),
    ],
)
def test_parse(benchmark: BenchmarkFixture, start: str, hostile: str) -> None:
    """Parse a megabyte of lines of the greatest length that is parsed."""
    line = (start + hostile * LINE_LIMIT)[:LINE_LIMIT]

    def read() -> None:
        for _ in range(MEGABYTE // LINE_LIMIT):
            parse(line)

    benchmark(read)
