from __future__ import annotations

import asyncio
import gc
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.support.garbage_collector import no_collector
from tests.support.script import expect

pytest.importorskip("django")

from asgiref.sync import ThreadSensitiveContext
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.test import (
    AsyncClient,
    AsyncRequestFactory,
    Client,
    RequestFactory,
    override_settings,
)
from django.urls import path

import dtmetrics
from dtmetrics._instrument.http_server import INVALID_REQUEST
from dtmetrics.integrations import asgi, wsgi
from dtmetrics.integrations.django import MetricsMiddleware
from tests.support.django_site import FIRST, Seen
from tests.support.web_apps import django_app


class Sold(Exception):
    """An exception of a view."""


def sold(request: Any) -> HttpResponse:
    """Fail."""
    raise Sold


async def sold_later(request: Any) -> HttpResponse:
    """Fail after a step of the event loop."""
    await asyncio.sleep(0)
    raise Sold


async def never(request: Any) -> HttpResponse:
    """Answer much later than any client waits."""
    request.waiting.set()
    await asyncio.sleep(3600)
    return HttpResponse()


def two(request: Any) -> HttpResponse:
    """Answer with a stream of two pieces."""
    return StreamingHttpResponse(iter([b"a", b"b"]))


urlpatterns = [
    *django_app.urlpatterns,
    path("", lambda request: HttpResponse("home")),
    path("sold", sold),
    path("later", sold_later),
    path("never", never),
    path("two", two),
]
KIND = f"{__name__}.Sold"


@pytest.fixture(autouse=True)
def _site() -> Iterator[None]:
    before = threading.active_count()
    with override_settings(ROOT_URLCONF=__name__):
        yield
    if threading.active_count() > before:
        gc.collect()  # asgiref's executors, held by an exception's traceback


@pytest.fixture
def seen() -> Seen:
    """Return what is recorded."""
    return Seen()


def site(**options: Any) -> Any:
    """Return settings with these options; names in capitals are Django's own."""
    more = {name: options.pop(name) for name in list(options) if name.isupper()}
    return override_settings(DTMETRICS=options, **more)


def ask(url: str, method: str = "GET", **more: Any) -> Any:
    """Request *url*, and read the whole response."""
    client = Client(raise_request_exception=False)
    response = client.generic(method, url, **more)
    with suppress(ValueError):
        return response, response.getvalue()
    response.close()
    return response, b""


def ask_async(url: str, method: str = "GET", **more: Any) -> Any:
    """Request *url* as an ASGI server does, and read the whole response."""

    async def asked() -> Any:
        client = AsyncClient(raise_request_exception=False)
        async with ThreadSensitiveContext():  # Django's handler does so
            response = await client.generic(method, url, **more)
            if not response.streaming:
                return response, response.content
            with suppress(ValueError):
                return response, b"".join([piece async for piece in response])
            response.close()
            return response, b""

    return asyncio.run(asked())


REQUESTS = [
    ("GET", "/", ["200", "/", None]),
    ("GET", "/items/re/7/", ["200", r"/items/re/(?P<number>\d+)/", None]),
    ("HEAD", "/items/re/7/", ["200", r"/items/re/(?P<number>\d+)/", None]),
    ("GET", "/v1/shop/re/7/", ["200", r"/v1/shop/re/(?P<number>\d+)/", None]),
    ("GET", "/items/x", ["404", None, None]),
    ("GET", "/wp-admin/setup.php", ["404", None, None]),
    ("POST", "/items/7", ["405", "/items/<int:number>", None]),
    ("GET", "/same", ["304", "/same", None]),
    ("GET", "/unavailable", ["503", "/unavailable", "503"]),
    ("GET", "/sold", ["500", "/sold", KIND]),
    ("GET", "/later", ["500", "/later", KIND]),
    ("GET", "/stream", ["200", "/stream", None]),
    ("GET", "/fails", ["200", "/fails", "ValueError"]),
]


