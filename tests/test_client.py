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
from dtmetrics._instrument.client import NOT_RECORDED, Calls
from dtmetrics._protocol.point import GaugeSummary
from dtmetrics._runtime.runtime import Process
from dtmetrics.exporters import Batch, ExportResult, MemoryExporter
from tests.support.endpoint import Endpoint, refusing_port
from tests.support.path_server import Answering
from tests.support.recorder import Recorder
from tests.support.script import expect

DURATION = "http.client.request.duration"
PATIENCE = 20.0
LITTLE = 0.05  # after which a client has had enough of /never


class Library:
    """One library, asked for a path as its users do."""

    module = "httpx"
    errors: tuple[str, str, str] = (
        "httpx.ConnectError",
        "httpx.ReadTimeout",
        "httpx.RemoteProtocolError",
    )

    def __init__(self) -> None:
        ours = importlib.import_module(f"dtmetrics.integrations.{self.module}")
        self.instrument = getattr(ours, f"instrument_{self.module}")
        self.uninstrument = getattr(ours, f"uninstrument_{self.module}")

    def session(self) -> Any:
        return httpx.Client(trust_env=False, follow_redirects=True)

    def until(self, timeout: float) -> Any:
        return httpx.Timeout(PATIENCE, read=timeout)

    def ask(self, session: Any, method: str, url: str, timeout: float) -> Any:
        return session.request(method, url, timeout=self.until(timeout))

    def stream(self, session: Any, url: str) -> None:
        with session.stream("GET", url) as response:
            next(response.iter_raw())  # and no more of it


class Asynchronous(Library):
    """httpx's other client, with a loop of its own."""

    @contextmanager
    def session(self) -> Any:
        loop = asyncio.new_event_loop()
        client = httpx.AsyncClient(trust_env=False, follow_redirects=True)
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


class Requests(Library):
    """The other library."""

    module = "requests"
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
def server() -> Iterator[Answering]:
    """Answer all that is asked here."""
    with Answering() as made:
        yield made


@pytest.fixture(params=[Library, Asynchronous, Requests])
def library(request: pytest.FixtureRequest) -> Iterator[Library]:
    """Return each library in turn, and leave it as it was."""
    pytest.importorskip(request.param.module)
    made = request.param()
    yield made
    made.uninstrument()


def dimensions(recorder: Recorder, key: str = DURATION) -> list[dict[str, str]]:
    """Return the dimensions of each series of *key*, once for each value in it."""
    return [
        dict(pairs)
        for (name, pairs), payload in recorder.payloads().items()
        if name == key and isinstance(payload, GaugeSummary)
        for _ in range(payload.count)
    ]


def ask(library: Library, method: str, url: str, timeout: float = PATIENCE) -> None:
    """Ask once, whatever comes of it."""
    kinds: list[type[Exception]] = [httpx.HTTPError]
    with suppress(ImportError):
        kinds.append(importlib.import_module("requests").RequestException)
    with library.session() as session, suppress(*kinds):
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
    server: Answering,
    recorder: Recorder,
    library: Library,
    method: str,
    path: str,
    status: int | None,
    error: str | int | None,
) -> None:
    """A request has its method, server, status and error; never its path or query."""
    library.instrument(meter=recorder.meter)
    ask(library, method, server.url + path, LITTLE if path == "/never" else PATIENCE)
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


def test_nobody_there(recorder: Recorder, library: Library) -> None:
    """A connection that is refused has the class of what was raised, and no status."""
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


def test_redirect(server: Answering, recorder: Recorder, library: Library) -> None:
    """Each request on the wire is measured: the redirected one, and where it led."""
    library.instrument(meter=recorder.meter)
    ask(library, "GET", f"{server.url}/redirect")
    found = [each["http.response.status_code"] for each in dimensions(recorder)]
    assert sorted(found) == ["200", "302"]


def test_stream(server: Answering, recorder: Recorder, library: Library) -> None:
    """A stream that nobody reads to its end is one request, and no error."""
    library.instrument(meter=recorder.meter)
    with library.session() as session:
        library.stream(session, f"{server.url}/stream")
    [found] = dimensions(recorder)
    assert found["http.response.status_code"] == "200"
    assert "error.type" not in found


