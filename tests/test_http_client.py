from __future__ import annotations

import asyncio
import functools
import importlib
import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest import mock

import httpx
import pytest

from dtmetrics._core.suppress_instrumentation import suppress_instrumentation
from dtmetrics._instrument.http_client import INVALID_REQUEST, ClientInstruments
from dtmetrics._instrument.users_dimensions import INVALID_DIMENSIONS
from dtmetrics._protocol.point import GaugeSummary
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import Batch, ExportResult, MemoryExporter
from tests.support.endpoint import Endpoint, refusing_port
from tests.support.path_server import PathServer
from tests.support.recorder import Recorder
from tests.support.script import expect

DURATION = "http.client.request.duration"
PATIENCE = 20.0
IMPATIENCE = 0.05  # of a client that asks for /never


class Library:
    """httpx, used as an application does."""

    #: The library, and the integration that instruments it.
    name = module = "httpx"
    errors: tuple[str, str, str] = (
        "httpx.ConnectError",
        "httpx.ReadTimeout",
        "httpx.RemoteProtocolError",
    )

    def __init__(self) -> None:
        ours = importlib.import_module(f"dtmetrics.integrations.{self.module}")
        self.instrument = getattr(ours, f"instrument_{self.module}")
        self.uninstrument = getattr(ours, f"uninstrument_{self.module}")

    @property
    def library(self) -> Any:
        return importlib.import_module(self.name)

    def session(self) -> Any:
        return self.library.Client(trust_env=False, follow_redirects=True)

    def until(self, timeout: float) -> Any:
        return self.library.Timeout(PATIENCE, read=timeout)

    def ask(self, session: Any, method: str, url: str, timeout: float) -> Any:
        return session.request(method, url, timeout=self.until(timeout))

    def stream(self, session: Any, url: str) -> None:
        with session.stream("GET", url) as response:
            next(response.iter_raw())  # the rest is not read


class Asynchronous(Library):
    """httpx's asynchronous client, with its own event loop."""

    @contextmanager
    def session(self) -> Any:
        loop = asyncio.new_event_loop()
        client = self.library.AsyncClient(trust_env=False, follow_redirects=True)
        yield loop, client
        loop.run_until_complete(client.aclose())
        # httpx leaves some of its generators to the loop, as asyncio.run() ends it.
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def ask(self, session: Any, method: str, url: str, timeout: float) -> Any:
        loop, client = session
        return loop.run_until_complete(
            client.request(method, url, timeout=self.until(timeout))
        )

    def stream(self, session: Any, url: str) -> None:
        loop, client = session

        async def stream() -> None:
            async with client.stream("GET", url) as response:
                pieces = response.aiter_raw()
                await anext(pieces)
                await pieces.aclose()

        loop.run_until_complete(stream())


class Httpx2(Library):
    """httpx2, which has the API of httpx."""

    name = "httpx2"
    errors = (
        "httpx2.ConnectError",
        "httpx2.ReadTimeout",
        "httpx2.RemoteProtocolError",
    )


class AsynchronousHttpx2(Asynchronous):
    """httpx2's asynchronous client, with its own event loop."""

    name = "httpx2"
    errors = Httpx2.errors


class Requests(Library):
    """requests, used as an application does."""

    name = module = "requests"
    errors = (
        "requests.exceptions.ConnectionError",
        "requests.exceptions.ReadTimeout",
        "requests.exceptions.ConnectionError",
    )

    def session(self) -> Any:
        session = importlib.import_module("requests").Session()
        session.trust_env = False
        return session

    def until(self, timeout: float) -> Any:
        return PATIENCE, timeout

    def stream(self, session: Any, url: str) -> None:
        with session.get(url, stream=True, timeout=PATIENCE) as response:
            next(response.iter_content(3))


@pytest.fixture(scope="module")
def server() -> Iterator[PathServer]:
    """Return a server that answers by the path."""
    with PathServer() as made:
        yield made


@pytest.fixture(params=[Library, Asynchronous, Httpx2, AsynchronousHttpx2, Requests])
def library(request: pytest.FixtureRequest) -> Iterator[Library]:
    """Return each library in turn; uninstrument it afterwards."""
    pytest.importorskip(request.param.name)
    made = request.param()
    yield made
    made.uninstrument()


