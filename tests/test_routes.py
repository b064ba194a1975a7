"""The routes of frameworks that have no integration of their own."""

from __future__ import annotations

import asyncio
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from dtmetrics.integrations import asgi, wsgi
from dtmetrics.integrations.routes import report_routes
from tests.support.asgi_requests import ask
from tests.support.recorder import Recorder

# Of the frameworks themselves.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def ask_wsgi(app: Any, path: str) -> None:
    """Request *path* as a WSGI server does."""
    environ: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    result = app(environ, lambda *_: lambda _: None)
    assert isinstance(b"".join(result), bytes)
    getattr(result, "close", lambda: None)()


def ask_asgi(app: Any, target: str) -> None:
    """Request *target*, a path with or without a query, as an ASGI server does."""
    path, _, query = target.partition("?")
    ask(app, path, query_string=query.encode())


def bottle_app(wrap: Any) -> Any:
    """Return an application of Bottle, with one mounted in it."""
    bottle = pytest.importorskip("bottle")
    app, inner = bottle.Bottle(), bottle.Bottle()
    app.get("/items/<number:int>", callback=lambda number: str(number))
    inner.get("/news/<number>", callback=lambda number: number)
    app.mount("/v1/", inner)
    return wrap(app)


def falcon_app(wrap: Any) -> Any:
    """Return an application of Falcon for WSGI."""
    falcon = pytest.importorskip("falcon")

    class Item:
        def on_get(self, request: Any, response: Any, number: int) -> None:
            if number == 500:
                raise KeyError(number)

    app = report_routes(falcon.App())
    app.add_route("/items/{number:int}", Item())
    app.add_sink(lambda request, response: None, "/sink")
    return wrap(app)


def falcon_async_app(wrap: Any) -> Any:
    """Return an application of Falcon for ASGI."""
    falcon = pytest.importorskip("falcon.asgi")

    class Item:
        async def on_get(self, request: Any, response: Any, number: int) -> None:
            if number == 500:
                raise KeyError(number)

        async def on_websocket(self, request: Any, socket: Any, number: int) -> None:
            await socket.accept()

    app = report_routes(falcon.App())
    app.add_route("/items/{number:int}", Item())
    return wrap(app)


def litestar_app(wrap: Any) -> Any:
    """Return an application of Litestar."""
    litestar = pytest.importorskip("litestar")

    @litestar.get("/items/{number:int}", sync_to_thread=False)
    def item(number: int) -> int:
        return 1 // (number - 500)

    @litestar.get("/plain", sync_to_thread=False)
    def plain() -> str:
        return "a"

    # Their names are found in the module, where these annotations are texts.
    item.fn.__annotations__ = {"number": int, "return": int}
    plain.fn.__annotations__ = {"return": str}
    return wrap(litestar.Litestar([item, plain], logging_config=None))


def pyramid_app(wrap: Any) -> Any:
    """Return an application of Pyramid."""
    config = pytest.importorskip("pyramid.config").Configurator()
    response = pytest.importorskip("pyramid.response").Response
    assert report_routes(config) is config
    config.add_route("item", "items/{number}")
    config.add_view(lambda request: response("a"), route_name="item")
    config.add_view(lambda request: response("a"), name="traversed")
    config.commit()
    return wrap(config.make_wsgi_app())


