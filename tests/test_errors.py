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

COPIES: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy]
for _protocol in range(pickle.HIGHEST_PROTOCOL + 1):
    COPIES.append(lambda error, p=_protocol: pickle.loads(pickle.dumps(error, p)))

sentences = st.lists(st.text(max_size=20), max_size=5)


def test_tree() -> None:
    """The tree in the module's docstring is the tree of the classes."""
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
def test_value_errors(kind: type[Exception]) -> None:
    """An error in the arguments of a call is a ValueError as well."""
    assert issubclass(kind, ValueError)
    assert issubclass(kind, DtmetricsError)


@given(sentences)
def test_config_error_lists_all(problems: list[str]) -> None:
    """A ConfigError holds every problem, in its text and one by one."""
    error = ConfigError(problems)
    assert error.problems == tuple(problems)
    assert str(error) == "; ".join(problems)


@given(sentences, st.sampled_from(COPIES))
def test_config_error_is_copied(
    problems: list[str], copy_it: Callable[[ConfigError], ConfigError]
) -> None:
    """A ConfigError that is copied or pickled keeps its type, problems and text."""
    error = ConfigError(problems)
    copied = copy_it(error)
    assert type(copied) is ConfigError
    assert copied.problems == error.problems
    assert str(copied) == str(error)
    assert copied.args == error.args


def test_subclass_is_pickled() -> None:
    """A pickled subclass of ConfigError keeps its type."""
    copied = pickle.loads(pickle.dumps(SubclassError(["a", "b"])))
    assert type(copied) is SubclassError
    assert copied.problems == ("a", "b")


class SubclassError(ConfigError):
    """A subclass that an application defines."""


@pytest.mark.parametrize("kind", [DefinitionError, InvalidKeyError, ConflictError])
@pytest.mark.parametrize("copy_it", COPIES, ids=range(len(COPIES)))
def test_definition_errors_are_copied(
    kind: type[Exception], copy_it: Callable[[Exception], Exception]
) -> None:
    """A DefinitionError that is copied or pickled keeps its type and text."""
    copied = copy_it(kind("no valid metric key"))
    assert type(copied) is kind
    assert str(copied) == "no valid metric key"
