from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._protocol.metadata import (
    DESCRIPTION_LIMIT,
    UNIT_LIMIT,
    Metadata,
    encode_metadata,
)
from dtmetrics._protocol.parse import ParsedMetadata, parse


@pytest.mark.parametrize(
    ("unit", "shown"),
    [
        ("s", "s"),
        ("ms", "ms"),
        ("By", "Byte"),
        ("%", "Percent"),
        ("{order}", "Count"),
        ("EUR", "EUR"),
        ("km/h", "km/h"),
        ("seconds", "s"),
        ("Millisecond", "ms"),
        ("secondss", "secondss"),
        ("days", "days"),
    ],
)
def test_unit(unit: str, shown: str) -> None:
    """Units get the names that Dynatrace has; others are not changed."""
    line = encode_metadata(Metadata("key", "gauge", unit, ""))
    assert line == f"#key gauge dt.meta.unit={shown}"


@pytest.mark.parametrize("unit", ["", "1", "a b", "°C", "x" * (UNIT_LIMIT + 1), "a\nb"])
def test_no_unit(unit: str) -> None:
    """A unit of 1, or one that the endpoint does not accept, is left out."""
    assert encode_metadata(Metadata("key", "gauge", unit, "")) is None


def test_kinds() -> None:
    """The metadata of a counter has the type count, that of others the type gauge."""
    kinds = [
        (encode_metadata(Metadata("key", kind, "s", "")) or "").split(" ")[1]
        for kind in ("counter", "gauge", "summary")
    ]
    assert kinds == ["count", "gauge", "gauge"]


def test_description_is_cut() -> None:
    """A description is cut at 1,023 characters, the lower of the published limits."""
    parsed = parse(encode_metadata(Metadata("key", "gauge", "", "x" * 5_000)) or "")
    assert isinstance(parsed, ParsedMetadata)
    assert parsed.properties == {"dt.meta.description": "x" * DESCRIPTION_LIMIT}


@given(unit=st.text(max_size=80), description=st.text(max_size=1_100))
def test_any_metadata_is_accepted(unit: str, description: str) -> None:
    """Any unit and description make one line that the parser accepts."""
    line = encode_metadata(Metadata("key", "counter", unit, description))
    if line is not None:
        assert len(line.splitlines()) == 1
        assert isinstance(parse(line), ParsedMetadata)


@given(description=st.text("abc \"\\,='{}", min_size=1).filter(str.strip))
def test_description_is_read_back(description: str) -> None:
    """A description with quotes, backslashes and commas is read back unchanged."""
    parsed = parse(encode_metadata(Metadata("key", "gauge", "", description)) or "")
    assert isinstance(parsed, ParsedMetadata)
    assert parsed.properties["dt.meta.description"] == description.strip()