def quart_app(wrap: Any) -> Any:
    """Return an application of Quart, with a blueprint."""
    quart = pytest.importorskip("quart")
    app = report_routes(quart.Quart("shop"))
    items = quart.Blueprint("items", "items", url_prefix="/v1")

    @items.get("/items/<int:number>")
    async def item(number: int) -> str:
        return str(1 // (number - 500))

    @items.websocket("/news/<name>")
    async def news(name: str) -> None:
        await quart.websocket.accept()

    app.register_blueprint(items)
    app.before_request(lambda: ("busy", 503) if "busy" in quart.request.args else None)
    return wrap(app)


@pytest.mark.parametrize(
    ("make", "path", "route", "status"),
    [
        (bottle_app, "/items/7", "/items/<number:int>", "200"),
        (bottle_app, "/v1/news/7", "/v1/news/<number>", "200"),
        (bottle_app, "/none", None, "404"),
        (falcon_app, "/items/7", "/items/{number:int}", "200"),
        (falcon_app, "/items/500", "/items/{number:int}", "500"),
        (falcon_app, "/none", None, "404"),
        (falcon_app, "/sink", None, "200"),
        (falcon_async_app, "/items/7", "/items/{number:int}", "200"),
        (falcon_async_app, "/items/500", "/items/{number:int}", "500"),
        (falcon_async_app, "/none", None, "404"),
        (litestar_app, "/items/7", "/items/{number}", "200"),
        (litestar_app, "/items/500", "/items/{number}", "500"),
        (litestar_app, "/plain", "/plain", "200"),
        (litestar_app, "/none", None, "404"),
        (pyramid_app, "/items/7", "/items/{number}", "200"),
        (pyramid_app, "/traversed", None, "200"),
        (pyramid_app, "/none", None, "404"),
        (quart_app, "/v1/items/7", "/v1/items/<int:number>", "200"),
        (quart_app, "/v1/items/500", "/v1/items/<int:number>", "500"),
        (quart_app, "/v1/items/7?busy", "/v1/items/<int:number>", "503"),
        (quart_app, "/none", None, "404"),
    ],
)
def test_routes(
    recorder: Recorder, make: Any, path: str, route: str | None, status: str
) -> None:
    """A request has the route that its framework matched, and none without a match."""
    is_wsgi = make in (bottle_app, falcon_app, pyramid_app)
    middleware: Any = wsgi.MetricsMiddleware if is_wsgi else asgi.MetricsMiddleware
    app = make(lambda app: middleware(app, meter=recorder.meter))
    request = ask_wsgi if is_wsgi else ask_asgi
    request(app, path)
    [(_, pairs)] = recorder.payloads()
    found = dict(pairs)
    assert found.get("http.route") == route
    assert found["http.response.status_code"] == status


def connect(app: Any, path: str) -> None:
    """Open a websocket, and close it, as an ASGI server does."""
    left = {"type": "websocket.disconnect", "code": 1005}
    messages = iter([{"type": "websocket.connect"}, left])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        pass

    scope = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"a"), (b"sec-websocket-version", b"13")],
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "ws",
        "root_path": "",
        "subprotocols": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "extensions": {},
    }

    async def serve() -> None:
        # Ends the threads that Channels starts.
        async with pytest.importorskip("asgiref.sync").ThreadSensitiveContext():
            await app(scope, receive, send)

    asyncio.run(serve())


def channels_app(wrap: Any) -> Any:
    """Return an application of Channels: a nested router, and one within middlewares."""
    pytest.importorskip("channels")
    pytest.importorskip("tests.support.django_site")
    from channels.generic.websocket import AsyncWebsocketConsumer
    from channels.middleware import BaseMiddleware
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.urls import path, re_path

    news = AsyncWebsocketConsumer.as_asgi()
    inner = URLRouter(
        [path("<int:number>", news), re_path(r"^x/(?P<name>\w+)/$", news)]
    )
    routers = [
        path("v1/", inner),
        path("v2/<name>", BaseMiddleware(news)),
        path("top/<name>", news),
        re_path("", news),
    ]
    router = BaseMiddleware(report_routes(URLRouter(routers)))
    return wrap(ProtocolTypeRouter({"websocket": router}))


@pytest.mark.parametrize(
    ("make", "path", "route"),
    [
        (channels_app, "/v1/7", "/v1/<int:number>"),
        (channels_app, "/v1/x/a/", r"/v1/x/(?P<name>\w+)/"),
        (channels_app, "/v2/a", "/v2/<name>"),
        (channels_app, "/top/a", "/top/<name>"),
        (channels_app, "/other", None),
        (falcon_async_app, "/items/7", "/items/{number:int}"),
        (quart_app, "/v1/news/a", "/v1/news/<name>"),
    ],
)
def test_routes_of_websockets(
    recorder: Recorder, make: Any, path: str, route: str | None
) -> None:
    """A websocket has the route that its framework matched, through nested routers too."""
    options = {"meter": recorder.meter, "websockets": True}
    connect(make(lambda app: asgi.MetricsMiddleware(app, **options)), path)
    [(_, pairs)] = recorder.payloads()
    assert dict(pairs).get("http.route") == route


def test_unknown_framework() -> None:
    """An object of another framework raises a TypeError that lists the known ones."""
    with pytest.raises(TypeError, match="channels, falcon, pyramid, quart, got <class"):
        report_routes(object())


def test_without_a_middleware() -> None:
    """A framework that reports its routes works without a middleware of dtmetrics."""
    ask_wsgi(falcon_app(lambda app: app), "/items/7")
    ask_asgi(quart_app(lambda app: app), "/v1/items/7")
