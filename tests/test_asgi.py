from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dtmetrics
from dtmetrics._protocol.point import GaugeSummary
from dtmetrics.integrations.asgi import MetricsMiddleware, set_route
from tests.support.garbage_collector import no_collector
from tests.support.recorder import Recorder, level_of

DURATION = "http.server.request.duration"
ACTIVE = "http.server.active_requests"
SCOPE = {
    "type": "http",
    "method": "GET",
    "scheme": "https",
    "http_version": "2",
    "path": "/users/7",
    "root_path": "",
    "headers": [(b"content-length", b"99")],
}

Log = list[Any]


class Boom(BaseException):
    """An exception of an application."""


MESSAGE = st.one_of(
    st.builds(
        lambda status: {"type": "http.response.start", "status": status, "headers": []},
        st.sampled_from([200, 404, 500, 304]),
    ),
    st.builds(
        lambda body, more: {
            "type": "http.response.body",
            "body": body,
            "more_body": more,
        },
        st.binary(max_size=4),
        st.booleans(),
    ),
    st.sampled_from(
        [
            {"type": "http.response.body"},
            {"type": "http.response.start"},
            {"type": "http.response.pathsend", "path": "/a"},
            {"type": "http.response.trailers"},
            {"type": "websocket.accept"},
            {},
        ]
    ),
)
BEHAVIOUR = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["http", "http", "http", "websocket"]),
        "steps": st.lists(st.one_of(MESSAGE, st.just("receive")), max_size=5),
        "raises": st.sampled_from(
            [None, None, Boom, ValueError, asyncio.CancelledError]
        ),
        "send_fails_at": st.integers(0, 20),
    }
)


def application(log: Log, plan: dict[str, Any]) -> Callable[..., Awaitable[object]]:
    """Return an application that behaves as *plan* describes."""

    async def app(scope: Any, receive: Any, send: Any) -> object:
        log.append(scope)
        for step in plan["steps"]:
            log.append(await (receive() if step == "receive" else send(step)))
        if plan["raises"] is not None:
            raise plan["raises"]
        return "ignored"

    return app


async def serve(app: Any, log: Log, plan: dict[str, Any]) -> None:
    """Call *app* as a server does whose client may have left."""
    sent = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal sent
        log.append(message)
        if sent == plan["send_fails_at"]:
            raise OSError("the client has left")
        sent += 1

    try:
        await app({**SCOPE, "type": plan["type"]}, receive, send)
    except BaseException as error:
        log.append((type(error), error.args))


@given(BEHAVIOUR, st.booleans(), st.booleans())
def test_nothing_changes(plan: dict[str, Any], sizes: bool, active: bool) -> None:
    """Messages and exceptions of any application reach the server unchanged.

    The request is recorded once.
    """
    bare: Log = []
    asyncio.run(serve(application(bare, plan), bare, plan))
    recorder = Recorder()
    recorded: Log = []
    app = MetricsMiddleware(
        application(recorded, plan),
        meter=recorder.meter,
        body_sizes=sizes,
        active_requests=active,
    )
    asyncio.run(serve(app, recorded, plan))
    assert recorded == bare
    payloads = recorder.payloads().items()
    durations = [payload for (key, _), payload in payloads if key == DURATION]
    counts = [each.count for each in durations if isinstance(each, GaugeSummary)]
    now_active = [level_of(each) for (key, _), each in payloads if key == ACTIVE]
    http = plan["type"] == "http"
    assert counts == [1] * http
    assert now_active == [0] * (http and active)


def start(status: int) -> dict[str, Any]:
    """Return the message that begins a response."""
    return {"type": "http.response.start", "status": status, "headers": []}