@pytest.mark.parametrize("by", [ask, ask_async])
@pytest.mark.parametrize(("method", "url", "found"), REQUESTS)
def test_requests(seen: Seen, by: Any, method: str, url: str, found: list[str]) -> None:
    """A request is recorded once, with its route and an exception's type.

    A path without a route has none, and an exception in a stream is an error although
    the status was sent. WSGI and ASGI, synchronous and asynchronous views are alike.
    """
    by(url, method)
    assert seen.requests() == {tuple(found): 1}


@pytest.mark.parametrize("by", [ask, ask_async])
@pytest.mark.parametrize("url", ["/", "/same", "/sold", "/stream", "/wp-admin"])
def test_the_response_is_unchanged(by: Any, url: str) -> None:
    """A response has the status, headers, body and class that it has without us."""
    with site(MIDDLEWARE=[]):
        before, text = by(url)
    Seen()
    with site(body_sizes=True, active_requests=True):
        after, same = by(url)
    assert type(after) is type(before)
    assert (after.status_code, dict(after.headers)) == (
        before.status_code,
        dict(before.headers),
    )
    assert same == text


def test_a_file_stays_one(seen: Seen) -> None:
    """A server still finds the file in a FileResponse, and may send the file itself."""
    with site(body_sizes=True):
        middleware = MetricsMiddleware(django_app.file)
    request = RequestFactory().get("/")
    response = middleware(request)
    assert response.file_to_stream.read(3) == b'"""'
    response._resource_closers.append(request.close)  # as Django's handler does
    response.close()
    assert response.file_to_stream.closed
    [(_, size)] = seen.lines("http.server.response.body.size")
    assert size.startswith(f"min={response['Content-Length']},")


def test_until_the_last_byte(seen: Seen) -> None:
    """A request with a stream is recorded when the stream ends, not before."""
    response = Client().get("/two")
    pieces = iter(response.streaming_content)
    assert next(pieces) == b"a"
    assert seen.requests() == {}
    assert list(pieces) == [b"b"]
    assert seen.requests() == {("200", "/two", None): 1}


def test_a_client_that_leaves_a_stream(seen: Seen) -> None:
    """A stream that is closed before its end is not an error."""
    response = Client().get("/two")
    next(iter(response.streaming_content))
    response.close()
    response.close()
    assert seen.requests() == {("200", "/two", None): 1}


def test_a_client_that_leaves_a_view(seen: Seen) -> None:
    """A view that Django cancels, because its client left, has no status and no error."""

    async def leave() -> None:
        handler = ASGIHandler()
        request = AsyncRequestFactory().get("/never")
        request.waiting = asyncio.Event()
        task = asyncio.ensure_future(handler.get_response_async(request))
        await request.waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    assert seen.requests() == {(None, "/never", None): 1}


def test_a_client_that_leaves_a_thread(seen: Seen) -> None:
    """A request in a thread that goes on without a client is recorded, and not active."""
    inside, go_on = threading.Event(), threading.Event()

    async def leave() -> None:
        handler = ASGIHandler()
        request = AsyncRequestFactory().get("/")
        request.inside, request.go_on = inside, go_on
        async with ThreadSensitiveContext():
            task = asyncio.ensure_future(handler.get_response_async(request))
            await asyncio.to_thread(inside.wait)
            task.cancel()
            go_on.set()
            with suppress(asyncio.CancelledError):
                await task

    synchronous = [FIRST, "tests.support.django_site.waiting"]
    with site(MIDDLEWARE=synchronous, active_requests=True):
        asyncio.run(leave())
    gc.collect()
    assert seen.requests() == {("200", "/", None): 1}
    assert seen.lines("http.server.active_requests")[-1][1].startswith("min=0,")


MIDDLEWARES = [
    ([FIRST, "failing"], ["500", "/", "ZeroDivisionError"]),
    (["failing", FIRST], ["200", "/", None]),
    (["replacing", FIRST], ["200", "/", None]),
    ([FIRST, "replacing"], ["410", "/", None]),
    ([FIRST, FIRST], ["200", "/", None]),
]


