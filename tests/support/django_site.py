"""A Django site for tests, and its recorded lines. Imported only with Django."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse

import dtmetrics
from tests.support.protocol_grammar import read

FIRST = "dtmetrics.integrations.django.MetricsMiddleware"

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        CACHES={
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
            "files": {
                "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
                "LOCATION": "/nowhere",
            },
        },
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        },
        INSTALLED_APPS=["dtmetrics.integrations.django"],
        LOGGING_CONFIG=None,
        MIDDLEWARE=[FIRST],
        ROOT_URLCONF="tests.support.web_apps.django_app",
        SECRET_KEY="for tests",
        USE_TZ=True,
    )
    django.setup()
    # Views fail on purpose here, and the log records would hold tracebacks, which hold
    # the threads of asgiref.
    logging.getLogger("django.request").disabled = True


class Seen:
    """All that is recorded from now on."""

    def __init__(self) -> None:
        self._exporter = dtmetrics.MemoryExporter()
        dtmetrics.configure(
            exporter=self._exporter, interval=None, metadata=False, enrich=False
        )

    def lines(self, key: str) -> list[tuple[dict[str, str], str]]:
        """Return dimensions and payload of each line of *key*."""
        assert dtmetrics.flush()
        lines = [line for line in self._exporter.lines if line.startswith(f"{key},")]
        return [(read(line).dimensions, line.rpartition("gauge,")[2]) for line in lines]

    def counts(self, key: str, *dimensions: str) -> Counter[tuple[str | None, ...]]:
        """Return the number of values of *key* by *dimensions*."""
        found: Counter[tuple[str | None, ...]] = Counter()
        for pairs, payload in self.lines(key):
            count = int(re.findall(r"count=(\d+)", payload)[0])
            found[tuple(map(pairs.get, dimensions))] += count
        return found

    def requests(self) -> dict[tuple[str | None, ...], int]:
        """Return the number of requests by status, route and error."""
        names = "http.response.status_code", "http.route", "error.type"
        return dict(self.counts("http.server.request.duration", *names))


def middleware(change: Callable[[Any, Callable[[Any], Any]], Any]) -> Any:
    """Make a middleware of *change*, which gets a request and ``get_response``."""

    def factory(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda request: change(request, get_response)

    return factory


def fails(request: Any, get_response: Any) -> Any:
    """Fail, after the view."""
    get_response(request)
    raise ZeroDivisionError


def replaces(request: Any, get_response: Any) -> Any:
    """Answer something else."""
    get_response(request)
    return HttpResponse("else", status=410)


def mends(request: Any, get_response: Any) -> Any:
    """Answer something else if the view has failed."""
    response = get_response(request)
    return HttpResponse("else") if response.status_code >= 500 else response


def waits(request: Any, get_response: Any) -> Any:
    """Wait until the test lets it go on."""
    response = get_response(request)
    request.inside.set()
    request.go_on.wait()
    return response


def streams(request: Any, get_response: Any) -> Any:
    """Answer with the stream that the test has left in the environ."""
    get_response(request)
    return StreamingHttpResponse(request.META["tests.stream"])


changes = fails, replaces, mends, waits, streams
failing, replacing, mending, waiting, streaming = map(middleware, changes)
