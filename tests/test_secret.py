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
def test_reveals_what_it_holds(value: Any) -> None:
    """Whoever asks for the value gets it; whether there is one is no secret."""
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
def test_shows_itself_nowhere(show: Callable[[Any], Any]) -> None:
    """However it is made a text, also inside something else, it is three stars."""
    assert str(show(Secret(TOKEN))) == "***"
    for around in ([Secret(TOKEN)], {"token": Secret(TOKEN)}, (Secret(TOKEN), 1)):
        assert "CANARY" not in repr(around) + pprint.pformat(around)


def test_shows_itself_in_no_traceback() -> None:
    """Tools that print the local variables of a traceback print three stars."""

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
def test_goes_into_no_pickle(protocol: int) -> None:
    """It cannot be pickled, alone or inside something else."""
    for value in (Secret(TOKEN), [Secret(TOKEN)]):
        with pytest.raises(TypeError, match="a secret is not pickled"):
            pickle.dumps(value, protocol)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_is_not_copied(duplicate: Callable[[Secret], Secret]) -> None:
    """Copying goes the way of pickling, and so nowhere."""
    with pytest.raises(TypeError, match="a secret is not pickled"):
        duplicate(Secret(TOKEN))


def test_has_no_attributes_to_dump() -> None:
    """What prints the attributes of an object finds none, and none can be added."""
    secret = Secret(TOKEN)
    assert not hasattr(secret, "__dict__")
    with pytest.raises(AttributeError):
        secret.token = TOKEN  # type: ignore[attr-defined]