@pytest.mark.parametrize("by", [ask, ask_async])
@pytest.mark.parametrize(("names", "found"), MIDDLEWARES)
def test_middlewares(
    seen: Seen, names: list[str], found: list[str], by: Callable[..., Any]
) -> None:
    """Exceptions and responses of the middlewares after ours are recorded."""
    paths = [f"tests.support.django_site.{n}" if n != FIRST else n for n in names]
    with site(MIDDLEWARE=paths):
        by("/")
    assert seen.requests() == {tuple(found): 1}


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("/items/re/7/", ["200", r"/items/re/(?P<number>\d+)/", None]),
        ("/sold", ["500", "/sold", KIND]),
        ("/wp-admin", ["404", None, None]),
    ],
)
@pytest.mark.parametrize("make", [lambda same: same, dict])
@pytest.mark.parametrize("protocol", ["wsgi", "asgi"])
def test_another_middleware_around(
    seen: Seen, protocol: str, make: Any, url: str, found: list[str]
) -> None:
    """A request that a middleware around Django records is recorded only by that one.

    It has the route and the exception's type that Django knows, also if a middleware
    between copies the environ or the scope.
    """
    handler: Any = WSGIHandler() if protocol == "wsgi" else ASGIHandler()

    def copying(around: Any, *args: Any) -> Any:
        return handler(make(around), *args)

    if protocol == "wsgi":
        environ = RequestFactory().get(url).environ
        list(wsgi.MetricsMiddleware(copying)(environ, lambda *_: None))
    else:
        asyncio.run(_ask_around(copying, url))
    assert seen.requests() == {tuple(found): 1}


async def _ask_around(app: Any, url: str) -> None:
    messages = [{"type": "http.request"}]

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()  # the client does not leave
        return messages.pop()

    async def send(message: Any) -> None:
        pass

    scope = AsyncRequestFactory().get(url).scope
    await asgi.MetricsMiddleware(app)(scope, receive, send)


def test_the_status_that_clients_see(seen: Seen) -> None:
    """A stream that fails before its first piece has the server's 500, under WSGI."""

    def fail(*_: Any) -> Iterator[bytes]:
        yield from ()
        raise Sold

    environ = RequestFactory().get("/").environ
    with site(MIDDLEWARE=[FIRST, "tests.support.django_site.streaming"]):
        request: Any = environ | {"tests.stream": fail()}
        response = WSGIHandler()(request, lambda *_: None)
        with pytest.raises(Sold):
            list(response)
        response.close()
    assert seen.requests() == {("500", "/", KIND): 1}


def test_handled_exceptions(seen: Seen) -> None:
    """An exception that another middleware answers is not an error."""
    with site(MIDDLEWARE=[FIRST, "tests.support.django_site.mending"]):
        ask("/sold")
    assert seen.requests() == {("200", "/sold", None): 1}


@override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True)
def test_exceptions_are_unchanged(seen: Seen) -> None:
    """An exception that Django propagates passes unchanged, and is recorded."""
    with pytest.raises(Sold):
        Client().get("/sold")
    assert seen.requests() == {("500", "/sold", KIND): 1}


@pytest.mark.parametrize("root", ["/gw", "/gw/"])
def test_root(seen: Seen, root: str) -> None:
    """A route begins with FORCE_SCRIPT_NAME."""
    with site(FORCE_SCRIPT_NAME=root):
        ask("/items/re/7/")
    assert seen.requests() == {("200", r"/gw/items/re/(?P<number>\d+)/", None): 1}


@pytest.mark.parametrize(
    ("route", "written"),
    [
        ("", "/"),
        ("^$", "/"),
        (r"^(?P<page>.*)\Z", "/(?P<page>.*)"),
        (r"^price\$$", r"/price\$"),
        (r"^price\$", r"/price\$"),
        ("/double/", "/double/"),
    ],
)
def test_routes(route: str, written: str) -> None:
    """A route is written as a path, without the anchors of an expression."""
    from dtmetrics.integrations.django.routes import as_path

    assert as_path("", route) == written


