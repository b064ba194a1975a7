from __future__ import annotations

import builtins
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._config.environment import known_http_methods
from dtmetrics._instrument.semconv import METHODS
from dtmetrics._instrument.server import Options, Request, Requests
from dtmetrics._protocol.point import GaugeSummary, GaugeValue
from dtmetrics.errors import ConflictError
from tests.support.recorder import Recorder

DURATION = "http.server.request.duration"


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def requests(recorder: Recorder, **options: Any) -> Requests:
    """Make what a middleware makes."""
    return Requests(meter=recorder.meter, **options)


def begin(these: Requests, method: str = "GET", **more: Any) -> Request:
    """Begin a request that is measured."""
    request = these.begin(method, "http", "1.1", **more)
    assert request is not None
    return request


def dimensions(recorder: Recorder, key: str = DURATION) -> list[dict[str, str]]:
    """Return the dimensions of each series of *key*."""
    return [
        dict(pairs) for (name, pairs), _ in recorder.payloads().items() if name == key
    ]


def only(recorder: Recorder, key: str = DURATION) -> dict[str, str]:
    """Return the dimensions of the one series of *key*."""
    [found] = dimensions(recorder, key)
    return found


def test_a_request(recorder: Recorder) -> None:
    """A request is one duration in seconds, with the conventional dimensions."""
    clock = Clock()
    request = begin(requests(recorder, clock=clock))
    clock.now = 0.25
    request.end(200, "/users/{id}")
    pairs = {
        "http.request.method": "GET",
        "http.response.status_code": "200",
        "http.route": "/users/{id}",
        "network.protocol.version": "1.1",
        "url.scheme": "http",
    }
    found = recorder.payloads()
    assert found == {
        (DURATION, frozenset(pairs.items())): GaugeSummary(0.25, 0.25, 0.25, 1)
    }


def test_once(recorder: Recorder) -> None:
    """Whoever says that it has ended, the first counts, and the clock stops once."""
    clock = Clock()
    request = begin(requests(recorder, clock=clock))
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
    """What was sent is the status, or 500 where a server answers for an exception.

    ``error.type`` is the exception, or the status from 500 on; on success it is absent,
    and so is a status where nothing was sent.
    """
    begin(requests(recorder)).end(status, None, error)
    found = only(recorder)
    assert found.get("http.response.status_code") == code
    assert found.get("error.type") == kind


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no groups of exceptions")
def test_groups_of_one(recorder: Recorder) -> None:
    """An exception that is alone in a group, as task groups raise it, is what counts."""
    group: Any = getattr(builtins, "ExceptionGroup", None)
    begin(requests(recorder)).end(200, None, group("", [group("", [KeyError()])]))
    assert only(recorder)["error.type"] == "KeyError"
    begin(requests(recorder)).end(200, None, group("", [KeyError(), ValueError()]))
    assert only(recorder)["error.type"] == "ExceptionGroup"


def test_unmatched(recorder: Recorder) -> None:
    """Without a route there is no ``http.route``; the path is never one."""
    begin(requests(recorder), path="/wp-admin/setup.php").end(404)
    assert "wp-admin" not in str(recorder.lines())
    begin(requests(recorder)).end(404)
    assert "http.route" not in only(recorder)


@given(st.text())
def test_methods(method: str) -> None:
    """Methods that the convention does not name are one, whatever clients make up."""
    recorder = Recorder()
    begin(requests(recorder), method).end(200)
    expected = method if method in METHODS else "_OTHER"
    assert only(recorder)["http.request.method"] == expected


