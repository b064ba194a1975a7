"""Conformance tests: the test cases of the official libraries.

The file of cases is not part of the repository. Without it these tests are deselected.
The environment variable DTMETRICS_TEST_VECTORS names the file if it is not in its usual
place.

Each test file declares in a table of its own where dtmetrics differs on purpose.
tests/test_vectors.py checks that no entry of these tables is stale.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

Case = dict[str, Any]
Test = TypeVar("Test", bound=Callable[..., None])

VECTORS = Path(
    os.environ.get("DTMETRICS_TEST_VECTORS")
    or Path(__file__).parents[3] / "shared" / "vectors.json"
)
CASES: list[Case] = json.loads(VECTORS.read_text("utf-8")) if VECTORS.exists() else []

#: The areas and kinds that are run. Filled by the decorators of the tests.
RUN: set[tuple[str, str]] = set()

#: The areas and kinds that are not run, and why.
NOT_RUN = {
    (
        "line",
        "cumulative_to_delta",
    ): "a matter of observed counters, which belong to recording",
    (
        "metric_key",
        "invalid_type",
    ): "the signatures accept str only, and mypy checks them",
    (
        "dimension_key",
        "invalid_type",
    ): "the signatures accept str only, and mypy checks them",
    ("dimension_value", "invalid_type"): "each value is valid, as its text_of()",
    ("dimension_value", "needs_normalisation_quoted"): "quotes are part of a value",
    ("number", "histogram_estimate_min"): "there are no histograms, only summaries",
    ("number", "histogram_estimate_max"): "there are no histograms, only summaries",
}


class Difference(NamedTuple):
    """Cases whose result differs from that of the official libraries, and the reason."""

    why: str
    ids: str
    #: Makes our result from the input of the case.
    ours: Callable[[Any], object]


#: By the id of the case. Filled by the tables of the test files.
DIFFERENT: dict[str, Difference] = {}
#: The cases that the API cannot express, by their ids, and why.
IMPOSSIBLE: dict[str, str] = {}
#: The ids that tables name, with the reasons.
NAMED: set[tuple[str, str]] = set()


def differ(*differences: Difference) -> None:
    """Add the table of differences of a test file."""
    for each in differences:
        NAMED.update((id_, each.why) for id_ in each.ids.split())
        DIFFERENT.update((id_, each) for id_ in each.ids.split())


def cannot(reasons: Mapping[str, str]) -> None:
    """Add the table of skipped cases of a test file: reasons, each with its ids."""
    for why, ids in reasons.items():
        NAMED.update((id_, why) for id_ in ids.split())
        IMPOSSIBLE.update((id_, why) for id_ in ids.split())


def vectors(area: str, *kinds: str) -> Callable[[Test], Test]:
    """Run a test with each case of these kinds, or not at all if the file is absent.

    The tables of the test file must have been added before.
    """
    RUN.update((area, kind) for kind in kinds)
    cases = [
        pytest.param(case, id=case["id"], marks=_marks(case))
        for case in CASES
        if case["area"] == area and case["kind"] in kinds
    ]

    def mark(test: Test) -> Test:
        return pytest.mark.conformance(pytest.mark.parametrize("case", cases)(test))

    return mark


def _marks(case: Case) -> list[pytest.MarkDecorator]:
    why = IMPOSSIBLE.get(case["id"])
    return [] if why is None else [pytest.mark.skip(reason=why)]


def agree(case: Case, ours: object, theirs: object) -> None:
    """Assert that both results are equal, or that they differ as the table declares."""
    difference = DIFFERENT.get(case["id"])
    if difference is None:
        assert ours == theirs
    else:
        assert ours == difference.ours(case["input"]) != theirs, difference.why


def agree_in_part(case: Case, facts: Case, theirs: Case) -> None:
    """Assert as `agree` does, for the facts that *theirs* or the table contains."""
    difference = DIFFERENT.get(case["id"])
    expected: Any = difference.ours(case["input"]) if difference else theirs
    agree(case, {name: facts[name] for name in expected}, theirs)
