from __future__ import annotations

import io
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dtmetrics
from dtmetrics._instrument.server_request import INSTRUMENTED
from dtmetrics._protocol.point import GaugeSummary
from dtmetrics.integrations import Response
from dtmetrics.integrations.wsgi import MetricsMiddleware, set_route
from tests.support.garbage_collector import no_collector
from tests.support.recorder import Recorder, level_of

Log = list[Any]


class Boom(BaseException):
    """An exception of an application."""


class Iterable:
    """A body that logs its calls, and may fail."""

    def __init__(self, log: Log, pieces: list[bytes], fails: str) -> None:
        self.log, self.pieces, self.fails = log, iter(pieces), fails

    def __iter__(self) -> Iterable:
        self.log.append("iter")
        if self.fails == "iter":
            raise Boom
        return self

    def __next__(self) -> bytes:
        self.log.append("next")
        piece = next(self.pieces, None)
        if piece is None and self.fails == "next":
            raise Boom
        if piece is None:
            raise StopIteration
        return piece


class Closing(Iterable):
    """A body with a ``close`` method."""

    def close(self) -> None:
        self.log.append("close")
        if self.fails == "close":
            raise Boom


class Sized(Closing):
    """A body with a length."""

    def __len__(self) -> int:
        return 7


def generator(log: Log, pieces: list[bytes], fails: str) -> Iterator[bytes]:
    """Yield *pieces*; log the end."""
    try:
        yield from pieces
        if fails == "next":
            raise Boom
    finally:
        log.append("generator ended")


KINDS: dict[str, Callable[[Log, list[bytes], str], Any]] = {
    "list": lambda log, pieces, fails: pieces,
    "tuple": lambda log, pieces, fails: tuple(pieces),
    "iterable": Iterable,
    "closing": Closing,
    "sized": Sized,
    "generator": generator,
    "file": lambda log, pieces, fails: FileWrapper(io.BytesIO(b"".join(pieces)), 2),
    "nothing": lambda log, pieces, fails: None,
}

BEHAVIOUR = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(sorted(KINDS)),
        "pieces": st.lists(st.binary(max_size=4), max_size=4),
        "fails": st.sampled_from(["", "", "call", "iter", "next", "close", "start"]),
        "starts": st.lists(
            st.sampled_from(["200 OK", "404 No", "500 Oh", "304 Same"]), max_size=2
        ),
        "written": st.lists(st.binary(max_size=4), max_size=2),
        "reads": st.integers(0, 6),
        "closes": st.booleans(),
    }
)


def application(log: Log, plan: dict[str, Any]) -> Callable[..., Any]:
    """Return an application that behaves as *plan* describes."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        log.append(sorted(environ.keys() - {INSTRUMENTED}))
        write = None
        for number, status in enumerate(plan["starts"]):
            more = [("exc", "info")] if number else []
            write = start_response(status, [("X-A", status)], *more)
        for piece in plan["written"] if write else ():
            log.append(write(piece))
        if plan["fails"] == "call":
            raise Boom
        return KINDS[plan["kind"]](log, plan["pieces"], plan["fails"])

    return app


def serve(app: Callable[..., Any], log: Log, plan: dict[str, Any]) -> None:
    """Call *app* as a server does whose client may leave."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ["wsgi.file_wrapper"] = FileWrapper

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        log.append((status, headers, exc_info))
        if plan["fails"] == "start":
            raise Boom

        def write(piece: bytes) -> str:
            log.append(piece)
            return "written"

        return write

    try:
        result = app(environ, start_response)
        log.append((isinstance(result, FileWrapper), bool(result)))
        log.append(len(result) if hasattr(result, "__len__") else "no length")
        try:
            pieces = iter(result)
            for _ in range(plan["reads"]):
                log.append(next(pieces))
        finally:
            if plan["closes"] and hasattr(result, "close"):
                result.close()
    except (Boom, StopIteration, TypeError) as error:
        log.append(type(error))


