from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dtmetrics
from dtmetrics._instrument.server import MEASURED
from dtmetrics._protocol.point import GaugeSummary, GaugeValue
from dtmetrics.integrations.wsgi import MetricsMiddleware
from tests.support.recorder import Recorder

Log = list[Any]


class Boom(BaseException):
    """What an application raises."""


class Iterable:
    """A body that notes what is done to it, and may fail."""

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
    """One that wants to be closed."""

    def close(self) -> None:
        self.log.append("close")
        if self.fails == "close":
            raise Boom


class Sized(Closing):
    """One that has a length."""

    def __len__(self) -> int:
        return 7


def generator(log: Log, pieces: list[bytes], fails: str) -> Iterator[bytes]:
    """Yield *pieces*, and note how it ends."""
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
    """Return an application that does what *plan* says."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        log.append(sorted(environ.keys() - {MEASURED}))
        write = None
        for number, status in enumerate(plan["starts"]):
            given = (status, [("X-A", status)], *([("exc", "info")] if number else []))
            write = start_response(*given)
        for piece in plan["written"] if write else ():
            log.append(write(piece))
        if plan["fails"] == "call":
            raise Boom
        return KINDS[plan["kind"]](log, plan["pieces"], plan["fails"])

    return app


def serve(app: Callable[..., Any], log: Log, plan: dict[str, Any]) -> None:
    """Do with *app* what a server does, one that may lose its client."""
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
    """Whatever an application does, the server sees every part of it as it is.

    Bytes, headers, exceptions and calls come in the same order with and without.
    """
    bare: Log = []
    serve(application(bare, plan), bare, plan)
    recorder = Recorder()
    measured: Log = []
    app = MetricsMiddleware(
        application(measured, plan),
        meter=recorder.meter,
        body_sizes=sizes,
        active_requests=active,
    )
    serve(app, measured, plan)
    assert measured == bare
    payloads = recorder.payloads().values()
    counts = [p.count for p in payloads if isinstance(p, GaugeSummary) and not sizes]
    inside = [p.value for p in payloads if isinstance(p, GaugeValue)]
    if plan["closes"] or plan["fails"] == "call":
        assert sizes or counts == [1]
        assert inside in ([], [0])
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
    """Serve one request, reading so many pieces; return what was recorded of it."""
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
    """Return an application that answers with a stream, and may fail in the end."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response(status, [])
        yield from pieces
        if error is not None:
            raise error

    return app


def test_a_stream(recorder: Recorder) -> None:
    """A stream's request has the server's words for what it was."""
    assert run(recorder, answering("200 OK", b"a", b"b")) == {
        "http.request.method": "GET",
        "http.response.status_code": "200",
        "network.protocol.version": "1.1",
        "url.scheme": "http",
    }


def test_the_last_byte(recorder: Recorder) -> None:
    """The clock runs until the stream is read to its end, and no longer."""
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


def test_errors(recorder: Recorder) -> None:
    """An exception is counted with its type, wherever it comes from."""

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
    """A status of which nothing was sent before an exception is not that of the answer.

    Servers then answer 500, with a body of their own, whose size nobody knows.
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
    found = recorder.payloads()
    [said] = [dict(pairs) for key, pairs in found if key.endswith("duration")]
    assert said["http.response.status_code"] == status
    assert said["error.type"] == "ValueError"
    assert len(found) == 1 + (sizes and status == "200")


@pytest.mark.parametrize("exclude", ["", "/"])
def test_twice(recorder: Recorder, exclude: str) -> None:
    """A request that two of them see is counted once, by the outer one that measures."""

    def app(environ: Any, start_response: Any) -> Any:
        environ["dtmetrics.route"] = "/users/{id}"
        start_response("200 OK", [])
        return [b"a"]

    inner = MetricsMiddleware(app, meter=recorder.meter)
    found = run(recorder, inner, exclude=exclude, active_requests=True)
    assert found["http.route"] == "/users/{id}"
    run(recorder, inner)
    assert _counts(recorder) == []


def test_the_environ_is_given_back(recorder: Recorder) -> None:
    """Who asks again with the same environ has two requests, which is as it was."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    before = dict(environ)
    app = MetricsMiddleware(answering("200 OK", b"a"), meter=recorder.meter)
    for _ in range(2):
        assert [*app(environ, lambda *_: None)] == [b"a"]
    assert environ == before
    assert _counts(recorder) == [2]


def test_a_proxy_that_is_trusted_inside(recorder: Recorder) -> None:
    """A middleware inside may say by which scheme the client came, as ProxyFix does."""

    def app(environ: Any, start_response: Any) -> Any:
        environ["wsgi.url_scheme"] = "https"
        start_response("200 OK", [])
        return [b"a"]

    assert run(recorder, app)["url.scheme"] == "https"


def test_a_client_that_leaves(recorder: Recorder) -> None:
    """A client that leaves is no error: what was sent is the status."""
    found = run(recorder, answering("200 OK", b"a", b"b", b"c"), read=1)
    assert found["http.response.status_code"] == "200"
    assert "error.type" not in found


