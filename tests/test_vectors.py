"""Conformance with the official libraries: names, values and numbers."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from dtmetrics._protocol.line import identify, number_text
from dtmetrics._protocol.normalize import (
    clean_dimension_key,
    clean_dimension_value,
    clean_key,
    text_of,
)
from tests.support.vector_results import prefixed_key, recorded, value_of
from tests.support.vectors import (
    CASES,
    NAMED,
    NOT_RUN,
    RUN,
    Case,
    Difference,
    agree,
    differ,
    vectors,
)

#: The other files of conformance tests.
FILES = (
    "test_parse",
    "test_vectors_delivery",
    "test_vectors_endpoint",
    "test_vectors_lines",
    "test_vectors_metadata",
)

differ(
    Difference(
        "tenants rejected sections that start with a digit: micrometer issue 4058",
        "mk-016 mk-017 mk-018 mk-047",
        lambda raw: re.sub(r"\.(?=[0-9])", "._", raw),
    ),
    Difference(
        "keys with sections that start with a digit get an underscore",
        "mk-130 mk-131 mk-132 mk-139",
        lambda raw: True,
    ),
    Difference(
        "of the two published limits, 250 and 255, the lower is taken",
        "mk-055 dv-024 dv-035 dv-036 dv-037 dv-038",
        lambda raw: raw[:250],
    ),
    Difference(
        "texts of 251 to 255 characters are too long for the lower limit",
        "mk-141 dv-260",
        lambda raw: True,
    ),
    Difference(
        "the limit of 250 characters applies to the value before it is escaped",
        "dv-106 dv-107 dv-108 dv-109 dv-118 dv-119 dv-120 dv-121 dv-122 dv-237 dv-238 "
        "dv-239 dv-240 dv-241 dv-095 dv-097 dv-099 dv-101",
        lambda raw: raw[:250].rstrip("\0"),
    ),
    Difference(
        "escaping is a step of its own, and cleaning does not change such values",
        "dv-262 dv-263 dv-264 dv-265 dv-266 dv-267 dv-268 dv-269 dv-270 dv-271",
        lambda raw: False,
    ),
    Difference(
        "a line end becomes an underscore in each value, as in the other libraries",
        "dv-331",
        lambda raw: r'"\"C:\\Program Files\\Foo\\bar.exe\" -flag_next"',
    ),
)


def without_escapes(text: str) -> str:
    """Return *text* without escapes."""
    return re.sub(r"\\(.)", r"\1", text)


# -- names ----------------------------------------------------------------------


@vectors("metric_key", "normalise")
def test_keys(case: Case) -> None:
    """Metric keys are normalised as in the official libraries."""
    agree(case, clean_key(case["input"]), case["expected"])


@vectors("metric_key", "needs_normalisation")
def test_valid_keys(case: Case) -> None:
    """A metric key that the official libraries accept is not changed."""
    agree(case, clean_key(case["input"]) != case["input"], case["expected"])


@vectors("metric_key", "with_prefix")
def test_prefixes(case: Case) -> None:
    """A prefix is joined with one dot and normalised with the key."""
    agree(case, prefixed_key(case["input"]), case["expected"])


@vectors("dimension_key", "normalise")
def test_dimension_keys(case: Case) -> None:
    """Dimension keys are normalised as in the official libraries."""
    agree(case, clean_dimension_key(case["input"]), case["expected"])


@vectors("dimension_key", "needs_normalisation")
def test_valid_dimension_keys(case: Case) -> None:
    """A dimension key that the official libraries accept is not changed."""
    agree(case, clean_dimension_key(case["input"]) != case["input"], case["expected"])


@vectors("dimension_value", "normalise_without_escape")
def test_values(case: Case) -> None:
    """Dimension values are normalised as in the official libraries."""
    agree(case, clean_dimension_value(text_of(case["input"])), case["expected"])


@vectors("dimension_value", "normalise_and_escape", "escape_only")
def test_escaped_values(case: Case) -> None:
    """Escaped dimension values have the meaning they have in the official libraries."""
    ours = clean_dimension_value(text_of(case["input"]))
    agree(case, ours, without_escapes(case["expected"]))


@vectors("dimension_value", "prequoted_passthrough")
def test_quoted_values(case: Case) -> None:
    """Quotes around a value are part of it, unlike in the official Java library."""
    content = without_escapes(case["expected"][1:-1])
    agree(case, clean_dimension_value(case["input"]), f'"{content}"')


@vectors("dimension_value", "needs_normalisation")
def test_valid_values(case: Case) -> None:
    """A value that the official libraries accept is not changed."""
    ours = clean_dimension_value(case["input"]) != case["input"]
    agree(case, ours, case["expected"])


@vectors("dimension_value", "char_needs_escape")
def test_plain_characters(case: Case) -> None:
    """A character that the official libraries write bare is written bare."""
    identity = identify("a", (("b", case["input"]),))
    agree(case, identity.line_prefix != f"a,b={case['input']}", case["expected"])


@vectors("dimension_value", "quoted_form")
def test_quoted_form(case: Case) -> None:
    """A value in quotes is escaped as in the documentation."""
    value = clean_dimension_value(case["input"])
    agree(case, identify("a", (("b", value),)).line_prefix[4:], case["expected"])


# -- numbers --------------------------------------------------------------------


@vectors("number", "format")
def test_numbers(case: Case) -> None:
    """The text of a number is the same number; an exponent follows a point."""
    number = value_of(case["input"])
    if case["expected"] is None:
        assert recorded("gauge", number) == []
    else:
        text = number_text(number)
        agree(case, float(text), float(case["expected"]))
        assert "e" not in text.partition(".")[0]


@vectors("number", "is_valid_value")
def test_valid_numbers(case: Case) -> None:
    """A number that the official libraries do not accept is not sent."""
    sent = recorded("gauge", value_of(case["input"])) != []
    agree(case, sent, case["expected"])


# -- the tables, of all files ----------------------------------------------------


@pytest.fixture
def all_tables() -> None:
    """Import each file of conformance tests, which adds its tables."""
    for name in FILES:
        importlib.import_module(f"tests.{name}")


def test_all_files_are_listed() -> None:
    """Each file of conformance tests is listed here, so that its tables are checked."""
    directory = Path(__file__).parent
    files = [
        p for p in directory.glob("test_*.py") if "@vectors(" in p.read_text("utf-8")
    ]
    assert {path.stem for path in files} == {*FILES, Path(__file__).stem}


@pytest.mark.conformance
@pytest.mark.usefixtures("all_tables")
def test_every_kind_is_accounted_for() -> None:
    """Each kind of case is either run or listed with a reason for not running it."""
    kinds = {(case["area"], case["kind"]) for case in CASES}
    assert kinds == RUN | NOT_RUN.keys()
    assert not RUN & NOT_RUN.keys()


@pytest.mark.conformance
@pytest.mark.usefixtures("all_tables")
def test_tables_are_not_stale() -> None:
    """Each case that a table names exists, is run, and is named once."""
    run = {case["id"] for case in CASES if (case["area"], case["kind"]) in RUN}
    named = [id_ for id_, _ in NAMED]
    assert set(named) <= run
    assert len(named) == len(set(named))
