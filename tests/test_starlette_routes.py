"""Routes of Starlette and FastAPI. `.ci/run` also runs this with old versions."""

from __future__ import annotations

import asyncio
import copy
import warnings
import weakref
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import pytest

from dtmetrics._instrument import starlette_routes
from dtmetrics.integrations.asgi import MetricsMiddleware
from tests.support import asgi_requests
from tests.support.garbage_collector import no_collector
from tests.support.recorder import Recorder

fastapi = pytest.importorskip("fastapi")
applications = pytest.importorskip("starlette.applications")
responses = pytest.importorskip("starlette.responses")
routing = pytest.importorskip("starlette.routing")
staticfiles = pytest.importorskip("starlette.staticfiles")
VERSION = tuple(map(int, version("starlette").split(".")[:2]))


async def plain(request: Any) -> Any:
    """Answer with a text."""
    return responses.PlainTextResponse("a")


class Endpoint:
    """An endpoint that is an ASGI application."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await responses.PlainTextResponse("a")(scope, receive, send)


class Wrapped:
    """A middleware around one mounted application."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def api() -> Any:
    """Return a FastAPI application with every kind of route."""
    app = fastapi.FastAPI()
    inner = fastapi.APIRouter(prefix="/in")
    outer = fastapi.APIRouter(prefix="/r")
    sub = fastapi.FastAPI()

    @inner.get("/z/{k}")
    async def z(k: str) -> str:
        return k

    @sub.get("/users/{user}")
    async def users(user: str) -> str:
        return user

    @app.get("/items/{number:int}")
    async def item(number: int) -> int:
        return number

    @app.get("/boom")
    async def boom() -> None:
        raise ValueError

    outer.include_router(inner)
    sub.include_router(inner)
    app.include_router(outer, prefix="/v1")
    app.include_router(outer, prefix="/v2")
    app.mount("/sub", sub)
    app.mount("/tenants/{tenant}", sub)
    app.mount("/old", starlette())
    app.add_route("/plain/{x}", plain)
    return app


def starlette() -> Any:
    """Return a Starlette application with every kind of route."""
    deep = [routing.Route("/leaf/{x}", plain), routing.Route("/leaf", plain)]
    return applications.Starlette(
        routes=[
            routing.Route("/", plain),
            routing.Route("/one/{x}", plain),
            routing.Route("/two/{x:int}", plain, methods=["POST"]),
            routing.Route("/class", Endpoint()),
            routing.Mount("/deep/{a}", routes=[routing.Mount("/er/{b}", routes=deep)]),
            routing.Mount("/deep/{a}/side", routes=deep),
            routing.Mount("/files", staticfiles.StaticFiles(directory="tests")),
            routing.Mount("/foreign/{name}", Endpoint()),
            routing.Mount("/wrapped/{c}", Wrapped(Wrapped(inside()))),
            routing.Host("api.example", routing.Router(deep)),
        ]
    )


def inside() -> Any:
    """Return an application with a mount."""
    leaf = routing.Route("/leaf/{x}", plain)
    return applications.Starlette(routes=[routing.Mount("/more/{d}", routes=[leaf])])


def ask(app: Any, path: str, root: str, host: str) -> None:
    """Send one GET to *app*, as a server under *root* does."""
    headers = [(b"host", host.encode())]
    asgi_requests.ask(app, root + path, root_path=root, headers=headers)


def route(
    recorder: Recorder, app: Any, path: str, root: str = "", host: str = "x"
) -> tuple[str | None, str]:
    """Request *path* several times; return its route and status."""
    wrapped = MetricsMiddleware(app, meter=recorder.meter)
    for _ in range(3):  # the caches are filled by the first
        ask(wrapped, path, root, host)
    [(_, pairs)] = recorder.payloads()
    found = dict(pairs)
    return found.get("http.route"), found["http.response.status_code"]


@pytest.mark.parametrize("root", ["", "/gw"])
@pytest.mark.parametrize(
    ("path", "template", "status"),
    [
        ("/items/7", "/items/{number}", "200"),
        ("/items/x", None, "404"),
        ("/boom", "/boom", "500"),
        ("/none", None, "404"),
        ("/v1/r/in/z/1", "/v1/r/in/z/{k}", "200"),
        ("/v2/r/in/z/1", "/v2/r/in/z/{k}", "200"),
        ("/sub/users/1", "/sub/users/{user}", "200"),
        ("/sub/in/z/1", "/sub/in/z/{k}", "200"),
        ("/sub/none", None, "404"),
        ("/tenants/5/users/1", "/tenants/{tenant}/users/{user}", "200"),
        ("/tenants/5/in/z/1", "/tenants/{tenant}/in/z/{k}", "200"),
        ("/tenants/5/none", None, "404"),
        ("/plain/1", "/plain/{x}", "200"),
        ("/openapi.json", "/openapi.json", "200"),
        ("/old/one/1", "/old/one/{x}", "200"),
        ("/old/two/1", "/old/two/{x}", "405"),
        ("/old/deep/1/er/2/leaf/3", "/old/deep/{a}/er/{b}/leaf/{x}", "200"),
        ("/old/none", None, "404"),
    ],
)
def test_fastapi(
    recorder: Recorder, path: str, root: str, template: str | None, status: str
) -> None:
    """A route of FastAPI is its template, with all prefixes; an unmatched path has none."""
    expected = None if template is None else root + template
    assert route(recorder, api(), path, root) == (expected, status)


