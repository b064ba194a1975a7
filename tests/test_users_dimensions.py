from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._instrument.users_dimensions import (
    INVALID_DIMENSIONS,
    Headers,
    UsersDimensions,
    status_code,
)
from dtmetrics.integrations import Response
from tests.support.recorder import Recorder


class Methods:
    """Callables of other kinds than functions."""

    def of_source(self, source: object) -> dict[str, object]:
        return {"source": source}

    def of_response(self, source: object, response: Response) -> dict[str, object]:
        return {"source": source, "status": response.status}

    def __call__(self, source: object, response: Response) -> dict[str, object]:
        return self.of_response(source, response)

    @staticmethod
    def static(source: object, response: Response) -> dict[str, object]:
        return {"source": source, "status": response.status}


def starred(*arguments: object) -> dict[str, object]:
    """Accept any number of arguments."""
    return {"source": arguments[0], "arguments": len(arguments)}


@pytest.mark.parametrize(
    ("call", "of_response"),
    [
        (lambda source: {"source": source}, False),
        (lambda source, cache=(): {"source": source}, False),
        (lambda source, response: {"source": source}, True),
        (lambda source, response, cache=(): {"source": source}, True),
        (starred, False),
        (dict, False),
        (Methods().of_source, False),
        (Methods().of_response, True),
        (Methods(), True),
        (Methods.static, True),
        (7, False),
    ],
    ids=range(11),
)
def test_signature(call: Any, of_response: bool) -> None:
    """A callable gets the response if it cannot be called with one argument, but with two."""
    assert UsersDimensions(call).of_response is of_response


def test_response() -> None:
    """The response has the status as a number, and headers by name in any case."""
    found = UsersDimensions(
        lambda source, response: {
            "cache": response.headers["X-CACHE"],
            "status": response.status,
        }
    )("scope", "204 No Content", [("X-Cache", "hit"), ("x-cache", "miss")])
    assert found == {"cache": "hit", "status": 204}


@pytest.mark.parametrize(
    ("status", "headers"), [(None, [("a", "b")]), (500, None), ("200 OK", [])]
)
def test_no_headers(status: Any, headers: Any) -> None:
    """Where nothing was answered there are no headers."""
    got: list[Response] = []
    users = UsersDimensions(lambda _, response: got.append(response) or {})
    assert users("scope", status, headers) == {}
    assert got == [Response(status_code(status), {})]
    assert got[0].headers.get("a") is None


@pytest.mark.parametrize(
    "fails", [lambda _: 1 / 0, lambda _: 7, lambda _, r: r.none, 7], ids=range(4)
)
def test_failures(recorder: Recorder, fails: Any) -> None:
    """A callable that raises, or returns no mapping, is counted and adds nothing."""
    duration = recorder.meter.summary("duration")
    headers = [(b"a", b"b")]
    assert UsersDimensions(fails).safely(duration, "scope", 200, headers) == {}
    assert recorder.registry.invalid_values.total() == {INVALID_DIMENSIONS: 1}


NAMES = st.text("abAB-", min_size=1, max_size=3)


@given(st.lists(st.tuples(NAMES, st.text("xyz"))), st.booleans())
def test_headers(pairs: list[tuple[str, str]], encoded: bool) -> None:
    """Headers of bytes or of texts are found by name in any case, the first of a name."""
    written: Any = [tuple(map(str.encode, pair)) for pair in pairs]
    headers = Headers(written if encoded else pairs)
    assert len(headers) == len({name.lower() for name, _ in pairs})
    assert dict(headers) == {name.lower(): value for name, value in reversed(pairs)}
    for name, _ in pairs:
        assert headers[name.upper()] == headers[name.lower()]


@pytest.mark.parametrize(
    ("status", "code"),
    [(200, 200), ("404 Not Found", 404), ("OK", None), (None, None), (object(), None)],
)
def test_status_code(status: Any, code: int | None) -> None:
    """A status is a number, or None."""
    assert status_code(status) == code
