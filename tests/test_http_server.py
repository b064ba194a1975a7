from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._config.environment import known_http_methods
from dtmetrics._instrument.http_server import INVALID_REQUEST
from dtmetrics._instrument.semconv import METHODS
from dtmetrics._instrument.users_dimensions import INVALID_DIMENSIONS
from dtmetrics._protocol.point import GaugeSummary
from dtmetrics.errors import ConflictError
from tests.support.recorder import Recorder, level_of
from tests.support.server_requests import (
    DURATION,
    begin,
    dimensions,
    instruments,
    only,
)
from tests.support.timer_clock import Clock


def test_a_request(recorder: Recorder) -> None:
    """A request is one duration in seconds, with the dimensions of the convention."""
    clock = Clock(0.0)
    request = begin(instruments(recorder, clock=clock))
    clock.now = 0.25
    request.end(200, "/users/{id}")
    pairs = {
        "http.request.method": "GET",
        "http.response.status_code": "200",
        "http.route": "/users/{id}",
        "network.protocol.version": "1.1",
        "url.scheme": "http",
    }
    assert recorder.payloads() == {
        (DURATION, frozenset(pairs.items())): GaugeSummary(0.25, 0.25, 0.25, 1)
    }


def test_once(recorder: Recorder) -> None:
    """Only the first end of a request is recorded, and its clock stops only once."""
    clock = Clock(0.0)
    request = begin(instruments(recorder, clock=clock))
    clock.now = 1.0
    request.sent()
    clock.now = 9.0
    request.sent()
    request.end(200)
    request.end(500, error=ValueError())
    [payload] = recorder.payloads().values()
    assert payload == GaugeSummary(1.0, 1.0, 1.0, 1)


@pytest.mark.parametrize(
    ("status", "error", "code", "kind"),
    [
        (200, None, "200", None),
        ("404 Not Found", None, "404", None),
        ("500 Internal Server Error", None, "500", "500"),
        (503, None, "503", "503"),
        (None, ValueError(), "500", "ValueError"),
        (200, ValueError(), "200", "ValueError"),
        (500, "shop.NoSuchItem", "500", "shop.NoSuchItem"),
        (None, GeneratorExit(), None, "GeneratorExit"),
        (None, None, None, None),
        ("OK", None, None, None),
        (object(), None, None, None),
    ],
)
def test_status_and_error(
    recorder: Recorder, status: Any, error: Any, code: str | None, kind: str | None
) -> None:
    """The status is what was sent, or 500 where the server answers an exception.

    ``error.type`` is the exception's class, or a status of 500 or more. It is absent on
    success, as the status is where nothing was sent.
    """
    begin(instruments(recorder)).end(status, None, error)
    found = only(recorder)
    assert found.get("http.response.status_code") == code
    assert found.get("error.type") == kind


def test_discard(recorder: Recorder) -> None:
    """A discarded request leaves the gauge of active requests without a record."""
    request = begin(instruments(recorder, active_requests=True))
    request.discard()
    request.end(200)
    [(key, _)] = recorder.payloads()
    assert key == "http.server.active_requests"


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="exception groups are new in 3.11"
)
def test_groups_of_one(recorder: Recorder) -> None:
    """The only exception of a group is recorded in place of the group."""
    group: Any = getattr(builtins, "ExceptionGroup", None)
    begin(instruments(recorder)).end(200, None, group("", [group("", [KeyError()])]))
    assert only(recorder)["error.type"] == "KeyError"
    begin(instruments(recorder)).end(200, None, group("", [KeyError(), ValueError()]))
    assert only(recorder)["error.type"] == "ExceptionGroup"


def test_unmatched(recorder: Recorder) -> None:
    """Without a route there is no ``http.route``; a path is never recorded."""
    begin(instruments(recorder), path="/wp-admin/setup.php").end(404)
    assert "wp-admin" not in str(recorder.lines())
    begin(instruments(recorder)).end(404)
    assert "http.route" not in only(recorder)


@given(st.text())
def test_methods(method: str) -> None:
    """All methods that the convention does not name are recorded as ``_OTHER``."""
    recorder = Recorder()
    begin(instruments(recorder), method).end(200)
    expected = method if method in METHODS else "_OTHER"
    assert only(recorder)["http.request.method"] == expected