STARLETTE = [
    ("/", "/", "200"),
    ("/one/1", "/one/{x}", "200"),
    ("/two/1", "/two/{x}", "405"),
    ("/two/x", None, "404"),
    ("/class", "/class", "200"),
    ("/deep/1/er/2/leaf", "/deep/{a}/er/{b}/leaf", "200"),
    ("/deep/1/er/2/leaf/3", "/deep/{a}/er/{b}/leaf/{x}", "200"),
    ("/deep/1/er/2/none", None, "404"),
    ("/deep/1/side/leaf", None, "404"),
    ("/files/conftest.py", "/files/{path}", "200"),
    ("/files/none", "/files/{path}", "404"),
    ("/foreign/shop/a/b", "/foreign/{name}/{path}", "200"),
    ("/wrapped/1/more/2/leaf/3", "/wrapped/{c}/more/{d}/leaf/{x}", "200"),
    ("/wrapped/1/none", None, "404"),
    ("/none", None, "404"),
]


@pytest.mark.parametrize("root", ["", "/gw"])
@pytest.mark.parametrize(("path", "template", "status"), STARLETTE)
def test_starlette(
    recorder: Recorder, path: str, root: str, template: str | None, status: str
) -> None:
    """A route of Starlette is its template, with all mounts; an unmatched path has none."""
    expected = None if template is None else root + template
    assert route(recorder, starlette(), path, root) == (expected, status)


class WithoutRoute(Wrapped):
    """An older Starlette, which leaves the endpoint in the scope, and no route."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_without_route(message: Any) -> None:
            scope.pop("route", None)
            await send(message)

        await self.app(scope, receive, send_without_route)


class Copies(Wrapped):
    """A middleware that passes on a copy of the scope, as ASGI's specification asks."""

    def __init__(self, app: Any, make: Any = dict) -> None:
        super().__init__(app)
        self.make = make

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope = self.make(scope)
        scope["scheme"] = "https"
        await self.app(scope, receive, send)


@pytest.mark.parametrize("make", [dict, copy.copy, copy.deepcopy])
@pytest.mark.parametrize(("path", "template", "status"), STARLETTE)
def test_copies_of_the_scope(
    recorder: Recorder, make: Any, path: str, template: str | None, status: str
) -> None:
    """A route is found through a middleware that copies the scope."""
    app = Copies(starlette(), make)
    assert route(recorder, app, path) == (template, status)


def test_what_is_set_in_a_copy(recorder: Recorder) -> None:
    """Route, exception, scheme and dimensions are those of the copy that a router got.

    The copies may be around the router and around a mounted application.
    """
    sub = fastapi.FastAPI()
    sub.add_middleware(Copies)

    @sub.get("/users/{user}")
    async def users(user: str) -> str:
        raise KeyError

    app = fastapi.FastAPI()
    app.mount("/{tenant}", sub)
    app.add_middleware(Copies)
    app.add_middleware(
        MetricsMiddleware,
        meter=recorder.meter,
        dimensions=lambda scope: scope["path_params"],
    )
    with suppress(KeyError):
        ask(app, "/acme/users/7", "", "x")
    [(_, pairs)] = recorder.payloads()
    assert dict(pairs) == {
        "error.type": "KeyError",
        "http.request.method": "GET",
        "http.response.status_code": "500",
        "http.route": "/{tenant}/users/{user}",
        "network.protocol.version": "1.1",
        "tenant": "acme",
        "url.scheme": "https",
        "user": "7",
    }


def test_a_copy_is_freed(recorder: Recorder) -> None:
    """A copy of the scope is freed with the request, without the garbage collector."""
    freed: list[Any] = []

    class Scope(dict[str, Any]):
        """A scope that can be referenced weakly."""

    def make(scope: Any) -> Any:
        made = Scope(scope)
        freed.append(weakref.ref(made))
        return made

    with no_collector():
        app = MetricsMiddleware(Copies(starlette(), make), meter=recorder.meter)
        ask(app, "/one/1", "", "x")
        assert [each() for each in freed] == [None]