def httpx_instruments(recorder: Recorder, **options: Any) -> ClientInstruments:
    """Return the instruments of httpx."""
    describe = importlib.import_module("dtmetrics.integrations.httpx")._describe
    return ClientInstruments(recorder.meter, describe, **options)


def dimensions(recorder: Recorder, key: str = DURATION) -> list[dict[str, str]]:
    """Return the dimensions of each series of *key*, once for each value in it."""
    return [
        dict(pairs)
        for (name, pairs), payload in recorder.payloads().items()
        if name == key and isinstance(payload, GaugeSummary)
        for _ in range(payload.count)
    ]


def ask(library: Library, method: str, url: str, timeout: float = PATIENCE) -> None:
    """Make one request, which may fail."""
    kind = "RequestException" if library.name == "requests" else "HTTPError"
    expected = getattr(importlib.import_module(library.name), kind)
    with library.session() as session, suppress(expected):
        library.ask(session, method, url, timeout)


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/status/200?secret=1", 200, None),
        ("POST", "/status/399", 399, None),
        ("PUT", "/status/404", 404, "404"),
        ("DELETE", "/status/503", 503, "503"),
        ("HEAD", "/status/200", 200, None),
        ("BREW", "/status/204", 204, None),
        ("GET", "/stream", 200, None),
        ("GET", "/never", None, 1),
        ("GET", "/cut", None, 2),
    ],
)
def test_request(
    server: PathServer,
    recorder: Recorder,
    library: Library,
    method: str,
    path: str,
    status: int | None,
    error: str | int | None,
) -> None:
    """A request has its method, server, status and error; never its path or query."""
    library.instrument(meter=recorder.meter)
    ask(
        library, method, server.url + path, IMPATIENCE if path == "/never" else PATIENCE
    )
    [found] = dimensions(recorder)
    if isinstance(error, int):
        error = library.errors[error]
    assert found == {
        "http.request.method": "_OTHER" if method == "BREW" else method,
        "server.address": "127.0.0.1",
        "server.port": str(server.port),
        **({} if status is None else {"http.response.status_code": str(status)}),
        **({} if status is None else {"network.protocol.version": "1.1"}),
        **({} if error is None else {"error.type": error}),
    }


def test_connection_refused(recorder: Recorder, library: Library) -> None:
    """A refused connection has the exception's class, and no status."""
    library.instrument(meter=recorder.meter)
    port = refusing_port()
    ask(library, "GET", f"http://user:secret@127.0.0.1:{port}/x")
    [found] = dimensions(recorder)
    assert found == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": str(port),
        "error.type": library.errors[0],
    }


def test_redirect(server: PathServer, recorder: Recorder, library: Library) -> None:
    """A redirect is recorded as two requests, each with its own status."""
    library.instrument(meter=recorder.meter)
    ask(library, "GET", f"{server.url}/redirect")
    found = [each["http.response.status_code"] for each in dimensions(recorder)]
    assert sorted(found) == ["200", "302"]


def test_stream(server: PathServer, recorder: Recorder, library: Library) -> None:
    """A stream that is not read to its end is one request without an error."""
    library.instrument(meter=recorder.meter)
    with library.session() as session:
        library.stream(session, f"{server.url}/stream")
    [found] = dimensions(recorder)
    assert found["http.response.status_code"] == "200"
    assert "error.type" not in found


def test_sizes(server: PathServer, recorder: Recorder, library: Library) -> None:
    """Sizes are those that Content-Length announces; a HEAD request has none."""
    library.instrument(meter=recorder.meter, body_sizes=True)
    for method, path in [
        ("GET", "/status/200"),
        ("HEAD", "/status/200"),
        ("GET", "/stream"),
    ]:
        ask(library, method, server.url + path)
    sums: Tally[str] = Tally()
    for (key, _), payload in recorder.payloads().items():
        if key.endswith("size") and isinstance(payload, GaugeSummary):
            sums[key] += payload.count
            sums["bytes"] += int(payload.sum)
    assert sums == {"http.client.response.body.size": 1, "bytes": 10}