@given(BEHAVIOUR, st.booleans(), st.booleans())
def test_nothing_changes(plan: dict[str, Any], sizes: bool, active: bool) -> None:
    """Bytes, headers and exceptions of any application reach the server unchanged.

    Calls have the same order with the middleware and without, and the request is
    recorded at most once.
    """
    bare: Log = []
    serve(application(bare, plan), bare, plan)
    recorder = Recorder()
    recorded: Log = []
    app = MetricsMiddleware(
        application(recorded, plan),
        meter=recorder.meter,
        body_sizes=sizes,
        active_requests=active,
    )
    serve(app, recorded, plan)
    assert recorded == bare
    payloads = recorder.payloads()
    now_active = [
        level_of(payloads.pop(key))
        for key in [*payloads]
        if key[0] == "http.server.active_requests"
    ]
    counts = [
        each.count
        for each in payloads.values()
        if isinstance(each, GaugeSummary) and not sizes
    ]
    if plan["closes"] or plan["fails"] == "call":
        assert sizes or counts == [1]
        assert now_active in ([], [0])
    assert sum(counts) <= 1


def _counts(recorder: Recorder) -> list[int]:
    return [
        payload.count
        for (key, _), payload in recorder.payloads().items()
        if key == "http.server.request.duration" and isinstance(payload, GaugeSummary)
    ]


def run(
    recorder: Recorder, app: Any, *, read: int | None = None, **options: Any
) -> dict[str, str]:
    """Serve one request, of which *read* pieces are read; return its dimensions."""
    environ: dict[str, Any] = {"SERVER_PROTOCOL": "HTTP/1.1"}
    setup_testing_defaults(environ)
    environ |= options.pop("environ", {})
    wrapped = MetricsMiddleware(app, meter=recorder.meter, **options)
    try:
        result: Any = wrapped(environ, lambda *_, **__: lambda _: None)
        pieces = iter(result)
        for _ in pieces if read is None else range(read):
            if read is not None:
                next(pieces)
        result.close()
    except (Boom, ValueError):
        pass
    [pairs] = [p for key, p in recorder.payloads() if key.endswith("duration")]
    return dict(pairs)


def answering(
    status: str, *pieces: bytes, error: type[BaseException] | None = None
) -> Any:
    """Return an application that answers with a stream, and may fail at its end."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response(status, [])
        yield from pieces
        if error is not None:
            raise error

    return app


def test_a_stream(recorder: Recorder) -> None:
    """A request has method, scheme, version and status."""
    assert run(recorder, answering("200 OK", b"a", b"b")) == {
        "http.request.method": "GET",
        "http.response.status_code": "200",
        "network.protocol.version": "1.1",
        "url.scheme": "http",
    }


def test_the_last_byte(recorder: Recorder) -> None:
    """A request is recorded when its stream was read to the end, not when it is closed."""
    begun, ended = [], []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        begun.extend(recorder.payloads())

    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    result: Any = MetricsMiddleware(app, meter=recorder.meter)(environ, lambda *_: None)
    assert [*result] == [b"a"]
    ended.extend(recorder.payloads())
    result.close()
    assert (len(begun), len(ended)) == (0, 1)
    assert recorder.payloads() == {}


def test_close_that_fails(recorder: Recorder) -> None:
    """An exception that a body's close() raises is the request's, and passes."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return Closing([], [b"a", b"b"], "close")

    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    result: Any = MetricsMiddleware(app, meter=recorder.meter)(environ, lambda *_: None)
    assert next(iter(result)) == b"a"  # the client leaves
    with pytest.raises(Boom):
        result.close()
    [(_, pairs)] = recorder.payloads()
    assert dict(pairs)["error.type"] == f"{__name__}.Boom"


def test_errors(recorder: Recorder) -> None:
    """An exception is recorded with its type, wherever it was raised."""

    def raises(environ: Any, start_response: Any) -> Any:
        raise ValueError

    found = run(recorder, raises)
    assert (found["error.type"], found["http.response.status_code"]) == (
        "ValueError",
        "500",
    )
    found = run(recorder, answering("200 OK", b"a", error=ValueError))
    assert (found["error.type"], found["http.response.status_code"]) == (
        "ValueError",
        "200",
    )
    found = run(recorder, answering("200 OK", error=Boom))
    assert found["error.type"] == "tests.test_wsgi.Boom"


