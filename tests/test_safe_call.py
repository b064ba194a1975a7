from __future__ import annotations

import pytest

from dtmetrics._core.safe_call import call_safely


def test_returns() -> None:
    """The result of the call is returned, None included."""
    assert call_safely(divmod, 7, 2, default=None) == (3, 1)
    assert call_safely(lambda: None, default=1) is None


def test_default() -> None:
    """The default is returned if the call raises."""
    assert call_safely(int, "x", default=5) == 5


def test_on_error() -> None:
    """``on_error`` is called once, with the error."""
    errors: list[Exception] = []
    assert call_safely(int, "x", default=None, on_error=errors.append) is None
    assert [type(error) for error in errors] == [ValueError]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_not_caught(error: type[BaseException]) -> None:
    """Exceptions that end a program or a generator are not caught."""

    def call() -> None:
        raise error

    with pytest.raises(error):
        call_safely(call, default=None)