def test_known_methods(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods recorded by name are the argument's, or else the environment's."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "GET, PURGE,,get ")
    by_environment = instruments(recorder)
    by_argument = instruments(recorder, known_methods=["BREW"])
    for method in ("GET", "get", "PURGE", "POST", "BREW"):
        begin(by_environment, method).end(200)
    found = {d["http.request.method"] for d in dimensions(recorder)}
    assert found == {"GET", "get", "PURGE", "_OTHER"}
    for method in ("GET", "BREW"):
        begin(by_argument, method).end(200)
    found = {d["http.request.method"] for d in dimensions(recorder)}
    assert found == {"BREW", "_OTHER"}
    assert known_http_methods({}) == frozenset()


@pytest.mark.parametrize(
    ("written", "version"),
    [
        ("HTTP/1.0", "1.0"),
        ("HTTP/1.1", "1.1"),
        ("HTTP/2", "2"),
        ("HTTP/2.0", "2"),
        ("1.1", "1.1"),
        ("2", "2"),
        ("3", "3"),
        ("HTTP/1.7", None),
        (None, None),
    ],
)
def test_versions(recorder: Recorder, written: str | None, version: str | None) -> None:
    """A protocol's version is in the convention's form; an unknown one is absent."""
    request = instruments(recorder).begin("GET", "http", written)
    assert request is not None
    request.end(200)
    assert only(recorder).get("network.protocol.version") == version


@pytest.mark.parametrize(
    "scheme", ["http", "https", "ws", "wss", "gopher", "HTTP", None]
)
def test_schemes(recorder: Recorder, scheme: str | None) -> None:
    """An unknown scheme is absent: a proxy may pass on what a client made up."""
    request = instruments(recorder, active_requests=True).begin("GET", scheme, "1.1")
    assert request is not None
    request.end(200, scheme=scheme)
    expected = scheme if scheme in ("http", "https", "ws", "wss") else None
    found = {key: dict(pairs).get("url.scheme") for key, pairs in recorder.payloads()}
    assert found == {DURATION: expected, "http.server.active_requests": expected}


def test_strict_definitions() -> None:
    """Under ``strict`` a middleware raises if its key belongs to another kind."""
    recorder = Recorder(strict=True)
    recorder.meter.counter(DURATION)
    with pytest.raises(ConflictError):
        instruments(recorder)


@pytest.mark.parametrize(
    "options",
    [
        {"exclude": 7},
        {"exclude": ["/x", 7]},
        {"known_methods": "GET"},
        {"known_methods": 7},
    ],
)
def test_wrong_options(recorder: Recorder, options: dict[str, Any]) -> None:
    """An option of the wrong type raises a TypeError that names it."""
    with pytest.raises(TypeError, match=next(iter(options))):
        instruments(recorder, **options)


@pytest.mark.parametrize(
    ("exclude", "path", "route", "excluded"),
    [
        ("/health", "/health", None, True),
        ("/health", "/healthy", None, False),
        (["/health", "/static/*"], "/static/a/b.css", None, True),
        (["/a.c"], "/abc", None, False),
        (["/users/{id}"], "/users/7", "/users/{id}", True),
        ([re.compile("^/int")], "/internal", None, True),
        ([re.compile("/x$"), "/y"], "/y", None, True),
        ([re.compile("/x$"), re.compile("z")], "/zoo", None, True),
        ([], "/", None, False),
    ],
)
def test_exclude(
    recorder: Recorder, exclude: Any, path: str, route: str | None, *, excluded: bool
) -> None:
    """A path or a route that is excluded is not recorded; ``*`` matches anything."""
    request = instruments(recorder, exclude=exclude).begin("GET", "http", "1.1", path)
    if request is not None:
        request.end(200, route)
    assert (recorder.payloads() == {}) is excluded


def test_dimensions(recorder: Recorder) -> None:
    """The user's callable is called with the request's source when it has ended."""
    source = {"tenant": "early"}
    these = instruments(
        recorder, dimensions=lambda source: {"tenant": source["tenant"]}
    )
    request = begin(these, source=source)
    source["tenant"] = "acme"
    request.end(200)
    assert only(recorder)["tenant"] == "acme"


def test_dimensions_that_fail(recorder: Recorder) -> None:
    """A request whose dimensions callable raises is recorded without them, and counted."""
    begin(instruments(recorder, dimensions=lambda source: 1 / source), source=0).end(
        200
    )
    assert "http.request.method" in only(recorder)
    assert recorder.registry.invalid_values.total() == {INVALID_DIMENSIONS: 1}


def test_dimensions_are_bounded() -> None:
    """Past the limit of series all dimensions of a callable share one series."""
    recorder = Recorder(max_series_per_metric=10)
    numbers = iter(range(100))
    these = instruments(recorder, dimensions=lambda _: {"id": next(numbers)})
    for _ in range(100):
        begin(these).end(200)
    payloads = recorder.payloads().values()
    assert len(payloads) == 11
    assert sum(p.count for p in payloads if isinstance(p, GaugeSummary)) == 100


def test_dimensions_share_one_cache(recorder: Recorder) -> None:
    """A callable's dimensions are cached once, and not again for each kind of request."""
    numbers = iter(range(10_000))
    these = instruments(recorder, dimensions=lambda _: {"id": next(numbers)})
    for number in range(3000):
        begin(these).end(200, f"/{number % 30}")
    # A handle caches a thousand sets of dimensions: thirty handles would cache 30,000.
    bound = {
        these._bound("GET", "http", "1.1", 200, f"/{n}", None)[0] for n in range(30)
    }
    assert bound == {these._instruments}


def test_caches_are_bounded(recorder: Recorder) -> None:
    """Any number of methods and routes is recorded, but only 1024 are cached."""
    these = instruments(recorder, active_requests=True)
    for number in range(3000):
        begin(these, f"M{number}").end(200, f"/{number % 7}")
    assert these._bound.cache_info().currsize <= 1024
    assert these._active is not None
    assert these._active._bound.cache_info().currsize <= 1024
    total = sum(
        payload.count
        for (key, _), payload in recorder.payloads().items()
        if isinstance(payload, GaugeSummary) and key != "http.server.active_requests"
    )
    assert total == 3000


def test_invalid_request(recorder: Recorder) -> None:
    """A request that cannot be described is counted as invalid, and raises nothing."""
    begin(instruments(recorder)).end(200, {"no": "route"})  # type: ignore[arg-type]
    assert recorder.payloads() == {}
    assert recorder.registry.invalid_values.total() == {INVALID_REQUEST: 1}


def test_sizes(recorder: Recorder) -> None:
    """Sizes are opt-in, and absent where they are unknown or there is no body."""
    these = instruments(recorder, body_sizes=True)
    for method, status, sizes in [
        ("GET", 200, (None, 10)),
        ("POST", 200, (20, 30)),
        ("HEAD", 200, (None, 0)),
        ("GET", 304, (None, 0)),
        ("GET", 204, (None, 0)),
        ("GET", 200, (None, None)),
    ]:
        request = begin(these, method)
        request.request_size, request.response_size = sizes
        request.end(status)
    sums = {
        (key, dict(pairs)["http.request.method"]): payload.sum
        for (key, pairs), payload in recorder.payloads().items()
        if isinstance(payload, GaugeSummary) and key != DURATION
    }
    assert sums == {
        ("http.server.response.body.size", "GET"): 10,
        ("http.server.request.body.size", "POST"): 20,
        ("http.server.response.body.size", "POST"): 30,
    }


def test_time_to_first_byte(recorder: Recorder) -> None:
    """The first byte is sent once: a second call does not change its time."""
    clock = Clock(0.0)
    these = instruments(recorder, time_to_first_byte=True, clock=clock)
    request = begin(these)
    for clock.now in (0.25, 0.5, 1.0):
        request.first_byte_sent()
    request.end(200)
    sums = {
        key: payload.sum
        for (key, _), payload in recorder.payloads().items()
        if isinstance(payload, GaugeSummary)
    }
    assert sums == {DURATION: 1.0, "http.server.time_to_first_byte": 0.25}


def test_active(recorder: Recorder) -> None:
    """The gauge counts requests until their last byte is sent."""
    these = instruments(recorder, active_requests=True)
    first, second = begin(these), begin(these)
    assert _active(recorder) == [2]
    first.sent()
    first.end(200)
    assert _active(recorder) == [1]
    second.end(200)
    assert _active(recorder) == [0]
    assert only(recorder, "http.server.active_requests") == {
        "http.request.method": "GET",
        "url.scheme": "http",
    }


def test_active_where_dimensions_change(recorder: Recorder) -> None:
    """A request that ends in another context is counted off where it was counted."""
    these = instruments(recorder, active_requests=True)
    with recorder.registry.context(tenant="acme"):
        request = begin(these)
    request.end(200)
    assert _active(recorder) == [0]


def test_active_over_a_fork(recorder: Recorder) -> None:
    """A forked child does not count the requests that its parent had begun."""
    these = instruments(recorder, active_requests=True)
    request = begin(these)
    recorder.registry.reset_after_fork()
    begin(these)
    request.end(200)
    assert _active(recorder) == [1]


def test_not_recording(recorder: Recorder) -> None:
    """While recording is off no request is recorded, even one that began before."""
    these = instruments(recorder)
    early = begin(these)
    recorder.registry.stop()
    assert these.begin("GET", "http", "1.1") is None
    early.end(200)
    assert recorder.payloads() == {}


def test_two_middlewares() -> None:
    """Two middlewares in one process record into the same series."""
    recorder = Recorder()
    for these in (instruments(recorder), instruments(recorder)):
        begin(these).end(200)
    [payload] = recorder.payloads().values()
    assert isinstance(payload, GaugeSummary)
    assert payload.count == 2


def _active(recorder: Recorder) -> list[float]:
    return [*_gauges(recorder)]


def _gauges(recorder: Recorder) -> Iterator[float]:
    for (key, _), payload in recorder.payloads().items():
        if key == "http.server.active_requests":
            level = level_of(payload)
            assert level is not None
            yield level