@pytest.mark.parametrize("sizes", [False, True])
@pytest.mark.parametrize(
    ("pieces", "written", "status"),
    [([], [], "500"), ([b"a"], [], "200"), ([], [b"a"], "200")],
)
def test_the_status_that_clients_see(
    recorder: Recorder,
    pieces: list[bytes],
    written: list[bytes],
    *,
    sizes: bool,
    status: str,
) -> None:
    """Where an exception is raised before a piece was sent, the status is 500.

    A server then answers with its own status and body, the size of which is unknown.
    """

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        write = start_response("200 OK", [])
        for piece in written:
            write(piece)
        yield from pieces
        raise ValueError

    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    wrapped = MetricsMiddleware(app, meter=recorder.meter, body_sizes=sizes)
    out = io.BytesIO()
    handler = SimpleHandler(io.BytesIO(), out, io.StringIO(), environ)
    handler.run(wrapped)
    assert f" {status} ".encode() in out.getvalue().splitlines()[0]
    payloads = recorder.payloads()
    [pairs] = [dict(pairs) for key, pairs in payloads if key.endswith("duration")]
    assert pairs["http.response.status_code"] == status
    assert pairs["error.type"] == "ValueError"
    assert len(payloads) == 1 + (sizes and status == "200")


@pytest.mark.parametrize(
    ("status", "error"), [("200 OK", None), ("500 Oh", "shop.Sold")]
)
def test_error_of_the_application(
    recorder: Recorder, status: str, error: str | None
) -> None:
    """A framework may leave an exception's type; it counts from a status of 500 on."""

    def app(environ: Any, start_response: Any) -> Any:
        environ["dtmetrics.error"] = "shop.Sold"
        start_response(status, [])
        return []

    assert run(recorder, app).get("error.type") == error


def test_route_in_a_copy(recorder: Recorder) -> None:
    """A route that is set in a copy of the environ is the request's."""

    def app(environ: Any, start_response: Any) -> Any:
        set_route({**environ, "more": 1}, "/users/{id}")
        start_response("200 OK", [])
        return []

    assert run(recorder, app)["http.route"] == "/users/{id}"


class Upload:
    """The body of a request, whose client leaves."""

    def __init__(self, error: OSError) -> None:
        self.error = error

    def read(self, size: int = -1) -> bytes:
        raise self.error


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_aborted_upload(recorder: Recorder, *, wrapped: bool) -> None:
    """An exception of ``wsgi.input`` is not an error, also if it was raised as another."""

    def app(environ: Any, start_response: Any) -> Any:
        try:
            return [environ["wsgi.input"].read()]
        except OSError as error:
            if wrapped:
                raise ValueError from error
            raise

    environ = {"wsgi.input": Upload(ConnectionResetError())}
    with suppress(ConnectionResetError):
        found = run(recorder, app, environ=environ)
    if not wrapped:
        [(_, pairs)] = recorder.payloads()
        found = dict(pairs)
    assert not found.keys() & {"error.type", "http.response.status_code"}


def test_a_client_that_leaves_during_write(recorder: Recorder) -> None:
    """An exception of the server's ``write`` is not an error."""

    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [])
        write(b"a")
        write(b"b")
        return []

    def start_response(*_: Any) -> Any:
        pieces = iter([b"a"])

        def write(piece: bytes) -> None:
            if next(pieces, None) is None:
                raise BrokenPipeError

        return write

    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    with pytest.raises(BrokenPipeError):
        MetricsMiddleware(app, meter=recorder.meter)(environ, start_response)
    [(_, pairs)] = recorder.payloads()
    assert dict(pairs)["http.response.status_code"] == "200"
    assert "error.type" not in dict(pairs)


