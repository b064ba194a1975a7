"""The user's ``dimensions=`` of a request, and the response that it may get."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import Signature, signature
from typing import Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._record.instruments import Summary

__all__ = [
    "INVALID_DIMENSIONS",
    "Dimensions",
    "Headers",
    "Response",
    "UsersDimensions",
    "status_code",
]

INVALID_DIMENSIONS = "dimensions= failed"


@dataclass(frozen=True, slots=True)
class Response:
    """A response, as a ``dimensions=`` of two arguments gets it.

    Args:
        status (int | None): The status; None where nothing was answered.
        headers (Mapping[str, str]): The headers by name, in any case; empty where
            nothing was answered. Where a header comes twice, it is the first one.

    >>> from dtmetrics.integrations import Response
    >>> def dimensions(scope, response: Response):
    ...     return {"cache": response.headers.get("X-Cache", "none")}
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


#: Makes the user's dimensions of what an integration has of a request: the WSGI
#: environ, the ASGI scope, a library's own request; and of the `Response`, if it takes
#: two arguments.
Dimensions = (
    Callable[[Any], Mapping[str, object]]
    | Callable[[Any, Response], Mapping[str, object]]
)


class UsersDimensions:
    """Calls a user's ``dimensions=``.

    How many arguments it takes is found out once, by its signature.
    """

    def __init__(self, call: Dimensions) -> None:
        self._call: Any = call
        #: Whether it takes a response as well. One with a second argument that may be
        #: left out, such as a default of a lambda, gets only the first.
        self.of_response: bool = call_safely(_needs_response, call, default=False)

    def safely(
        self, duration: Summary, source: object, status: object, headers: object
    ) -> dict[str, object]:
        """Return the user's dimensions.

        Where the callable raises, or returns no mapping, *duration* counts it.
        """
        return call_safely(
            self,
            source,
            status,
            headers,
            default={},
            on_error=lambda _: duration.reject(INVALID_DIMENSIONS),
        )

    def __call__(
        self, source: object, status: object = None, headers: object = None
    ) -> dict[str, object]:
        """Return the user's dimensions; raise what the callable raises."""
        if self.of_response:
            found = self._call(source, _response(status, headers))
        else:
            found = self._call(source)
        return {str(key): value for key, value in dict(found).items()}


class Headers(Mapping[str, str]):
    """The headers of a server's response, by name in any case.

    >>> Headers([(b"X-Cache", b"hit")])["x-cache"]
    'hit'
    """

    def __init__(self, pairs: Iterable[tuple[str | bytes, str | bytes]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            self._values.setdefault(_text(name).lower(), _text(value))

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def status_code(status: Any) -> int | None:  # noqa: ANN401 -- of any application
    """Return a status as a number; None where it is not one.

    >>> status_code("200 OK")
    200
    """
    # WSGI's is a text.
    code = status[:3] if isinstance(status, str) else status
    return call_safely(int, code, default=None)


def _response(status: object, headers: Any) -> Response:  # noqa: ANN401 -- of any library
    if status is None or headers is None:  # the server answers an exception, or nothing
        return Response(status_code(status))
    known = headers if isinstance(headers, Mapping) else Headers(headers)
    return Response(status_code(status), known)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _needs_response(call: Any) -> bool:  # noqa: ANN401 -- of the user
    """Return whether *call* takes two arguments. Raises where it has no signature."""
    known = signature(call)
    return not _takes(known, 1) and _takes(known, 2)


def _takes(known: Signature, arguments: int) -> bool:
    try:
        known.bind(*range(arguments))
    except TypeError:
        return False
    return True
