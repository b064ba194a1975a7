from __future__ import annotations

import copy
import pickle
import pprint
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._core.secret import Secret

TOKEN = "dt0c01.CANARY.secret"


@given(st.text() | st.integers() | st.binary() | st.none())
def test_reveal(value: Any) -> None:
    """``reveal()`` returns the value, and ``bool()`` whether it is true."""
    secret = Secret(value)
    assert secret.reveal() is value
    assert bool(secret) == bool(value)


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{!r}".format,
        "%s".__mod__,
        "%r".__mod__,
        ascii,
        pprint.pformat,
    ],
    ids=range(8),
)
def test_no_text_shows_it(show: Callable[[Any], Any]) -> None:
    """Every way to format it shows asterisks, also inside a collection."""
    assert str(show(Secret(TOKEN))) == "***"
    for container in ([Secret(TOKEN)], {"token": Secret(TOKEN)}, (Secret(TOKEN), 1)):
        assert "CANARY" not in repr(container) + pprint.pformat(container)


def test_no_traceback_shows_it() -> None:
    """A traceback with local variables shows asterisks."""

    def fail(secret: Secret) -> None:
        raise ValueError(secret)

    with pytest.raises(ValueError, match=r"^\*\*\*$") as caught:
        fail(Secret(TOKEN))
    shown = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    lines = [
        line for line in "".join(shown.format()).splitlines() if "secret =" in line
    ]
    assert lines == ["    secret = ***"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_not_pickled(protocol: int) -> None:
    """It cannot be pickled, alone or inside a collection."""
    for value in (Secret(TOKEN), [Secret(TOKEN)]):
        with pytest.raises(TypeError, match="is not pickled or copied"):
            pickle.dumps(value, protocol)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_not_copied(duplicate: Callable[[Secret], Secret]) -> None:
    """It cannot be copied."""
    with pytest.raises(TypeError, match="is not pickled or copied"):
        duplicate(Secret(TOKEN))


def test_no_attributes() -> None:
    """It has no ``__dict__`` that a tool could print, and no attribute can be added."""
    secret = Secret(TOKEN)
    assert not hasattr(secret, "__dict__")
    with pytest.raises(AttributeError):
        secret.token = TOKEN  # type: ignore[attr-defined]
