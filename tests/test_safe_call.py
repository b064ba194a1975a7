from __future__ import annotations

import pytest

from dtmetrics._core.safe_call import call_safely


def test_returns() -> None:
    """What a call returns is returned, None included."""
    assert call_safely(divmod, 7, 2, default=None) == (3, 1)
    assert call_safely(lambda: None, default=1) is None


def test_default() -> None:
    """Where a call raises, the default is returned."""
    assert call_safely(int, "x", default=5) == 5


def test_on_error() -> None:
    """The error is handed on, once."""
    errors: list[Exception] = []
    assert call_safely(int, "x", default=None, on_error=errors.append) is None
    assert [type(error) for error in errors] == [ValueError]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_not_ours_to_stop(error: type[BaseException]) -> None:
    """What ends a program is not held back."""

    def call() -> None:
        raise error

    with pytest.raises(error):
        call_safely(call, default=None)