@pytest.mark.parametrize("cached", [1024, 0])
@pytest.mark.parametrize(("path", "template", "status"), STARLETTE)
def test_scope_without_a_route(
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    cached: int,
    path: str,
    template: str | None,
    status: str,
) -> None:
    """Where Starlette leaves no route in the scope, the route of the endpoint is found.

    Also when the cache is full.
    """
    monkeypatch.setattr(starlette_routes, "_CACHED", cached)
    app = WithoutRoute(starlette())
    assert route(recorder, app, path) == (template, status)


@pytest.mark.parametrize("root", ["", "/gw"])
@pytest.mark.parametrize("at", ["", "/", "/in"])
@pytest.mark.parametrize("kind", ["starlette", "fastapi", "routes", "wrapped", "host"])
def test_mounts_at_the_root(recorder: Recorder, at: str, root: str, kind: str) -> None:
    """The routes of an application that is mounted at "" or "/" are found."""
    routes = [
        routing.Route("/leaf/{x}", plain),
        routing.Route("/", plain),
        routing.Mount("/deep", routes=[routing.Route("/{y}", plain)]),
    ]
    inner: Any = applications.Starlette(routes=routes)
    if kind == "fastapi":
        inner = fastapi.FastAPI(openapi_url=None)
        inner.router.routes.extend(routes)
    elif kind == "routes":
        inner = routing.Router(routes)
    elif kind == "wrapped":
        inner = Wrapped(inner)
    elif kind == "host":
        inner = routing.Router([routing.Host("x", routing.Router(routes))])
    app = applications.Starlette(routes=[routing.Mount(at, inner)])
    before = f"{root}{at.rstrip('/')}"
    for path, template in [
        ("/leaf/1", "/leaf/{x}"),
        ("/", "/"),
        ("/deep/1", "/deep/{y}"),
    ]:
        asked = f"{at.rstrip('/')}{path}"
        assert route(recorder, app, asked, root) == (before + template, "200")
    assert route(recorder, app, f"{at.rstrip('/')}/none", root) == (None, "404")


@pytest.mark.parametrize("at", ["", "/"])
def test_files_at_the_root(recorder: Recorder, at: str) -> None:
    """Files that are mounted at "" or "/" have a route; those before it have theirs."""
    files = routing.Mount(at, staticfiles.StaticFiles(directory="tests"))
    app = applications.Starlette(routes=[routing.Route("/leaf/{x}", plain), files])
    assert route(recorder, app, "/conftest.py") == ("/{path}", "200")
    assert route(recorder, app, "/none") == ("/{path}", "404")
    assert route(recorder, app, "/leaf/1") == ("/leaf/{x}", "200")


@pytest.mark.parametrize(
    ("host", "path", "template"),
    [
        ("api.example", "/in/leaf/7", "/in/leaf/{x}"),
        ("other.example", "/beside/leaf/7", "/beside/leaf/{x}"),
    ],
)
def test_mounts_of_hosts(
    recorder: Recorder, host: str, path: str, template: str
) -> None:
    """A mount of a host is found, and one beside a host."""
    leaf = routing.Route("/leaf/{x}", plain)
    app = applications.Starlette(
        routes=[
            routing.Host(
                "api.example", routing.Router([routing.Mount("/in", routes=[leaf])])
            ),
            routing.Mount("/beside", routes=[leaf]),
        ]
    )
    assert route(recorder, app, path, host=host) == (template, "200")


@pytest.mark.skipif(
    VERSION < (1, 0), reason="an older Starlette leaves no route in the scope"
)
def test_changed_root_path(recorder: Recorder) -> None:
    """Below a root_path that no mount explains, a route has the template of its router."""

    class Moves(Wrapped):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["root_path"] += "/moved"
            await self.app(scope, receive, send)

    leaf = routing.Route("/leaf/{x}", plain)
    inner = applications.Starlette(routes=[leaf])
    app = applications.Starlette(routes=[routing.Mount("/in", Moves(inner))])
    found = route(recorder, app, "/in/moved/leaf/7")
    assert found == ("/leaf/{x}", "200")


def test_host(recorder: Recorder) -> None:
    """Routes of a host are found."""
    found = route(recorder, starlette(), "/leaf/7", host="api.example")
    assert found == ("/leaf/{x}", "200")