def test_known_methods(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other methods may be named, by argument over environment, in full."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "GET, PURGE,,get ")
    by_environment = requests(recorder)
    by_argument = requests(recorder, known_methods=["BREW"])
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
    ("said", "version"),
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
def test_versions(recorder: Recorder, said: str | None, version: str | None) -> None:
    """A protocol's version is one that exists, in the convention's form, or absent."""
    request = requests(recorder).begin("GET", "http", said)
    assert request is not None
    request.end(200)
    assert only(recorder).get("network.protocol.version") == version


@pytest.mark.parametrize(
    "scheme", ["http", "https", "ws", "wss", "gopher", "HTTP", None]
)
def test_schemes(recorder: Recorder, scheme: str | None) -> None:
    """A scheme is one that exists, or absent: proxies may pass on what clients made up."""
    request = requests(recorder, active_requests=True).begin("GET", scheme, "1.1")
    assert request is not None
    request.end(200, scheme=scheme)
    expected = scheme if scheme in ("http", "https", "ws", "wss") else None
    found = {key: dict(pairs).get("url.scheme") for key, pairs in recorder.payloads()}
    assert found == {DURATION: expected, "http.server.active_requests": expected}


def test_old_names(recorder: Recorder) -> None:
    """The old convention: milliseconds, and the names that went with them."""
    clock = Clock()
    request = begin(requests(recorder, semconv="old", clock=clock, body_sizes=True))
    clock.now = 0.25
    request.request_size, request.response_size = 3, 4
    request.end("500 Oh", "/a")
    pairs = {
        "http.method": "GET",
        "http.scheme": "http",
        "http.flavor": "1.1",
        "http.status_code": "500",
        "http.target": "/a",
    }
    where = frozenset(pairs.items())
    assert recorder.payloads() == {
        ("http.server.duration", where): GaugeSummary(250.0, 250.0, 250.0, 1),
        ("http.server.request.size", where): GaugeSummary(3, 3, 3, 1),
        ("http.server.response.size", where): GaugeSummary(4, 4, 4, 1),
    }


def test_both_conventions(recorder: Recorder) -> None:
    """Who migrates has both durations, and one gauge with the dimensions of both."""
    request = begin(requests(recorder, semconv="both", active_requests=True))
    gauge = only(recorder, "http.server.active_requests")
    assert {"http.method", "http.request.method"} < gauge.keys()
    request.end(200)
    keys = {key for key, _ in recorder.payloads()}
    assert {DURATION, "http.server.duration"} < keys


def test_unknown_convention(recorder: Recorder) -> None:
    """A convention that does not exist is refused when the middleware is made."""
    with pytest.raises(ValueError, match="semconv"):
        requests(recorder, semconv="new")


def test_definitions_are_checked_at_once() -> None:
    """Under ``strict`` a key that is something else already is refused then, too."""
    recorder = Recorder(strict=True)
    recorder.meter.counter(DURATION)
    with pytest.raises(ConflictError):
        requests(recorder)


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
    """An option of the wrong type is said at once, by its name."""
    with pytest.raises(TypeError, match=next(iter(options))):
        requests(recorder, **options)


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
def test_excluded(
    recorder: Recorder, exclude: Any, path: str, route: str | None, *, excluded: bool
) -> None:
    """A path or a route that is excluded is not measured; ``*`` stands for anything."""
    request = requests(recorder, exclude=exclude).begin("GET", "http", "1.1", path)
    if request is not None:
        request.end(200, route)
    assert (recorder.payloads() == {}) is excluded


def test_dimensions(recorder: Recorder) -> None:
    """A callable may add dimensions, asked about the request when it has ended."""
    about = {"tenant": "early"}
    these = requests(recorder, dimensions=lambda given: {"tenant": given["tenant"]})
    request = begin(these, about=about)
    about["tenant"] = "acme"
    request.end(200)
    assert only(recorder)["tenant"] == "acme"


def test_dimensions_that_fail(recorder: Recorder) -> None:
    """One that raises costs its dimensions and not the request, and is counted."""
    begin(requests(recorder, dimensions=lambda given: 1 / given), about=0).end(200)
    assert "http.request.method" in only(recorder)
    assert recorder.registry.invalid_values.total() == {"dimensions= failed": 1}


def test_dimensions_are_bounded() -> None:
    """What a callable makes up without end goes into one series in the end."""
    recorder = Recorder(max_series_per_metric=10)
    numbers = iter(range(100))
    these = requests(recorder, dimensions=lambda _: {"id": next(numbers)})
    for _ in range(100):
        begin(these).end(200)
    found = recorder.payloads()
    assert len(found) == 11
    assert sum(p.count for p in found.values() if isinstance(p, GaugeSummary)) == 100


def test_dimensions_without_end_take_no_memory(recorder: Recorder) -> None:
    """Nor does each kind of request remember what a callable made up for it."""
    numbers = iter(range(10_000))
    these = requests(recorder, dimensions=lambda _: {"id": next(numbers)})
    for number in range(3000):
        begin(these).end(200, f"/{number % 30}")
    handles = {each.duration for bound in these._bound.values() for each in bound}
    assert sum(handle._cache.cache_info().currsize for handle in handles) <= 1024


def test_nothing_is_kept_without_end(recorder: Recorder) -> None:
    """Methods and errors that never end take no memory without end."""
    these = requests(recorder, active_requests=True)
    for number in range(3000):
        begin(these, f"M{number}").end(200, f"/{number % 7}")
    assert len(these._bound) <= 1024
    assert len(these._active._kept) <= 1024
    total = sum(
        p.count for p in recorder.payloads().values() if isinstance(p, GaugeSummary)
    )
    assert total == 3000


def test_a_request_that_makes_no_sense(recorder: Recorder) -> None:
    """What cannot be recorded is counted, and nobody is bothered."""
    begin(requests(recorder)).end(200, {"no": "route"})  # type: ignore[arg-type]
    assert recorder.payloads() == {}
    assert recorder.registry.invalid_values.total() == {
        "request that makes no sense": 1
    }


def test_sizes(recorder: Recorder) -> None:
    """Sizes are opt-in, and absent where nobody knows them or there is no body."""
    these = requests(recorder, body_sizes=True)
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


def test_active(recorder: Recorder) -> None:
    """The gauge counts who is inside, until the last byte, with a worker's number."""
    these = requests(recorder, active_requests=True)
    first, second = begin(these), begin(these)
    assert _active(recorder) == [2]
    first.sent()
    first.end(200)
    assert _active(recorder) == [1]
    second.end(200)
    assert _active(recorder) == [0]
    found = only(recorder, "http.server.active_requests")
    assert found.pop("dtmetrics.worker").isdecimal()
    assert found == {"http.request.method": "GET", "url.scheme": "http"}


def test_active_where_dimensions_change(recorder: Recorder) -> None:
    """What ends in another context takes off where it was put."""
    these = requests(recorder, active_requests=True)
    with recorder.registry.context(tenant="acme"):
        request = begin(these)
    request.end(200)
    assert _active(recorder) == [0]


def test_active_over_a_fork(recorder: Recorder) -> None:
    """A request that a process began before it was forked is not the child's."""
    these = requests(recorder, active_requests=True)
    request = begin(these)
    recorder.registry.reset_after_fork()
    begin(these)
    request.end(200)
    assert _active(recorder) == [1]


def test_nobody_configured(recorder: Recorder) -> None:
    """Nothing is measured while nobody records, nor what began before."""
    these = requests(recorder)
    early = begin(these)
    recorder.registry.stop()
    assert these.begin("GET", "http", "1.1") is None
    early.end(200)
    assert recorder.payloads() == {}


def test_options() -> None:
    """What middlewares say they take is what there is to be taken."""
    taken = inspect.signature(Requests).parameters.keys() - {"clock"}
    assert Options.__annotations__.keys() == taken


def test_meters_of_both_apps_are_one() -> None:
    """Two middlewares in one process record into the same series."""
    recorder = Recorder()
    for these in (requests(recorder), requests(recorder)):
        begin(these).end(200)
    [payload] = recorder.payloads().values()
    assert isinstance(payload, GaugeSummary)
    assert payload.count == 2


def _active(recorder: Recorder) -> list[float]:
    return [*_gauges(recorder)]


def _gauges(recorder: Recorder) -> Iterator[float]:
    for payload in recorder.payloads().values():
        if isinstance(payload, GaugeValue):
            yield payload.value
