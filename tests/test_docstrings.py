from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tests.support.docstring_examples import public_names
from tests.support.script import expect

NAMES = public_names()
#: What a user reads or catches, but does not make.
WITHOUT_AN_EXAMPLE = {
    "dtmetrics.Level",
    "dtmetrics.errors.ConflictError",
    "dtmetrics.errors.InvalidKeyError",
    "dtmetrics.exporters.Batch",
    "dtmetrics.exporters.LineMessage",
    "dtmetrics.exporters.Outcome",
}


@pytest.mark.timeout(180)
def test_examples_run() -> None:
    """Every example in a docstring does what is written there."""
    source = "from tests.support.docstring_examples import main; main()"
    root = str(Path(__file__).parents[1])
    count = re.fullmatch(r"(\d+) examples\n", expect(source, PYTHONPATH=root))
    assert count
    assert int(count[1]) > 150


@pytest.mark.parametrize("name", sorted(NAMES.keys() - WITHOUT_AN_EXAMPLE))
def test_has_an_example(name: str) -> None:
    """The docstring of a public name has an example, run by the test above or in text."""
    docstring = inspect.getdoc(NAMES[name]) or ""
    assert re.search(r"^ *(>>> .*|::)$", docstring, re.MULTILINE), docstring