def test_dimensions_of_the_user(
    server: PathServer, recorder: Recorder, library: Library
) -> None:
    """A dimensions callable gets the library's request, and the response if it takes two."""

    def users(request: Any, response: Any) -> dict[str, object]:
        length = response.headers.get("content-length")
        return {"of": request.method, "length": length, "got": response.status}

    library.instrument(meter=recorder.meter, dimensions=users, body_sizes=True)
    ask(library, "GET", f"{server.url}/status/200")
    ask(library, "GET", f"http://127.0.0.1:{refusing_port()}")
    answered, refused = sorted(dimensions(recorder), key=len, reverse=True)
    assert (answered["of"], answered["length"], answered["got"]) == ("GET", "10", "200")
    assert (refused["of"], "length" in refused, "got" in refused) == (
        "GET",
        False,
        False,
    )


def test_dimensions_that_fail(
    server: PathServer, recorder: Recorder, library: Library
) -> None:
    """A request whose dimensions callable raises is recorded without them, and counted."""
    library.instrument(meter=recorder.meter, dimensions=lambda request: {"a": 1 / 0})
    ask(library, "GET", f"{server.url}/status/200")
    assert len(dimensions(recorder)) == 1
    assert recorder.registry.invalid_values.total() == {INVALID_DIMENSIONS: 1}


@pytest.mark.parametrize(
    ("announced", "size"),
    [("7", 7), (b"8", 8), ("-7", None), ("7, 7", None), ("", None), ("9" * 5000, None)],
)
def test_announced(recorder: Recorder, announced: Any, size: int | None) -> None:
    """A Content-Length that is not a size is left out; the request is recorded."""
    instruments = httpx_instruments(recorder, body_sizes=True)
    request = httpx.Request("GET", "http://a.example")
    request.headers = {"Content-Length": announced}  # type: ignore[assignment]
    instruments.record(0.1, request, httpx.Response(200))
    sums = {
        key: payload.sum
        for (key, _), payload in recorder.payloads().items()
        if isinstance(payload, GaugeSummary)
    }
    expected = {} if size is None else {"http.client.request.body.size": size}
    assert sums == {DURATION: 0.1} | expected


def test_known_methods(
    server: PathServer,
    recorder: Recorder,
    library: Library,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The methods recorded by name are the argument's, or else the environment's."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "BREW, GET")
    for known in (None, ["PUT"]):
        library.instrument(meter=recorder.meter, known_methods=known)
        for method in ("BREW", "PUT"):
            ask(library, method, f"{server.url}/status/204")
        library.uninstrument()
    found = Tally(each["http.request.method"] for each in dimensions(recorder))
    assert found == {"BREW": 1, "PUT": 1, "_OTHER": 2}


def test_twice(server: PathServer, recorder: Recorder, library: Library) -> None:
    """A second instrument call does nothing; the first uninstrument call ends it."""
    library.instrument(meter=recorder.meter)
    library.instrument(meter=recorder.meter, body_sizes=True)
    with pytest.raises(TypeError):
        library.instrument("httpx")
    ask(library, "GET", f"{server.url}/status/200")
    assert len(dimensions(recorder)) == 1
    library.uninstrument()
    library.uninstrument()
    ask(library, "GET", f"{server.url}/status/200")
    assert recorder.payloads() == {}


def test_wrong_options(library: Library) -> None:
    """An unknown option or one of the wrong type raises, and wraps nothing."""
    before = httpx.HTTPTransport.handle_request
    with pytest.raises(TypeError, match="semconv"):
        library.instrument(semconv="old")
    with pytest.raises(TypeError, match="known_methods must be"):
        library.instrument(known_methods="GET")
    assert httpx.HTTPTransport.handle_request is before
    library.instrument()


def test_not_configured(server: PathServer, library: Library) -> None:
    """Without configure() a request is passed on, and not recorded."""
    recorder = Recorder()
    recorder.registry.stop()
    library.instrument(meter=recorder.meter)
    with library.session() as session:
        response = library.ask(session, "GET", f"{server.url}/status/200", PATIENCE)
    assert response.status_code == 200
    assert recorder.points() == []


def test_exporting(server: PathServer, recorder: Recorder, library: Library) -> None:
    """An exporter's own requests are not recorded, whichever library it uses."""
    library.instrument(meter=recorder.meter)
    suppress_instrumentation(ask, library, "GET", f"{server.url}/status/200")
    assert recorder.payloads() == {}


def test_load(server: PathServer, recorder: Recorder, library: Library) -> None:
    """Each of 2000 requests from several threads is recorded with its outcome."""
    library.instrument(meter=recorder.meter)
    _, timeout, cut = library.errors
    kinds = [
        *(("/status/200", ("200", "")),) * 40,
        *(("/status/404", ("404", "404")),) * 10,
        ("/status/500", ("500", "500")),
        ("/cut", ("", cut)),
        ("/never", ("", timeout)),
        ("/stream", ("200", "")),
    ]
    rounds = 10

    def work() -> None:
        with library.session() as session:
            for path, _ in kinds * rounds:
                if path == "/stream":
                    library.stream(session, server.url + path)
                    continue
                patience = IMPATIENCE if path == "/never" else PATIENCE
                with suppress(Exception):
                    library.ask(session, "GET", server.url + path, patience)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected: Tally[tuple[str, str]] = Tally()
    for _, ended in kinds:
        expected[ended] += rounds * len(threads)
    found = Tally(
        (each.get("http.response.status_code", ""), each.get("error.type", ""))
        for each in dimensions(recorder)
    )
    assert found == expected


def test_tasks(server: PathServer, recorder: Recorder) -> None:
    """Each request of many tasks, some of them cancelled, is recorded with its outcome."""
    library = Asynchronous()
    library.instrument(meter=recorder.meter)

    async def main() -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            trust_env=False, limits=limits, timeout=PATIENCE
        ) as client:
            waits = [
                asyncio.wait_for(client.get(f"{server.url}/never"), IMPATIENCE)
                for _ in range(50)
            ]
            ended = await asyncio.gather(*waits, return_exceptions=True)
            assert {type(each) for each in ended} == {asyncio.TimeoutError}
            for _ in range(10):
                answers = await asyncio.gather(
                    *(client.get(f"{server.url}/status/200") for _ in range(20)),
                    *(client.get(f"{server.url}/status/502") for _ in range(5)),
                )
                assert len(answers) == 25

    try:
        asyncio.run(main())
    finally:
        library.uninstrument()
    found = Tally(each.get("error.type", "") for each in dimensions(recorder))
    assert found == {"asyncio.exceptions.CancelledError": 50, "502": 50, "": 200}


