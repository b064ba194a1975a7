"""The official libraries' own test tables, and how a test runs them.

The tables are read where they are and are no part of this repository. Each file of
tests says in a table of its own where we differ on purpose; both kinds of table are
checked for what has become stale (tests/test_vectors.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

Case = dict[str, Any]

VECTORS = Path(__file__).parents[3] / "shared" / "vectors.json"
CASES: list[Case] = json.loads(VECTORS.read_text("utf-8")) if VECTORS.exists() else []

#: What is run, filled by the decorators of the tests.
RUN: set[tuple[str, str]] = set()

#: The kinds of an area that are not, and why.
NOT_RUN = {
    ("line", "cumulative_to_delta"): "observed counters: a matter of recording",
    ("metric_key", "invalid_type"): "our signatures say str, and mypy looks at them",
    ("dimension_key", "invalid_type"): "our signatures say str, and mypy looks at them",
    ("dimension_value", "invalid_type"): "any value may be one: it has a text_of()",
    ("dimension_value", "needs_normalisation_quoted"): "no value is taken as quoted",
    ("number", "histogram_estimate_min"): "no histograms: a summary is kept",
    ("number", "histogram_estimate_max"): "no histograms: a summary is kept",
}


class Difference(NamedTuple):
    """Cases that we answer otherwise than the official libraries, and how."""

    why: str
    ids: str
    ours: Callable[[Any], object]  # takes the case's input


#: By the id of the case. Filled by the files' own tables.
DIFFERENT: dict[str, Difference] = {}
#: What nobody can ask of us, by the id of the case, and why.
IMPOSSIBLE: dict[str, str] = {}
#: Every id that a table names, with the reason.
NAMED: set[tuple[str, str]] = set()


def differ(*differences: Difference) -> None:
    """Enter a file's table of differences."""
    for each in differences:
        NAMED.update((id_, each.why) for id_ in each.ids.split())
        DIFFERENT.update((id_, each) for id_ in each.ids.split())


def cannot(reasons: Mapping[str, str]) -> None:
    """Enter a file's table of cases that are skipped: a reason, and their ids."""
    for why, ids in reasons.items():
        NAMED.update((id_, why) for id_ in ids.split())
        IMPOSSIBLE.update((id_, why) for id_ in ids.split())


def vectors(area: str, *kinds: str) -> pytest.MarkDecorator:
    """Let a test run the cases of these kinds, or say that they are absent.

    The tables of its file have to be entered before.
    """
    RUN.update((area, kind) for kind in kinds)
    absent = pytest.mark.skip(reason=f"{VECTORS.name} is absent")
    found = [
        pytest.param(case, id=case["id"], marks=_marks(case))
        for case in CASES
        if case["area"] == area and case["kind"] in kinds
    ]
    return pytest.mark.parametrize(
        "case", found or [pytest.param({}, marks=absent, id=f"{area}-{kinds[0]}")]
    )


def _marks(case: Case) -> list[pytest.MarkDecorator]:
    why = IMPOSSIBLE.get(case["id"])
    return [] if why is None else [pytest.mark.skip(reason=why)]


def agree(case: Case, ours: object, theirs: object) -> None:
    """Check that we answer as they do, or differ as the table says."""
    difference = DIFFERENT.get(case["id"])
    if difference is None:
        assert ours == theirs
    else:
        assert ours == difference.ours(case["input"]) != theirs, difference.why


def agree_in_part(case: Case, facts: Case, theirs: Case) -> None:
    """Do so with those of *facts* that they, or the table's row, speak of."""
    difference = DIFFERENT.get(case["id"])
    said: Any = difference.ours(case["input"]) if difference else theirs
    agree(case, {name: facts[name] for name in said}, theirs)
