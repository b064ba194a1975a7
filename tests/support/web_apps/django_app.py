"""A Django application, for WSGI and for ASGI, with a database for each worker."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from itertools import repeat
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.db import connection
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from dtmetrics import install_signal_handlers


@require_safe
def item(request: Any, number: int) -> HttpResponse:
    """Answer from the database."""
    with connection.cursor() as cursor:
        cursor.execute('SELECT "name" FROM "shop_item" WHERE "id" = %s', [number])
        return HttpResponse(cursor.fetchone())


async def slow(request: Any, number: int) -> HttpResponse:
    """Answer asynchronously."""
    await asyncio.sleep(0)
    return HttpResponse(str(number))


def raises(request: Any) -> HttpResponse:
    """Fail."""
    raise KeyError


@csrf_exempt
def upload(request: Any) -> HttpResponse:
    """Read the body."""
    return HttpResponse(len(request.body))


def answer(status: int) -> Any:
    """Make a view that always answers the same."""
    return lambda request: HttpResponse(status=status)


def file(request: Any) -> FileResponse:
    """Answer with a file."""
    return FileResponse(open(__file__, "rb"))


def streaming(pieces: Any) -> Any:
    """Make a view of a stream."""

    def view(request: Any) -> StreamingHttpResponse:
        made = pieces()
        if hasattr(
            request, "scope"
        ):  # Django would read a plain iterator to its end first
            made = asynchronous(made)
        return StreamingHttpResponse(made)

    return view


async def asynchronous(pieces: Iterator[str]) -> AsyncIterator[str]:
    """Yield the same pieces."""
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)


def failing() -> Iterator[str]:
    """Yield a piece, and fail."""
    yield "a"
    raise ValueError


items = [path("<int:number>", item), re_path(r"^re/(?P<number>\d+)/$", slow)]
urlpatterns = [
    path("items/", include(items)),
    path("v1/", include([path("shop/", include(items))])),
    path("raises", raises),
    path("upload", upload),
    path("unavailable", answer(503)),
    path("same", answer(304)),
    path("file", file),
    path("stream", streaming(lambda: iter("ab"))),
    path("fails", streaming(failing)),
    path("endless", streaming(lambda: repeat("a" * 10_000))),
]


def _set_up() -> None:
    file = Path(tempfile.mkdtemp(), "shop.sqlite3")
    with closing(sqlite3.connect(file)) as database:
        database.execute('CREATE TABLE "shop_item" ("id" integer, "name" text)')
        rows = [(n, str(n)) for n in range(10)]
        database.executemany('INSERT INTO "shop_item" VALUES (?, ?)', rows)
        database.commit()
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": file}},
        DTMETRICS={"active_requests": True},
        INSTALLED_APPS=["dtmetrics.integrations.django"],
        LOGGING_CONFIG=None,
        MIDDLEWARE=[
            "dtmetrics.integrations.django.MetricsMiddleware",
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.common.CommonMiddleware",
        ],
        ROOT_URLCONF=__name__,
        SECRET_KEY="for tests",
    )
    django.setup()


def create_wsgi() -> Any:
    """Return the application."""
    _set_up()
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def create_asgi() -> Any:
    """Return the application."""
    _set_up()
    install_signal_handlers()  # uvicorn ends by the signal itself
    from django.core.asgi import get_asgi_application

    return get_asgi_application()
