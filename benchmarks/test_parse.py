"""What reading a megabyte of hostile text costs: work has to grow with its length."""

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
    """Judge a megabyte in lines of the longest kind that are read at all."""
    line = (start + hostile * LINE_LIMIT)[:LINE_LIMIT]

    def read() -> None:
        for _ in range(MEGABYTE // LINE_LIMIT):
            parse(line)

    benchmark(read)