@pytest.mark.parametrize(
    ("upgrade", "status", "raises", "recorded"),
    [
        ("websocket", None, StopIteration, None),
        ("WebSocket", None, None, None),
        ("websocket", "200 OK", None, None),
        ("websocket", "400 Bad Request", None, ("400", None)),
        ("websocket", None, KeyError, ("500", "KeyError")),
        ("h2c", None, StopIteration, ("500", "StopIteration")),
        (None, None, StopIteration, ("500", "StopIteration")),
    ],
)
def test_websockets(
    recorder: Recorder,
    upgrade: str | None,
    status: str | None,
    raises: type[Exception] | None,
    recorded: tuple[str, str | None] | None,
) -> None:
    """A websocket is not recorded as a request; one that is refused or fails is.

    A library takes over the connection, and ends by StopIteration or without a status.
    """

    def app(environ: Any, start_response: Any) -> Any:
        if raises is not None:
            raise raises
        if status is not None:
            start_response(status, [])
        return []

    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    if upgrade is not None:
        environ["HTTP_UPGRADE"] = upgrade
    middleware = MetricsMiddleware(app, meter=recorder.meter, active_requests=True)
    with suppress(StopIteration, KeyError):
        result: Any = middleware(environ, lambda *_: None)
        assert [*result] == []
        result.close()
    assert INSTRUMENTED not in environ
    payloads = recorder.payloads()
    assert [
        level_of(p)
        for (key, _), p in payloads.items()
        if key == "http.server.active_requests"
    ] == [0]
    durations = [dict(pairs) for key, pairs in payloads if key.endswith("duration")]
    found = [
        (each["http.response.status_code"], each.get("error.type"))
        for each in durations
    ]
    assert found == ([] if recorded is None else [recorded])


@pytest.mark.parametrize("error", [None, ValueError])
def test_freed_at_once(recorder: Recorder, error: type[Exception] | None) -> None:
    """An application is freed without the garbage collector, whatever it answered."""

    def made() -> weakref.ref[Any]:
        app = answering("200 OK", b"a", error=error)
        run(recorder, app, active_requests=True, dimensions=lambda _: {"a": "b"})
        return weakref.ref(app)

    with no_collector():
        freed = made()
        assert freed() is None


def test_shown(recorder: Recorder) -> None:
    """A page for debugging that shows the environ does not show it twice."""

    def app(environ: Any, start_response: Any) -> Any:
        assert repr(environ).count("SERVER_PROTOCOL") == 1
        start_response("200 OK", [])
        return []

    assert run(recorder, app, dimensions=lambda _: {})["http.request.method"] == "GET"


@pytest.mark.parametrize("exclude", ["", "/"])
def test_twice(recorder: Recorder, exclude: str) -> None:
    """A request that passes two middlewares is recorded once, by the outer one."""

    def app(environ: Any, start_response: Any) -> Any:
        environ["dtmetrics.route"] = "/users/{id}"
        start_response("200 OK", [])
        return [b"a"]

    inner = MetricsMiddleware(app, meter=recorder.meter)
    found = run(recorder, inner, exclude=exclude, active_requests=True)
    assert found["http.route"] == "/users/{id}"
    run(recorder, inner)
    assert _counts(recorder) == []


def test_the_environ_is_restored(recorder: Recorder) -> None:
    """Two requests with the same environ are recorded, and the environ is unchanged."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    before = dict(environ)
    app = MetricsMiddleware(answering("200 OK", b"a"), meter=recorder.meter)
    for _ in range(2):
        assert [*app(environ, lambda *_: None)] == [b"a"]
    assert environ == before
    assert _counts(recorder) == [2]


def test_scheme_of_an_inner_middleware(recorder: Recorder) -> None:
    """An inner middleware, such as ProxyFix, may set the scheme that the client used."""

    def app(environ: Any, start_response: Any) -> Any:
        environ["wsgi.url_scheme"] = "https"
        start_response("200 OK", [])
        return [b"a"]

    assert run(recorder, app)["url.scheme"] == "https"


def test_a_client_that_leaves(recorder: Recorder) -> None:
    """A client that leaves is not an error: the status is the one that was sent."""
    found = run(recorder, answering("200 OK", b"a", b"b", b"c"), read=1)
    assert found["http.response.status_code"] == "200"
    assert "error.type" not in found


def test_a_body_that_cannot_be_iterated(recorder: Recorder) -> None:
    """A body that raises before its first piece ends the request with that error."""

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            raise KeyError

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return Body()

    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    wrapped = MetricsMiddleware(app, meter=recorder.meter)
    with pytest.raises(KeyError):
        iter(wrapped(environ, lambda *_: None))
    [error] = [
        dict(pairs)["error.type"]
        for key, pairs in recorder.payloads()
        if key == "http.server.request.duration"
    ]
    assert error == "KeyError"


def test_a_body_that_is_not_closed(recorder: Recorder) -> None:
    """A request whose response is dropped unread is recorded, and no longer active."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    app = answering("200 OK", b"a", b"b")
    wrapped = MetricsMiddleware(app, meter=recorder.meter, active_requests=True)
    result: Any = wrapped(environ, lambda *_: None)
    next(iter(result))
    del result
    payloads = recorder.payloads().items()
    assert {
        level_of(p) for (key, _), p in payloads if key == "http.server.active_requests"
    } == {0}
    others = [p for (key, _), p in payloads if key != "http.server.active_requests"]
    assert [p.count for p in others if isinstance(p, GaugeSummary)] == [1]