def body(piece: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    """Return the message of a piece of the body."""
    return {"type": "http.response.body", "body": piece, "more_body": more}


def answer(recorder: Recorder, *steps: Any, scope: Any = None, **options: Any) -> None:
    """Serve a request by *steps*: messages, exceptions and callables of the scope."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for step in steps:
            if isinstance(step, dict):
                await send(step)
            elif callable(step):
                step(scope)
            else:
                raise step

    async def send(message: Any) -> None:
        pass

    async def request() -> None:
        wrapped = MetricsMiddleware(app, meter=recorder.meter, **options)
        receive: Any = None
        with suppress(ValueError, Boom, asyncio.CancelledError):
            await wrapped({**SCOPE, **(scope or {})}, receive, send)

    asyncio.run(request())


def run(recorder: Recorder, *steps: Any, **more: Any) -> dict[str, str]:
    """Serve a request by *steps*; return the dimensions of its duration."""
    answer(recorder, *steps, **more)
    [pairs] = [pairs for key, pairs in recorder.payloads() if key == DURATION]
    return dict(pairs)


def test_a_request(recorder: Recorder) -> None:
    """A request has method, scheme, version and status; without a route no ``http.route``."""
    assert run(recorder, start(200), body()) == {
        "http.request.method": "GET",
        "http.response.status_code": "200",
        "network.protocol.version": "2",
        "url.scheme": "https",
    }


def test_the_last_byte(recorder: Recorder) -> None:
    """A request is recorded when its last byte has been sent, whatever runs afterwards."""
    counted: list[int] = []

    def count(_: Any) -> None:
        counted.append(len(recorder.payloads()))

    answer(recorder, start(200), body(b"a", more=True), count, body(b"b"), count)
    assert counted == [0, 1]
    assert recorder.payloads() == {}


@pytest.mark.parametrize(
    ("steps", "status", "error"),
    [
        ([start(500), body()], "500", "500"),
        ([start(500), body(), ValueError()], "500", "ValueError"),
        ([ValueError()], "500", "ValueError"),
        ([start(200), body(more=True), ValueError()], "200", "ValueError"),
        ([start(200), body(), ValueError()], "200", None),
        ([start(200), Boom()], "200", "tests.test_asgi.Boom"),
        pytest.param(
            [asyncio.CancelledError()],
            None,
            "asyncio.exceptions.CancelledError",
            marks=pytest.mark.skipif(
                sys.version_info < (3, 11),
                reason="Python 3.10 does not show what cancelled a task",
            ),
        ),
        ([start(200), body(more=True)], "200", None),
        ([], None, None),
    ],
)
def test_errors(
    recorder: Recorder, steps: list[Any], status: str | None, error: str | None
) -> None:
    """An exception is recorded with its type, unless the response was sent and succeeded.

    Starlette raises its exception after it has sent a response of 500: that one is
    recorded. An exception of a background task is not. A request that awaited a cancelled
    task has no status.
    """
    found = run(recorder, *steps)
    assert found.get("http.response.status_code") == status
    assert found.get("error.type") == error


class ClientLeft(OSError):
    """The exception of a server's ``send`` when the client has left (ASGI 2.4)."""


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("raises", [None, Boom, ValueError])
def test_a_client_that_leaves(
    recorder: Recorder, at: int, raises: type[BaseException] | None
) -> None:
    """A client that leaves is not an error, whatever the application raises then.

    The status is the one that was sent.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            for message in (start(200), body(b"a", more=True), body()):
                await send(message)
        except OSError as error:
            if raises is not None:
                raise raises from error
            raise

    sent = 0

    async def send(message: Any) -> None:
        nonlocal sent
        if sent == at:
            raise ClientLeft
        sent += 1

    async def request() -> None:
        receive: Any = None
        wrapped = MetricsMiddleware(app, meter=recorder.meter)
        with pytest.raises(raises or ClientLeft):
            await wrapped({**SCOPE}, receive, send)

    asyncio.run(request())
    [(_, pairs)] = recorder.payloads()
    found = dict(pairs)
    assert found.get("http.response.status_code") == (None if at == 0 else "200")
    assert "error.type" not in found


def leave(recorder: Recorder, app: Any, kind: str = "http") -> dict[str, str]:
    """Serve *app* a client that disconnects; return the dimensions of its request."""

    async def receive() -> dict[str, Any]:
        return {"type": f"{kind}.disconnect"}

    async def send(message: Any) -> None:
        pass

    async def request() -> None:
        wrapped = MetricsMiddleware(app, meter=recorder.meter, websockets=True)
        with suppress(ValueError):
            await wrapped({**SCOPE, "type": kind}, receive, send)

    asyncio.run(request())
    [(_, pairs)] = recorder.payloads()
    return dict(pairs)


@pytest.mark.parametrize(
    ("steps", "status", "error"),
    [
        (["receive"], None, None),
        (["receive", ValueError()], None, None),
        (["receive", start(500), body()], None, None),
        (["receive", start(500), body(), ValueError()], None, None),
        (["receive", start(499), body()], "499", None),
        ([start(200), "receive", body(more=True), ValueError()], "200", None),
        ([start(503), "receive", body(more=True)], "503", "503"),
        ([start(503), body(), "receive", ValueError()], "503", "ValueError"),
    ],
)
def test_a_client_that_is_reported_to_have_left(
    recorder: Recorder, steps: list[Any], status: str | None, error: str | None
) -> None:
    """What an application does after ``http.disconnect`` is not an error.

    A status of 500 counts only if it was sent before, or if the response was complete.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for step in steps:
            if isinstance(step, ValueError):
                raise step
            await (receive() if step == "receive" else send(step))

    found = leave(recorder, app)
    assert found.get("http.response.status_code") == status
    assert found.get("error.type") == error


def test_an_error_after_a_websocket(recorder: Recorder) -> None:
    """An exception after the end of a websocket is an error: it had a whole life."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise ValueError

    assert leave(recorder, app, "websocket")["error.type"] == "ValueError"


@pytest.mark.parametrize("sent", [[], [start(200)], [start(200), body(more=True)]])
def test_a_cancelled_application(recorder: Recorder, sent: list[Any]) -> None:
    """An application that its server cancels has no error, and the status it sent."""

    async def cancel() -> None:
        begun = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            for message in sent:
                await send(message)
            begun.set()
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            pass

        receive: Any = None
        wrapped = MetricsMiddleware(app, meter=recorder.meter)
        task = asyncio.ensure_future(wrapped({**SCOPE}, receive, send))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    [(_, pairs)] = recorder.payloads()
    found = dict(pairs)
    assert found.get("http.response.status_code") == ("200" if sent else None)
    assert "error.type" not in found


@pytest.mark.parametrize(("kind", "scheme"), [("http", "http"), ("websocket", "ws")])
def test_no_scheme(recorder: Recorder, kind: str, scheme: str) -> None:
    """Where a server leaves out the scheme, it is the default of ASGI's specification."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    receive: Any = None
    wrapped = MetricsMiddleware(app, meter=recorder.meter, websockets=True)
    asyncio.run(wrapped({"type": kind}, receive, receive))
    [(_, pairs)] = recorder.payloads()
    assert dict(pairs)["url.scheme"] == scheme


def test_twice(recorder: Recorder) -> None:
    """A request that passes two middlewares is recorded once, by the outer one."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["dtmetrics.route"] = "/users/{id}"
        await send(start(200))
        await send(body())

    async def send(message: Any) -> None:
        pass

    inner = MetricsMiddleware(app, meter=recorder.meter)
    receive: Any = None
    for outer in (
        MetricsMiddleware(inner, meter=recorder.meter, active_requests=True),
        MetricsMiddleware(inner, meter=recorder.meter, exclude="/users/*"),
        inner,
    ):
        scope: dict[str, Any] = {**SCOPE}
        asyncio.run(outer(scope, receive, send))
        del scope["dtmetrics.route"]
        assert scope == SCOPE
    counts = [
        payload.count
        for (key, _), payload in recorder.payloads().items()
        if isinstance(payload, GaugeSummary) and key == DURATION
    ]
    assert counts == [3]


def test_scheme_of_an_inner_middleware(recorder: Recorder) -> None:
    """An inner middleware may set the scheme that the client used."""

    def trusted(scope: Any) -> None:
        scope["scheme"] = "http"

    assert run(recorder, trusted, start(200), body())["url.scheme"] == "http"


def test_error_of_the_application(recorder: Recorder) -> None:
    """A framework that handles its views' exceptions may leave their type in the scope."""

    def error(scope: Any) -> None:
        scope["dtmetrics.error"] = "shop.Sold"

    assert run(recorder, error, start(500), body())["error.type"] == "shop.Sold"
    assert "error.type" not in run(recorder, error, start(200), body())


def test_route_of_the_application(recorder: Recorder) -> None:
    """An application of any framework may leave its route in the scope."""

    def route(scope: Any) -> None:
        scope["dtmetrics.route"] = "/users/{id}"

    assert run(recorder, route, start(200), body())["http.route"] == "/users/{id}"


def test_route_in_a_copy(recorder: Recorder) -> None:
    """A route that is set in a copy of the scope is the request's."""

    def route(scope: Any) -> None:
        set_route({**scope, "more": 1}, "/users/{id}")

    assert run(recorder, route, start(200), body())["http.route"] == "/users/{id}"
    set_route(SCOPE, "/users/{id}")  # which nothing records
    assert "dtmetrics.route" not in SCOPE


def test_scope_of_another_framework(recorder: Recorder) -> None:
    """A scope that looks like Starlette's but is another's is recorded without a route."""
    for strange in ({"route": object()}, {"endpoint": 1}, {"route": "x", "router": 3}):
        found = run(recorder, start(200), body(), scope=strange)
        assert "http.route" not in found


def test_dimensions_of_the_scope(recorder: Recorder) -> None:
    """The dimensions callable gets the scope, with what the application left in it."""

    def tenant(scope: Any) -> None:
        scope["state"] = {"tenant": "acme"}

    found = run(recorder, tenant, start(200), body(), dimensions=lambda s: s["state"])
    assert found["tenant"] == "acme"


def test_dimensions_of_the_response(recorder: Recorder) -> None:
    """A dimensions callable of two arguments gets status and headers of the response."""
    options = {"dimensions": lambda _, response: {"cache": response.headers["X-Cache"]}}
    begins = {**start(200), "headers": [(b"x-cache", b"hit")]}
    assert run(recorder, begins, body(), **options)["cache"] == "hit"
    options = {"dimensions": lambda _, response: {"got": str(response)}}
    found = run(recorder, ValueError(), **options)
    assert found["got"] == "Response(status=500, headers={})"


def test_time_to_first_byte(recorder: Recorder) -> None:
    """The first byte is sent with the status; a client that got none has no such time."""
    answer(recorder, start(200), body(b"a", more=True), body(), time_to_first_byte=True)
    found = {key: payload for (key, _), payload in recorder.payloads().items()}
    first, whole = found["http.server.time_to_first_byte"], found[DURATION]
    assert isinstance(first, GaugeSummary)
    assert isinstance(whole, GaugeSummary)
    assert 0 < first.sum < whole.sum
    answer(recorder, asyncio.CancelledError(), time_to_first_byte=True)
    assert [key for key, _ in recorder.payloads()] == [DURATION]


def test_sizes(recorder: Recorder) -> None:
    """A response's size is that of its pieces, a request's that of its Content-Length."""
    answer(recorder, start(200), body(b"123", more=True), body(b"4"), body_sizes=True)
    sums = {
        key: payload.sum
        for (key, _), payload in recorder.payloads().items()
        if isinstance(payload, GaugeSummary) and key != DURATION
    }
    assert sums == {
        "http.server.request.body.size": 99,
        "http.server.response.body.size": 4,
    }


def test_a_file_that_the_server_sends(recorder: Recorder) -> None:
    """A file that the server itself reads ends the response."""
    file = {"type": "http.response.pathsend", "path": "/a"}
    found = run(recorder, start(200), file, ValueError(), body_sizes=True)
    assert found["http.response.status_code"] == "200"
    assert "error.type" not in found


def test_websockets(recorder: Recorder) -> None:
    """The duration of a websocket is opt-in, with its route and its error."""
    scope = {
        "type": "websocket",
        "scheme": "wss",
        "http_version": "1.1",
        "path": "/chat/7",
        "dtmetrics.route": "/chat/{room}",
    }

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        raise Boom

    async def send(message: Any) -> None:
        assert message == {"type": "websocket.accept"}

    receive: Any = None
    for websockets, exclude in ((False, ()), (True, "/chat/*"), (True, ())):
        wrapped = MetricsMiddleware(
            app, websockets=websockets, exclude=exclude, meter=recorder.meter
        )
        assert recorder.payloads() == {}
        with pytest.raises(Boom):
            asyncio.run(wrapped(scope, receive, send))  # type: ignore[arg-type]
    [(key, pairs)] = recorder.payloads()
    assert key == "websocket.server.connection.duration"
    assert dict(pairs) == {
        "error.type": "tests.test_asgi.Boom",
        "http.route": "/chat/{room}",
        "network.protocol.version": "1.1",
        "url.scheme": "wss",
    }


def test_freed_at_once(recorder: Recorder) -> None:
    """An application is freed without the garbage collector."""

    def made() -> weakref.ref[Any]:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(start(200))
            await send(body())

        async def send(message: Any) -> None:
            pass

        receive: Any = None
        options: Any = {"active_requests": True, "dimensions": lambda _: {"a": "b"}}
        wrapped = MetricsMiddleware(app, meter=recorder.meter, **options)
        asyncio.run(wrapped({**SCOPE}, receive, send))
        return weakref.ref(app)

    with no_collector():
        freed = made()
        assert freed() is None


def test_not_recording() -> None:
    """While recording is off the application gets the server's own callables."""
    got: list[Any] = []

    async def app(*args: Any) -> None:
        got.extend(args)

    dtmetrics.shutdown()
    args: list[Any] = [SCOPE, object(), object()]
    asyncio.run(MetricsMiddleware(app)(*args))  # type: ignore[arg-type]
    assert all(one is other for one, other in zip(got, args, strict=True))
