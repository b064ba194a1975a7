"""A Channels application: Django's requests, and websockets."""

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

import dtmetrics
from dtmetrics.integrations.asgi import MetricsMiddleware
from dtmetrics.integrations.routes import report_routes

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    DTMETRICS={"dimensions": {"service": "shop"}, "exclude": "/health"},
    INSTALLED_APPS=["dtmetrics.integrations.django"],
    MIDDLEWARE=["dtmetrics.integrations.django.MetricsMiddleware"],
    ROOT_URLCONF=__name__,
)
django.setup()
dtmetrics.install_signal_handlers()  # uvicorn ends by a signal


def item(_: HttpRequest, number: int) -> HttpResponse:
    """Answer with an item."""
    return HttpResponse(f"item {number}\n")


class News(AsyncWebsocketConsumer):
    """Greets each client."""

    async def connect(self) -> None:
        """Accept the connection."""
        await self.accept()
        await self.send("hello")


urlpatterns = [path("items/<int:number>", item)]
news = URLRouter([path("news/<int:number>", News.as_asgi())])
protocols = {"http": get_asgi_application(), "websocket": report_routes(news)}
application = MetricsMiddleware(
    ProtocolTypeRouter(protocols), exclude="/health", websockets=True
)