def test_old_names(server: Answering, recorder: Recorder, library: Library) -> None:
    """While one migrates, both conventions are there; the old one in milliseconds."""
    library.instrument(meter=recorder.meter, semconv="both")
    ask(library, "GET", f"{server.url}/status/404")
    payloads: dict[str, Any] = {
        key: each for (key, _), each in recorder.payloads().items()
    }
    assert sorted(payloads) == ["http.client.duration", DURATION]
    assert payloads["http.client.duration"].sum == pytest.approx(
        payloads[DURATION].sum * 1e3
    )
    ask(library, "GET", f"{server.url}/status/404")
    [found] = dimensions(recorder, "http.client.duration")
    assert found == {
        "http.method": "GET",
        "http.scheme": "http",
        "http.flavor": "1.1",
        "http.status_code": "404",
        "net.peer.name": "127.0.0.1",
        "net.peer.port": str(server.port),
    }


def test_sizes(server: Answering, recorder: Recorder, library: Library) -> None:
    """Sizes are those that are announced; what has no body has none."""
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


@pytest.mark.parametrize(
    ("announced", "size"),
    [("7", 7), (b"8", 8), ("-7", None), ("7, 7", None), ("", None), ("9" * 5000, None)],
)
def test_announced(recorder: Recorder, announced: Any, size: int | None) -> None:
    """A size is what was announced, if that makes sense; the rest is told anyhow."""
    describe = importlib.import_module("dtmetrics.integrations.httpx")._describe
    calls = Calls(describe, "", meter=recorder.meter, body_sizes=True, semconv="both")
    request = httpx.Request("GET", "http://a.example")
    request.headers = {"Content-Length": announced}  # type: ignore[assignment]
    calls.end(0.1, request, httpx.Response(200))
    sums = {
        key: payload.sum
        for (key, _), payload in recorder.payloads().items()
        if isinstance(payload, GaugeSummary)
    }
    expected = (
        {}
        if size is None
        else {"http.client.request.body.size": size, "http.client.request.size": size}
    )
    assert sums == {DURATION: 0.1, "http.client.duration": 100.0} | expected


def test_known_methods(
    server: Answering,
    recorder: Recorder,
    library: Library,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The list of known methods is OpenTelemetry's variable, or given."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "BREW, GET")
    for given in (None, ["PUT"]):
        library.instrument(meter=recorder.meter, known_methods=given)
        for method in ("BREW", "PUT"):
            ask(library, method, f"{server.url}/status/204")
        library.uninstrument()
    found = Tally(each["http.request.method"] for each in dimensions(recorder))
    assert found == {"BREW": 1, "PUT": 1, "_OTHER": 2}


def test_twice(server: Answering, recorder: Recorder, library: Library) -> None:
    """Who instruments twice measures once, and stops with the first uninstrument."""
    library.instrument(meter=recorder.meter)
    library.instrument(meter=recorder.meter, semconv="old")
    with pytest.raises(TypeError):
        library.instrument("httpx")
    ask(library, "GET", f"{server.url}/status/200")
    assert len(dimensions(recorder)) == 1
    library.uninstrument()
    library.uninstrument()
    ask(library, "GET", f"{server.url}/status/200")
    assert recorder.payloads() == {}


def test_wrong_options(library: Library) -> None:
    """A wrong option is said at once, and leaves nothing behind."""
    before = httpx.HTTPTransport.handle_request
    with pytest.raises(ValueError, match="semconv"):
        library.instrument(semconv="new")
    assert httpx.HTTPTransport.handle_request is before
    library.instrument()


def test_not_configured(server: Answering, library: Library) -> None:
    """Without configure() a request is passed on, and nothing is kept."""
    recorder = Recorder()
    recorder.registry.stop()
    library.instrument(meter=recorder.meter)
    with library.session() as session:
        response = library.ask(session, "GET", f"{server.url}/status/200", PATIENCE)
    assert response.status_code == 200
    assert recorder.points() == []


def test_exporting(server: Answering, recorder: Recorder, library: Library) -> None:
    """What an exporter asks is not measured, whichever library it uses."""
    library.instrument(meter=recorder.meter)
    suppress_instrumentation(ask, library, "GET", f"{server.url}/status/200")
    assert recorder.payloads() == {}


def test_load(server: Answering, recorder: Recorder, library: Library) -> None:
    """Of 2000 requests from several threads each is counted, as it ended."""
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
                patience = LITTLE if path == "/never" else PATIENCE
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


def test_tasks(server: Answering, recorder: Recorder) -> None:
    """Tasks of one loop, some of them cancelled, are each counted as they ended."""
    library = Asynchronous()
    library.instrument(meter=recorder.meter)

    async def main() -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            trust_env=False, limits=limits, timeout=PATIENCE
        ) as client:
            waits = [
                asyncio.wait_for(client.get(f"{server.url}/never"), LITTLE)
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


# -- what is wrapped -----------------------------------------------------------------


class Answer:
    """What a transport may answer: anything."""


class Interrupt(BaseException):
    """What may be raised in the middle of a request."""


@pytest.mark.parametrize("ends", [Answer(), Interrupt(), KeyboardInterrupt()])
def test_untouched(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, ends: Any
) -> None:
    """Answers and exceptions are the very objects; what makes no sense is refused."""

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
    refused = recorder.registry.invalid_values.total()
    if isinstance(ends, Answer):
        assert refused == {NOT_RECORDED: 1}
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
    """Who tests an application replaces a method by an object, which binds nothing."""
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
    server: Answering, recorder: Recorder, library: Library, wrap: Any
) -> None:
    """What another library has wrapped is measured, and given back as it was."""
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
    server: Answering, recorder: Recorder, library: Library, wrap: Any
) -> None:
    """What another library wraps meanwhile stays; ours in it only passes on."""
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
        return httpx.AsyncHTTPTransport, "handle_async_request"
    if isinstance(library, Requests):
        return importlib.import_module("requests.adapters").HTTPAdapter, "send"
    return httpx.HTTPTransport, "handle_request"


