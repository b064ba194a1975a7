"""What all integrations have in common."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.script import expect

# Each makes one request or executes one statement.
USES = {
    "asgi": """
import asyncio
from dtmetrics.integrations.asgi import MetricsMiddleware

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})

async def send(message):
    pass

def use():
    asyncio.run(MetricsMiddleware(app)({"type": "http"}, None, send))
""",
    "wsgi": """
from dtmetrics.integrations.wsgi import MetricsMiddleware

def app(environ, start_response):
    start_response("200 OK", [])
    return []

def use():
    list(MetricsMiddleware(app)({}, lambda *_: None))
""",
    "flask": """
from flask import Flask
from dtmetrics.integrations.flask import Metrics

def use():
    app = Flask("shop")
    Metrics(app)
    app.test_client().get("/").close()
""",
    "fastapi": """
import warnings
from fastapi import FastAPI
from dtmetrics.integrations.fastapi import Metrics
warnings.simplefilter("ignore")  # Starlette prefers another package to httpx
from starlette.testclient import TestClient

def use():
    app = FastAPI()
    Metrics(app)
    TestClient(app).get("/")
""",
    "starlette": """
import warnings
from starlette.applications import Starlette
from dtmetrics.integrations.starlette import Metrics
warnings.simplefilter("ignore")  # Starlette prefers another package to httpx
from starlette.testclient import TestClient

def use():
    app = Starlette()
    Metrics(app)
    TestClient(app).get("/")
""",
    "litestar": """
from litestar import Litestar
from litestar.testing import TestClient
from dtmetrics.integrations.litestar import Metrics

def use():
    app = Litestar([], logging_config=None)
    Metrics(app)
    with TestClient(app) as client:
        client.get("/")
""",
    "httpx": """
import httpx
from dtmetrics.integrations.httpx import instrument_httpx

def use():
    instrument_httpx()
    try:
        httpx.Client(trust_env=False).get("http://127.0.0.1:9")
    except httpx.HTTPError:
        pass
""",
    "requests": """
import requests
from dtmetrics.integrations.requests import instrument_requests

def use():
    instrument_requests()
    session = requests.Session()
    session.trust_env = False
    try:
        session.get("http://127.0.0.1:9")
    except requests.RequestException:
        pass
""",
    "sqlalchemy": """
import sqlalchemy
from dtmetrics.integrations.sqlalchemy import instrument_sqlalchemy

def use():
    engine = sqlalchemy.create_engine("sqlite://")
    instrument_sqlalchemy(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
""",
    "celery": """
from celery import Celery
from dtmetrics.integrations.celery import instrument_celery

def use():
    app = Celery("shop")
    instrument_celery(app)
    app.task(work).apply()

def work():
    pass
""",
    "rq": """
from dtmetrics.integrations.rq import instrument_rq
import rq

def use():
    instrument_rq()
    queue = rq.Queue("mail", connection=object())
    try:
        queue._enqueue_job(Job())
    except AttributeError:
        pass

class Job:
    func_name = "work"
""",
}
RUN = """
import sys
import dtmetrics

exporter = dtmetrics.MemoryExporter()
settings = dict(exporter=exporter, interval=None, enrich=False, self_metrics=False)
dtmetrics.configure(**settings, levels=dict.fromkeys(sys.argv[1:], "ERROR"))
use()
assert dtmetrics.flush()
print(len([line for line in exporter.lines if not line.startswith("#")]))
"""
DJANGO = """
import sys
import django
from django.conf import settings
import dtmetrics

exporter = dtmetrics.MemoryExporter()
settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DTMETRICS=dict(
        exporter=exporter,
        interval=None,
        enrich=False,
        self_metrics=False,
        levels=dict.fromkeys(sys.argv[1:], "ERROR"),
    ),
    INSTALLED_APPS=["dtmetrics.integrations.django"],
    MIDDLEWARE=["dtmetrics.integrations.django.MetricsMiddleware"],
    ROOT_URLCONF=(),
    SECRET_KEY="for tests",
)
django.setup()
from django.core.cache import cache
from django.db import connection
from django.test import Client