# -- wrapped methods ----------------------------------------------------------------


class Answer:
    """An answer that is not a response."""


class Interrupt(BaseException):
    """An exception in the middle of a request."""


@pytest.mark.parametrize("ends", [Answer(), Interrupt(), KeyboardInterrupt()])
def test_untouched(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, ends: Any
) -> None:
    """Answers and exceptions are the same objects; an invalid answer is counted."""

    def handle_request(self: Any, request: Any) -> Any:
        if isinstance(ends, BaseException):
            raise ends
        return ends

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle_request)
    library = Library()
    library.instrument(meter=recorder.meter)
    request = httpx.Request("GET", "https://example.org")
    got: Any = None
    try:
        got = httpx.HTTPTransport().handle_request(request)
    except BaseException as error:
        got = error
    library.uninstrument()
    assert got is ends
    invalid = recorder.registry.invalid_values.total()
    if isinstance(ends, Answer):
        assert invalid == {INVALID_REQUEST: 1}
    else:
        [found] = dimensions(recorder)
        assert found["error.type"].endswith(type(ends).__name__)
        assert found["server.port"] == "443"
    assert vars(httpx.HTTPTransport)["handle_request"] is handle_request


def wrapped_by_wrapt(owner: Any, name: str) -> Callable[[], None]:
    """Wrap a method as OpenTelemetry does; return what unwraps it."""
    wrapt = importlib.import_module("wrapt")
    found = vars(owner)[name]

    def around(call: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        assert isinstance(instance, owner)
        return call(*args, **kwargs)

    wrapt.wrap_function_wrapper(owner, name, around)
    return lambda: setattr(owner, name, found)


def wrapped_by_hand(owner: Any, name: str) -> Callable[[], None]:
    """Wrap a method by a function; return what unwraps it."""
    found = vars(owner)[name]

    @functools.wraps(found)
    def around(self: Any, *args: Any, **kwargs: Any) -> Any:
        return found(self, *args, **kwargs)

    setattr(owner, name, around)
    return lambda: setattr(owner, name, found)


def test_mocks(recorder: Recorder) -> None:
    """A method that a test replaced by a mock, which does not bind, is wrapped too."""
    library = Library()
    owner, name = target(library)
    answer = httpx.Response(200)
    with mock.patch.object(owner, name, return_value=answer) as theirs:
        library.instrument(meter=recorder.meter)
        request = httpx.Request("GET", "http://a.example/x")
        assert owner().handle_request(request) is answer
        library.uninstrument()
        assert vars(owner)[name] is theirs
    theirs.assert_called_once_with(request)
    assert len(dimensions(recorder)) == 1


@pytest.mark.parametrize("wrap", [wrapped_by_wrapt, wrapped_by_hand])
def test_others_within(
    server: PathServer, recorder: Recorder, library: Library, wrap: Any
) -> None:
    """A method that another library has wrapped is wrapped again, and restored."""
    owner, name = target(library)
    unwrap = wrap(owner, name)
    theirs = vars(owner)[name]
    library.instrument(meter=recorder.meter)
    ask(library, "GET", f"{server.url}/status/200")
    assert len(dimensions(recorder)) == 1
    library.uninstrument()
    assert vars(owner)[name] is theirs
    unwrap()


@pytest.mark.parametrize("wrap", [wrapped_by_wrapt, wrapped_by_hand])
def test_others_around(
    server: PathServer, recorder: Recorder, library: Library, wrap: Any
) -> None:
    """A wrapper that another library put around ours stays; ours only passes on."""
    owner, name = target(library)
    before = vars(owner)[name]
    try:
        library.instrument(meter=recorder.meter)
        unwrap = wrap(owner, name)
        theirs = vars(owner)[name]
        library.uninstrument()
        assert vars(owner)[name] is theirs
        ask(library, "GET", f"{server.url}/status/200")
        assert recorder.payloads() == {}
        library.instrument(meter=recorder.meter)
        ask(library, "GET", f"{server.url}/status/200")
        assert len(dimensions(recorder)) == 1
        library.uninstrument()
        unwrap()
        ask(library, "GET", f"{server.url}/status/200")
        assert recorder.payloads() == {}
    finally:
        setattr(owner, name, before)


def target(library: Library) -> tuple[Any, str]:
    """Return the class and the method that are wrapped."""
    if isinstance(library, Asynchronous):
        return library.library.AsyncHTTPTransport, "handle_async_request"
    if isinstance(library, Requests):
        return importlib.import_module("requests.adapters").HTTPAdapter, "send"
    return library.library.HTTPTransport, "handle_request"


# -- httpx2 --------------------------------------------------------------------------

PROCESS = """
    import sys
    {first}
    import dtmetrics
    from dtmetrics.integrations.httpx import instrument_httpx, uninstrument_httpx

    exporter = dtmetrics.MemoryExporter()
    settings = dict(interval=None, enrich=False, self_metrics=False)
    dtmetrics.configure(exporter=exporter, **settings)
    instrument_httpx()
    import {library}
    with {library}.Client(trust_env=False) as client:
        client.get(sys.argv[1])
        uninstrument_httpx()
        client.get(sys.argv[1])
    assert dtmetrics.flush()
    print([line.partition("count=")[2][0] for line in exporter.lines if line[0] != "#"])
"""


@pytest.mark.parametrize(
    ("library", "first"),
    [
        ("httpx2", ""),
        ("httpx2", "import httpx2"),
        ("httpx2", "import httpx2; httpx2.alias_httpx()"),
        ("httpx", "import httpx2; httpx2.alias_httpx()"),
        ("httpx", "sys.modules['httpx2'] = None"),
    ],
)
def test_httpx2(server: PathServer, library: str, first: str) -> None:
    """httpx2 is recorded whenever it is imported; httpx also where httpx2 is missing.

    Where one is an alias of the other, a request is recorded once.
    """
    if "None" not in first:
        pytest.importorskip("httpx2")
    source = PROCESS.format(library=library, first=first)
    assert expect(source, f"{server.url}/status/200") == "['1']\n"


# -- dimensions ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "address", "port"),
    [
        ("https://example.org/a/b?c#d", "example.org", "443"),
        ("http://Example.ORG", "example.org", "80"),
        ("http://u:p@[::1]:81/x", "::1", "81"),
        ("http://bücher.example/", "xn--bcher-kva.example", "80"),
        ("http://a.example?x=/y", "a.example", "80"),
    ],
)
def test_server(
    recorder: Recorder, library: Library, url: str, address: str, port: str
) -> None:
    """Server and port are those of the URL, in ASCII; a scheme has a port."""
    module = importlib.import_module(f"dtmetrics.integrations.{library.module}")
    instruments = ClientInstruments(recorder.meter, module._describe)
    request: Any = library.library.Request("GET", url)
    if isinstance(library, Requests):
        request = request.prepare()
    instruments.record(0.1, request, error=ValueError())
    [found] = dimensions(recorder)
    assert (found["server.address"], found["server.port"]) == (address, port)