def test_root_of_the_application(recorder: Recorder) -> None:
    """A route begins with the root_path of a FastAPI application."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from 0.165 on
        app = fastapi.FastAPI(root_path="/gw")
    app.add_route("/plain/{x}", plain)
    assert route(recorder, app, "/plain/1") == ("/gw/plain/{x}", "200")


def test_add_middleware(recorder: Recorder) -> None:
    """A middleware that the framework itself calls finds the same routes."""
    app = api()
    app.add_middleware(MetricsMiddleware, meter=recorder.meter)
    ask(app, "/v1/r/in/z/1", "", "x")
    ask(app, "/boom", "", "x")
    found = sorted(
        (
            pairs["http.route"],
            pairs["http.response.status_code"],
            pairs.get("error.type"),
        )
        for pairs in (dict(pairs) for _, pairs in recorder.payloads())
    )
    assert found == [
        ("/boom", "500", "ValueError"),
        ("/v1/r/in/z/{k}", "200", None),
    ]


def test_background(recorder: Recorder) -> None:
    """A request is recorded before its background task runs."""
    background = pytest.importorskip("starlette.background")
    counted: list[int] = []

    async def later() -> None:
        counted.append(len(recorder.payloads()))

    async def view(request: Any) -> Any:
        return responses.PlainTextResponse(
            "a", background=background.BackgroundTask(later)
        )

    app = applications.Starlette(routes=[routing.Route("/", view)])
    ask(MetricsMiddleware(app, meter=recorder.meter), "/", "", "x")
    assert counted == [1]
    assert recorder.payloads() == {}


@pytest.mark.parametrize("streams", [True, False])
def test_background_behind_a_middleware(recorder: Recorder, *, streams: bool) -> None:
    """An exception of a background task is not the request's; one of a stream is.

    BaseHTTPMiddleware makes a stream of every response, and raises both at its end.
    """
    background = pytest.importorskip("starlette.background")

    async def pieces() -> Any:
        yield b"a"
        if streams:
            raise ValueError

    async def later() -> None:
        raise ValueError

    async def view(request: Any) -> Any:
        return responses.StreamingResponse(
            pieces(), background=background.BackgroundTask(later)
        )

    base = pytest.importorskip("starlette.middleware.base")

    async def through(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    app = applications.Starlette(routes=[routing.Route("/", view)])
    app.add_middleware(base.BaseHTTPMiddleware, dispatch=through)
    app.add_middleware(MetricsMiddleware, meter=recorder.meter)
    ask(app, "/", "", "x")
    [(_, pairs)] = recorder.payloads()
    found = dict(pairs)
    assert found["http.response.status_code"] == "200"
    assert found.get("error.type") == ("ValueError" if streams else None)


def test_a_view_that_runs_a_task(recorder: Recorder) -> None:
    """An exception of a task that a view itself runs is the request's."""
    background = pytest.importorskip("starlette.background")

    async def later() -> None:
        raise ValueError

    async def view(request: Any) -> Any:
        await background.BackgroundTask(later)()

    app = applications.Starlette(routes=[routing.Route("/", view)])
    app.add_middleware(MetricsMiddleware, meter=recorder.meter)
    ask(app, "/", "", "x")
    [(_, pairs)] = recorder.payloads()
    assert {("http.response.status_code", "500"), ("error.type", "ValueError")} < pairs


@pytest.mark.parametrize("inside", [True, False])
def test_a_client_that_leaves(recorder: Recorder, *, inside: bool) -> None:
    """A client that leaves while its body is read is not an error, and has no status."""

    async def view(request: Any) -> Any:
        await request.body()

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        pass

    requests = pytest.importorskip("starlette.requests")
    app = applications.Starlette(routes=[routing.Route("/", view, methods=["POST"])])
    outer: Any = app
    if inside:
        app.add_middleware(MetricsMiddleware, meter=recorder.meter)
    else:
        outer = MetricsMiddleware(app, meter=recorder.meter)
    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    with pytest.raises(requests.ClientDisconnect):
        asyncio.run(outer(scope, receive, send))
    [(_, pairs)] = recorder.payloads()
    found = {"http.request.method": "POST", "http.route": "/", "url.scheme": "http"}
    assert dict(pairs) == found


def test_a_websocket_that_its_client_closes(recorder: Recorder) -> None:
    """A websocket that its client closes is not an error, although Starlette raises."""
    websockets = pytest.importorskip("starlette.websockets")
    messages = [
        {"type": "websocket.connect"},
        {"type": "websocket.disconnect", "code": 1001},
    ]

    async def view(websocket: Any) -> None:
        await websocket.accept()
        await websocket.receive_text()

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        pass

    app = applications.Starlette(routes=[routing.WebSocketRoute("/ws/{room}", view)])
    outer: Any = MetricsMiddleware(app, meter=recorder.meter, websockets=True)
    scope = {"type": "websocket", "scheme": "ws", "path": "/ws/1", "headers": []}
    with suppress(websockets.WebSocketDisconnect):
        asyncio.run(outer(scope, receive, send))
    [(_, pairs)] = recorder.payloads()
    assert dict(pairs) == {"url.scheme": "ws", "http.route": "/ws/{room}"}