# -- what is told --------------------------------------------------------------------


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
    describe = importlib.import_module(
        f"dtmetrics.integrations.{library.module}"
    )._describe
    calls = Calls(describe, "", meter=recorder.meter)
    request: Any = httpx.Request("GET", url)
    if isinstance(library, Requests):
        request = importlib.import_module("requests").Request("GET", url).prepare()
    calls.fail(0.1, request, ValueError())
    [found] = dimensions(recorder)
    assert (found["server.address"], found["server.port"]) == (address, port)


@pytest.mark.parametrize(
    ("said", "version"),
    [(b"HTTP/1.0", "1.0"), (b"HTTP/1.1", "1.1"), (b"HTTP/2", "2"), (b"SPDY", None)],
)
def test_version(recorder: Recorder, said: bytes, version: str | None) -> None:
    """The version of the protocol is written as the convention wants it."""
    describe = importlib.import_module("dtmetrics.integrations.httpx")._describe
    response = httpx.Response(200, extensions={"http_version": said})
    calls = Calls(describe, "", meter=recorder.meter)
    calls.end(0.1, httpx.Request("GET", "http://a"), response)
    [found] = dimensions(recorder)
    assert found.get("network.protocol.version") == version


def test_many_servers(recorder: Recorder) -> None:
    """What is kept of servers is bounded; each request is counted all the same."""
    describe = importlib.import_module("dtmetrics.integrations.httpx")._describe
    calls = Calls(describe, "", meter=recorder.meter)
    for number in range(1500):
        calls.end(0.1, httpx.Request("GET", f"http://a{number}"), httpx.Response(200))
    assert len(dimensions(recorder)) == 1500
    assert len(calls._bound) <= 1024


# -- our own delivery ----------------------------------------------------------------


def test_own_exporter(server: Answering, process: Process, library: Library) -> None:
    """What a user's exporter asks is our own delivery too."""
    answered = []

    class Posting(MemoryExporter):
        def export(self, body: Batch, timeout: float) -> ExportResult:
            with library.session() as session:
                answer = library.ask(
                    session, "GET", f"{server.url}/status/200", timeout
                )
                answered.append(answer.status_code)
            return super().export(body, timeout)

    library.instrument(meter=process.get_meter("outbound"))
    exporter = Posting()
    process.configure(exporter=exporter, interval=None, enrich=False)
    for _ in range(3):
        process.meters.root.counter("jobs").inc()
        assert process.flush()
    assert answered == [200] * 3
    assert not [line for line in exporter.lines if "http.client" in line]
    ask(library, "GET", f"{server.url}/status/200")
    assert process.flush()
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
def test_own_delivery(server: Answering, when: str) -> None:
    """In a real process our own posts make no series, whenever it was instrumented."""
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