Client().get("/")
cache.get("a")
connection.cursor().execute("SELECT 1")
assert dtmetrics.flush()
lines = [line for line in exporter.lines if not line.startswith("#")]
print(*sorted(line.partition(".")[0] for line in lines))
"""


@pytest.mark.parametrize("name", USES)
def test_default_meters(name: str) -> None:
    """An integration records by a meter with its own module's name."""
    if name not in ("asgi", "wsgi", "httpx"):
        pytest.importorskip(name)
    source = USES[name] + RUN
    assert expect(source) == "1\n"
    assert expect(source, "dtmetrics.web") == "1\n"
    assert expect(source, f"dtmetrics.integrations.{name}") == "0\n"
    assert expect(source, "dtmetrics.integrations") == "0\n"


@pytest.mark.parametrize(
    ("level_of", "recorded"),
    [
        ("dtmetrics.integrations.flask", "db django http"),
        ("dtmetrics.integrations.django.database", "django http"),
        ("dtmetrics.integrations.django.cache", "db http"),
        ("dtmetrics.integrations.django", ""),
    ],
)
def test_default_meters_of_django(level_of: str, recorded: str) -> None:
    """Django's databases and caches have meters below that of its requests."""
    pytest.importorskip("django")
    assert expect(DJANGO, level_of) == f"{recorded}\n"


SERVER = {
    "active_requests",
    "body_sizes",
    "dimensions",
    "exclude",
    "known_methods",
    "time_to_first_byte",
}
CLIENT = {"body_sizes", "dimensions", "known_methods", "meter"}


@pytest.mark.parametrize(
    ("name", "entry", "options"),
    [
        ("asgi", "MetricsMiddleware", {"app", "websockets", "meter", *SERVER}),
        ("wsgi", "MetricsMiddleware", {"app", "meter", *SERVER}),
        ("flask", "Metrics", {"app", "meter", *SERVER}),
        ("fastapi", "Metrics", {"app", "websockets", "meter", *SERVER}),
        ("starlette", "Metrics", {"app", "websockets", "meter", *SERVER}),
        ("litestar", "Metrics", {"app", "websockets", "meter", *SERVER}),
        ("httpx", "instrument_httpx", CLIENT),
        ("requests", "instrument_requests", CLIENT),
        ("sqlalchemy", "instrument_sqlalchemy", {"engine", "pool", "meter"}),
        ("celery", "instrument_celery", {"app", "meter"}),
        ("rq", "instrument_rq", {"meter"}),
    ],
)
def test_options_are_visible(name: str, entry: str, options: set[str]) -> None:
    """``help()`` shows each option of an integration, with its default."""
    if name not in ("asgi", "wsgi", "httpx"):
        pytest.importorskip(name)
    module: Any = importlib.import_module(f"dtmetrics.integrations.{name}")
    function: Callable[..., Any] = getattr(module, entry)
    assert inspect.signature(function).parameters.keys() == options


@pytest.mark.parametrize("name", ["fastapi", "flask", "litestar", "starlette"])
def test_instrument(name: str) -> None:
    """``instrument(app)`` is ``Metrics(app)``."""
    pytest.importorskip(name)
    module = importlib.import_module(f"dtmetrics.integrations.{name}")
    assert module.instrument is module.Metrics


@pytest.mark.parametrize("name", ["fastapi", "litestar", "starlette"])
def test_options_are_documented_alike(name: str) -> None:
    """help() of each class shows all options, in the words of the ASGI middleware."""
    pytest.importorskip(name)

    def documented(kind: type) -> str:
        text = inspect.getdoc(kind) or ""
        return text[text.index("    exclude (") : text.index("    meter (")]

    ours = importlib.import_module(f"dtmetrics.integrations.{name}")
    asgi = importlib.import_module("dtmetrics.integrations.asgi")
    assert documented(ours.Metrics) == documented(asgi.MetricsMiddleware)