SIMPLE = [
    ("", "/"),
    ("items/<int:number>/", "/items/<int:number>/"),
    ("a+b?/", "/a+b?/"),
    (r"^items/(?P<pk>[^/.]+)/$", "/items/<pk>/"),
    (r"^items\.(?P<format>[a-z0-9]+)/?$", "/items.<format>/"),
    (r"v1/items/(?P<pk>(?:a|b)[^/]+)/log/$", "/v1/items/<pk>/log/"),
    (r"^(\d+)/(?:page-(?P<page>\d+)/)?\Z", "/<var>/"),
    (r"^price\$", "/price$"),
]


@pytest.mark.parametrize(("route", "written"), SIMPLE)
def test_simplified_routes(route: str, written: str) -> None:
    """By an option, an expression is written in the form of ``path()``."""
    from dtmetrics.integrations.django.routes import as_path

    as_path.cache_clear()  # it caches what the settings of the site were
    try:
        with site(simplify_routes=True):
            assert as_path("/shop/", route) == f"/shop{written}"
    finally:
        as_path.cache_clear()


REST = """
import django
from django.conf import settings
import dtmetrics

exporter = dtmetrics.MemoryExporter()
settings.configure(
    ALLOWED_HOSTS=["*"],
    DTMETRICS=dict(
        exporter=exporter, interval=None, enrich=False, simplify_routes={simplify}
    ),
    INSTALLED_APPS=["dtmetrics.integrations.django", "rest_framework"],
    MIDDLEWARE=["dtmetrics.integrations.django.MetricsMiddleware"],
    REST_FRAMEWORK=dict(UNAUTHENTICATED_USER=None, DEFAULT_AUTHENTICATION_CLASSES=[]),
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
)
django.setup()
from django.test import Client
from django.urls import include, path
from rest_framework import routers, viewsets
from rest_framework.response import Response

class Items(viewsets.ViewSet):
    def list(self, request, format=None):
        return Response([])

    def retrieve(self, request, pk, format=None):
        return Response(pk)

router = routers.DefaultRouter()
router.register("items", Items, basename="item")
urlpatterns = [path("v1/", include(router.urls))]
for url in ("/v1/items/", "/v1/items/7/", "/v1/items/7.json", "/v1/"):
    assert Client().get(url).status_code == 200
assert dtmetrics.flush()
"""


@pytest.mark.processes
@pytest.mark.parametrize("simplify", [True, False])
def test_django_rest_framework(simplify: bool) -> None:
    """The routes of Django REST framework read like paths, if the option is set."""
    pytest.importorskip("rest_framework")
    printing = """
lines = [line for line in exporter.lines if line.startswith("http.server.")]
print(*sorted(line.partition("http.route=")[2].split(",")[0].strip('"') for line in lines))
"""
    written = "/v1/ /v1/items/ /v1/items/<pk>.<format>/ /v1/items/<pk>/"
    printed = expect(REST.format(simplify=simplify) + printing)
    assert (printed == f"{written}\n") is simplify


def test_dimensions_of_a_request(seen: Seen) -> None:
    """A request has the dimensions of the convention, and those of the callable."""
    trusted = ("HTTP_X_FORWARDED_PROTO", "https")
    options = {"request_dimensions": f"{__name__}.tenant"}
    with site(SECURE_PROXY_SSL_HEADER=trusted, **options):
        ask("/", HTTP_X_FORWARDED_PROTO="https")
    [(pairs, _)] = seen.lines("http.server.request.duration")
    assert pairs.pop("dt.metrics.source") == "dtmetrics"
    assert pairs == {
        "http.request.method": "GET",
        "http.response.status_code": "200",
        "http.route": "/",
        "network.protocol.version": "1.1",
        "tenant": "acme",
        "url.scheme": "https",
    }


def tenant(request: Any) -> dict[str, str]:
    """Return a dimension of Django's request."""
    assert request.resolver_match.view_name
    return {"tenant": "acme"}


@pytest.mark.parametrize("by", [ask, ask_async])
@pytest.mark.parametrize("url", ["/", "/stream", "/sold"])
def test_dimensions_of_a_response(seen: Seen, by: Any, url: str) -> None:
    """A callable of two arguments gets status and headers of the response."""
    options = {"request_dimensions": f"{__name__}.media_type"}
    with site(**options):
        response, _ = by(url)
    [(pairs, _)] = seen.lines("http.server.request.duration")
    assert pairs["media_type"] == response.headers["Content-Type"]
    assert pairs["status"] == str(response.status_code)