@pytest.mark.parametrize("read", [None, 1])
def test_an_answer_without_a_status(recorder: Recorder, read: int | None) -> None:
    """A response without a status is recorded as the 500 that a server answers."""
    found = run(recorder, lambda environ, start_response: [b"a"], read=read)
    assert (found["http.response.status_code"], found["error.type"]) == ("500", "500")


def test_route_and_error_of_the_application(recorder: Recorder) -> None:
    """An application of any framework may leave its route and error in the environ."""

    def app(environ: Any, start_response: Any) -> Any:
        environ["dtmetrics.route"] = "/users/{id}"
        environ["dtmetrics.error"] = "shop.Sold"
        start_response("500 Oh", [])
        return []

    found = run(recorder, app)
    assert (found["http.route"], found["error.type"]) == ("/users/{id}", "shop.Sold")


def test_dimensions_of_the_environ(recorder: Recorder) -> None:
    """The dimensions callable gets the environ."""
    found = run(
        recorder,
        answering("200 OK"),
        dimensions=lambda environ: {"host": environ["HTTP_HOST"]},
    )
    assert found["host"] == "127.0.0.1"


def test_dimensions_of_the_response(recorder: Recorder) -> None:
    """A dimensions callable of two arguments gets status and headers of the response."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-Cache", "hit")])
        return [b"a"]

    def dimensions(environ: Any, response: Response) -> dict[str, object]:
        return {"cache": response.headers.get("x-cache"), "of": response.status}

    found = run(recorder, app, dimensions=dimensions)
    assert (found["cache"], found["of"]) == ("hit", "200")
    # The server answers the exception instead.
    found = run(recorder, answering("200 OK", error=ValueError), dimensions=dimensions)
    assert ("cache" in found, found["of"]) == (False, "500")


def test_a_start_without_headers(recorder: Recorder) -> None:
    """A response whose headers come by keyword is recorded, its headers are unknown."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", headers=[("X-Cache", "hit")])
        return []

    dimensions = {"dimensions": lambda _, response: {"got": len(response.headers)}}
    assert run(recorder, app, **dimensions)["got"] == "0"


@pytest.mark.parametrize(
    ("app", "is_first"),
    [
        (answering("200 OK", b"a", b"b"), True),
        (answering("204 No Content"), False),
        (answering("200 OK", error=ValueError), False),
        (lambda _, start: start("200 OK", [])(b"a") or [], True),
    ],
    ids=["stream", "no body", "error", "write"],
)
def test_time_to_first_byte(recorder: Recorder, app: Any, is_first: bool) -> None:
    """The first byte is sent with the first piece; without one, at the end."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    options = {"meter": recorder.meter, "time_to_first_byte": True}
    wrapped = MetricsMiddleware(app, **options)
    with suppress(ValueError):
        list(wrapped(environ, lambda *_: lambda _: None))
    found = {key: payload for (key, _), payload in recorder.payloads().items()}
    first = found["http.server.time_to_first_byte"]
    whole = found["http.server.request.duration"]
    assert isinstance(first, GaugeSummary)
    assert isinstance(whole, GaugeSummary)
    assert (0 < first.sum < whole.sum) is is_first
    assert is_first or first == whole


def test_excluded_paths_are_whole(recorder: Recorder) -> None:
    """An excluded path begins with the prefix at which the application is mounted."""
    app = MetricsMiddleware(
        answering("200 OK"), meter=recorder.meter, exclude="/app/health"
    )
    environ: dict[str, Any] = {"SCRIPT_NAME": "/app", "PATH_INFO": "/health"}
    setup_testing_defaults(environ)
    assert [*app(environ, lambda *_: None)] == []
    assert recorder.payloads() == {}


def test_sizes(recorder: Recorder) -> None:
    """A response's size is that of its pieces, a request's that of its Content-Length."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])(b"12")
        return [b"345", b"6"]

    environ: dict[str, Any] = {"CONTENT_LENGTH": "99", "REQUEST_METHOD": "POST"}
    setup_testing_defaults(environ)
    wrapped = MetricsMiddleware(app, meter=recorder.meter, body_sizes=True)
    result = wrapped(environ, lambda *_: lambda _: None)
    assert [*result] == [b"345", b"6"]
    sums = {
        key: payload.sum
        for (key, _), payload in recorder.payloads().items()
        if isinstance(payload, GaugeSummary)
    }
    del sums["http.server.request.duration"]
    assert sums == {
        "http.server.request.body.size": 99,
        "http.server.response.body.size": 6,
    }