@pytest.mark.parametrize(
    ("written", "version"),
    [(b"HTTP/1.0", "1.0"), (b"HTTP/1.1", "1.1"), (b"HTTP/2", "2"), (b"SPDY", None)],
)
def test_version(recorder: Recorder, written: bytes, version: str | None) -> None:
    """A protocol's version is in the convention's form; an unknown one is absent."""
    response = httpx.Response(200, extensions={"http_version": written})
    instruments = httpx_instruments(recorder)
    instruments.record(0.1, httpx.Request("GET", "http://a"), response)
    [found] = dimensions(recorder)
    assert found.get("network.protocol.version") == version


def test_many_servers(recorder: Recorder) -> None:
    """Requests to any number of servers are recorded, but only 1024 are cached."""
    instruments = httpx_instruments(recorder)
    for number in range(1500):
        request = httpx.Request("GET", f"http://a{number}")
        instruments.record(0.1, request, httpx.Response(200))
    assert len(dimensions(recorder)) == 1500
    assert instruments._bound.cache_info().currsize <= 1024


# -- our own delivery ----------------------------------------------------------------


def test_own_exporter(server: PathServer, runtime: Runtime, library: Library) -> None:
    """Requests of a user's exporter are not recorded."""
    answered = []

    class Posting(MemoryExporter):
        def export(self, body: Batch, timeout: float) -> ExportResult:
            with library.session() as session:
                answer = library.ask(
                    session, "GET", f"{server.url}/status/200", timeout
                )
                answered.append(answer.status_code)
            return super().export(body, timeout)

    library.instrument(meter=runtime.get_meter("outbound"))
    exporter = Posting()
    runtime.configure(exporter=exporter, interval=None, enrich=False)
    for _ in range(3):
        runtime.meters.root.counter("jobs").inc()
        assert runtime.flush()
    assert answered == [200] * 3
    assert not [line for line in exporter.lines if "http.client" in line]
    ask(library, "GET", f"{server.url}/status/200")
    assert runtime.flush()
    assert [line for line in exporter.lines if DURATION in line]


