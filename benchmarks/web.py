"""What a middleware adds to a request, for ours and for others'.

Each wraps the same small application, which is called as a server calls it, but without
a server: sockets would cost more than all that is compared.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults

from benchmarks.instrumented import BARE, OTEL, provider, recording
from benchmarks.measure import Size, Statement, least_of_awaited, least_of_statements
from benchmarks.part import Result
from benchmarks.peers import OURS, version_of
from benchmarks.table import Table

__all__ = ["NAMES", "PROMETHEUS", "measure"]

PROMETHEUS, OFF = "a prometheus exporter", "an ASGI application, not configured"

#: The names of the rows.
NAMES = {
    "wsgi": "a WSGI application",
    "flask": "Flask",
    "django": "Django",
    "asgi": "an ASGI application",
    "starlette": "Starlette",
    "fastapi": "FastAPI",
}

NOTE = (
    "The time that a middleware adds to a request. The exporters are "
    "django-prometheus, prometheus-flask-exporter and starlette-exporter."
)

_PACKAGES = [
    "django",
    "django-prometheus",
    "fastapi",
    "flask",
    "opentelemetry-instrumentation",
    "prometheus-flask-exporter",
    "starlette",
    "starlette-exporter",
]

App = Callable[..., Any]


class Peer(NamedTuple):
    """A middleware of one package, for one application."""

    row: str
    column: str
    wrap: Callable[[Any], Any]


def measure(size: Size) -> Result:
    """Return the time that each middleware adds to a request, in microseconds."""
    left_out: dict[str, str] = {}
    rows: dict[str, dict[str, float]] = {}
    with recording():
        for row, name in NAMES.items():
            apps = _apps(row, left_out)
            if apps:
                rows[name] = _added(row, apps, size.rounds)
    rows[OFF] = _added("asgi", _apps("asgi", {}, [OURS]), size.rounds)
    table = Table("web", "a request's middleware", "µs", rows, NOTE)
    versions = {name: f"{name} {version_of(name)}" for name in _PACKAGES}
    return Result([table], versions, left_out)


def _apps(
    row: str, left_out: dict[str, str], columns: list[str] | None = None
) -> dict[str, App]:
    """Return the application of *row* in each middleware, and without one."""
    try:
        apps = {BARE: MAKE[row]()}
    except ImportError as error:
        left_out[NAMES[row]] = str(error)
        return {}
    for peer in PEERS:
        if peer.row == row and (columns is None or peer.column in columns):
            try:
                apps[peer.column] = peer.wrap(MAKE[row]())
            except Exception as error:  # noqa: BLE001 -- as in `peers`
                left_out[f"{peer.column}, {NAMES[row]}"] = f"{error}"
    return apps


def _added(row: str, apps: Mapping[str, App], rounds: int) -> dict[str, float]:
    if row in ("wsgi", "flask", "django"):
        calls = {name: partial(_ask, app, _environ()) for name, app in apps.items()}
        took = least_of_statements(
            {name: Statement("call()", {"call": call}) for name, call in calls.items()},
            rounds,
        )
    else:
        awaited: dict[str, Callable[[], Awaitable[object]]] = {
            name: partial(_ask_asgi, app) for name, app in apps.items()
        }
        took = least_of_awaited(awaited, rounds, times=20)
    bare = took.pop(BARE)
    return {name: (each - bare) / 1e3 for name, each in took.items()}


# -- one request ---------------------------------------------------------------------


def _environ() -> dict[str, Any]:
    environ: dict[str, Any] = {"PATH_INFO": "/items/7", "SERVER_PROTOCOL": "HTTP/1.1"}
    setup_testing_defaults(environ)
    return environ


def _start_response(*_: object) -> None:
    pass


def _ask(app: App, environ: dict[str, Any]) -> None:
    result = app(environ.copy(), _start_response)
    for _ in result:
        pass
    close = getattr(result, "close", None)
    if close is not None:
        close()


async def _ask_asgi(app: App) -> None:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "method": "GET",
        "scheme": "http",
        "http_version": "1.1",
        "path": "/items/7",
        "raw_path": b"/items/7",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, _receive, _send)


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: object) -> None:
    pass


# -- the applications ----------------------------------------------------------------


def _wsgi() -> App:
    def app(_: object, start_response: Callable[..., object]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"7"]

    return app


def _asgi() -> App:
    async def app(_: object, __: object, send: Callable[..., Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"7"})

    return app


def _flask_item(number: int) -> str:
    return str(number)


def _flask() -> App:
    import flask

    app = flask.Flask("shop")
    app.add_url_rule("/items/<int:number>", view_func=_flask_item)
    return app  # type: ignore[no-any-return, unused-ignore]


def _django_item(_: object, number: int) -> Any:
    from django.http import HttpResponse

    return HttpResponse(str(number))


def _django(*middleware: str) -> App:
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.urls import path

    if not settings.configured:
        urls = (path("items/<int:number>", _django_item),)
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls)
        django.setup()
    if middleware:  # read when the handler is made
        settings.MIDDLEWARE = [*middleware]
    return WSGIHandler()  # type: ignore[no-any-return, unused-ignore]


async def _item(request: Any) -> Any:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(request.path_params["number"])


def _starlette() -> App:
    from starlette.applications import Starlette
    from starlette.routing import Route

    return Starlette(routes=[Route("/items/{number}", _item)])  # type: ignore[no-any-return, unused-ignore]


async def _fast_item(number: str) -> str:
    return number


def _fastapi() -> App:
    from fastapi import FastAPI

    app = FastAPI()
    app.get("/items/{number}")(_fast_item)
    return app  # type: ignore[no-any-return, unused-ignore]


MAKE: dict[str, Callable[[], App]] = {
    "wsgi": _wsgi,
    "flask": _flask,
    "django": _django,
    "asgi": _asgi,
    "starlette": _starlette,
    "fastapi": _fastapi,
}


# -- the middlewares -----------------------------------------------------------------


def _ours_wsgi(app: App) -> App:
    from dtmetrics.integrations.wsgi import MetricsMiddleware

    return MetricsMiddleware(app)


def _ours_flask(app: Any) -> App:
    from dtmetrics.integrations.flask import Metrics

    Metrics(app)
    return app  # type: ignore[no-any-return]


def _ours_django(_: App) -> App:
    return _django("dtmetrics.integrations.django.MetricsMiddleware")


def _ours_asgi(app: App) -> App:
    from dtmetrics.integrations.asgi import MetricsMiddleware

    return MetricsMiddleware(app)


def _ours_added(app: Any) -> App:
    from dtmetrics.integrations.asgi import MetricsMiddleware

    app.add_middleware(MetricsMiddleware)
    return app  # type: ignore[no-any-return]


def _prometheus_flask(app: Any) -> App:
    from prometheus_client import CollectorRegistry
    from prometheus_flask_exporter import PrometheusMetrics

    PrometheusMetrics(app, path=None, registry=CollectorRegistry(), group_by="url_rule")
    return app  # type: ignore[no-any-return]


def _prometheus_django(_: App) -> App:
    from django_prometheus import middleware

    name = f"{middleware.__name__}.Prometheus{{}}Middleware".format
    return _django(name("Before"), name("After"))


def _prometheus_starlette(app: Any) -> App:
    from starlette_exporter import PrometheusMiddleware

    app.add_middleware(PrometheusMiddleware, app_name="shop", group_paths=True)
    return app  # type: ignore[no-any-return]


def _otel_wsgi(app: App) -> App:
    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

    return OpenTelemetryMiddleware(app, meter_provider=provider())  # type: ignore[no-any-return, unused-ignore]


def _otel_flask(app: Any) -> App:
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    instrumentor: Any = FlaskInstrumentor()
    instrumentor.instrument_app(app, meter_provider=provider())
    return app  # type: ignore[no-any-return]


def _otel_django(_: App) -> App:
    from django.conf import settings
    from opentelemetry.instrumentation.django import DjangoInstrumentor

    settings.MIDDLEWARE = []  # the instrumentor adds its own
    instrumentor: Any = DjangoInstrumentor()
    instrumentor.instrument(meter_provider=provider())
    return _django()


def _otel_asgi(app: App) -> App:
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    return OpenTelemetryMiddleware(app, meter_provider=provider())  # type: ignore[no-any-return, unused-ignore]


def _otel_fastapi(app: Any) -> App:
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor.instrument_app(app, meter_provider=provider())
    return app  # type: ignore[no-any-return]


PEERS = [
    Peer("wsgi", OURS, _ours_wsgi),
    Peer("wsgi", OTEL, _otel_wsgi),
    Peer("flask", OURS, _ours_flask),
    Peer("flask", PROMETHEUS, _prometheus_flask),
    Peer("flask", OTEL, _otel_flask),
    Peer("django", OURS, _ours_django),
    Peer("django", PROMETHEUS, _prometheus_django),
    Peer("django", OTEL, _otel_django),
    Peer("asgi", OURS, _ours_asgi),
    Peer("asgi", OTEL, _otel_asgi),
    Peer("starlette", OURS, _ours_added),
    Peer("starlette", PROMETHEUS, _prometheus_starlette),
    Peer("starlette", OTEL, _otel_asgi),
    Peer("fastapi", OURS, _ours_added),
    Peer("fastapi", PROMETHEUS, _prometheus_starlette),
    Peer("fastapi", OTEL, _otel_fastapi),
]
