"""Requests that a client makes, from the call until the head of the answer is there.

The convention lets a client's request end there, or at the end of the body, but not
where a body that nobody reads is cleaned up; so there it ends, for every library and
for streams alike. Each request that a transport or an adapter is given is one, those of
redirects too; what either tries again by itself is not.

An integration makes ``Calls``, and around each request of its library::

    if not calls.measured():
        ...                                        # pass it on untouched
    start = clock()
    calls.end(clock() - start, request, response)  # or, where it raised,
    calls.fail(clock() - start, request, error)

Nothing of it ever raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, Literal, TypedDict

from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.suppress_instrumentation import SUPPRESSED
from dtmetrics._decorate.hooks import error_type
from dtmetrics._instrument.bounded_cache import BoundedCache
from dtmetrics._instrument.client_semconv import CONVENTIONS
from dtmetrics._instrument.http_instruments import Descriptions, Measured
from dtmetrics._instrument.semconv import OTHER, announced, methods_of, without_body
from dtmetrics._record.instruments import Summary
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default

__all__ = ["PORTS", "Calls", "Options", "clock"]

clock = perf_counter

#: Where a URL that names no port leads to.
PORTS = {"http": 80, "https": 443}

_SAID = Descriptions(
    "Duration of requests, until the head of the answer came",
    "Size of bodies sent",
    "Size of bodies received",
)

NOT_RECORDED = "request that makes no sense"

#: Tells of a request and its answer, if one came: method, scheme, host, port, status
#: and version of the protocol.
Describe = Callable[[Any, Any], tuple[Any, ...]]


class Options(TypedDict, total=False):
    """What every HTTP client's integration takes."""

    #: Which names: those in force, those before 1.21, or both while one migrates.
    semconv: Literal["stable", "old", "both"]
    #: Whether to measure the sizes of bodies, as Content-Length announces them.
    body_sizes: bool
    #: Methods with a name of their own; others are ``_OTHER``.
    known_methods: Iterable[str] | None
    #: The meter that records; by default the one of the integration's module name.
    meter: Meter | None


class Calls:
    """The requests that one library makes."""

    def __init__(
        self,
        describe: Describe,
        scope: str,
        *,
        semconv: Literal["stable", "old", "both"] = "stable",
        body_sizes: bool = False,
        known_methods: Iterable[str] | None = None,
        meter: Meter | None = None,
    ) -> None:
        if semconv not in CONVENTIONS:
            raise ValueError(f'semconv is "stable", "old" or "both", not {semconv!r}')
        #: Cleared when it is uninstrumented: somebody may still hold its wrapper.
        self.active = True
        self._describe = describe
        self._methods = methods_of(known_methods)
        self._meter = meter or default.get_meter(scope)
        self._registry = self._meter.registry
        self._names = CONVENTIONS[semconv]
        self._measured = [
            Measured.define(self._meter, names, _SAID, sizes=body_sizes)
            for names in self._names
        ]
        # By what application and servers say.
        self._bound = BoundedCache(self._bind)

    def measured(self) -> bool:
        """Say whether a request is to be measured: our own delivery's are not."""
        return self._registry.recording and self.active and not SUPPRESSED.get()

    def end(self, took: float, request: Any, response: Any) -> None:
        """Record a request that was answered."""
        self._attempt(took, request, response, None)

    def fail(self, took: float, request: Any, error: BaseException) -> None:
        """Record a request that ended in an exception, cancelling included."""
        self._attempt(took, request, None, error_type(error))

    # -- within --------------------------------------------------------------------

    def _attempt(self, *about: Any) -> None:
        # What a transport, an adapter or a server answers may be anything.
        call_safely(self._record, *about, default=None, on_error=self._refuse)

    def _refuse(self, _: Exception) -> None:
        self._measured[0].duration.reject(NOT_RECORDED)

    def _record(self, took: float, request: Any, response: Any, error: Any) -> None:
        bound = self._bound[(*self._describe(request, response), error)]
        for duration, per_second, request_size, response_size, _ in bound:
            duration.record(took * per_second)
            if request_size is not None:
                _record_size(request_size, request)
            if response_size is not None and response is not None:
                _record_size(response_size, response)

    def _bind(self, method: Any, *about: Any) -> list[Measured]:
        scheme, host, port, status, version, error = map(_text, about)
        known = method if method in self._methods else OTHER
        bodiless = without_body(method, status)
        return [
            (measured._replace(response_size=None) if bodiless else measured).bind(
                names.dimensions(
                    method=known,
                    scheme=scheme,
                    version=version,
                    status=status,
                    error=error,
                    address=host,
                    port=port,
                )
            )
            for names, measured in zip(self._names, self._measured, strict=True)
        ]


def _record_size(into: Summary, message: Any) -> None:
    size = announced(message.headers.get("Content-Length"))
    if size is not None:
        into.record(size)


def _text(value: Any) -> Any:
    return value.decode("ascii") if isinstance(value, bytes) else value
