"""A Django application in one file."""

import django
from django.conf import settings
from django.core.cache import cache
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DTMETRICS={"dimensions": {"service": "shop"}, "exclude": "/health"},
    INSTALLED_APPS=["dtmetrics.integrations.django"],
    MIDDLEWARE=[
        "dtmetrics.integrations.django.MetricsMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    ROOT_URLCONF=__name__,
)
django.setup()


def look_up(number: int) -> str:
    """Return an item."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'item ' || %s", [number])
        return str(cursor.fetchone()[0])


def item(_: HttpRequest, number: int) -> HttpResponse:
    """Answer with an item."""
    return HttpResponse(cache.get_or_set(f"item-{number}", lambda: look_up(number)))


urlpatterns = [path("items/<int:number>", item)]
application = get_wsgi_application()
