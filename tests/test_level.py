from __future__ import annotations

import logging
from typing import Any, get_args

import pytest

from dtmetrics._core.level import LEVELS, Level, level_number
from tests.support.script import expect


def test_levels_are_those_of_logging() -> None:
    """Each name has the number that logging gives it, and the type lists the names."""
    assert {name: getattr(logging, name) for name in LEVELS} == LEVELS
    assert get_args(get_args(Level)[1]) == tuple(LEVELS)


@pytest.mark.parametrize(
    ("level", "number"),
    [
        ("DEBUG", 10),
        (" warning\n", 30),
        ("FATAL", 50),
        ("NOTSET", 0),
        (35, 35),
        ("15", 15),
        ("0", 0),
        (-1, -1),
    ],
)
def test_level_number(level: Any, number: int) -> None:
    """A level is a number, the name of one in any case, or a number as text."""
    assert level_number(level) == number


@pytest.mark.parametrize(
    "level",
    ["LOUD", "", "1.5", "-1", "²", "9" * 5_000, 1.5, None, True, b"INFO", []],
    ids=range(11),
)
def test_not_a_level(level: Any) -> None:
    """Any other value has no number."""
    assert level_number(level) is None


def test_added_level() -> None:
    """A name that the program has added to logging is a level."""
    source = """
    import logging
    from dtmetrics import counter
    logging.addLevelName(5, "TRACE")
    print(counter("a", level="trace").origin.level)
    """
    assert expect("\n".join(map(str.strip, source.splitlines()))) == "5\n"


def test_common_names_do_not_import_logging() -> None:
    """A level with one of logging's five names costs no import of logging."""
    source = """
    import sys
    from dtmetrics import counter
    counter("a", level="DEBUG")
    print("logging" in sys.modules)
    """
    assert expect("\n".join(map(str.strip, source.splitlines()))) == "False\n"
