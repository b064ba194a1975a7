from __future__ import annotations

import copy
from typing import Any

import pytest

from dtmetrics._instrument.server_request import INSTRUMENTED, set_error, set_route
from tests.support.recorder import Recorder
from tests.support.server_requests import begin, instruments, only


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (500, "500", "KeyError"),
        ("503 Service Unavailable", "503", "KeyError"),
        (404, "404", None),
        ("200 OK", "200", None),
    ],
)
def test_an_exception_that_a_framework_answers(
    recorder: Recorder, status: Any, code: str, kind: str | None
) -> None:
    """An exception that a framework answers is an error from a status of 500 on."""
    request = begin(instruments(recorder))
    request.fail(KeyError())
    request.end(status)
    found = only(recorder)
    assert found["http.response.status_code"] == code
    assert found.get("error.type") == kind


def test_a_framework_that_answers_a_client_that_left(recorder: Recorder) -> None:
    """The answer to an exception that was raised because the client left does not count."""

    class Input:
        def read(self) -> bytes:
            raise ConnectionResetError

    upload, request = Input(), begin(instruments(recorder))
    try:
        upload.read()
    except ConnectionResetError as error:
        request.fail(error, upload)
    request.end(500)
    assert not only(recorder).keys() & {"error.type", "http.response.status_code"}


def test_copies(recorder: Recorder) -> None:
    """A deep copy of an environ or a scope holds the same request."""
    request = begin(instruments(recorder))
    scope = copy.deepcopy({INSTRUMENTED: request})
    set_route(scope, "/users/{id}")
    set_error(scope, KeyError())
    request.end(500)
    found = only(recorder)
    assert (found["http.route"], found["error.type"]) == ("/users/{id}", "KeyError")
    set_error({}, KeyError())  # nothing is recorded there
