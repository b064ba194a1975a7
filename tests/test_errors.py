from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics import errors
from dtmetrics.errors import (
    ConfigError,
    ConflictError,
    DefinitionError,
    DtmetricsError,
    InvalidKeyError,
)

ROUNDS: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy]
for _protocol in range(pickle.HIGHEST_PROTOCOL + 1):
    ROUNDS.append(lambda error, p=_protocol: pickle.loads(pickle.dumps(error, p)))

sentences = st.lists(st.text(max_size=20), max_size=5)


def test_tree() -> None:
    """The tree that the module draws is the one that ``except`` sees."""
    drawn = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([ │├└─]*)(\w+Error)", line)
        if match:
            depth = len(match[1]) // 4
            above = [*above[:depth], match[2]]
            drawn[match[2]] = above[-2] if depth else "Exception"
    real = {
        name: getattr(errors, name).__bases__[0].__name__ for name in errors.__all__
    }
    assert drawn == real


@pytest.mark.parametrize(
    "kind", [ConfigError, DefinitionError, InvalidKeyError, ConflictError]
)
def test_caught_as_value_errors(kind: type[Exception]) -> None:
    """What is wrong in a call is a ValueError too, as the standard library's are."""
    assert issubclass(kind, ValueError)
    assert issubclass(kind, DtmetricsError)


@given(sentences)
def test_config_error_tells_all(problems: list[str]) -> None:
    """One error says every fault, in its text and one by one."""
    error = ConfigError(problems)
    assert error.problems == tuple(problems)
    assert str(error) == "; ".join(problems)


@given(sentences, st.sampled_from(ROUNDS))
def test_config_error_travels(
    problems: list[str], travel: Callable[[ConfigError], ConfigError]
) -> None:
    """Copied or pickled, to another process perhaps, an error stays what it was."""
    error = ConfigError(problems)
    there = travel(error)
    assert type(there) is ConfigError
    assert there.problems == error.problems
    assert str(there) == str(error)
    assert there.args == error.args


def test_subclass_travels() -> None:
    """A subclass of an application's own arrives as that."""
    there = pickle.loads(pickle.dumps(OwnError(["a", "b"])))
    assert type(there) is OwnError
    assert there.problems == ("a", "b")


class OwnError(ConfigError):
    """An application's own."""


@pytest.mark.parametrize("kind", [DefinitionError, InvalidKeyError, ConflictError])
@pytest.mark.parametrize("travel", ROUNDS, ids=range(len(ROUNDS)))
def test_definition_errors_travel(
    kind: type[Exception], travel: Callable[[Exception], Exception]
) -> None:
    """So do those of definitions, with their text."""
    there = travel(kind("no valid metric key"))
    assert type(there) is kind
    assert str(there) == "no valid metric key"
