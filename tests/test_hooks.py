from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dtmetrics._decorate.hooks import error_type


class Outer:
    """A class that contains an exception class."""

    class InnerError(Exception):
        """An exception of a user."""


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (KeyError("secret"), "KeyError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (asyncio.CancelledError(), "asyncio.exceptions.CancelledError"),
        (Outer.InnerError(), f"{__name__}.Outer.InnerError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_error_type(error: Any, name: str) -> None:
    """An error type is the class with its module; it never contains the message."""
    assert error_type(error) == name