def media_type(request: Any, response: Any) -> dict[str, str]:
    """Return dimensions of the response."""
    assert request.method == "GET"
    media = response.headers["content-type"]
    return {"media_type": media, "status": str(response.status)}


@pytest.mark.parametrize("by", [ask, ask_async])
@pytest.mark.parametrize("url", ["/", "/stream", "/sold"])
def test_time_to_first_byte(seen: Seen, by: Any, url: str) -> None:
    """The time to the first byte is shorter than the duration, also of a stream."""
    with site(time_to_first_byte=True):
        by(url)
    [(_, first)] = seen.lines("http.server.time_to_first_byte")
    [(_, whole)] = seen.lines("http.server.request.duration")
    seconds = [re.findall("max=([^,]+)", payload)[0] for payload in (first, whole)]
    assert 0 < float(seconds[0]) < float(seconds[1])


def test_version_under_asgi(seen: Seen) -> None:
    """Under ASGI the protocol's version is that of the scope."""
    ask_async("/")
    [(pairs, _)] = seen.lines("http.server.request.duration")
    assert pairs["network.protocol.version"] == "1.1"


@pytest.mark.parametrize(
    "exclude", ["/items/re/7/", "/items/re/(?P<number>*", "/items*"]
)
def test_exclude(seen: Seen, exclude: str) -> None:
    """Paths and routes can be excluded by the setting."""
    with site(exclude=exclude):
        ask("/items/re/7/")
        ask("/")
    assert seen.requests() == {("200", "/", None): 1}


@pytest.mark.parametrize("by", [ask, ask_async])
@pytest.mark.parametrize("url", ["/", "/stream"])
def test_sizes(seen: Seen, by: Any, url: str) -> None:
    """A size is that of the body, streamed or not."""
    with site(body_sizes=True):
        _, text = by(url)
    [(_, size)] = seen.lines("http.server.response.body.size")
    assert size.startswith(f"min={len(text)},")


def test_active_requests(seen: Seen) -> None:
    """A request is active until its stream is closed."""
    with site(active_requests=True):
        response = Client().get("/two")
    [(_, now)] = seen.lines("http.server.active_requests")
    assert now.startswith("min=0,max=1,sum=1,count=1 ")
    response.close()
    assert seen.lines("http.server.active_requests")[-1][1].startswith("min=0,")


def test_invalid_requests(seen: Seen) -> None:
    """A request that cannot be described is answered, and counted as invalid."""
    with site(SECURE_PROXY_SSL_HEADER="https"), pytest.raises(ImproperlyConfigured):
        RequestFactory().get("/").scheme  # noqa: B018
    with site(SECURE_PROXY_SSL_HEADER="https", MIDDLEWARE=[FIRST]):
        assert ask("/")[0].status_code == 200
    assert seen.requests() == {}
    assert dtmetrics.stats().invalid == {INVALID_REQUEST: 1}


def test_not_recording() -> None:
    """While recording is off a request is not touched."""
    middleware = MetricsMiddleware(lambda request: HttpResponse())
    request = RequestFactory().get("/")
    before = set(vars(request))
    middleware(request)
    assert set(vars(request)) == before


def test_nothing_is_left(seen: Seen) -> None:
    """A request that has ended is freed without the garbage collector."""

    def answered() -> weakref.ref[Any]:
        request = RequestFactory().get("/")
        response = MetricsMiddleware(lambda _: HttpResponse())(request)
        response._resource_closers.append(request.close)  # as Django's handler does
        response.close()
        return weakref.ref(request)

    with no_collector():
        left = answered()
        assert left() is None


def test_import_needs_no_settings() -> None:
    """The package reads no settings when it is imported: settings may import it."""
    source = "import dtmetrics.integrations.django; from django.conf import settings; print(settings.configured)"
    assert expect(source) == "False\n"