DELIVERING = """
    import sys, threading
    from contextlib import suppress
    import dtmetrics

    def instrument():
        from dtmetrics.integrations.httpx import instrument_httpx
        instrument_httpx()
        with suppress(ImportError):
            from dtmetrics.integrations.requests import instrument_requests
            instrument_requests()

    when = sys.argv[1]
    if when == "before":
        instrument()
    dtmetrics.configure(interval=0.05 if when == "thread" else None, self_metrics=False)
    if when == "late":
        dtmetrics.counter("jobs").inc()
        assert dtmetrics.flush()
    if when != "before":
        instrument()
    for _ in range(3):
        dtmetrics.counter("jobs").inc()
        assert dtmetrics.flush()
    thread = threading.Thread(target=dtmetrics.flush)
    thread.start()
    thread.join()
    import httpx
    httpx.Client(trust_env=False).get(sys.argv[2])
    assert dtmetrics.flush()
    dtmetrics.counter("jobs").inc()
    assert dtmetrics.shutdown()
"""


@pytest.mark.parametrize("when", ["before", "after", "late", "thread"])
def test_own_delivery(server: PathServer, when: str) -> None:
    """In a real process our own posts make no series, whenever httpx is instrumented."""
    with Endpoint() as endpoint:
        url = f"{server.url}/status/200"
        expect(DELIVERING, when, url, DTMETRICS_ENDPOINT=endpoint.url)
        posts = len(endpoint.requests)
        lines = [line for line in endpoint.lines if not line.startswith("#")]
    assert posts >= 4
    [asked] = [line for line in lines if not line.startswith("jobs,")]
    assert asked.startswith(DURATION)
    assert f"server.port={server.port}" in asked
    assert "count=1 " in asked
