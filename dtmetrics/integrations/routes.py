"""The routes of frameworks that leave theirs where no middleware finds it.

::

    application = MetricsMiddleware(report_routes(falcon.App()))
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from dtmetrics._instrument.server_request import set_route

__all__ = ["report_routes"]

T = TypeVar("T")


def report_routes(app: T) -> T:
    """Let *app* leave the route of each request for the middleware around it.

    Bottle, Django, FastAPI, Flask, Litestar and Starlette need no such call.

    Args:
        app (object): An application of Falcon (WSGI or ASGI) or Quart, the Configurator
            of a Pyramid application, or the outermost URLRouter of Channels, with all
            of its routes.

    Returns:
        object: *app*.

    Raises:
        TypeError: *app* belongs to none of these.

    ::

        import falcon
        from dtmetrics.integrations.routes import report_routes

        app = report_routes(falcon.App())
    """
    for kind in type(app).__mro__:
        report = _FRAMEWORKS.get(kind.__module__.partition(".")[0])
        if report is not None:
            report(app)
            return app
    known = ", ".join(_FRAMEWORKS)
    raise TypeError(f"app must be an object of one of {known}, got {type(app)!r}")


def _set(scope: Mapping[str, Any], template: object) -> None:
    # A router of the application's own may have found anything.
    if isinstance(template, str):
        set_route(scope, f"/{template.removeprefix('/')}")


# -- one function for each framework; its objects are of many versions: hence `Any` ----


def _channels(router: Any, before: str = "") -> None:  # noqa: ANN401 -- as above
    # Only where Channels is: it needs Django.
    from dtmetrics.integrations.django.routes import as_path  # noqa: PLC0415

    for route in router.routes:
        template = before + str(route.pattern).removeprefix("^" if before else "")
        if hasattr(route.callback, "routes"):
            _channels(route.callback, template)
        elif str(route.pattern):  # without one, Django routes further in
            route.callback = partial(_call, route.callback, as_path("", template))


async def _call(
    app: Callable[..., Awaitable[object]],
    template: str,
    scope: Mapping[str, Any],
    *arguments: object,
) -> object:
    _set(scope, template)
    return await app(scope, *arguments)


class _FalconRoutes:
    """A middleware of Falcon, which calls these when it has found a resource."""

    def process_resource(self, request: Any, *_: object) -> None:  # noqa: ANN401 -- as above
        _set(request.env, request.uri_template)

    async def process_resource_async(self, request: Any, *_: object) -> None:  # noqa: ANN401 -- as above
        _set(request.scope, request.uri_template)

    process_resource_ws = process_resource_async


def _falcon(app: Any) -> None:  # noqa: ANN401 -- as above
    app.add_middleware(_FalconRoutes())


def _pyramid(config: Any) -> None:  # noqa: ANN401 -- as above
    def report(event: Any) -> None:  # noqa: ANN401 -- as above
        request = event.request
        _set(request.environ, getattr(request.matched_route, "pattern", None))

    config.add_subscriber(report, "pyramid.events.BeforeTraversal")


def _quart(app: Any) -> None:  # noqa: ANN401 -- as above
    # Only where Quart is.
    from quart import request, websocket  # noqa: PLC0415

    async def report(current: Any) -> None:  # noqa: ANN401 -- one of the two
        _set(current.scope, getattr(current.url_rule, "rule", None))

    # Before any other function that might answer. Not a preprocessor of URL values:
    # with any of these Quart fails to serve websockets.
    app.before_request_funcs[None].insert(0, partial(report, request))
    app.before_websocket_funcs[None].insert(0, partial(report, websocket))


_FRAMEWORKS: dict[str, Callable[[Any], None]] = {
    "channels": _channels,
    "falcon": _falcon,
    "pyramid": _pyramid,
    "quart": _quart,
}
