"""The programs in ``examples/web``, each under the server that its page names."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint
from tests.support.example_pages import ExamplePage
from tests.support.script import expect
from tests.support.web_load import Ask, counts, expected, load, serving

ANY_PORT = {"gunicorn": ["--bind", "127.0.0.1:0"], "uvicorn": ["--port", "0"]}
FRAMEWORKS = ["asgi", "django", "fastapi", "flask", "starlette", "wsgi"]
#: How each framework writes a parameter of a route.
NUMBER = {"django": "<int:number>", "flask": "<int:number>"}
#: What takes the options of each page but Django's.
TARGETS = {
    "asgi": ("dtmetrics.integrations.asgi", "MetricsMiddleware"),
    "fastapi": ("dtmetrics.integrations.asgi", "MetricsMiddleware"),
    "flask": ("dtmetrics.integrations.flask", "Metrics"),
    "starlette": ("dtmetrics.integrations.asgi", "MetricsMiddleware"),
    "wsgi": ("dtmetrics.integrations.wsgi", "MetricsMiddleware"),
}

#: In SQLite's memory there is neither a server nor a name, and without a FROM no table.
OF_OTHER_DATABASES = {
    "db.namespace",
    "db.collection.name",
    "server.address",
    "server.port",
}


def plan(framework: str) -> list[Ask]:
    """Return requests that are answered, one without a route, and an excluded one."""
    route = f"/items/{NUMBER.get(framework, '{number}')}"
    return [
        *[Ask("GET", f"/items/{number}", route, "200") for number in range(3)],
        Ask("GET", "/wp-admin", None, "404"),
    ]


def needs(*modules: str) -> None:
    """Skip the test if one of the *modules* is missing."""
    for module in modules:
        if module not in ("asgi", "wsgi"):
            pytest.importorskip(module)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_program(framework: str) -> None:
    """The program runs by the command on its page, and what arrives is what it lists.

    A path that is excluded is not recorded.
    """
    page = ExamplePage(f"web/{framework}")
    [server] = [name for name in ANY_PORT if f"\n{name} " in page.text]
    needs(framework, server)
    command = [*page.command(server), *ANY_PORT[server]]
    asks = plan(framework)
    with Endpoint() as endpoint:
        with serving(command, endpoint, page.folder) as address:
            load(address, [*asks, Ask("GET", "/health", None, "404")])
        assert counts(endpoint) == expected(asks)
    page.check(endpoint.lines, missing={"error.type", *OF_OTHER_DATABASES})


@pytest.mark.parametrize("framework", sorted(TARGETS))
def test_options(framework: str) -> None:
    """The page lists each option of the middleware."""
    needs(framework)
    module, name = TARGETS[framework]
    parameters = inspect.signature(getattr(import_module(module), name)).parameters
    taken = {
        each.name for each in parameters.values() if each.kind is each.KEYWORD_ONLY
    }
    assert ExamplePage(f"web/{framework}").options() == taken


def test_options_of_django() -> None:
    """The page lists each key of ``DTMETRICS`` that is not a setting of configure()."""
    needs("django")
    from dtmetrics._config.settings import SETTINGS
    from dtmetrics.integrations.django import options

    assert ExamplePage("web/django").options() == options._KNOWN - SETTINGS.keys()


SETTINGS = """
import django
from django.conf import settings
from django.core.checks import run_checks
import dtmetrics

{settings}
settings.configure(
    INSTALLED_APPS=INSTALLED_APPS, MIDDLEWARE=MIDDLEWARE, DTMETRICS=DTMETRICS
)
django.setup()
dtmetrics.counter("orders").inc()
print(run_checks(), dtmetrics.flush(), dtmetrics.stats().accepted)
"""


def test_settings_of_django() -> None:
    """The settings on Django's page pass its checks, and start recording."""
    needs("django")
    settings = ExamplePage("web/django").part("INSTALLED_APPS = ")
    source = SETTINGS.format(settings=settings)
    with Endpoint() as endpoint:
        printed = expect(source, DTMETRICS_ENDPOINT=endpoint.url)
    assert printed == "[] True 1\n"
    assert "service=shop" in endpoint.lines[0]


def test_django_under_uvicorn(tmp_path: Path) -> None:
    """The ``asgi.py`` on Django's page sends the rest when uvicorn is stopped."""
    needs("django", "uvicorn")
    page = ExamplePage("web/django")
    before = f"import sys\nsys.path.append({str(page.folder)!r})\nimport django_shop\n"
    source = before + page.part("from django.core.asgi")
    (tmp_path / "asgi.py").write_text(source, "utf-8")
    asks = plan("django")
    command = ["uvicorn", "asgi:application", *ANY_PORT["uvicorn"]]
    with Endpoint() as endpoint:
        with serving(command, endpoint, tmp_path) as address:
            load(address, asks)
        # The client has its response before the request is recorded.
        assert (expected(asks) - counts(endpoint)).total() <= 1
        assert counts(endpoint) <= expected(asks)