class Locked:
    """The file wrapper of a server written in C: its attributes cannot be set."""

    __slots__ = ("file",)

    def __init__(self, file: Any) -> None:
        self.file = file

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.file)


@pytest.mark.parametrize("length", ["", "-5", "much", "9" * 5000])
def test_invalid_sizes(recorder: Recorder, length: str) -> None:
    """A Content-Length that is not a size is left out."""
    environ: dict[str, Any] = {"CONTENT_LENGTH": length}
    setup_testing_defaults(environ)
    app = MetricsMiddleware(answering("200 OK"), meter=recorder.meter, body_sizes=True)
    assert [*app(environ, lambda *_: None)] == []
    assert "http.server.request.body.size" not in {k for k, _ in recorder.payloads()}


@pytest.mark.parametrize("wrapper", [FileWrapper, Locked])
def test_files(recorder: Recorder, wrapper: Any) -> None:
    """A response of the server's own file class keeps that class, and is recorded."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"abc"))

    environ: dict[str, Any] = {"wsgi.file_wrapper": wrapper}
    setup_testing_defaults(environ)
    wrapped = MetricsMiddleware(app, meter=recorder.meter, body_sizes=True)
    result: Any = wrapped(environ, lambda *_: None)
    assert type(result) is wrapper
    assert [*result] == [b"abc"]
    if wrapper is FileWrapper:
        assert recorder.payloads() == {}
        result.close()
    assert len(recorder.payloads()) == 1


def test_files_of_uwsgi(recorder: Recorder) -> None:
    """A file stays the same object where the server recognises it, as uWSGI does."""
    file = io.BufferedReader(io.BytesIO(b"abc"))  # type: ignore[type-var]

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](file, 8192)

    environ: dict[str, Any] = {"wsgi.file_wrapper": lambda file, size: file}
    setup_testing_defaults(environ)
    wrapped = MetricsMiddleware(app, meter=recorder.meter, active_requests=True)
    result: Any = wrapped(environ, lambda *_: None)
    assert result is file
    result.close()
    assert file.closed
    assert _counts(recorder) == [1]


@pytest.mark.parametrize("size", [0, 1, 2])
def test_server_still_makes_a_content_length(size: int) -> None:
    """A server still makes a Content-Length of a list of one piece."""

    def answer(app: Any) -> bytes:
        environ: dict[str, Any] = {}
        setup_testing_defaults(environ)
        out = io.BytesIO()
        handler = SimpleHandler(io.BytesIO(), out, io.StringIO(), environ)
        handler.run(app)
        return out.getvalue()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"abc"] * size

    assert answer(MetricsMiddleware(app, meter=Recorder().meter)) == answer(app)


def test_it_is_valid(recorder: Recorder) -> None:
    """The standard library's validator accepts both sides of the middleware."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"abc"]

    environ: dict[str, Any] = {"QUERY_STRING": ""}
    setup_testing_defaults(environ)
    wrapped: Any = MetricsMiddleware(validator(app), meter=recorder.meter)  # type: ignore[arg-type]
    out = io.BytesIO()
    SimpleHandler(io.BytesIO(), out, io.StringIO(), environ).run(validator(wrapped))
    assert out.getvalue().endswith(b"abc")
    assert _counts(recorder) == [1]


def test_not_recording() -> None:
    """While recording is off the application's own result is passed on."""
    body = [b"a"]
    app = MetricsMiddleware(lambda environ, start_response: body)
    dtmetrics.shutdown()
    assert app({}, lambda *_: None) is body
