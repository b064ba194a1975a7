"""A Pyramid application."""

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from dtmetrics import configure
from dtmetrics.integrations.routes import report_routes
from dtmetrics.integrations.wsgi import MetricsMiddleware


def item(request: Request) -> Response:
    """Answer with an item."""
    return Response(f"item {request.matchdict['number']}\n")


def create_app() -> MetricsMiddleware:
    """Return the application; called in each worker."""
    configure(dimensions={"service": "shop"})
    with Configurator() as config:
        report_routes(config)
        config.add_route("item", "/items/{number}")
        config.add_view(item, route_name="item")
        return MetricsMiddleware(config.make_wsgi_app(), exclude="/health")