def test_a_body_that_nobody_closes(recorder: Recorder) -> None:
    """A server or a test that drops an answer unread leaves nobody inside."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    app = answering("200 OK", b"a", b"b")
    wrapped = MetricsMiddleware(app, meter=recorder.meter, active_requests=True)
    result: Any = wrapped(environ, lambda *_: None)
    next(iter(result))
    del result
    found = recorder.payloads().values()
    assert {p.value for p in found if isinstance(p, GaugeValue)} == {0}
    assert [p.count for p in found if isinstance(p, GaugeSummary)] == [1]


@pytest.mark.parametrize("read", [None, 1])
def test_an_answer_without_a_status(recorder: Recorder, read: int | None) -> None:
    """Who never says a status has the server answer 500, at the first piece."""
    found = run(recorder, lambda environ, start_response: [b"a"], read=read)
    assert (found["http.response.status_code"], found["error.type"]) == ("500", "500")


def test_a_route_of_ones_own(recorder: Recorder) -> None:
    """An application of any framework may leave its route and error in the environ."""

    def app(environ: Any, start_response: Any) -> Any:
        environ["dtmetrics.route"] = "/users/{id}"
        environ["dtmetrics.error"] = "shop.Sold"
        start_response("500 Oh", [])
        return []

    found = run(recorder, app)
    assert (found["http.route"], found["error.type"]) == ("/users/{id}", "shop.Sold")


def test_dimensions_of_the_environ(recorder: Recorder) -> None:
    """A callable is asked about the environ."""
    found = run(
        recorder,
        answering("200 OK"),
        dimensions=lambda environ: {"host": environ["HTTP_HOST"]},
    )
    assert found["host"] == "127.0.0.1"


def test_excluded_paths_are_whole(recorder: Recorder) -> None:
    """Paths are compared with what is mounted in front of them."""
    app = MetricsMiddleware(
        answering("200 OK"), meter=recorder.meter, exclude="/app/health"
    )
    environ: dict[str, Any] = {"SCRIPT_NAME": "/app", "PATH_INFO": "/health"}
    setup_testing_defaults(environ)
    assert [*app(environ, lambda *_: None)] == []
    assert recorder.payloads() == {}


def test_sizes(recorder: Recorder) -> None:
    """Bodies are counted as they pass, written or yielded; the request's as announced."""

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
    """A file that a server written in C sends: it takes no attribute."""

    __slots__ = ("file",)

    def __init__(self, file: Any) -> None:
        self.file = file

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.file)


@pytest.mark.parametrize("length", ["", "-5", "much", "9" * 5000])
def test_sizes_that_make_no_sense(recorder: Recorder, length: str) -> None:
    """What a client announces is a size, or nothing."""
    environ: dict[str, Any] = {"CONTENT_LENGTH": length}
    setup_testing_defaults(environ)
    app = MetricsMiddleware(answering("200 OK"), meter=recorder.meter, body_sizes=True)
    assert [*app(environ, lambda *_: None)] == []
    assert "http.server.request.body.size" not in {k for k, _ in recorder.payloads()}


@pytest.mark.parametrize("wrapper", [FileWrapper, Locked])
def test_files(recorder: Recorder, wrapper: Any) -> None:
    """What the server knows as a file stays one, and is measured all the same."""

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


def test_files_of_a_server_without_a_class_for_them(recorder: Recorder) -> None:
    """Nor is one hidden from a server that knows it by itself alone, as uWSGI does."""
    file = io.BufferedReader(io.BytesIO(b"abc"))  # type: ignore[type-var]

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](file, 8192)

    environ: dict[str, Any] = {"wsgi.file_wrapper": lambda given, size: given}
    setup_testing_defaults(environ)
    wrapped = MetricsMiddleware(app, meter=recorder.meter, active_requests=True)
    result: Any = wrapped(environ, lambda *_: None)
    assert result is file
    result.close()
    assert file.closed
    assert _counts(recorder) == [1]


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_server_still_knows_the_length(size: int) -> None:
    """A server that makes a Content-Length of a list of one still does."""

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
    """Both sides of it are WSGI, as the standard library's validator sees it."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"abc"]

    environ: dict[str, Any] = {"QUERY_STRING": ""}
    setup_testing_defaults(environ)
    measured: Any = MetricsMiddleware(validator(app), meter=recorder.meter)  # type: ignore[arg-type]
    out = io.BytesIO()
    SimpleHandler(io.BytesIO(), out, io.StringIO(), environ).run(validator(measured))
    assert out.getvalue().endswith(b"abc")
    assert _counts(recorder) == [1]


def test_nobody_configured() -> None:
    """While nobody has configured, the application's own answer is passed on."""
    body = [b"a"]
    app = MetricsMiddleware(lambda environ, start_response: body)
    dtmetrics.shutdown()
    assert app({}, lambda *_: None) is body
